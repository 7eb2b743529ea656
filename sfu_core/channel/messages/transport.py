"""Messages that every transport class understands (handler id: the transport's)."""

from enum import IntEnum
from typing import TypeAlias

from msgspec import field

from sfu_core.channel.messages.base import (
    U16,
    U32,
    U64,
    Event,
    Method,
    Notification,
    Request,
    Response,
    Table,
    TraceDirection,
)
from sfu_core.channel.messages.consumer import ConsumerLayers, ConsumerScores
from sfu_core.channel.messages.data import DataConsumerDumpResponse, DataProducerDumpResponse, DataType
from sfu_core.channel.messages.network import (
    SctpNegotiatedCapabilities,
    SctpState,
    SctpStreamParameters,
    TransportTraceEventType,
)
from sfu_core.channel.messages.plain_transport import (
    DirectTransportDumpResponse,
    DirectTransportGetStatsResponse,
    PipeTransportDumpResponse,
    PipeTransportGetStatsResponse,
    PlainTransportDumpResponse,
    PlainTransportGetStatsResponse,
)
from sfu_core.channel.messages.rtp import MediaKind, RtpEncodingParameters, RtpMapping, RtpParameters, RtpType
from sfu_core.channel.messages.webrtc_transport import (
    WebRtcTransportDumpResponse,
    WebRtcTransportGetStatsResponse,
)

TransportDumpResponse: TypeAlias = (
    WebRtcTransportDumpResponse
    | PlainTransportDumpResponse
    | PipeTransportDumpResponse
    | DirectTransportDumpResponse
)
TransportGetStatsResponse: TypeAlias = (
    WebRtcTransportGetStatsResponse
    | PlainTransportGetStatsResponse
    | PipeTransportGetStatsResponse
    | DirectTransportGetStatsResponse
)


class TransportDump(Request[TransportDumpResponse]):
    METHOD = Method.TRANSPORT_DUMP


class TransportGetStats(Request[TransportGetStatsResponse]):
    METHOD = Method.TRANSPORT_GET_STATS


class TransportConnect(Request[None]):
    """Reserved: each transport class has its own connect."""

    METHOD = Method.TRANSPORT_CONNECT


class TransportSetMaxIncomingBitrate(Request[None]):
    """bit/s; 0: unlimited."""

    METHOD = Method.TRANSPORT_SET_MAX_INCOMING_BITRATE
    BODY = 14
    max_incoming_bitrate: U64


class TransportSetMaxOutgoingBitrate(Request[None]):
    """bit/s; 0: unlimited."""

    METHOD = Method.TRANSPORT_SET_MAX_OUTGOING_BITRATE
    BODY = 15
    max_outgoing_bitrate: U64


class TransportSetMinOutgoingBitrate(Request[None]):
    """bit/s; 0: none."""

    METHOD = Method.TRANSPORT_SET_MIN_OUTGOING_BITRATE
    BODY = 16
    min_outgoing_bitrate: U64


class TransportRestartIceResponse(Response):
    BODY = 7
    username_fragment: str
    password: str
    ice_lite: bool


class TransportRestartIce(Request[TransportRestartIceResponse]):
    METHOD = Method.TRANSPORT_RESTART_ICE


class TransportProduceResponse(Response):
    BODY = 5
    type: RtpType


class TransportProduce(Request[TransportProduceResponse]):
    """`key_frame_request_delay` in ms."""

    METHOD = Method.TRANSPORT_PRODUCE
    BODY = 17
    producer_id: str
    kind: MediaKind
    rtp_parameters: RtpParameters
    rtp_mapping: RtpMapping
    paused: bool = False
    key_frame_request_delay: U32 = 0
    enable_mediasoup_packet_id_header_extension: bool = False


class TransportConsumeResponse(Response):
    BODY = 6
    paused: bool
    producer_paused: bool
    score: ConsumerScores
    preferred_layers: ConsumerLayers | None = None


class TransportConsume(Request[TransportConsumeResponse]):
    METHOD = Method.TRANSPORT_CONSUME
    BODY = 18
    consumer_id: str
    producer_id: str
    kind: MediaKind
    rtp_parameters: RtpParameters
    type: RtpType
    consumable_rtp_encodings: list[RtpEncodingParameters]
    paused: bool = False
    preferred_layers: ConsumerLayers | None = None
    ignore_dtx: bool = False


class TransportProduceData(Request[DataProducerDumpResponse]):
    METHOD = Method.TRANSPORT_PRODUCE_DATA
    BODY = 19
    data_producer_id: str
    type: DataType
    sctp_stream_parameters: SctpStreamParameters | None = None
    label: str | None = None
    protocol: str | None = None
    paused: bool = False


class TransportConsumeData(Request[DataConsumerDumpResponse]):
    METHOD = Method.TRANSPORT_CONSUME_DATA
    BODY = 20
    data_consumer_id: str
    data_producer_id: str
    type: DataType
    sctp_stream_parameters: SctpStreamParameters | None = None
    label: str | None = None
    protocol: str | None = None
    paused: bool = False
    subchannels: list[U16] = field(default_factory=list)


class TransportEnableTraceEvent(Request[None]):
    """Replaces the set."""

    METHOD = Method.TRANSPORT_ENABLE_TRACE_EVENT
    BODY = 21
    events: list[TransportTraceEventType]


class TransportCloseProducer(Request[None]):
    METHOD = Method.TRANSPORT_CLOSE_PRODUCER
    BODY = 22
    producer_id: str


class TransportCloseConsumer(Request[None]):
    METHOD = Method.TRANSPORT_CLOSE_CONSUMER
    BODY = 23
    consumer_id: str


class TransportCloseDataProducer(Request[None]):
    METHOD = Method.TRANSPORT_CLOSE_DATAPRODUCER
    BODY = 24
    data_producer_id: str


class TransportCloseDataConsumer(Request[None]):
    METHOD = Method.TRANSPORT_CLOSE_DATACONSUMER
    BODY = 25
    data_consumer_id: str


class TransportSendRtcp(Notification):
    """To the worker: RTCP injected by a direct transport."""

    EVENT = Event.TRANSPORT_SEND_RTCP
    BODY = 1
    MEDIA = True
    data: bytes


class TransportSctpStateChange(Notification):
    EVENT = Event.TRANSPORT_SCTP_STATE_CHANGE
    BODY = 2
    sctp_state: SctpState


class TransportSctpNegotiatedCapabilities(Notification):
    """Comes just before the state CONNECTED."""

    EVENT = Event.TRANSPORT_SCTP_NEGOTIATED_CAPABILITIES
    BODY = 3
    negotiated_capabilities: SctpNegotiatedCapabilities | None = None


class BweType(IntEnum):
    TRANSPORT_CC = 0
    REMB = 1


class BweTraceInfo(Table, tag=1):
    """bit/s."""

    bwe_type: BweType
    desired_bitrate: U64
    effective_desired_bitrate: U64
    min_bitrate: U64
    max_bitrate: U64
    start_bitrate: U64
    max_padding_bitrate: U64
    available_bitrate: U64


class TransportTrace(Notification):
    """`timestamp` in ms, worker clock."""

    EVENT = Event.TRANSPORT_TRACE
    BODY = 6
    type: TransportTraceEventType
    timestamp: U64
    direction: TraceDirection
    info: BweTraceInfo | None = None
