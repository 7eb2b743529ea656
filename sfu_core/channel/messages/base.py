"""What every message is made of: scalar widths, the two base classes, the method and event numbers.

Message classes are the single definition of the vocabulary; codecs derive everything from them. They keep the
shape that mediasoup's wire has:

- field order: the order of declaration;
- scalar width: the `U8` ... `F64` annotations (an `int` of no stated width does not occur);
- required: a field without default; nullable: `X | None = None`; a scalar's default is the wire's default;
- union: a field whose classes carry a `tag`, which is the union's number on the wire;
- body number: `BODY`, the table's number in the union of request, response or notification bodies (0: none).

Knows nothing of codecs, sockets or media.
"""

from enum import IntEnum
from typing import Annotated, Any, ClassVar, Generic, TypeVar, dataclass_transform, get_args, get_origin

import msgspec

R = TypeVar("R", covariant=True)
"""What the reply to a request carries; `None` where it carries nothing."""

FIRST_EXTENSION = 200
"""Methods and events from this number on are ours; sent only where `Place.extensions` announces them."""


def _integer(name: str, low: int, high: int) -> msgspec.Meta:
    return msgspec.Meta(ge=low, le=high, extra={"wire": name})


U8 = Annotated[int, _integer("uint8", 0, 2**8 - 1)]
U16 = Annotated[int, _integer("uint16", 0, 2**16 - 1)]
U32 = Annotated[int, _integer("uint32", 0, 2**32 - 1)]
U64 = Annotated[int, msgspec.Meta(ge=0, extra={"wire": "uint64"})]
I8 = Annotated[int, _integer("int8", -(2**7), 2**7 - 1)]
I16 = Annotated[int, _integer("int16", -(2**15), 2**15 - 1)]
I32 = Annotated[int, _integer("int32", -(2**31), 2**31 - 1)]
F32 = Annotated[float, msgspec.Meta(extra={"wire": "float32"})]
F64 = Annotated[float, msgspec.Meta(extra={"wire": "float64"})]


class _TableMeta(msgspec.StructMeta):
    """Makes every field a keyword, so that the wire's order may mix required and optional ones."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:
        return super().__new__(mcs, name, bases, namespace, kw_only=True, **options)


@dataclass_transform(kw_only_default=True, field_specifiers=(msgspec.field,))
class Table(msgspec.Struct, metaclass=_TableMeta, rename="camel", omit_defaults=True):
    """A group of named fields on the wire."""


class Request(Table, Generic[R]):
    """A question to the worker; `R` is the type of the reply's body."""

    METHOD: ClassVar[int]
    NAME: ClassVar[str]
    BODY: ClassVar[int] = 0
    RESPONSE: ClassVar[Any] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if isinstance(cls.METHOD, Method):
            cls.NAME = cls.METHOD.name
        for base in getattr(cls, "__orig_bases__", ()):
            if get_origin(base) is Request:
                (body,) = get_args(base)
                cls.RESPONSE = None if body is type(None) else body


class Notification(Table):
    """News without an answer, in either direction."""

    EVENT: ClassVar[int]
    NAME: ClassVar[str]
    BODY: ClassVar[int] = 0
    MEDIA: ClassVar[bool] = False
    """Carries or tells of a single RTP or RTCP packet: as on a network, it may be lost when too many are under way."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if isinstance(cls.EVENT, Event):
            cls.NAME = cls.EVENT.name


class Response(Table):
    """The body of a reply; `BODY` is its number in the union of response bodies."""

    BODY: ClassVar[int]


class StringString(Table):
    key: str
    value: str


class Uint16String(Table):
    key: U16
    value: str


class Uint32String(Table):
    key: U32
    value: str


class StringStringArray(Table):
    key: str
    values: list[str]


class TraceDirection(IntEnum):
    IN = 0
    OUT = 1


class Method(IntEnum):
    """Numbers of the requests."""

    WORKER_DUMP = 0
    WORKER_GET_RESOURCE_USAGE = 1
    WORKER_UPDATE_SETTINGS = 2
    WORKER_CREATE_WEBRTCSERVER = 3
    WORKER_CREATE_ROUTER = 4
    WORKER_WEBRTCSERVER_CLOSE = 5
    WORKER_CLOSE_ROUTER = 6
    WEBRTCSERVER_DUMP = 7
    ROUTER_DUMP = 8
    ROUTER_CREATE_WEBRTCTRANSPORT = 9
    ROUTER_CREATE_WEBRTCTRANSPORT_WITH_SERVER = 10
    ROUTER_CREATE_PLAINTRANSPORT = 11
    ROUTER_CREATE_PIPETRANSPORT = 12
    ROUTER_CREATE_DIRECTTRANSPORT = 13
    ROUTER_CLOSE_TRANSPORT = 14
    ROUTER_CREATE_ACTIVESPEAKEROBSERVER = 15
    ROUTER_CREATE_AUDIOLEVELOBSERVER = 16
    ROUTER_CLOSE_RTPOBSERVER = 17
    TRANSPORT_DUMP = 18
    TRANSPORT_GET_STATS = 19
    TRANSPORT_CONNECT = 20
    TRANSPORT_SET_MAX_INCOMING_BITRATE = 21
    TRANSPORT_SET_MAX_OUTGOING_BITRATE = 22
    TRANSPORT_SET_MIN_OUTGOING_BITRATE = 23
    TRANSPORT_RESTART_ICE = 24
    TRANSPORT_PRODUCE = 25
    TRANSPORT_PRODUCE_DATA = 26
    TRANSPORT_CONSUME = 27
    TRANSPORT_CONSUME_DATA = 28
    TRANSPORT_ENABLE_TRACE_EVENT = 29
    TRANSPORT_CLOSE_PRODUCER = 30
    TRANSPORT_CLOSE_CONSUMER = 31
    TRANSPORT_CLOSE_DATAPRODUCER = 32
    TRANSPORT_CLOSE_DATACONSUMER = 33
    PLAINTRANSPORT_CONNECT = 34
    PIPETRANSPORT_CONNECT = 35
    WEBRTCTRANSPORT_CONNECT = 36
    PRODUCER_DUMP = 37
    PRODUCER_GET_STATS = 38
    PRODUCER_PAUSE = 39
    PRODUCER_RESUME = 40
    PRODUCER_ENABLE_TRACE_EVENT = 41
    CONSUMER_DUMP = 42
    CONSUMER_GET_STATS = 43
    CONSUMER_PAUSE = 44
    CONSUMER_RESUME = 45
    CONSUMER_SET_PREFERRED_LAYERS = 46
    CONSUMER_SET_PRIORITY = 47
    CONSUMER_REQUEST_KEY_FRAME = 48
    CONSUMER_ENABLE_TRACE_EVENT = 49
    DATAPRODUCER_DUMP = 50
    DATAPRODUCER_GET_STATS = 51
    DATAPRODUCER_PAUSE = 52
    DATAPRODUCER_RESUME = 53
    DATACONSUMER_DUMP = 54
    DATACONSUMER_GET_STATS = 55
    DATACONSUMER_PAUSE = 56
    DATACONSUMER_RESUME = 57
    DATACONSUMER_GET_BUFFERED_AMOUNT = 58
    DATACONSUMER_SET_BUFFERED_AMOUNT_LOW_THRESHOLD = 59
    DATACONSUMER_SEND = 60
    DATACONSUMER_SET_SUBCHANNELS = 61
    DATACONSUMER_ADD_SUBCHANNEL = 62
    DATACONSUMER_REMOVE_SUBCHANNEL = 63
    RTPOBSERVER_PAUSE = 64
    RTPOBSERVER_RESUME = 65
    RTPOBSERVER_ADD_PRODUCER = 66
    RTPOBSERVER_REMOVE_PRODUCER = 67


class Event(IntEnum):
    """Numbers of the notifications; the first four go to the worker, the others come from it."""

    WORKER_CLOSE = 0
    TRANSPORT_SEND_RTCP = 1
    PRODUCER_SEND = 2
    DATAPRODUCER_SEND = 3
    WORKER_RUNNING = 4
    TRANSPORT_SCTP_STATE_CHANGE = 5
    TRANSPORT_SCTP_NEGOTIATED_CAPABILITIES = 6
    TRANSPORT_TRACE = 7
    WEBRTCTRANSPORT_ICE_SELECTED_TUPLE_CHANGE = 8
    WEBRTCTRANSPORT_ICE_STATE_CHANGE = 9
    WEBRTCTRANSPORT_DTLS_STATE_CHANGE = 10
    PLAINTRANSPORT_TUPLE = 11
    PLAINTRANSPORT_RTCP_TUPLE = 12
    DIRECTTRANSPORT_RTCP = 13
    PRODUCER_SCORE = 14
    PRODUCER_TRACE = 15
    PRODUCER_VIDEO_ORIENTATION_CHANGE = 16
    CONSUMER_PRODUCER_PAUSE = 17
    CONSUMER_PRODUCER_RESUME = 18
    CONSUMER_PRODUCER_CLOSE = 19
    CONSUMER_LAYERS_CHANGE = 20
    CONSUMER_RTP = 21
    CONSUMER_SCORE = 22
    CONSUMER_TRACE = 23
    DATACONSUMER_BUFFERED_AMOUNT_LOW = 24
    DATACONSUMER_SCTP_SENDBUFFER_FULL = 25
    DATACONSUMER_DATAPRODUCER_PAUSE = 26
    DATACONSUMER_DATAPRODUCER_RESUME = 27
    DATACONSUMER_DATAPRODUCER_CLOSE = 28
    DATACONSUMER_MESSAGE = 29
    ACTIVESPEAKEROBSERVER_DOMINANT_SPEAKER = 30
    AUDIOLEVELOBSERVER_SILENCE = 31
    AUDIOLEVELOBSERVER_VOLUMES = 32
