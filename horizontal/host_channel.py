"""A worker on another host, as the application's Channel.

Belongs to the application's event loop. Passes everything on to the host's own channel; its own are only the pid,
which says the host, and the end, which also comes when the host is given up.
"""

import asyncio
from typing import Any, TypeVar, cast

import msgspec

from sfu_core.channel import messages as m
from sfu_core.channel.channel import Channel, EndListener, Listener, LogListener
from sfu_core.channel.place import Place
from sfu_core.errors import WorkerClosedError

R = TypeVar("R")


class HostChannel:
    """See `sfu_core.channel.channel.Channel`."""

    def __init__(self, below: Channel, pid: int) -> None:
        """`pid` is the logical one."""
        self.pid = pid
        self._below = below
        self._closing = False
        self._end: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        below.on_end(self._finish)

    @property
    def below(self) -> Channel:
        """The channel of the host's own manager."""
        return self._below

    @property
    def place(self) -> Place:
        """Objects are shared, if at all, one layer below."""
        place = self._below.place
        return msgspec.structs.replace(place, extensions=place.extensions - m.SHARING)

    @property
    def closed(self) -> bool:
        return self._end.done() or self._below.closed

    async def request(self, message: m.Request[R], handler_id: str = "") -> R:
        if self._end.done():
            raise WorkerClosedError("the worker's host is gone")
        reply = await self._below.request(message, handler_id)
        if isinstance(reply, m.WorkerDumpResponse):
            return cast(R, msgspec.structs.replace(reply, pid=self.pid))
        return reply

    def post(self, message: m.Request[Any], handler_id: str = "") -> None:
        self._below.post(message, handler_id)

    def notify(self, message: m.Notification, handler_id: str = "") -> None:
        self._below.notify(message, handler_id)

    def subscribe(self, target_id: str, listener: Listener) -> None:
        self._below.subscribe(target_id, listener)

    def unsubscribe(self, target_id: str) -> None:
        self._below.unsubscribe(target_id)

    def on_log(self, listener: LogListener) -> None:
        """Nothing to do: the worker of the host's manager writes the same log in this process already."""

    def on_end(self, listener: EndListener) -> None:
        self._end.add_done_callback(lambda end: listener(end.result()))

    async def ended(self) -> Exception | None:
        return await asyncio.shield(self._end)

    def close(self) -> None:
        self._closing = True
        self._below.close()

    def lose(self, reason: Exception) -> None:
        """The host is given up: the worker counts as dead. Should the host come back, it is told to end it."""
        self._below.close()
        self._finish(reason)

    def _finish(self, reason: Exception | None) -> None:
        if not self._end.done():
            self._end.set_result(None if self._closing else reason)
