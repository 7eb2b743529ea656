"""What watches the media of some producers; the common part of its two kinds."""

from typing import Any, Literal

from ..channel import messages as m
from .context import RouterContext
from .entity import Entity

RtpObserverType = Literal["audiolevel", "activespeaker"]


class RtpObserver(Entity):
    """Watches producers of its router.

    Events: `routerclose`. Observer: `close`, `pause`, `resume`, `addproducer` (Producer), `removeproducer`
    (Producer).
    """

    _type: RtpObserverType

    def __init__(self, context: RouterContext, id: str, app_data: Any = None) -> None:
        super().__init__(context.channel, id, app_data)
        self._context = context
        self._paused = False
        self._listen()

    @property
    def type(self) -> RtpObserverType:
        """`audiolevel` or `activespeaker`."""
        return self._type

    @property
    def paused(self) -> bool:
        """Whether it watches nothing for now."""
        return self._paused

    def close(self) -> None:
        """Stop watching."""
        if self._begin_end():
            self._channel.post(m.RouterCloseRtpObserver(rtp_observer_id=self._id), self._context.router_id)
            self._finish_end()

    def _router_closed(self) -> None:
        if self._begin_end():
            self._finish_end("routerclose")

    async def pause(self) -> None:
        """Watch nothing until `resume()`."""
        await self._request(m.RtpObserverPause())
        was_paused, self._paused = self._paused, True
        if not was_paused:
            self._observer.emit("pause")

    async def resume(self) -> None:
        """Watch again."""
        await self._request(m.RtpObserverResume())
        was_paused, self._paused = self._paused, False
        if was_paused:
            self._observer.emit("resume")

    async def add_producer(self, *, producer_id: str) -> None:
        """Watch this audio producer of the same router."""
        producer = self._context.find_producer(producer_id)
        await self._request(m.RtpObserverAddProducer(producer_id=producer_id))
        self._observer.emit("addproducer", producer)

    async def remove_producer(self, *, producer_id: str) -> None:
        """Watch this producer no more."""
        producer = self._context.find_producer(producer_id)
        await self._request(m.RtpObserverRemoveProducer(producer_id=producer_id))
        self._observer.emit("removeproducer", producer)
