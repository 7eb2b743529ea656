"""A producer's media on its way to one receiver."""

from collections.abc import Iterable
from typing import Any

from ..channel import messages as m
from ..channel.channel import Channel
from ..channel.messages import Notification, Request
from .clone import clone
from .convert import api
from .convert.arguments import number_argument, trace_types
from .entity import TransportChild
from .types import ConsumerLayers, ConsumerScore, MediaKind, RtpParameters, RtpType

_PIPE_SCORE: ConsumerScore = {"score": 10, "producerScore": 10, "producerScores": []}


class Consumer(TransportChild):
    """Media that a transport takes out.

    Events: `transportclose`, `producerclose`, `producerpause`, `producerresume`, `score` (ConsumerScore),
    `layerschange` (ConsumerLayers, or `None` when nothing is sent), `trace` (dictionary), `rtp` (bytes;
    DirectTransport). Observer: `close`, `pause` and `resume` (of consumer and producer together), `score`,
    `layerschange`, `trace`.
    """

    def __init__(
        self,
        channel: Channel,
        transport_id: str,
        id: str,
        *,
        producer_id: str,
        kind: MediaKind,
        rtp_parameters: RtpParameters,
        type: RtpType,
        response: m.TransportConsumeResponse,
        app_data: Any,
    ) -> None:
        super().__init__(channel, transport_id, id, app_data)
        self._producer_id = producer_id
        self._kind = kind
        self._rtp_parameters = rtp_parameters
        self._type = type
        self._paused = response.paused
        self._producer_paused = response.producer_paused
        self._priority = 1
        # a pipe's score never changes: it says nothing about the streams behind it
        self._score: ConsumerScore = clone(_PIPE_SCORE) if type == "pipe" else api.to_api(response.score)
        self._preferred_layers: ConsumerLayers | None = api.to_api(response.preferred_layers)
        self._current_layers: ConsumerLayers | None = None
        self._listen()

    @property
    def producer_id(self) -> str:
        """Whose media it is."""
        return self._producer_id

    @property
    def kind(self) -> MediaKind:
        """`audio` or `video`."""
        return self._kind

    @property
    def rtp_parameters(self) -> RtpParameters:
        """What the receiver gets (a copy)."""
        return clone(self._rtp_parameters)

    @property
    def type(self) -> RtpType:
        """`simple`, `simulcast`, `svc` or `pipe`."""
        return self._type

    @property
    def producer_paused(self) -> bool:
        """Whether the producer is paused."""
        return self._producer_paused

    @property
    def priority(self) -> int:
        """1 to 255; the highest is served first when bandwidth is short."""
        return self._priority

    @property
    def score(self) -> ConsumerScore:
        """The quality of what is sent (a copy)."""
        return clone(self._score)

    @property
    def preferred_layers(self) -> ConsumerLayers | None:
        """The layers asked for (a copy); `None` where there are no layers."""
        return clone(self._preferred_layers)

    @property
    def current_layers(self) -> ConsumerLayers | None:
        """The layers being sent (a copy); `None` where none are."""
        return clone(self._current_layers)

    def _close_request(self) -> Request[None]:
        return m.TransportCloseConsumer(consumer_id=self._id)

    async def dump(self) -> dict[str, Any]:
        """The worker's view of the consumer."""
        return api.consumer_dump(await self._request(m.ConsumerDump()))

    async def get_stats(self) -> list[dict[str, Any]]:
        """Its `outbound-rtp` streams and, unless it is a pipe, the `inbound-rtp` stream behind them."""
        response = await self._request(m.ConsumerGetStats())
        return [api.stream_stats(stats) for stats in response.stats]

    async def pause(self) -> None:
        """Send nothing until `resume()`."""
        await self._do(m.ConsumerPause())

    async def resume(self) -> None:
        """Send again; video starts with a key frame."""
        await self._do(m.ConsumerResume())

    async def set_preferred_layers(self, *, spatial_layer: int, temporal_layer: int | None = None) -> None:
        """Ask for these layers; the nearest there are will do (simulcast and SVC; no effect on others)."""
        layers = preferred_layers_to_wire({"spatialLayer": spatial_layer, "temporalLayer": temporal_layer})
        await self._do(m.ConsumerSetPreferredLayers(preferred_layers=layers))

    async def set_priority(self, priority: int) -> None:
        """1 (the least) to 255."""
        number_argument(priority, "priority", 1, 255)
        await self._do(m.ConsumerSetPriority(priority=priority))

    async def unset_priority(self) -> None:
        """Back to 1."""
        await self.set_priority(1)

    async def request_key_frame(self) -> None:
        """Ask the producer for a key frame (no effect on audio)."""
        await self._request(m.ConsumerRequestKeyFrame())

    async def enable_trace_event(self, types: Iterable[str] = ()) -> None:
        """Trace these (`rtp`, `keyframe`, `nack`, `pli`, `fir`) and no others; unknown names are ignored."""
        await self._request(m.ConsumerEnableTraceEvent(events=trace_types(types, m.ConsumerTraceEventType)))

    def _done(self, message: Request[Any], answer: Any) -> None:
        match message:
            case m.ConsumerPause() | m.ConsumerResume():
                self._set_paused(isinstance(message, m.ConsumerPause), shown=not self._producer_paused)
            case m.ConsumerSetPreferredLayers():
                self._preferred_layers = api.to_api(answer.preferred_layers)
            case m.ConsumerSetPriority():
                self._priority = answer.priority

    def _notified(self, notification: Notification) -> None:
        match notification:
            case m.ConsumerProducerClose():
                self._end("producerclose")
            case m.ConsumerProducerPause():
                self._producer_pause_changed(True)
            case m.ConsumerProducerResume():
                self._producer_pause_changed(False)
            case m.ConsumerScore():
                self._score = api.to_api(notification.score)
                self._tell("score", self.score)
            case m.ConsumerLayersChange():
                self._current_layers = api.to_api(notification.layers)
                self._tell("layerschange", self.current_layers)
            case m.ConsumerTrace():
                self._tell("trace", api.trace(notification))
            case m.ConsumerRtp():
                self.emit("rtp", notification.data)
            case _:
                super()._notified(notification)

    def _producer_pause_changed(self, paused: bool) -> None:
        if self._producer_paused is paused:
            return
        self._producer_paused = paused
        self.emit("producerpause" if paused else "producerresume")
        if not self._paused:
            self._observer.emit("pause" if paused else "resume")


def preferred_layers_to_wire(layers: object, name: str = "preferred_layers") -> m.ConsumerLayers:
    """A ConsumerLayers dictionary as a message; `TypeError` names what is wrong."""
    if not isinstance(layers, dict):
        raise TypeError(f"{name} is not an object")
    spatial = number_argument(layers.get("spatialLayer"), f"{name}.spatialLayer", 0, 255)
    temporal = layers.get("temporalLayer")
    if temporal is not None:
        number_argument(temporal, f"{name}.temporalLayer", 0, 255)
    return m.ConsumerLayers(spatial_layer=spatial, temporal_layer=temporal)
