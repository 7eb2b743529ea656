"""A source of messages inside a router."""

from collections.abc import Iterable
from typing import Any, Literal

from ..channel import messages as m
from ..channel.channel import Channel
from ..channel.messages import Request
from .clone import clone
from .convert import api
from .convert.arguments import MAX_UINT16, number_argument
from .entity import TransportChild
from .types import SctpStreamParameters

DataType = Literal["sctp", "direct"]

# Payload protocol identifiers of data channels (RFC 8831 §8)
PPID_STRING = 51
PPID_BINARY = 53
PPID_EMPTY_STRING = 56
PPID_EMPTY_BINARY = 57


def encode_message(message: object, ppid: int | None) -> tuple[bytes, int]:
    """The bytes and payload protocol identifier that carry `message`.

    SCTP has no empty messages, so one byte stands for them (RFC 8831 §6.6).
    """
    if isinstance(message, str):
        data, usual, empty = message.encode(), PPID_STRING, PPID_EMPTY_STRING
    elif isinstance(message, bytes | bytearray | memoryview):
        data, usual, empty = bytes(message), PPID_BINARY, PPID_EMPTY_BINARY
    else:
        raise TypeError("message is neither a string nor a bytes-like object")
    if ppid is None:
        ppid = usual if data else empty
    number_argument(ppid, "ppid")
    if ppid == PPID_EMPTY_STRING:
        return b" ", ppid
    if ppid == PPID_EMPTY_BINARY:
        return b"\0", ppid
    return data, ppid


class DataProducer(TransportChild):
    """Messages that a transport brings in.

    Events: `transportclose`. Observer: `close`, `pause`, `resume`.
    """

    def __init__(
        self, channel: Channel, transport_id: str, response: m.DataProducerDumpResponse, app_data: Any
    ) -> None:
        super().__init__(channel, transport_id, response.id, app_data)
        self._type: DataType = "sctp" if response.type is m.DataType.SCTP else "direct"
        self._sctp_stream_parameters: SctpStreamParameters | None = api.to_api(response.sctp_stream_parameters)
        self._label = response.label
        self._protocol = response.protocol
        self._paused = response.paused
        self._listen()

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

    def _close_request(self) -> Request[None]:
        return m.TransportCloseDataProducer(data_producer_id=self._id)

    async def dump(self) -> dict[str, Any]:
        """The worker's view of the data producer."""
        return api.fields(await self._request(m.DataProducerDump()))

    async def get_stats(self) -> list[dict[str, Any]]:
        """One dictionary: messages and bytes received."""
        stats = api.fields(await self._request(m.DataProducerGetStats()))
        del stats["bufferedAmount"]
        return [{"type": "data-producer"} | stats]

    async def pause(self) -> None:
        """Forward nothing from it until `resume()`."""
        await self._do(m.DataProducerPause())

    async def resume(self) -> None:
        """Forward again."""
        await self._do(m.DataProducerResume())

    def _done(self, message: Request[Any], answer: Any) -> None:
        if isinstance(message, m.DataProducerPause | m.DataProducerResume):
            self._set_paused(isinstance(message, m.DataProducerPause))

    def send(
        self,
        message: str | bytes | bytearray | memoryview,
        ppid: int | None = None,
        *,
        subchannels: Iterable[int] = (),
        required_subchannel: int | None = None,
        ignored_subchannel: int | None = None,
    ) -> None:
        """Inject a message (data producers of a DirectTransport).

        Delivered to those who listen to one of `subchannels` (if any are given) and to `required_subchannel`,
        and do not listen to `ignored_subchannel`.
        """
        data, ppid = encode_message(message, ppid)
        notification = m.DataProducerSend(
            ppid=ppid,
            data=data,
            subchannels=subchannels_argument(subchannels),
            required_subchannel=_optional_subchannel(required_subchannel, "required_subchannel"),
            ignored_subchannel=_optional_subchannel(ignored_subchannel, "ignored_subchannel"),
        )
        self._channel.notify(notification, self._id)


def subchannels_argument(subchannels: object) -> list[int]:
    """A list of subchannel numbers."""
    if not isinstance(subchannels, Iterable) or isinstance(subchannels, str | bytes):
        raise TypeError("subchannels is not an array of numbers")
    return [number_argument(item, "subchannels", 0, MAX_UINT16) for item in subchannels]


def _optional_subchannel(value: int | None, name: str) -> int | None:
    return None if value is None else number_argument(value, name, 0, MAX_UINT16)
