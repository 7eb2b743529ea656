"""Messages to and from a producer (handler id: the producer's)."""

from enum import IntEnum

from sfu_core.channel.messages.base import (
    U8,
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
from sfu_core.channel.messages.rtp import (
    FirTraceInfo,
    KeyFrameTraceInfo,
    MediaKind,
    PliTraceInfo,
    RtpMapping,
    RtpParameters,
    RtpStreamDump,
    RtpTraceInfo,
    RtpType,
    SrTraceInfo,
    StreamStats,
)


class ProducerTraceEventType(IntEnum):
    KEYFRAME = 0
    FIR = 1
    NACK = 2
    PLI = 3
    RTP = 4
    SR = 5


class ProducerDumpResponse(Response):
    BODY = 19
    id: str
    kind: MediaKind
    type: RtpType
    rtp_parameters: RtpParameters
    rtp_mapping: RtpMapping
    rtp_streams: list[RtpStreamDump]
    trace_event_types: list[ProducerTraceEventType]
    paused: bool


class ProducerGetStatsResponse(Response):
    BODY = 20
    stats: list[StreamStats]


class ProducerDump(Request[ProducerDumpResponse]):
    METHOD = Method.PRODUCER_DUMP


class ProducerGetStats(Request[ProducerGetStatsResponse]):
    METHOD = Method.PRODUCER_GET_STATS


class ProducerPause(Request[None]):
    METHOD = Method.PRODUCER_PAUSE


class ProducerResume(Request[None]):
    METHOD = Method.PRODUCER_RESUME


class ProducerEnableTraceEvent(Request[None]):
    """Replaces the set."""

    METHOD = Method.PRODUCER_ENABLE_TRACE_EVENT
    BODY = 29
    events: list[ProducerTraceEventType]


class ProducerSend(Notification):
    """To the worker: an RTP packet injected by a direct transport's producer."""

    EVENT = Event.PRODUCER_SEND
    BODY = 4
    MEDIA = True
    data: bytes


class ProducerStreamScore(Table):
    """0 (unusable) to 10 (perfect)."""

    encoding_idx: U32
    ssrc: U32
    rid: str | None = None
    score: U8


class ProducerScore(Notification):
    """A new stream, or a stream whose score changed."""

    EVENT = Event.PRODUCER_SCORE
    BODY = 13
    scores: list[ProducerStreamScore]


class ProducerTrace(Notification):
    """`timestamp` in ms, worker clock."""

    EVENT = Event.PRODUCER_TRACE
    BODY = 14
    MEDIA = True
    type: ProducerTraceEventType
    timestamp: U64
    direction: TraceDirection
    info: KeyFrameTraceInfo | FirTraceInfo | PliTraceInfo | RtpTraceInfo | SrTraceInfo | None = None


class ProducerVideoOrientationChange(Notification):
    """`rotation`: 0, 90, 180 or 270 degrees."""

    EVENT = Event.PRODUCER_VIDEO_ORIENTATION_CHANGE
    BODY = 15
    camera: bool
    flip: bool
    rotation: U16
