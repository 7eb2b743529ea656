"""RTP value types shared by producers and consumers: parameters, mappings, stream dumps and statistics.

These are the wire's shapes (typed parameter values, numbered URIs), not the dictionaries applications see.
"""

from enum import IntEnum
from typing import TypeAlias

from msgspec import field

from sfu_core.channel.messages.base import F32, F64, I32, U8, U16, U32, U64, Table


class MediaKind(IntEnum):
    AUDIO = 0
    VIDEO = 1


class RtpType(IntEnum):
    """How a producer's or consumer's streams are organised."""

    SIMPLE = 0
    SIMULCAST = 1
    SVC = 2
    PIPE = 3


class RtpHeaderExtensionUri(IntEnum):
    """Header extensions the engine knows; the number stands for the URI on the wire."""

    MID = 0
    RTP_STREAM_ID = 1
    REPAIR_RTP_STREAM_ID = 2
    ABS_SEND_TIME = 3
    TRANSPORT_WIDE_CC_DRAFT01 = 4
    SSRC_AUDIO_LEVEL = 5
    DEPENDENCY_DESCRIPTOR = 6
    VIDEO_ORIENTATION = 7
    TIME_OFFSET = 8
    ABS_CAPTURE_TIME = 9
    PLAYOUT_DELAY = 10
    MEDIASOUP_PACKET_ID = 11


class Boolean(Table, tag=1):
    value: bool


class Integer32(Table, tag=2):
    value: I32


class Double(Table, tag=3):
    value: F64


class String(Table, tag=4):
    value: str


class Integer32Array(Table, tag=5):
    value: list[I32] = field(default_factory=list)


Value: TypeAlias = Boolean | Integer32 | Double | String | Integer32Array


class Parameter(Table):
    """One codec or header extension parameter."""

    name: str
    value: Value


class RtcpFeedback(Table):
    type: str
    parameter: str | None = None


class RtpCodecParameters(Table):
    mime_type: str
    payload_type: U8
    clock_rate: U32
    channels: U8 | None = None
    parameters: list[Parameter] = field(default_factory=list)
    rtcp_feedback: list[RtcpFeedback] = field(default_factory=list)


class RtpHeaderExtensionParameters(Table):
    uri: RtpHeaderExtensionUri
    id: U8
    encrypt: bool = False
    parameters: list[Parameter] = field(default_factory=list)


class Rtx(Table):
    ssrc: U32


class RtpEncodingParameters(Table):
    ssrc: U32 | None = None
    rid: str | None = None
    codec_payload_type: U8 | None = None
    rtx: Rtx | None = None
    dtx: bool = False
    scalability_mode: str | None = None
    max_bitrate: U64 | None = None


class RtcpParameters(Table):
    cname: str | None = None
    reduced_size: bool = True


class RtpParameters(Table):
    mid: str | None = None
    codecs: list[RtpCodecParameters]
    header_extensions: list[RtpHeaderExtensionParameters]
    encodings: list[RtpEncodingParameters]
    rtcp: RtcpParameters
    msid: str | None = None


class CodecMapping(Table):
    payload_type: U8
    mapped_payload_type: U8


class EncodingMapping(Table):
    rid: str | None = None
    ssrc: U32 | None = None
    mapped_ssrc: U32


class RtpMapping(Table):
    """How a producer's own numbers map to those its consumers are given."""

    codecs: list[CodecMapping]
    encodings: list[EncodingMapping]


class RtpPacketDump(Table):
    """What a trace event tells of a packet; sizes in bytes."""

    payload_type: U8
    sequence_number: U16
    timestamp: U32
    marker: bool
    ssrc: U32
    is_key_frame: bool
    size: U64
    payload_size: U64
    spatial_layer: U8
    temporal_layer: U8
    mid: str | None = None
    rid: str | None = None
    rrid: str | None = None
    wide_sequence_number: U16 | None = None


class RtxStreamParams(Table):
    ssrc: U32
    payload_type: U8
    mime_type: str
    clock_rate: U32
    rrid: str | None = None
    cname: str


class RtxStreamDump(Table):
    params: RtxStreamParams


class RtpStreamParams(Table):
    encoding_idx: U32
    ssrc: U32
    payload_type: U8
    mime_type: str
    clock_rate: U32
    rid: str | None = None
    cname: str
    rtx_ssrc: U32 | None = None
    rtx_payload_type: U8 | None = None
    use_nack: bool
    use_pli: bool
    use_fir: bool
    use_in_band_fec: bool
    use_dtx: bool
    spatial_layers: U8
    temporal_layers: U8


class RtpStreamDump(Table):
    params: RtpStreamParams
    score: U8
    rtx_stream: RtxStreamDump | None = None


class BitrateByLayer(Table):
    """Bits per second up to and including `layer` ("spatial.temporal")."""

    layer: str
    bitrate: U64


class BaseStats(Table, tag=1):
    """Statistics both directions share; times in ms, jitter in RTP timestamp units."""

    timestamp: U64
    ssrc: U32
    kind: MediaKind
    mime_type: str
    packets_lost: I32
    fraction_lost: U8
    jitter: U32
    packets_discarded: U64
    packets_retransmitted: U64
    packets_repaired: U64
    nack_count: U64
    nack_packet_count: U64
    pli_count: U64
    fir_count: U64
    rid: str | None = None
    rtx_ssrc: U32 | None = None
    rtx_packets_discarded: U64
    round_trip_time: F32
    score: U8


class RecvStats(Table, tag=2):
    base: "StreamStats"
    packet_count: U64
    byte_count: U64
    bitrate: U64
    bitrate_by_layer: list[BitrateByLayer]


class SendStats(Table, tag=3):
    base: "StreamStats"
    packet_count: U64
    byte_count: U64
    bitrate: U64


class StreamStats(Table):
    """One stream's statistics: Recv or Send at the outside, whose `base` holds the BaseStats."""

    data: BaseStats | RecvStats | SendStats


class KeyFrameTraceInfo(Table, tag=1):
    rtp_packet: RtpPacketDump
    is_rtx: bool


class FirTraceInfo(Table, tag=2):
    ssrc: U32


class PliTraceInfo(Table, tag=3):
    ssrc: U32


class RtpTraceInfo(Table, tag=4):
    rtp_packet: RtpPacketDump
    is_rtx: bool


class SrTraceInfo(Table, tag=5):
    ssrc: U32
    ntp_sec: U32
    ntp_frac: U32
    rtp_ts: U32
    packet_count: U32
    octet_count: U32
