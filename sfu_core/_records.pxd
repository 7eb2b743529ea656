"""What the slab holds: tables of sockets, transports, producers and streams, and the packets of the history. Tier 3.

All of it survives the process: indices and generations, numbers, keys, addresses; no pointer, nothing of how or when it
is worked on. The first lines of a record are what one forwarded packet touches.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from sfu_core._munge cimport Munger
from sfu_core._remb cimport RembState
from sfu_core._rtp cimport RtpTemplate
from sfu_core._rtx cimport SENT_VIDEO, RtxState, Sent, SentRing
from sfu_core._slab cimport Chain, Head
from sfu_core._srtp cimport ReplayWindow, SrtpKeys
from sfu_core._stream cimport Meter, PeerTime, RecvState, SendState, SenderClock
from sfu_core._twcc cimport TwccRecorder
from sfu_core._types cimport DROP_COUNT, MAX_RID, MAX_TUPLES, Address


cdef enum TableKind:
    TABLE_CORE = 0               # one Counters; never what the pen names
    TABLE_SOCKETS = 1
    TABLE_CONNECTIONS = 2
    TABLE_TUPLES = 3
    TABLE_TRANSPORTS = 4
    TABLE_PRODUCERS = 5
    TABLE_RECV = 6
    TABLE_SEND = 7
    TABLE_NACKS = 8
    TABLE_SENT = 9               # one SentBlock for each send stream that repeats
    TABLE_SSRCS = 10
    TABLE_BACKLOG = 11
    TABLE_HISTORY = 12           # one byte a record
    TABLE_QUEUES = 13            # one byte a record: commands, events, freed slots


cdef enum:
    MAX_PAYLOAD_TYPES = 32
    SRTCP_SENDERS = 16           # SSRCs that send RTCP over one transport and no media
    TCP_IN = 4096
    TCP_OUT = 262144
    INDEX_BLOCK = 4096           # sender indices reserved at a time


cdef enum TransportFlags:
    TF_CONNECTED = 1             # media may go out: path known, and keys if it needs any
    TF_SRTP = 2                  # media must be protected
    TF_KEYED = 4                 # keys are there
    TF_COMEDIA = 8
    TF_RTCP_MUX = 16
    TF_PATH = 32                 # path is known
    TF_RTCP_PATH = 64
    TF_LINK = 128                # a pipe through a ring


cdef enum ProducerFlags:
    PF_VIDEO = 1
    PF_PAUSED = 2
    PF_PLI = 4
    PF_FIR = 8
    PF_PACKET_ID = 16


cdef enum SendFlags:
    SF_PAUSED = 1
    SF_SYNC = 2                  # the next packet starts a stretch: a key frame if video
    SF_VIDEO = 4
    SF_NACK = 8
    SF_PIPE = 16
    SF_IGNORE_DTX = 32
    SF_MID = 64
    SF_ABS_SEND_TIME = 128
    SF_TWCC = 256
    SF_LINKED = 512              # in its receive stream's list of subscribers
    SF_NEEDS_KEY = 1024          # the codec has key frames: start only with one


cdef enum KeyFrameFlags:
    KF_AGAIN = 1                 # somebody asked while a request was under way
    KF_REPEATED = 2              # the request under way has been repeated early
    KF_PIPE = 4                  # a pipe asked: whoever waits behind it is not seen here


cdef struct Path:
    # Where datagrams of a transport go: a UDP socket and an address, a TCP connection, or a ring to a neighbour.
    uint32_t channel             # index of a socket, a connection or a link
    uint32_t tcp                 # 0 socket, 1 connection, 2 link
    Address remote


cdef struct Socket:
    Head head
    int32_t fd
    uint32_t protocol            # 1 UDP, 2 TCP (listening)
    uint32_t group
    uint32_t owner               # transport of a plain or pipe socket; NONE otherwise
    uint32_t gso_refused
    uint32_t waits_writable
    uint32_t backlog_first
    uint32_t backlog_last
    uint32_t backlog_count
    uint32_t share               # index + 1 of the Share whose port it is; 0 = it is all ours
    uint32_t listener            # its number there
    Address local
    uint64_t would_block
    uint64_t send_errors


cdef struct Connection:
    # One accepted ICE-TCP connection (RFC 4571 framing).
    Head head
    int32_t fd
    uint32_t socket              # that accepted it
    uint32_t tuple               # NONE until a STUN request was verified on it
    uint32_t waits_writable
    uint32_t wanted              # number + 1 of the core that its first request names; 0 = none, or us
    uint32_t brought             # by another core, so it is ours
    uint32_t unread              # the slot is in the list of those that were brought and not looked at since
    uint32_t next_unread         # index + 1 of the next one there
    uint32_t in_length
    uint32_t out_start
    uint32_t out_length
    int64_t opened_ns
    Address local
    Address remote
    uint8_t incoming[TCP_IN]
    uint8_t outgoing[TCP_OUT]


cdef struct Tuple:
    # A verified remote address of a WebRtcTransport.
    Head head
    uint32_t transport
    uint32_t next                # in its hash chain
    Path path
    uint64_t order               # when it was learned
    int64_t checked_ns           # last valid request on it


cdef struct SrtcpSender:
    uint32_t ssrc
    uint32_t started
    ReplayWindow window


cdef struct Ice:
    uint8_t ufrag[33]
    uint8_t password[33]
    uint8_t old_ufrag[33]
    uint8_t old_password[33]
    uint8_t ufrag_length
    uint8_t password_length
    uint8_t old_ufrag_length     # 0 unless a restart is under way
    uint8_t old_password_length
    uint32_t state               # IceState
    uint32_t next[2]             # hash chains of ufrag and old_ufrag; entries are transport * 2 + which
    uint32_t tuples[MAX_TUPLES]
    uint32_t tuple_count
    uint32_t selected            # a tuple, or NONE
    uint32_t nomination
    uint32_t has_nomination
    int64_t consent_timeout_ns   # 0 = off
    int64_t consent_deadline_ns


cdef struct Transport:
    Head head
    uint32_t kind                # TransportKind
    uint32_t flags               # TransportFlags
    Path path
    uint16_t twcc_seq            # next transport-wide sequence number towards the peer
    uint32_t rtcp_index          # next SRTCP index
    uint64_t link_tag            # of the neighbour's end of a pipe through a ring
    Meter sent                   # all that goes out
    Meter rtp_sent
    # ---- not on the way of a forwarded packet from here on
    Meter rtx_sent
    Meter received
    Meter rtp_received
    Meter rtx_received
    Path rtcp_path
    uint32_t group               # of the sockets on which its STUN is accepted
    uint32_t socket              # plain, pipe: its own
    uint32_t rtcp_socket
    uint32_t first_producer
    uint32_t first_recv
    uint32_t first_send
    uint32_t streams_in          # entries in the SSRC map
    uint32_t feedback            # Feedback: what its producers agreed to get
    uint32_t feedback_ssrc       # media SSRC named in transport-wide feedback
    uint32_t rtcp_reserved       # SRTCP indices below this may have been used
    uint32_t timer               # place in the heap + 1; 0 = none
    int64_t deadline_ns
    int64_t rtcp_due_ns          # 0 = not started
    uint64_t max_incoming_bps
    double loss_in
    double loss_out
    uint8_t extension_kinds[256] # id -> kind, of mid, rid and rrid
    SrtpKeys keys_in
    SrtpKeys keys_out
    SrtcpSender srtcp[SRTCP_SENDERS]
    Ice ice
    SenderClock clock            # of the peer
    PeerTime peer_time
    TwccRecorder twcc
    RembState remb
    uint64_t drops[DROP_COUNT]


cdef struct PayloadType:
    uint8_t pt
    uint8_t mapped
    uint8_t codec
    uint8_t repairs              # RTX: payload type that it repairs; NO_ID otherwise
    uint32_t clock_rate


cdef struct Producer:
    Head head
    uint32_t transport
    uint32_t flags               # ProducerFlags
    Chain in_transport
    uint32_t first_stream        # receive streams, by encoding
    uint32_t feedback
    uint32_t payload_types
    uint32_t trace
    int64_t key_frame_delay_ns
    PayloadType types[MAX_PAYLOAD_TYPES]
    uint8_t type_index[128]      # payload type -> index in `types`, or NO_ID
    uint8_t extension_kinds[256]
    uint8_t mid[MAX_RID]
    uint32_t mid_length


cdef struct RecvStream:
    # One encoding of a producer.
    Head head
    uint32_t producer
    uint32_t transport
    uint32_t first_subscriber    # send streams that are not paused
    uint32_t subscribers
    uint32_t ssrc                # 0 until known
    uint32_t rtx_ssrc
    uint64_t tick_first          # records of this tick, oldest first: positions in the history + 1; 0 = none
    uint64_t tick_last
    uint32_t next_touched        # list of receive streams with records in this tick
    uint32_t touched
    RecvState state
    RecvState rtx_state
    ReplayWindow replay
    ReplayWindow rtx_replay
    ReplayWindow rtcp_replay     # of the SRTCP that the stream's SSRCs send
    ReplayWindow rtx_rtcp_replay
    uint32_t next_in_producer
    Chain in_transport
    uint32_t nacks               # index of its NackList, or NONE
    uint8_t codec
    uint32_t clock_rate
    uint32_t orientation         # last value seen + 1
    uint32_t fir_seq
    uint32_t key_frame_flags     # KeyFrameFlags
    int64_t key_frame_asked_ns   # when the request under way was sent; 0 = none
    uint8_t rid[MAX_RID]
    uint32_t rid_length
    uint64_t nack_count
    uint64_t nack_packet_count
    uint64_t pli_count
    uint64_t fir_count
    uint64_t rtx_discarded
    uint32_t want                # RtpHeaderFlags: what any of its subscribers negotiated
    int64_t key_frame_delay_until_ns
    uint32_t key_frame_delayed   # a request came while the delay ran


cdef struct SendStream:
    # One encoding of a consumer.
    Head head
    uint32_t transport
    uint32_t flags               # SendFlags
    Chain subscribers
    uint32_t ssrc
    uint32_t sent                # index of its SentRing, or NONE
    uint64_t types[2]            # payload types that the consumer takes, a bit each
    uint8_t mid[8]
    uint8_t mid_length
    uint8_t rtx_pt
    uint32_t trace
    Munger munger
    SendState state
    SentRing sent_ring
    # ---- not on the way of a forwarded packet from here on
    uint32_t recv
    Chain in_transport
    uint32_t rtx_ssrc
    RtxState rtx
    SendState rtx_state
    uint32_t cname_length
    uint8_t cname[256]
    uint64_t pli_count
    uint64_t fir_count
    uint64_t unrepeatable        # asked for again, but no longer reproducible


cdef struct SentBlock:
    Head head
    Sent entries[SENT_VIDEO]


cdef struct SsrcEntry:
    Head head
    uint32_t transport
    uint32_t ssrc
    uint32_t role                # SsrcRole; in and out are two spaces
    uint32_t stream
    uint32_t next


cdef struct Backlog:
    Head head
    uint32_t next
    uint32_t length
    Address remote
    uint8_t data[2048]


cdef struct Record:
    # One received packet in clear, in the history; the rewritten header and the payload follow.
    uint64_t position            # where it was written: proves that it is still there
    uint64_t next                # position + 1 of the stream's next record of this tick; 0 = last
    uint64_t ext_seq
    int64_t arrival_ns
    uint32_t timestamp
    uint32_t size                # of all, as it lies in the history
    uint32_t header_offset       # from the record
    uint32_t payload_offset
    uint16_t payload_length
    uint8_t pt                   # mapped
    uint8_t marker
    uint8_t key_frame
    uint8_t dtx
    int64_t capture_ns           # on our clock
    RtpTemplate template


cdef struct Counters:
    Head head
    uint64_t pen                 # the record that the media thread is changing: table << 32 | index; 0 = none
    uint64_t wakes
    uint64_t ticks               # the heartbeat: whoever has the slab mapped sees that the media thread turns
    uint64_t datagrams_in
    uint64_t bytes_in
    uint64_t datagrams_out
    uint64_t bytes_out
    uint64_t sends               # sendmmsg calls
    uint64_t messages            # of those calls
    uint64_t gso_messages
    uint64_t gso_segments
    uint64_t gso_refused
    uint64_t would_block
    uint64_t send_errors
    uint64_t protected_packets
    uint64_t protect_calls
    uint64_t commands
    uint64_t events
    uint64_t tcp_connections
    uint64_t tcp_refused
    uint64_t busy_ns             # time outside epoll
    uint64_t handed_out          # datagrams that came here and are a neighbour's
    uint64_t handed_in           # and the other way round
    uint64_t tcp_handed_out      # connections, likewise
    uint64_t tcp_handed_in
    uint64_t link_packets        # to neighbours
    uint64_t link_publications   # of those packets; a few share one
    uint64_t link_bells          # a neighbour slept
    uint64_t drops[DROP_COUNT]   # all, and those that belong to no transport
