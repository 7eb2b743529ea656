"""A source of audio or video inside a router."""

from collections.abc import Iterable
from typing import Any

from ..channel import messages as m
from ..channel.channel import Channel
from ..channel.messages import Notification, Request
from .clone import clone
from .convert import api
from .convert.arguments import packet_argument, trace_types
from .entity import TransportChild
from .types import MediaKind, ProducerScore, RtpParameters, RtpType


class Producer(TransportChild):
    """Media that a transport brings in.

    Events: `transportclose`, `score` (list of ProducerScore), `videoorientationchange`
    (ProducerVideoOrientation), `trace` (dictionary). Observer: `close`, `pause`, `resume`, `score`,
    `videoorientationchange`, `trace`.
    """

    def __init__(
        self,
        channel: Channel,
        transport_id: str,
        id: str,
        *,
        kind: MediaKind,
        rtp_parameters: RtpParameters,
        consumable_rtp_parameters: RtpParameters,
        type: RtpType,
        paused: bool,
        app_data: Any,
    ) -> None:
        super().__init__(channel, transport_id, id, app_data)
        self._kind = kind
        self._rtp_parameters = rtp_parameters
        self._consumable_rtp_parameters = consumable_rtp_parameters
        self._type = type
        self._paused = paused
        self._score: list[ProducerScore] = []
        self._listen()

    @property
    def kind(self) -> MediaKind:
        """`audio` or `video`."""
        return self._kind

    @property
    def rtp_parameters(self) -> RtpParameters:
        """What is sent to the router (a copy)."""
        return clone(self._rtp_parameters)

    @property
    def consumable_rtp_parameters(self) -> RtpParameters:
        """What consumers are chosen from, in the router's numbers (a copy)."""
        return clone(self._consumable_rtp_parameters)

    @property
    def type(self) -> RtpType:
        """`simple`, `simulcast` or `svc`."""
        return self._type

    @property
    def score(self) -> list[ProducerScore]:
        """The quality of each received stream (a copy)."""
        return clone(self._score)

    def _close_request(self) -> Request[None]:
        return m.TransportCloseProducer(producer_id=self._id)

    async def dump(self) -> dict[str, Any]:
        """The worker's view of the producer."""
        return api.producer_dump(await self._request(m.ProducerDump()))

    async def get_stats(self) -> list[dict[str, Any]]:
        """One `inbound-rtp` dictionary for each stream received so far."""
        response = await self._request(m.ProducerGetStats())
        return [api.stream_stats(stats) for stats in response.stats]

    async def pause(self) -> None:
        """Forward nothing from it until `resume()`."""
        await self._do(m.ProducerPause())

    async def resume(self) -> None:
        """Forward again; consumers of video get a key frame first."""
        await self._do(m.ProducerResume())

    async def enable_trace_event(self, types: Iterable[str] = ()) -> None:
        """Trace these (`rtp`, `keyframe`, `nack`, `pli`, `fir`, `sr`) and no others; unknown ones are ignored."""
        await self._request(m.ProducerEnableTraceEvent(events=trace_types(types, m.ProducerTraceEventType)))

    def send(self, packet: bytes | bytearray | memoryview) -> None:
        """Inject an RTP packet (producers of a DirectTransport)."""
        self._channel.notify(m.ProducerSend(data=packet_argument(packet, "packet")), self._id)

    def _done(self, message: Request[Any], answer: Any) -> None:
        if isinstance(message, m.ProducerPause | m.ProducerResume):
            self._set_paused(isinstance(message, m.ProducerPause))

    def _notified(self, notification: Notification) -> None:
        match notification:
            case m.ProducerScore():
                self._score = api.to_api(notification.scores)
                self._tell("score", self.score)
            case m.ProducerVideoOrientationChange():
                self._tell("videoorientationchange", api.fields(notification))
            case m.ProducerTrace():
                self._tell("trace", api.trace(notification))
            case _:
                super()._notified(notification)
