"""Messages to and from a consumer (handler id: the consumer's)."""

from enum import IntEnum

from sfu_core.channel.messages.base import (
    I16,
    U8,
    U64,
    Event,
    Method,
    Notification,
    Request,
    Response,
    Table,
    TraceDirection,
)
from sfu_core.channel.messages.rtp import (
    FirTraceInfo,
    KeyFrameTraceInfo,
    MediaKind,
    PliTraceInfo,
    RtpEncodingParameters,
    RtpParameters,
    RtpStreamDump,
    RtpTraceInfo,
    RtpType,
    StreamStats,
)


class ConsumerTraceEventType(IntEnum):
    KEYFRAME = 0
    FIR = 1
    NACK = 2
    PLI = 3
    RTP = 4


class ConsumerLayers(Table):
    spatial_layer: U8
    temporal_layer: U8 | None = None


class ConsumerScores(Table):
    """Each 0 to 10; `producer_scores`: one an encoding."""

    score: U8
    producer_score: U8
    producer_scores: list[U8]


class BaseConsumerDump(Table):
    id: str
    type: RtpType
    producer_id: str
    kind: MediaKind
    rtp_parameters: RtpParameters
    consumable_rtp_encodings: list[RtpEncodingParameters]
    supported_codec_payload_types: list[U8]
    trace_event_types: list[ConsumerTraceEventType]
    paused: bool
    producer_paused: bool
    priority: U8


class ConsumerDumpData(Table):
    """Layers are given for simulcast and SVC only; -1: none."""

    base: BaseConsumerDump
    rtp_streams: list[RtpStreamDump]
    preferred_spatial_layer: I16 | None = None
    target_spatial_layer: I16 | None = None
    current_spatial_layer: I16 | None = None
    preferred_temporal_layer: I16 | None = None
    target_temporal_layer: I16 | None = None
    current_temporal_layer: I16 | None = None


class ConsumerDumpResponse(Response):
    BODY = 21
    data: ConsumerDumpData


class ConsumerGetStatsResponse(Response):
    BODY = 22
    stats: list[StreamStats]


class ConsumerSetPreferredLayersResponse(Response):
    """Absent for simple and pipe consumers."""

    BODY = 23
    preferred_layers: ConsumerLayers | None = None


class ConsumerSetPriorityResponse(Response):
    BODY = 24
    priority: U8


class ConsumerDump(Request[ConsumerDumpResponse]):
    METHOD = Method.CONSUMER_DUMP


class ConsumerGetStats(Request[ConsumerGetStatsResponse]):
    METHOD = Method.CONSUMER_GET_STATS


class ConsumerPause(Request[None]):
    METHOD = Method.CONSUMER_PAUSE


class ConsumerResume(Request[None]):
    METHOD = Method.CONSUMER_RESUME


class ConsumerSetPreferredLayers(Request[ConsumerSetPreferredLayersResponse]):
    METHOD = Method.CONSUMER_SET_PREFERRED_LAYERS
    BODY = 30
    preferred_layers: ConsumerLayers


class ConsumerSetPriority(Request[ConsumerSetPriorityResponse]):
    """1 to 255."""

    METHOD = Method.CONSUMER_SET_PRIORITY
    BODY = 31
    priority: U8


class ConsumerRequestKeyFrame(Request[None]):
    METHOD = Method.CONSUMER_REQUEST_KEY_FRAME


class ConsumerEnableTraceEvent(Request[None]):
    """Replaces the set."""

    METHOD = Method.CONSUMER_ENABLE_TRACE_EVENT
    BODY = 32
    events: list[ConsumerTraceEventType]


class ConsumerProducerPause(Notification):
    EVENT = Event.CONSUMER_PRODUCER_PAUSE


class ConsumerProducerResume(Notification):
    EVENT = Event.CONSUMER_PRODUCER_RESUME


class ConsumerProducerClose(Notification):
    """The producer has gone, and the consumer with it."""

    EVENT = Event.CONSUMER_PRODUCER_CLOSE


class ConsumerLayersChange(Notification):
    """Absent: no layer is being sent."""

    EVENT = Event.CONSUMER_LAYERS_CHANGE
    BODY = 16
    layers: ConsumerLayers | None = None


class ConsumerRtp(Notification):
    """An RTP packet of a direct transport's consumer."""

    EVENT = Event.CONSUMER_RTP
    BODY = 17
    MEDIA = True
    data: bytes


class ConsumerScore(Notification):
    EVENT = Event.CONSUMER_SCORE
    BODY = 18
    score: ConsumerScores


class ConsumerTrace(Notification):
    """`timestamp` in ms, worker clock."""

    EVENT = Event.CONSUMER_TRACE
    BODY = 19
    MEDIA = True
    type: ConsumerTraceEventType
    timestamp: U64
    direction: TraceDirection
    info: KeyFrameTraceInfo | FirTraceInfo | PliTraceInfo | RtpTraceInfo | None = None
