"""What all API objects have in common: an id, a Channel, listeners, and an end that comes once.

An object ends by its own `close()`, by its parent's, or by news from the worker: whoever ends it calls `_end()`, which
only the first caller gets past.
"""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from ..channel.channel import Channel
from ..channel.journal import closed_by, created_by
from ..channel.messages import Notification, PeerDone, Request
from ..errors import NotFoundError, UnsupportedError
from . import peers
from .emitter import Emitter
from .log import Logger

R = TypeVar("R")
E = TypeVar("E", bound="Entity")

_SCALARS = (str, bytes, bytearray, int, float, complex)


def new_id() -> str:
    """A fresh id for any object (RFC 9562 §5.4)."""
    return str(uuid.uuid4())


def checked_app_data(app_data: Any) -> Any:
    """`app_data` if it is an object; `None` becomes a fresh dictionary."""
    if app_data is None:
        return {}
    if isinstance(app_data, _SCALARS):
        raise TypeError("app_data is not an object")
    return app_data


class Entity(Emitter):
    """An object of the worker, seen from the application.

    `observer` is a second emitter, for monitoring: it tells of all changes, also of those the application makes.
    Event of all kinds: `peerclose`, another client of the same named session has closed it.
    """

    def __init__(self, channel: Channel, id: str, app_data: Any = None) -> None:
        super().__init__()
        self._channel = channel
        self._id = id
        self._closed = False
        self._observer = Emitter()
        self._at_end: list[Callable[[], None]] = []
        self._app_data = checked_app_data(app_data)

    @property
    def id(self) -> str:
        """Unique within the worker."""
        return self._id

    @property
    def closed(self) -> bool:
        """Whether the object has ended."""
        return self._closed

    @property
    def observer(self) -> Emitter:
        """Events for monitoring code."""
        return self._observer

    @property
    def app_data(self) -> Any:
        """The application's own data; it never leaves this process."""
        return self._app_data

    @app_data.setter
    def app_data(self, app_data: Any) -> None:
        self._app_data = checked_app_data(app_data)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._id}{' closed' if self._closed else ''}>"

    async def _request(self, message: Request[R]) -> R:
        return await self._channel.request(message, self._id)

    async def _request_extension(self, message: Request[R]) -> R:
        """Ask for what mediasoup has no words for; only workers of this project know it."""
        if message.METHOD not in self._channel.place.extensions:
            raise UnsupportedError(f"the worker does not serve {message.NAME}")
        return await self._request(message)

    async def _do(self, message: Request[Any]) -> None:
        """Ask for a change of this object, and remember it."""
        self._done(message, await self._request(message))

    def _done(self, message: Request[Any], answer: Any) -> None:
        """What this object, or another client's twin of it, was asked for has been done; see `peers`."""

    async def _create(self, message: Request[R], undo: Request[None]) -> R:
        """Ask for a new child. If nobody waits for the answer any more, `undo` closes what nobody would own."""
        try:
            response = await self._request(message)
        except asyncio.CancelledError:
            self._channel.post(undo, self._id)
            raise
        self._check_open()
        return response

    def _listen(self) -> None:
        """From now on the worker's news about this object come to `_notified`."""
        self._channel.subscribe(self._id, self._notified)

    def _notified(self, notification: Notification) -> None:
        """News from the worker; classes that get more override this."""
        if isinstance(notification, PeerDone):
            peers.did(notification, self._done)
        else:
            Logger(type(self).__name__).warn("unexpected %s", type(notification).__name__)

    def _check_open(self) -> None:
        """It may have ended while the worker answered; nothing may be born into it then."""
        if self._closed:
            raise NotFoundError(f"{type(self).__name__} {self._id} is closed")

    def _tell(self, event: str, *args: Any) -> None:
        """Emit on the object and on its observer."""
        self.emit(event, *args)
        self._observer.emit(event, *args)

    def _when_ended(self, callback: Callable[[], None]) -> None:
        """Call this, for the library itself, when the object ends (before the public events)."""
        self._at_end.append(callback)

    def _end(self, event: str | None = None, *args: Any) -> None:
        """Once: end what belongs to it, then it; `event` says why, unless it was the application's own doing."""
        if self._begin_end():
            self._end_children()
            self._finish_end(event, *args)

    def _end_children(self) -> None:
        """The worker ends them by itself; here they only hear of it."""

    def _begin_end(self) -> bool:
        """Whether the object was still open; from now on it is not, and hears nothing more from the worker."""
        if self._closed:
            return False
        self._closed = True
        self._channel.unsubscribe(self._id)
        return True

    def _finish_end(self, event: str | None = None, *args: Any) -> None:
        """Tell the library, then the application (`event`, unless it was its own doing), then observers."""
        callbacks, self._at_end = self._at_end, []
        for callback in callbacks:
            callback()
        if event is not None:
            self.emit(event, *args)
        self._observer.emit("close")


class Parent(Entity):
    """What other objects belong to, and end with."""

    _CHILDREN_HEAR: ClassVar[str]
    """The event by which they are told of its end."""

    def _tables(self) -> tuple[dict[str, Any], ...]:
        """Its children by their ids, in the order in which they are ended."""
        raise NotImplementedError

    def _adopt(self, child: E, event: str, *tables: dict[str, Any]) -> E:
        """Enter `child` in `tables` until it ends, and tell observers of it."""
        for table in tables:
            table[child.id] = child

        def forget() -> None:
            for table in tables:
                table.pop(child.id, None)

        child._when_ended(forget)
        self._observer.emit(event, child)
        return child

    def _add(self, message: Request[Any], answer: Any) -> None:
        """Adopt what a peer has created."""
        raise NotImplementedError

    def _child(self, id: str) -> Entity | None:
        return next((table[id] for table in self._tables() if id in table), None)

    def _end_children(self) -> None:
        for table in self._tables():
            for child in list(table.values()):
                child._end(self._CHILDREN_HEAR)

    def _done(self, message: Request[Any], answer: Any) -> None:
        if (id := created_by(message)) is not None:
            if self._child(id) is None:
                self._add(message, answer)
        elif (id := closed_by(message)) is not None:
            if (child := self._child(id)) is not None:
                child._end("peerclose")
        else:
            super()._done(message, answer)


class Pausable(Entity):
    """What the application can pause. Observer: `pause`, `resume`."""

    _paused = False

    @property
    def paused(self) -> bool:
        """Whether the application paused it."""
        return self._paused

    def _set_paused(self, paused: bool, shown: bool = True) -> None:
        """`shown`: whether it makes a difference."""
        was_paused, self._paused = self._paused, paused
        if was_paused is not paused and shown:
            self._observer.emit("pause" if paused else "resume")


class TransportChild(Pausable):
    """What belongs to a transport: producers and consumers of media and of messages."""

    def __init__(self, channel: Channel, transport_id: str, id: str, app_data: Any) -> None:
        super().__init__(channel, id, app_data)
        self._transport_id = transport_id

    def close(self) -> None:
        """End it. What depends on it, on any transport, ends too and says so."""
        if not self._closed:
            self._channel.post(self._close_request(), self._transport_id)
            self._end()

    def _close_request(self) -> Request[None]:
        raise NotImplementedError
