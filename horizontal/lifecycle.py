"""The life of a manager that connects: states, events, readiness. The remote client and its mock have it from here.

Belongs to one event loop. Knows nothing of how one connects.
"""

import asyncio
from enum import IntEnum
from typing import Final, Self

from sfu_core.errors import InvalidStateError
from sfu_core.manager import Manager
from sfu_core.mediasoup import Mediasoup, Worker

WORKER_END: Final = 6.0
"""Seconds that workers may take to end when their manager closes."""


class ReadyState(IntEnum):
    """Those of a WebSocket, and one more: the server's greeting has come."""

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3
    CONNECTED = 4


class ConnectingManager(Manager):
    """`mediasoup` is the API while there is a connection.

    Events, in the order of a life: `open`, `websocketopen`, `mediasoup` (the API), `connected`; `disconnected` and
    `websocketclose` (was_clean) when the other side is lost, `mediasoup` (None) when the API has gone; `error`
    (exception); `close`, `destroy`. `async with` waits until it is ready, and destroys it at the end.
    """

    def __init__(self, url: str | None) -> None:
        super().__init__()
        self._url: str | None = None
        self._state = ReadyState.CLOSED
        self._mediasoup: Mediasoup | None = None
        self._was_open = False
        self._waiters: set[asyncio.Future[None]] = set()
        self._workers: set[Worker] = set()
        self._leaving: asyncio.Task[None] | None = None
        self._ends: list[asyncio.Future[None]] = []  # of workers, while it closes
        if url is not None:
            self.open(url)

    # What applications use

    @property
    def url(self) -> str | None:
        """Where it was last told to connect."""
        return self._url

    @property
    def ready_state(self) -> ReadyState:
        """0 to 3 as those of a WebSocket; 4 when `mediasoup` can be used and the server be reached."""
        self._check()
        return self._state

    @property
    def mediasoup(self) -> Mediasoup | None:
        """The API; None before there is one, and when it has gone. During a cut it stays."""
        self._check()
        return self._mediasoup

    def open(self, url: str | None = None) -> Self:
        """Begin to connect, to `url` or where it was connected last; InvalidStateError if it is open already."""
        self._check()
        if self._state is not ReadyState.CLOSED:
            raise InvalidStateError("it is closing" if self._state is ReadyState.CLOSING else "it is open already")
        if url is not None and not isinstance(url, str):
            raise TypeError("url is not a string")
        if url is None and self._url is None:
            raise InvalidStateError("there is no url yet")
        self._connect(url or self._url or "")
        self._url = url or self._url
        self._state = ReadyState.CONNECTING
        self._was_open = False
        return self

    def close(self) -> None:
        """Close its workers, then the connection. May be repeated; can be opened again."""
        self._check()
        self._close()

    def destroy(self) -> None:
        """Close for good; nothing can be asked of it afterwards. What is built on top of it hears `destroy` first."""
        self._check()
        super().destroy()

    async def ready(self) -> Mediasoup:
        """Wait until it is connected; the API. Raises why the next try fails, if it does."""
        self._check()
        while self._mediasoup is None:
            if self._state in (ReadyState.CLOSED, ReadyState.CLOSING):
                raise InvalidStateError("it is closed")
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
        return self._mediasoup

    async def wait_closed(self) -> None:
        """After `close()` or `destroy()`: wait until its workers have ended and the connection is closed."""
        if self._leaving is not None:
            await asyncio.shield(self._leaving)

    async def __aenter__(self) -> Self:
        try:
            await self.ready()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def wait_destroyed(self) -> None:
        await self.wait_closed()

    # What those who connect do and tell

    def _connect(self, url: str) -> None:
        """Begins to connect."""
        raise NotImplementedError

    async def _disconnect(self) -> None:
        """Ends the connection; its workers have ended."""
        raise NotImplementedError

    def _end_worker(self, worker: Worker) -> None:
        """We are closing, and it is ours."""
        worker.close()

    def websocket_opened(self) -> None:
        """A socket is open."""
        if self._state is ReadyState.CONNECTING:
            self._state = ReadyState.OPEN
            if not self._was_open:
                self._was_open = True
                self.emit("open")
            self.emit("websocketopen")

    def connected(self, mediasoup: Mediasoup) -> None:
        """The server has greeted us; `mediasoup` is what it was before if the session goes on."""
        if self._state is not ReadyState.OPEN:
            return
        self._state = ReadyState.CONNECTED
        if self._mediasoup is not mediasoup:
            self._mediasoup = mediasoup
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self.emit("mediasoup", mediasoup)
        if self._state is ReadyState.CONNECTED:
            self.emit("connected")

    def cut(self, was_clean: bool) -> None:
        """The other side is lost; we go on trying."""
        if self._state in (ReadyState.OPEN, ReadyState.CONNECTED):
            before, self._state = self._state, ReadyState.CONNECTING
            if before is ReadyState.CONNECTED:
                self.emit("disconnected")
            self.emit("websocketclose", was_clean)
        elif self._state is ReadyState.CLOSING:
            self._stop_waiting()  # nobody will tell of their ends

    def lost(self) -> None:
        """What was there is gone for good."""
        if self._state is not ReadyState.CLOSING:
            self._gone()

    def failed(self, error: Exception, again: bool) -> None:
        """A try has failed; `again`: as those before it, so that only waiting calls hear of it."""
        self._fail_waiters(error)
        if not again and self._state is not ReadyState.CLOSING:
            self.emit("error", error)

    def given_up(self) -> None:
        """There will be no other try."""
        if self._state not in (ReadyState.CLOSING, ReadyState.CLOSED):
            self._gone()
            self._state = ReadyState.CLOSED
            self.emit("close")

    # Inside

    def _end(self) -> None:
        self._close()

    def _close(self) -> None:
        if self._state not in (ReadyState.CLOSED, ReadyState.CLOSING):
            within_reach = self._state is ReadyState.CONNECTED
            self._state = ReadyState.CLOSING
            workers = list(self._workers)
            for worker in workers:
                self._end_worker(worker)
            self._gone()
            self._fail_waiters(InvalidStateError("it was closed"))
            self._leaving = asyncio.ensure_future(self._leave(workers if within_reach else []))

    def _new_mediasoup(self, mediasoup: Mediasoup) -> Mediasoup:
        """Its workers end with us."""

        def follow(worker: Worker) -> None:
            self._workers.add(worker)
            worker.observer.once("close", lambda: self._workers.discard(worker))

        mediasoup.observer.on("newworker", follow)
        return mediasoup

    def _gone(self) -> None:
        if self._mediasoup is not None:
            self._mediasoup = None
            self.emit("mediasoup", None)

    async def _leave(self, workers: list[Worker]) -> None:
        self._ends = [asyncio.ensure_future(worker.wait_subprocess_closed()) for worker in workers]
        if self._ends:
            await asyncio.wait(self._ends, timeout=WORKER_END)
            self._stop_waiting()
        await self._disconnect()
        self._state = ReadyState.CLOSED
        self.emit("close")

    def _stop_waiting(self) -> None:
        for end in self._ends:
            end.cancel()

    def _fail_waiters(self, error: Exception) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(error)

    def _check(self) -> None:
        if self._destroyed:
            raise InvalidStateError("it was destroyed")
