"""A data producer's messages on their way to one receiver."""

from collections.abc import Iterable
from typing import Any

from ..channel import messages as m
from ..channel.channel import Channel
from ..channel.messages import Notification, Request
from .clone import clone
from .convert import api
from .convert.arguments import MAX_UINT16, number_argument
from .data_producer import DataType, encode_message, subchannels_argument
from .entity import TransportChild
from .types import SctpStreamParameters


class DataConsumer(TransportChild):
    """Messages that a transport takes out.

    Events: `transportclose`, `dataproducerclose`, `dataproducerpause`, `dataproducerresume`, `message`
    (bytes, ppid; DirectTransport), `sctpsendbufferfull`, `bufferedamountlow` (bytes waiting). Observer: `close`,
    `pause`, `resume`.
    """

    def __init__(
        self, channel: Channel, transport_id: str, response: m.DataConsumerDumpResponse, app_data: Any
    ) -> None:
        super().__init__(channel, transport_id, response.id, app_data)
        self._data_producer_id = response.data_producer_id
        self._type: DataType = "sctp" if response.type is m.DataType.SCTP else "direct"
        self._sctp_stream_parameters: SctpStreamParameters | None = api.to_api(response.sctp_stream_parameters)
        self._label = response.label
        self._protocol = response.protocol
        self._paused = response.paused
        self._data_producer_paused = response.data_producer_paused
        self._subchannels = list(response.subchannels)
        self._listen()

    @property
    def data_producer_id(self) -> str:
        """Whose messages they are."""
        return self._data_producer_id

    @property
    def type(self) -> DataType:
        """`sctp` or `direct`."""
        return self._type

    @property
    def sctp_stream_parameters(self) -> SctpStreamParameters | None:
        """Its stream (a copy); `None` on a DirectTransport."""
        return clone(self._sctp_stream_parameters)

    @property
    def label(self) -> str:
        """The data channel's label."""
        return self._label

    @property
    def protocol(self) -> str:
        """The data channel's sub-protocol."""
        return self._protocol

    @property
    def data_producer_paused(self) -> bool:
        """Whether the data producer is paused."""
        return self._data_producer_paused

    @property
    def subchannels(self) -> list[int]:
        """The subchannels listened to (a copy)."""
        return list(self._subchannels)

    def _close_request(self) -> Request[None]:
        return m.TransportCloseDataConsumer(data_consumer_id=self._id)

    async def dump(self) -> dict[str, Any]:
        """The worker's view of the data consumer."""
        return api.fields(await self._request(m.DataConsumerDump()))

    async def get_stats(self) -> list[dict[str, Any]]:
        """One dictionary: messages and bytes sent, and bytes waiting."""
        return [{"type": "data-consumer"} | api.fields(await self._request(m.DataConsumerGetStats()))]

    async def pause(self) -> None:
        """Deliver nothing until `resume()`."""
        await self._do(m.DataConsumerPause())

    async def resume(self) -> None:
        """Deliver again."""
        await self._do(m.DataConsumerResume())

    async def set_buffered_amount_low_threshold(self, threshold: int) -> None:
        """At or below how many waiting bytes `bufferedamountlow` comes (SCTP only)."""
        number_argument(threshold, "threshold")
        await self._request(m.DataConsumerSetBufferedAmountLowThreshold(threshold=threshold))

    async def get_buffered_amount(self) -> int:
        """Bytes waiting to be sent (SCTP only)."""
        return (await self._request(m.DataConsumerGetBufferedAmount())).buffered_amount

    async def send(self, message: str | bytes | bytearray | memoryview, ppid: int | None = None) -> int:
        """Send a message to the receiver (SCTP only); the bytes waiting after it.

        A full buffer is an SfuError `sctpsendbufferfull`.
        """
        data, ppid = encode_message(message, ppid)
        return (await self._request(m.DataConsumerSend(ppid=ppid, data=data))).buffered_amount

    async def set_subchannels(self, subchannels: Iterable[int]) -> None:
        """Listen to these, and no others."""
        await self._do(m.DataConsumerSetSubchannels(subchannels=subchannels_argument(subchannels)))

    async def add_subchannel(self, subchannel: int) -> None:
        """Listen to this one too."""
        number_argument(subchannel, "subchannel", 0, MAX_UINT16)
        await self._do(m.DataConsumerAddSubchannel(subchannel=subchannel))

    async def remove_subchannel(self, subchannel: int) -> None:
        """Listen to this one no more."""
        number_argument(subchannel, "subchannel", 0, MAX_UINT16)
        await self._do(m.DataConsumerRemoveSubchannel(subchannel=subchannel))

    def _done(self, message: Request[Any], answer: Any) -> None:
        match message:
            case m.DataConsumerPause() | m.DataConsumerResume():
                self._set_paused(isinstance(message, m.DataConsumerPause), shown=not self._data_producer_paused)
            case (
                m.DataConsumerSetSubchannels() | m.DataConsumerAddSubchannel() | m.DataConsumerRemoveSubchannel()
            ):
                self._subchannels = list(answer.subchannels)

    def _notified(self, notification: Notification) -> None:
        match notification:
            case m.DataConsumerDataProducerClose():
                self._end("dataproducerclose")
            case m.DataConsumerDataProducerPause():
                self._data_producer_pause_changed(True)
            case m.DataConsumerDataProducerResume():
                self._data_producer_pause_changed(False)
            case m.DataConsumerMessage():
                self.emit("message", notification.data, notification.ppid)
            case m.DataConsumerSctpSendBufferFull():
                self.emit("sctpsendbufferfull")
            case m.DataConsumerBufferedAmountLow():
                self.emit("bufferedamountlow", notification.buffered_amount)
            case _:
                super()._notified(notification)

    def _data_producer_pause_changed(self, paused: bool) -> None:
        if self._data_producer_paused is paused:
            return
        self._data_producer_paused = paused
        self.emit("dataproducerpause" if paused else "dataproducerresume")
        if not self._paused:
            self._observer.emit("pause" if paused else "resume")
