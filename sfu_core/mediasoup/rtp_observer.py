"""What watches the media of some producers; the common part of its two kinds."""

from typing import Any, Literal

from ..channel import messages as m
from ..channel.messages import Request
from .context import RouterContext
from .entity import Pausable

RtpObserverType = Literal["audiolevel", "activespeaker"]


class RtpObserver(Pausable):
    """Watches producers of its router.

    Events: `routerclose`. Observer: `close`, `pause`, `resume`, `addproducer` (Producer), `removeproducer`
    (Producer).
    """

    _type: RtpObserverType

    def __init__(self, context: RouterContext, id: str, app_data: Any = None) -> None:
        super().__init__(context.channel, id, app_data)
        self._context = context
        self._listen()

    @property
    def type(self) -> RtpObserverType:
        """`audiolevel` or `activespeaker`."""
        return self._type

    def close(self) -> None:
        """Stop watching."""
        if not self._closed:
            self._channel.post(m.RouterCloseRtpObserver(rtp_observer_id=self._id), self._context.router_id)
            self._end()

    async def pause(self) -> None:
        """Watch nothing until `resume()`."""
        await self._do(m.RtpObserverPause())

    async def resume(self) -> None:
        """Watch again."""
        await self._do(m.RtpObserverResume())

    async def add_producer(self, *, producer_id: str) -> None:
        """Watch this audio producer of the same router."""
        self._context.find_producer(producer_id)
        await self._do(m.RtpObserverAddProducer(producer_id=producer_id))

    async def remove_producer(self, *, producer_id: str) -> None:
        """Watch this producer no more."""
        self._context.find_producer(producer_id)
        await self._do(m.RtpObserverRemoveProducer(producer_id=producer_id))

    def _done(self, message: Request[Any], answer: Any) -> None:
        match message:
            case m.RtpObserverPause() | m.RtpObserverResume():
                self._set_paused(isinstance(message, m.RtpObserverPause))
            case m.RtpObserverAddProducer() | m.RtpObserverRemoveProducer():
                producer = self._context.producers.get(message.producer_id)
                if producer is not None:
                    added = isinstance(message, m.RtpObserverAddProducer)
                    self._observer.emit("addproducer" if added else "removeproducer", producer)
