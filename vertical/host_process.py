"""The host process of a vertical, as the application sees it.

Started for the first logical worker, ended with the last. Belongs to the application's event loop; what happens in that
process is `vertical.host`'s affair.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
from multiprocess.reduction import ForkingPickler

from sfu_core import errors
from sfu_core.channel import messages as m
from sfu_core.channel.channel import StreamChannel
from sfu_core.channel.place import Place, local_place
from sfu_core.channel.process import CLOSE_TIMEOUT, ProcessChannel, ProcessSpawner
from sfu_core.channel.settings import WorkerSettings
from sfu_core.errors import WorkerClosedError
from vertical.host import END_TIMEOUT, TARGET, HostSettings, number_bytes
from vertical.leases import Leases
from vertical.placement import NODE_WATERMARK, WATERMARK
from vertical.switch import next_pid

R = TypeVar("R")

MOST_ASKED: Final = 32
"""Logical workers that may be asked for at a time: their sockets wait in a queue of the kernel's."""

CLOSING_TIMEOUT: Final = END_TIMEOUT + CLOSE_TIMEOUT
"""Seconds that a host process, or a logical worker in it, may take to end before the process is killed."""

_LEVELS: Final = {"E": logging.ERROR, "W": logging.WARNING}
_log = logging.getLogger(__name__)


class LogicalWorkerChannel(StreamChannel):
    """To a logical worker. It ends when the host process says that nothing of it is left, or has ended itself."""

    def __init__(self, place: Place, overdue: Callable[[], None]) -> None:
        """`overdue` is called when it was closed long ago and has not ended."""
        super().__init__(place)
        self._overdue = overdue
        self._timer: asyncio.TimerHandle | None = None
        self._asked = False
        self._lost = False
        self._gone = False
        self._reason: Exception | None = None

    def close(self) -> None:
        if not self._closed:
            self._asked = True
            self._timer = self._loop.call_later(CLOSING_TIMEOUT, self._overdue)
            super().close()

    def gone(self, reason: Exception | None) -> None:
        """Nothing of it is left; `reason` if its process has ended."""
        self._gone = True
        self._reason = reason or self._reason
        self._conclude()

    def _on_lost(self, reason: Exception | None) -> None:
        self._lost = True
        self._reason = self._reason or reason
        self._shut("the worker was closed" if self._asked else f"the worker is gone: {self._reason}")
        self._conclude()

    def _conclude(self) -> None:
        if self._lost and self._gone:
            if self._timer is not None:
                self._timer.cancel()
            self._finish(None if self._asked else self._reason)


class HostProcess:
    """A host process, from its start on."""

    def __init__(
        self, spawner: ProcessSpawner, settings: HostSettings, on_news: Callable[[m.Notification], None]
    ) -> None:
        """`settings` but for the descriptor. `on_news` is called with what concerns the host."""
        self._on_news = on_news
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        self._asking = asyncio.Semaphore(MOST_ASKED)
        self._workers: dict[int, LogicalWorkerChannel] = {}
        self._expected = 0
        self._closed = False
        self._starting = asyncio.get_running_loop().create_task(self._start(spawner, settings, theirs))

    @property
    def closed(self) -> bool:
        """It takes no more logical workers."""
        return self._closed

    @property
    def pid(self) -> int | None:
        """None until it runs."""
        channel = self._channel
        return None if channel is None else channel.pid

    async def create_worker(self, settings: WorkerSettings) -> LogicalWorkerChannel:
        """Raises what `Cluster.spawn` raises. If nobody else uses the process, it ends on failure."""
        self._expected += 1
        try:
            channel = await asyncio.shield(self._starting)
            async with self._asking:
                return await self._ask_for_worker(channel, settings)
        finally:
            self._expected -= 1
            self._close_if_unused()

    async def ask(self, message: m.Request[R]) -> R | None:
        """None while it starts, and when it has ended."""
        with suppress(WorkerClosedError):
            if self._channel is not None:
                return await self._channel.request(message)
        return None

    def close(self) -> None:
        """End it, and all that it has. May be repeated."""
        self._closed = True
        for worker in [*self._workers.values()]:
            worker.close()
        if self._channel is not None:
            self._channel.close()

    async def ended(self) -> None:
        """Wait until the process is gone."""
        await asyncio.wait([self._starting])
        if self._channel is not None:
            await self._channel.ended()

    # Inside

    @property
    def _channel(self) -> ProcessChannel | None:
        starting = self._starting
        started = starting.done() and not starting.cancelled() and starting.exception() is None
        return starting.result() if started else None

    async def _start(self, spawner: ProcessSpawner, settings: HostSettings, theirs: socket.socket) -> ProcessChannel:
        try:
            with theirs:
                settings = msgspec.structs.replace(settings, control_fd=theirs.fileno())
                channel = await spawner.spawn(settings, [theirs.fileno()])
        except BaseException:
            self._closed = True
            self._control.close()
            raise
        channel.subscribe("", self._heard)
        channel.on_log(_log_line)
        channel.on_end(self._ended)
        if self._closed:
            channel.close()
        return channel

    async def _ask_for_worker(self, channel: ProcessChannel, settings: WorkerSettings) -> LogicalWorkerChannel:
        if self._closed:
            raise WorkerClosedError("the manager was destroyed")
        number = next_pid()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._hand_over(number, theirs)
            created = await channel.request(m.HostCreateWorker(number=number, settings=settings))
            place = msgspec.structs.replace(
                local_place(), extensions=frozenset(created.extensions), mirror_group=created.mirror_group
            )
            worker = self._workers[number] = LogicalWorkerChannel(place, channel.kill)
            if channel.closed:  # it has ended this very moment
                self._workers.pop(number).gone(None)
            await worker.open(ours)
        except BaseException:
            self._workers.pop(number, None)
            ours.close()
            raise
        return worker

    def _hand_over(self, number: int, sock: socket.socket) -> None:
        try:
            socket.send_fds(self._control, [number_bytes(number)], [sock.fileno()])
        except OSError as error:
            raise WorkerClosedError(f"the host process takes no more workers: {error}") from error

    def _heard(self, news: m.Notification) -> None:
        if not isinstance(news, m.HostWorkerEnded):
            self._on_news(news)
        elif (worker := self._workers.pop(news.number, None)) is not None:
            self._close_if_unused()
            if self._closed and self._channel is not None:  # the last one's end is that of the process
                self._channel.on_end(worker.gone)
            else:
                worker.gone(None)

    def _close_if_unused(self) -> None:
        if not self._workers and not self._expected:
            self.close()

    def _ended(self, reason: Exception | None) -> None:
        self._closed = True
        self._control.close()
        workers, self._workers = self._workers, {}
        for worker in workers.values():
            worker.gone(reason)


class HostProcessCluster:
    """A spawner of logical workers, all in one host process; follows `vertical.cluster.Cluster`."""

    def __init__(
        self,
        cpus: list[int],
        most: int,
        *,
        settings: WorkerSettings,
        watermark: float = WATERMARK,
        node_watermark: float = NODE_WATERMARK,
        policy: Callable[..., Any] | None = None,
        make_link: Callable[..., Any] | None = None,
        on_core_died: Callable[[int, Exception], None],
        on_error: Callable[[Exception], None],
        on_crowded: Callable[[float], None],
    ) -> None:
        """At most `most` cores, on processors of `cpus` that no other application has; for the rest see `Cluster`.

        TypeError if `policy` or `make_link` cannot be pickled.
        """
        functions = {"policy": policy, "make_link": make_link}
        arguments = {"policy": "placement"}
        self._settings = HostSettings(
            control_fd=-1,
            cpus=[],
            defaults=settings,
            watermark=watermark,
            node_watermark=node_watermark,
            functions={
                name: _pickled(function, arguments.get(name, name))
                for name, function in functions.items()
                if function is not None
            },
        )
        self._on_core_died = on_core_died
        self._on_error = on_error
        self._on_crowded = on_crowded
        self._spawner = ProcessSpawner(target=TARGET, close_timeout=CLOSING_TIMEOUT, name="sfu-host")
        self._cpus = cpus
        self._most = most
        self._leases = Leases()
        self._host: HostProcess | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def host_pid(self) -> int | None:
        """The pid of the host process, while there is one."""
        return None if self._host is None or self._host.closed else self._host.pid

    async def spawn(self, settings: WorkerSettings) -> LogicalWorkerChannel:
        """A logical worker (see `sfu_core.channel.spawner.Spawner`)."""
        if self._closed:
            raise WorkerClosedError("the manager was destroyed")
        if self._host is None or self._host.closed:
            host_settings = msgspec.structs.replace(self._settings, cpus=self._processors())
            self._host = HostProcess(self._spawner, host_settings, self._heard)
            ending = asyncio.get_running_loop().create_task(self._host.ended())
            self._ending.add(ending)
            ending.add_done_callback(self._ended)
        return await self._host.create_worker(settings)

    async def cores(self) -> list[m.CoreInfo]:
        """All cores there are, and what they carry."""
        found = await self._host.ask(m.HostGetCores()) if self._host is not None else None
        return found.cores if found is not None else []

    async def core_of(self, transport_id: str) -> int | None:
        """The pid of the core that carries a transport, None if there is no such transport."""
        message = m.HostGetCoreOf(transport_id=transport_id)
        found = await self._host.ask(message) if self._host is not None else None
        return found.pid or None if found is not None else None

    def close(self) -> None:
        """Close all logical workers, and with them the cores and the host process. May be repeated."""
        self._closed = True
        if self._host is not None:
            self._host.close()

    async def ended(self) -> None:
        """After `close()`: wait for the end of everything."""
        await asyncio.gather(*self._ending)

    def _processors(self) -> list[int]:
        """For the cores: those that no other application of the host has, but one in any case."""
        cpus = self._leases.take(self._cpus, self._most)
        if not cpus:
            _log.warning("other applications have all %d processors: one core, which shares them", len(self._cpus))
        return cpus or self._cpus[:1]

    def _ended(self, ending: asyncio.Task[None]) -> None:
        self._ending.discard(ending)
        if not self._ending:
            self._leases.give_back()

    def _heard(self, news: m.Notification) -> None:
        match news:
            case m.HostCoreDied():
                self._on_core_died(news.pid, errors.from_name(news.error, news.reason))
            case m.HostCrowded():
                self._on_crowded(news.load)
            case m.HostError():
                self._on_error(errors.from_name(news.error, news.reason))


def _pickled(function: Callable[..., Any], argument: str) -> bytes:
    try:
        return bytes(ForkingPickler.dumps(function, recurse=True))
    except Exception as error:
        raise TypeError(f"{argument}: cannot be handed to the host process: {error}") from error


def _log_line(line: str) -> None:
    _log.log(_LEVELS.get(line[:1], logging.DEBUG), "host process: %s", line[1:])
