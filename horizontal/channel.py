"""The client's end of a session: a Channel for each worker, and the requests to the server itself.

Belongs to the client's event loop. Knows frames; which socket carries them is `horizontal.connection`'s affair.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from horizontal.conversation import Conversation, Lane
from horizontal.errors import RequestTimeoutError, SessionLostError
from horizontal.protocol import (
    SERVER,
    SERVER_CODEC,
    CreateWorker,
    Entry,
    Told,
    Welcome,
    WorkerAdded,
    WorkerEnded,
)
from sfu_core import errors
from sfu_core.channel import messages as m
from sfu_core.channel.channel import FrameChannel
from sfu_core.channel.codec import NotificationFrame, ProtocolError
from sfu_core.channel.journal import undoing
from sfu_core.channel.messages import EXTENSIONS
from sfu_core.channel.place import Place
from sfu_core.channel.settings import WorkerSettings

R = TypeVar("R")

BACKLOG: Final = 64 * 2**20
"""Bytes that a server may leave untaken before the client gives up."""

_NOWHERE: Final = Place(host_id="")


class RemoteChannel(FrameChannel):
    """See `sfu_core.channel.channel.Channel`. Requests have a time limit; during a cut they wait."""

    def __init__(self, conversation: Conversation, number: int, timeout: float) -> None:
        """`timeout`: seconds for a request."""
        super().__init__(Lane(conversation, number), _NOWHERE)
        self.number = number
        self._timeout = timeout

    def settle(self, place: Place) -> None:
        """It is there. Of the extensions that it serves only those count that we know."""
        self._place = msgspec.structs.replace(place, extensions=place.extensions & frozenset(EXTENSIONS))

    async def request(self, message: m.Request[R], handler_id: str = "") -> R:
        try:
            async with asyncio.timeout(self._timeout):
                return await super().request(message, handler_id)
        except TimeoutError:
            undo = undoing(message)
            if undo is not None:
                self.post(undo, handler_id)
            raise RequestTimeoutError(f"{message.NAME}: no answer in {self._timeout:g} s") from None

    def end(self, reason: Exception | None) -> None:
        """The worker is gone, or out of reach for good; None if it was closed. May be repeated."""
        reason = None if self._closed else reason
        self._sink.close()
        self._shut("the worker was closed" if reason is None else f"the worker is gone: {reason}")
        self._finish(reason)


class ServerChannel(FrameChannel):
    """Requests to the server itself. Its news are not put off: frames of new workers may come right behind them."""

    def __init__(self, conversation: Conversation, listener: Callable[[m.Notification], None]) -> None:
        super().__init__(Lane(conversation, SERVER), _NOWHERE, SERVER_CODEC)
        self._listener = listener

    def end(self, reason: Exception) -> None:
        """Requests under way fail."""
        self._closed = True
        pending, self._pending = self._pending, {}
        for _, future in pending.values():
            if not future.done():
                future.set_exception(reason)

    def _on_notification(self, frame: NotificationFrame) -> None:
        self._listener(self._codec.read_notification(frame))


class RemoteSession:
    """What a client has at a server."""

    def __init__(
        self,
        welcome: Welcome,
        on_added: Callable[[RemoteChannel], None],
        on_told: Callable[[str, list[Any]], None],
        timeout: float,
    ) -> None:
        """`on_added` gets workers that others of a named session have; `on_told` what the operator's methods tell."""
        self.id = welcome.session
        self.instance = welcome.instance
        self.grace = welcome.grace
        self.version = welcome.version
        self.extra = welcome.extra
        self.conversation = Conversation(self._on_entry, self._overflow, BACKLOG)
        self.lost: Exception | None = None
        self._server = ServerChannel(self.conversation, self._told)
        self._channels: dict[int, RemoteChannel] = {}
        self._next_number = 1
        self._timeout = timeout
        self._on_added = on_added
        self._on_told = on_told

    async def create_worker(self, settings: WorkerSettings, timeout: float) -> RemoteChannel:
        """A new worker."""
        number, self._next_number = self._next_number, self._next_number + 2
        channel = self._channels[number] = RemoteChannel(self.conversation, number, timeout)
        try:
            created = await self.ask(CreateWorker(worker=number, settings=settings), timeout)
        except BaseException:
            channel.close()  # it may be there yet, or about to be
            channel.end(None)
            self._channels.pop(number, None)
            raise
        channel.settle(created.place)
        return channel

    async def ask(self, message: m.Request[R], timeout: float) -> R:
        """Asks the server itself."""
        if self.lost is not None:
            raise self.lost
        try:
            async with asyncio.timeout(timeout):
                return await self._server.request(message)
        except TimeoutError:
            raise RequestTimeoutError(f"{message.NAME}: no answer in {timeout:g} s") from None

    def lose(self, reason: Exception | None) -> None:
        """Nobody will answer any more: everything ends. None if the client wants it so."""
        if self.lost is not None:
            return
        self.lost = reason or SessionLostError("the client was closed")
        self._server.end(self.lost)
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            channel.end(reason)
        self.conversation.close()

    def _on_entry(self, entry: Entry) -> None:
        frame: Any = entry.frame  # bytes, as far as codecs care
        if entry.worker == SERVER:
            self._server.receive((frame,))
        elif (channel := self._channels.get(entry.worker)) is not None and not channel.closed:
            channel.receive((frame,))
        # else the server has not yet heard that nobody is interested any more

    def _told(self, news: m.Notification) -> None:
        match news:
            case WorkerEnded():
                channel = self._channels.pop(news.worker, None)
                if channel is not None:
                    channel.end(None if news.error is None else errors.from_name(news.error, news.reason or ""))
            case WorkerAdded():
                if news.worker in self._channels or news.worker % 2:
                    raise ProtocolError(f"worker {news.worker} is odd, or in use")
                channel = self._channels[news.worker] = RemoteChannel(self.conversation, news.worker, self._timeout)
                channel.settle(news.place)
                self._on_added(channel)
            case Told():
                self._on_told(news.method, news.arguments)

    def _overflow(self) -> None:
        self.lose(SessionLostError("the server takes nothing any more"))
