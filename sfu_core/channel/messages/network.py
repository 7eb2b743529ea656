"""Transport value types: sockets, tuples, SRTP and SCTP parameters, and what all transport classes share."""

from enum import IntEnum

from sfu_core.channel.messages.base import (
    F64,
    U8,
    U16,
    U32,
    U64,
    StringString,
    Table,
    Uint16String,
    Uint32String,
)


class TransportProtocol(IntEnum):
    UDP = 1
    TCP = 2


class PortRange(Table):
    """Both 0: unset."""

    min: U16 = 0
    max: U16 = 0


class SocketFlags(Table):
    ipv6_only: bool = False
    udp_reuse_port: bool = False


class ListenInfo(Table):
    """Where to listen; port 0: unset; buffer sizes in bytes, 0: leave alone."""

    protocol: TransportProtocol = TransportProtocol.UDP
    ip: str
    announced_address: str | None = None
    expose_internal_ip: bool
    port: U16 = 0
    port_range: PortRange
    flags: SocketFlags
    send_buffer_size: U32 = 0
    recv_buffer_size: U32 = 0


class TransportTuple(Table):
    """`remote_ip` is absent and `remote_port` 0 while no remote is known."""

    local_address: str
    local_port: U16
    remote_ip: str | None = None
    remote_port: U16
    protocol: TransportProtocol = TransportProtocol.UDP


class SrtpCryptoSuite(IntEnum):
    AEAD_AES_256_GCM = 0
    AEAD_AES_128_GCM = 1
    AES_CM_128_HMAC_SHA1_80 = 2
    AES_CM_128_HMAC_SHA1_32 = 3


class SrtpParameters(Table):
    """`key_base64`: master key and salt."""

    crypto_suite: SrtpCryptoSuite
    key_base64: str


class SctpState(IntEnum):
    NEW = 0
    CONNECTING = 1
    CONNECTED = 2
    FAILED = 3
    CLOSED = 4


class SctpNegotiatedCapabilities(Table):
    negotiated_max_outbound_streams: U16
    negotiated_max_inbound_streams: U16


class SctpParameters(Table):
    """Sizes in bytes."""

    port: U16
    max_send_message_size: U32
    max_receive_message_size: U32
    send_buffer_size: U32
    per_stream_send_queue_limit: U32
    max_receiver_window_buffer_size: U32
    is_data_channel: bool


class SctpStreamParameters(Table):
    """`max_packet_life_time` in ms."""

    stream_id: U16
    ordered: bool | None = None
    max_packet_life_time: U16 | None = None
    max_retransmits: U16 | None = None


class RtpListener(Table):
    """Which producer receives what arrives: by SSRC, by MID, by RID."""

    ssrc_table: list[Uint32String]
    mid_table: list[StringString]
    rid_table: list[StringString]


class SctpListener(Table):
    stream_id_table: list[Uint16String]


class RecvRtpHeaderExtensions(Table):
    """Ids of the header extensions the transport itself reads."""

    mid: U8 | None = None
    rid: U8 | None = None
    rrid: U8 | None = None
    abs_send_time: U8 | None = None
    transport_wide_cc01: U8 | None = None


class TransportTraceEventType(IntEnum):
    PROBATION = 0
    BWE = 1


class TransportOptions(Table):
    """Options every transport class has; bitrates in bit/s, sizes in bytes."""

    direct: bool = False
    initial_available_outgoing_bitrate: U64 | None = None
    enable_sctp: bool = False
    max_send_message_size: U32 = 0
    max_receive_message_size: U32 = 0
    sctp_send_buffer_size: U32 = 0
    sctp_per_stream_send_queue_limit: U32 = 0
    sctp_max_receiver_window_buffer_size: U32 = 0
    sctp_default_stream_buffered_amount_low_threshold: U32 = 0
    is_data_channel: bool = False


class TransportBaseDump(Table):
    """The part of a dump that every transport class has."""

    id: str
    direct: bool = False
    producer_ids: list[str]
    consumer_ids: list[str]
    map_ssrc_consumer_id: list[Uint32String]
    map_rtx_ssrc_consumer_id: list[Uint32String]
    data_producer_ids: list[str]
    data_consumer_ids: list[str]
    recv_rtp_header_extensions: RecvRtpHeaderExtensions
    rtp_listener: RtpListener
    max_send_message_size: U32
    max_receive_message_size: U32
    sctp_parameters: SctpParameters | None = None
    sctp_state: SctpState | None = None
    sctp_negotiated_capabilities: SctpNegotiatedCapabilities | None = None
    sctp_listener: SctpListener | None = None
    trace_event_types: list[TransportTraceEventType]


class TransportBaseStats(Table):
    """The part of the statistics that every transport class has; bytes, bit/s, ms."""

    transport_id: str
    timestamp: U64
    sctp_state: SctpState | None = None
    bytes_received: U64
    recv_bitrate: U64
    bytes_sent: U64
    send_bitrate: U64
    rtp_bytes_received: U64
    rtp_recv_bitrate: U64
    rtp_bytes_sent: U64
    rtp_send_bitrate: U64
    rtx_bytes_received: U64
    rtx_recv_bitrate: U64
    rtx_bytes_sent: U64
    rtx_send_bitrate: U64
    probation_bytes_sent: U64
    probation_send_bitrate: U64
    available_outgoing_bitrate: U64 | None = None
    available_incoming_bitrate: U64 | None = None
    max_incoming_bitrate: U64 | None = None
    max_outgoing_bitrate: U64 | None = None
    min_outgoing_bitrate: U64 | None = None
    rtp_packet_loss_received: F64 | None = None
    rtp_packet_loss_sent: F64 | None = None
