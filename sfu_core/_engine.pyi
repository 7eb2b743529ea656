"""The door between the control thread and the media thread of a core process.

All methods are called on the control thread, never block and post at most one command; when the queue has no
room they raise `BufferError` and change nothing, but closing always succeeds; `run` alone is the
media thread's body. Handles are 64-bit integers (generation << 32 | index): a handle of an object that has
been closed is recognised and raises `LookupError`. Times are milliseconds unless the name says otherwise.
"""

from collections.abc import Sequence
from typing import TypedDict

# (pt, mapped pt, codec of `sfu_core/_codecs.pxd`, clock rate, pt it repairs or -1)
CodecEntry = tuple[int, int, int, int, int]
# (ssrc or 0, rtx ssrc or 0, rid or "", media pt)
EncodingEntry = tuple[int, int, str, int]
Event = tuple[int | str | bytes, ...]

class TransportStats(TypedDict):
    now_ms: int
    ice_state: int
    connected: bool
    local: tuple[str, int] | None  # of the selected tuple
    remote: tuple[str, int] | None
    protocol: int  # of the selected tuple: 1 UDP, 2 TCP
    bytes_received: int
    recv_bitrate: int
    bytes_sent: int
    send_bitrate: int
    rtp_bytes_received: int
    rtp_recv_bitrate: int
    rtp_bytes_sent: int
    rtp_send_bitrate: int
    rtx_bytes_received: int
    rtx_recv_bitrate: int
    rtx_bytes_sent: int
    rtx_send_bitrate: int
    rtp_packet_loss_received: float
    rtp_packet_loss_sent: float
    available_incoming_bitrate: int
    drops: dict[str, int]  # by reason, only those above 0

class RecvStreamStats(TypedDict):
    now_ms: int
    started: bool  # a packet has been received
    ssrc: int
    rtx_ssrc: int
    packet_count: int
    byte_count: int
    bitrate: int
    packets_lost: int
    fraction_lost: int
    jitter: int
    packets_discarded: int
    packets_retransmitted: int
    packets_repaired: int
    nack_count: int
    nack_packet_count: int
    pli_count: int
    fir_count: int
    rtx_packets_discarded: int
    round_trip_time: float
    score: int

class SendStreamStats(TypedDict):
    now_ms: int
    ssrc: int
    rtx_ssrc: int
    packet_count: int
    byte_count: int
    bitrate: int
    packets_lost: int
    fraction_lost: int
    jitter: int
    packets_retransmitted: int
    packets_repaired: int
    nack_count: int
    nack_packet_count: int
    pli_count: int
    fir_count: int
    unrepeatable: int  # asked for again, but no longer in the history
    round_trip_time: float
    score: int

class Engine:
    def __init__(
        self,
        *,
        history_bytes: int = 67108864,
        transports: int = 4096,
        producers: int = 4096,
        recv_streams: int = 8192,
        send_streams: int = 32768,
        latency: str = "normal",  # "low" spins a bounded time before it sleeps
    ) -> None: ...

    event_fd: int  # readable while events wait
    slab_fd: int  # the memfd that holds all media state

    def run(self) -> None:
        """The media thread: returns after `stop()`; holds no GIL."""

    def step(self, now_ns: int) -> None:
        """One turn of the media thread at the given time, instead of `run`: for tests with their own clock."""

    def stop(self) -> None: ...
    def close(self) -> None:
        """Free the mapping and descriptors; only after `run` has returned."""

    def poll(self, limit: int = 512) -> list[Event]:
        """The events that wait, oldest first: (code of EVENTS, handle, ...), see `sfu_core/worker/events.py`."""

    # --- sockets: the engine takes over the descriptor (already bound, TCP already listening)
    def add_socket(self, fd: int, protocol: int, group: int, share: int = 0, listener: int = 0) -> int:
        """`group`: STUN for a transport is accepted only on sockets of its group.

        With `share` its port is shared with other cores, as listener of that number. The first socket of a listener is
        this core's own; later ones, of cores that died, are only read.
        """

    def close_socket(self, socket: int) -> None: ...
    def socket_stats(self, socket: int) -> dict[str, int]: ...

    # --- transports
    def add_webrtc_transport(
        self, group: int, ufrag: str, password: str, consent_timeout_ms: int
    ) -> int: ...
    def restart_ice(self, transport: int, ufrag: str, password: str) -> None: ...
    def add_plain_transport(
        self, socket: int, rtcp_socket: int, *, comedia: bool, srtp: bool, pipe: bool
    ) -> int:
        """`rtcp_socket` is 0 with rtcp-mux. Media is dropped until keys are set when `srtp`."""

    def add_direct_transport(self) -> int: ...
    def connect_plain(self, transport: int, ip: str, port: int, rtcp_port: int) -> None:
        """`rtcp_port` is 0 with rtcp-mux."""

    def set_srtp(self, transport: int, suite: int, local_key: bytes, remote_key: bytes) -> None:
        """Keys are master key + salt; suites as mediasoup's enum (0 GCM-256, 1 GCM-128, 2 CM-80, 3 CM-32)."""

    def clear_srtp(self, transport: int) -> None:
        """The keys are void: nothing goes out any more and nothing is accepted (DTLS failed or closed)."""

    def set_recv_extensions(self, transport: int, extensions: dict[int, int]) -> None:
        """kind (mediasoup's uri enum + 1) -> id: how mid, rid and rrid are found before a producer is known."""

    def send_datagram(self, transport: int, data: bytes) -> bool:
        """A DTLS datagram to the selected tuple; False when the queue is full (DTLS will repeat)."""

    def send_rtcp(self, transport: int, data: bytes) -> None:
        """RTCP that a DirectTransport received from the application."""

    def set_bitrates(self, transport: int, max_incoming_bps: int) -> None: ...
    def close_transport(self, transport: int) -> None:
        """Its producers and streams must have been closed before."""

    def transport_stats(self, transport: int) -> TransportStats: ...
    def transport_tuples(self, transport: int) -> list[tuple[str, int, str, int, int]]: ...

    # --- rings to neighbours: clear packets between the cores of one host
    def add_link(self, memfd: int, capacity: int, side: int, bell_in: int, bell_out: int) -> int:
        """Map a pair of rings of `capacity` bytes (a power of two); the other core uses the other side (0, 1).

        The engine takes over the eventfds (its own bell and the neighbour's), not the memfd.
        """

    def close_link(self, link: int) -> None:
        """Its transports must have been closed before."""

    def link_stats(self, link: int) -> dict[str, int]: ...
    def add_link_transport(self) -> int:
        """One end of a pipe; its handle is the tag that the other end sends to."""

    def connect_link(self, transport: int, link: int, tag: int) -> None: ...

    # --- ports shared with neighbours
    def add_share(self, memfd: int, number: int, own: int) -> int:
        """Map the table of flows of a server (`sfu_core._flows.new_table`) whose ports all cores listen on.

        `number` names it between the cores; `own` is this core's number among them. The memfd stays the caller's.
        """

    def close_share(self, share: int) -> None:
        """Its transports and sockets must have been closed before."""

    def set_neighbour(self, core: int, link: int) -> None:
        """The core of that number is at the other end of `link`; 0: out of reach."""

    def add_connection(self, socket: int, fd: int, data: bytes) -> None:
        """A TCP connection that a neighbour has accepted for us on the listener of `socket`, and what it has said.

        The engine takes over the descriptor.
        """

    def connection_left(self) -> None:
        """One that was reported (CONNECTION) is on its way no more: it has been taken over, or closed."""

    # --- producers
    def add_producer(
        self,
        transport: int,
        kind: int,  # 0 audio, 1 video
        codecs: Sequence[CodecEntry],
        encodings: Sequence[EncodingEntry],
        *,
        mid: str,
        extensions: dict[int, int],  # kind -> id
        nack: bool,
        pli: bool,
        fir: bool,
        feedback: int,  # 0 none, 1 transport-cc, 2 REMB
        paused: bool,
        key_frame_request_delay_ms: int,
        packet_id: bool,
    ) -> tuple[int, list[int]]:
        """The producer and one receive stream per encoding."""

    def pause_producer(self, producer: int, paused: bool) -> None:
        """Stops what it sends to all consumers; on resume a key frame is forced and consumers start anew."""

    def inject_rtp(self, producer: int, data: bytes) -> None: ...
    def trace_producer(self, producer: int, mask: int) -> None:
        """Bits: 1 << mediasoup's PRODUCER trace enum (KEYFRAME 0, FIR 1, NACK 2, PLI 3, RTP 4, SR 5)."""

    def close_producer(self, producer: int) -> None: ...
    def recv_stream_stats(self, stream: int) -> RecvStreamStats: ...

    # --- consumers: one send stream per encoding
    def add_send_stream(
        self,
        transport: int,
        recv_stream: int,
        *,
        ssrc: int,
        rtx_ssrc: int,  # 0 without RTX
        rtx_payload_type: int,  # -1 without RTX
        payload_types: Sequence[int],  # that the consumer accepts
        mid: str,
        cname: str,
        extensions: Sequence[int],  # kinds that the consumer negotiated
        nack: bool,
        pipe: bool,
        ignore_dtx: bool,
        paused: bool,
    ) -> int: ...
    def pause_send_stream(self, stream: int, paused: bool) -> None: ...
    def request_key_frame(self, stream: int) -> None: ...
    def trace_send_stream(self, stream: int, mask: int) -> None: ...
    def close_send_stream(self, stream: int) -> None: ...
    def send_stream_stats(self, stream: int) -> SendStreamStats: ...

    def core_stats(self) -> dict[str, int]:
        """Counters of the loop: wakes, ticks, packets in and out, GSO segments, EAGAIN, slots, drops ..."""

    def slots_used(self) -> dict[str, int]:
        """Slots in use by table: all zero once everything has been closed."""
