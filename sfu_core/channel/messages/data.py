"""Messages to and from data producers and data consumers (handler id: the object's)."""

from enum import IntEnum

from msgspec import field

from sfu_core.channel.messages.base import U16, U32, U64, Event, Method, Notification, Request, Response
from sfu_core.channel.messages.network import SctpStreamParameters


class DataType(IntEnum):
    SCTP = 0
    DIRECT = 1


class DataProducerDumpResponse(Response):
    BODY = 25
    id: str
    type: DataType
    sctp_stream_parameters: SctpStreamParameters | None = None
    label: str
    protocol: str
    paused: bool


class DataProducerGetStatsResponse(Response):
    BODY = 26
    timestamp: U64
    label: str
    protocol: str
    messages_received: U64
    bytes_received: U64
    buffered_amount: U32


class DataProducerDump(Request[DataProducerDumpResponse]):
    METHOD = Method.DATAPRODUCER_DUMP


class DataProducerGetStats(Request[DataProducerGetStatsResponse]):
    METHOD = Method.DATAPRODUCER_GET_STATS


class DataProducerPause(Request[None]):
    METHOD = Method.DATAPRODUCER_PAUSE


class DataProducerResume(Request[None]):
    METHOD = Method.DATAPRODUCER_RESUME


class DataProducerSend(Notification):
    """To the worker: a message; who receives it depends on the subchannels."""

    EVENT = Event.DATAPRODUCER_SEND
    BODY = 5
    ppid: U32
    data: bytes
    subchannels: list[U16] = field(default_factory=list)
    required_subchannel: U16 | None = None
    ignored_subchannel: U16 | None = None


class DataConsumerGetBufferedAmountResponse(Response):
    BODY = 27
    buffered_amount: U32


class DataConsumerDumpResponse(Response):
    BODY = 28
    id: str
    data_producer_id: str
    type: DataType
    sctp_stream_parameters: SctpStreamParameters | None = None
    label: str
    protocol: str
    buffered_amount: U32
    buffered_amount_low_threshold: U32
    paused: bool
    data_producer_paused: bool
    subchannels: list[U16]


class DataConsumerGetStatsResponse(Response):
    BODY = 29
    timestamp: U64
    label: str
    protocol: str
    messages_sent: U64
    bytes_sent: U64
    buffered_amount: U32


class DataConsumerSendResponse(Response):
    BODY = 30
    buffered_amount: U32 = 0


class DataConsumerSetSubchannelsResponse(Response):
    BODY = 31
    subchannels: list[U16]


class DataConsumerAddSubchannelResponse(Response):
    BODY = 32
    subchannels: list[U16]


class DataConsumerRemoveSubchannelResponse(Response):
    BODY = 33
    subchannels: list[U16]


class DataConsumerDump(Request[DataConsumerDumpResponse]):
    METHOD = Method.DATACONSUMER_DUMP


class DataConsumerGetStats(Request[DataConsumerGetStatsResponse]):
    METHOD = Method.DATACONSUMER_GET_STATS


class DataConsumerPause(Request[None]):
    METHOD = Method.DATACONSUMER_PAUSE


class DataConsumerResume(Request[None]):
    METHOD = Method.DATACONSUMER_RESUME


class DataConsumerGetBufferedAmount(Request[DataConsumerGetBufferedAmountResponse]):
    METHOD = Method.DATACONSUMER_GET_BUFFERED_AMOUNT


class DataConsumerSetBufferedAmountLowThreshold(Request[None]):
    """Bytes."""

    METHOD = Method.DATACONSUMER_SET_BUFFERED_AMOUNT_LOW_THRESHOLD
    BODY = 33
    threshold: U32


class DataConsumerSend(Request[DataConsumerSendResponse]):
    METHOD = Method.DATACONSUMER_SEND
    BODY = 34
    ppid: U32
    data: bytes


class DataConsumerSetSubchannels(Request[DataConsumerSetSubchannelsResponse]):
    METHOD = Method.DATACONSUMER_SET_SUBCHANNELS
    BODY = 35
    subchannels: list[U16]


class DataConsumerAddSubchannel(Request[DataConsumerAddSubchannelResponse]):
    METHOD = Method.DATACONSUMER_ADD_SUBCHANNEL
    BODY = 36
    subchannel: U16


class DataConsumerRemoveSubchannel(Request[DataConsumerRemoveSubchannelResponse]):
    METHOD = Method.DATACONSUMER_REMOVE_SUBCHANNEL
    BODY = 37
    subchannel: U16


class DataConsumerBufferedAmountLow(Notification):
    EVENT = Event.DATACONSUMER_BUFFERED_AMOUNT_LOW
    BODY = 21
    buffered_amount: U32


class DataConsumerSctpSendBufferFull(Notification):
    EVENT = Event.DATACONSUMER_SCTP_SENDBUFFER_FULL


class DataConsumerDataProducerPause(Notification):
    EVENT = Event.DATACONSUMER_DATAPRODUCER_PAUSE


class DataConsumerDataProducerResume(Notification):
    EVENT = Event.DATACONSUMER_DATAPRODUCER_RESUME


class DataConsumerDataProducerClose(Notification):
    """The data producer has gone, and the data consumer with it."""

    EVENT = Event.DATACONSUMER_DATAPRODUCER_CLOSE


class DataConsumerMessage(Notification):
    """A message for a data consumer of a direct transport."""

    EVENT = Event.DATACONSUMER_MESSAGE
    BODY = 20
    ppid: U32
    data: bytes
