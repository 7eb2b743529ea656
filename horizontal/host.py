"""A member of a horizontal: one manager, most often a client of a server on another host.

Belongs to the application's event loop. Follows the manager's coming and going, starts workers there and watches
them; knows nothing of the other members.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from horizontal.errors import IncompatibleError
from horizontal.host_channel import HostChannel
from horizontal.lifecycle import ReadyState
from horizontal.pids import Pids
from horizontal.placement import Candidate, passed
from horizontal.stats import load_of
from sfu_core.channel.place import PROTOCOL_VERSION
from sfu_core.channel.settings import WorkerSettings
from sfu_core.errors import SfuError
from sfu_core.stats import capacity_of
from sfu_core.version import VERSION

SAMPLE_INTERVAL: Final = 2.0
STATS_TIMEOUT: Final = 5.0

_log = logging.getLogger(__name__)


class Watcher(Protocol):
    """Who wants to know how the hosts fare."""

    def joined(self, host: "Host") -> None:
        """It can be used from now on."""
        ...

    def lost(self, host: "Host", reason: Exception) -> None:
        """It can not any more, and its workers have died. It may join again."""
        ...

    def left(self, host: "Host") -> None:
        """Its manager was closed, or destroyed, by whoever owns it; its workers have closed."""
        ...

    def drained(self, host: "Host") -> None:
        """It was to be drained, and has no workers any more."""
        ...

    def worker_died(self, host: "Host", pid: int, reason: Exception) -> None:
        """One of its workers ended unasked; its logical pid."""
        ...

    def failed(self, host: "Host", error: Exception) -> None:
        """Something went wrong that nobody waits for."""
        ...

    def sampled(self) -> None:
        """A load is new."""
        ...


class Host:
    """One member."""

    def __init__(
        self, manager: Any, number: int, watcher: Watcher, *, own: bool, watermark: float, patience: float | None
    ) -> None:
        """`own`: it is destroyed when it is removed. `patience`: see the manager."""
        self.manager = manager
        self.own = own
        self.usable = False
        self.draining = False
        self.full = False
        self.capacity = 1
        self.load = 0.0
        self.pids = Pids(number)
        self.workers: set[HostChannel] = set()
        self._watcher = watcher
        self._watermark = watermark
        self._patience = patience
        self._connected = True
        self._starting: set[asyncio.Task[HostChannel]] = set()
        self._ended = False
        self._told_drained = False
        self._following: asyncio.Task[None] | None = None
        self._impatience: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._listeners: dict[str, Callable[..., None]] = {
            "mediasoup": self._mediasoup_changed,
            "error": lambda error: watcher.failed(self, error),
            "destroy": lambda *_: self._gone(),
            "connected": lambda *_: self._connection(True),
            "disconnected": lambda *_: self._connection(False),
        }

    def __repr__(self) -> str:
        return f"<Host {self.pids.host}: {self.manager!r}>"

    @property
    def reachable(self) -> bool:
        """Whether it answers, as far as is known."""
        return self.usable and self._connected

    @property
    def open(self) -> bool:
        """Whether new workers may be placed here."""
        return self.reachable and not self.draining

    @property
    def empty(self) -> bool:
        """Nothing of ours is there, or being started."""
        return not (self.workers or self._starting)

    def candidate(self) -> Candidate:
        """As a policy sees it."""
        return Candidate(self.load, len(self.workers) + len(self._starting), self.capacity, self.full)

    # Coming and going

    def follow(self) -> None:
        """From now on; it may be there already."""
        if hasattr(self.manager, "on"):
            for event, listener in self._listeners.items():
                self.manager.on(event, listener)
        if (mediasoup := self._api()) is not None:
            self._connected = self.state is ReadyState.CONNECTED
            if self._connected:
                self._mediasoup_changed(mediasoup)

    def leave(self) -> None:
        """Close all that we have here, and follow no more. May be repeated. What is out of reach is not waited for."""
        if self._ended:
            return
        self._ended = True
        self.usable = False
        self._stop()
        if hasattr(self.manager, "remove_listener"):
            for event, listener in self._listeners.items():
                self.manager.remove_listener(event, listener)
        for worker in list(self.workers):
            worker.close()
            if not self._connected:
                worker.lose(SfuError("the host is out of reach"))
        if self.own and not self._destroyed():
            self.manager.destroy()

    async def ended(self) -> None:
        """After `leave()`: wait for the end of its workers."""
        await asyncio.gather(*self._starting, return_exceptions=True)
        await asyncio.gather(*(worker.ended() for worker in list(self.workers)))
        if self.own and hasattr(self.manager, "wait_destroyed"):
            await self.manager.wait_destroyed()

    def drain(self, draining: bool) -> None:
        """Place nothing new here; or do so again."""
        self.draining = draining
        self._told_drained = False
        self._loop.call_soon(self._check_drained)

    def _mediasoup_changed(self, mediasoup: Any) -> None:
        if self._ended:
            return
        if mediasoup is None:
            if self._destroyed():
                self._gone()
            elif self.state is ReadyState.CLOSING:
                self._put_down()
            else:
                self._lose(SfuError("the host is gone"))
        elif not self.usable and self._following is None:
            self._following = self._loop.create_task(self._follow())
            self._following.add_done_callback(self._followed)

    def _connection(self, connected: bool) -> None:
        """A cut that is mended in time is no loss."""
        self._connected = connected
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None
        if not connected and not self._ended and self._patience is not None:
            reason = SfuError(f"the host has been away for {self._patience:g} s")
            self._impatience = self._loop.call_later(self._patience, self._lose, reason)
        elif connected and (mediasoup := self._api()) is not None:
            self._mediasoup_changed(mediasoup)

    def _destroyed(self) -> bool:
        return bool(getattr(self.manager, "destroyed", False))

    def _api(self) -> Any:
        return None if self._destroyed() else self.manager.mediasoup

    @property
    def state(self) -> ReadyState:
        """Managers that connect to nothing have none: they are there while their API is."""
        return ReadyState(getattr(self.manager, "ready_state", ReadyState.CONNECTED))

    def _gone(self) -> None:
        """Its manager was destroyed by whoever owns it."""
        if not self._ended:
            self.leave()
            self._watcher.left(self)

    def _put_down(self) -> None:
        """It is being closed by whoever owns it, who may open it again."""
        self._stop()
        self.usable = False
        for worker in list(self.workers):
            worker.close()
        self._watcher.left(self)

    def _lose(self, reason: Exception) -> None:
        if self._ended:
            return
        self._stop()
        was_usable, self.usable = self.usable, False
        for worker in list(self.workers):
            worker.lose(reason)
        if was_usable:
            self._watcher.lost(self, reason)

    def _stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
            self._following = None
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None
        for starting in self._starting:
            starting.cancel()

    # While it is there

    async def _follow(self) -> None:
        """Join, then sample. A host whose figures cannot be read is used nevertheless."""
        check_version(self.manager.mediasoup.version)
        try:
            await self._sample()
        except Exception as error:
            self._watcher.failed(self, error)
        self.usable = True
        self._watcher.joined(self)
        while True:
            await asyncio.sleep(SAMPLE_INTERVAL)
            try:
                await self._sample()
            except Exception as error:
                _log.debug("no sample of %r: %s", self, error)

    def _followed(self, task: "asyncio.Task[None]") -> None:
        """It has failed, or was cancelled."""
        if self._following is task:
            self._following = None
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self.usable = False
            self._watcher.failed(self, error)

    async def _sample(self) -> None:
        stats = await self.stats()
        load, self.capacity = load_of(stats), capacity_of(stats)
        self.load = (self.load + load) / 2 if self.usable else load  # a start is a short burst
        self.full = passed(self.full, self.load, self._watermark)
        self._watcher.sampled()

    async def stats(self) -> Any:
        """Its manager's, now."""
        async with asyncio.timeout(STATS_TIMEOUT):
            stats = await self.manager.get_stats()
        if not isinstance(stats, Mapping):
            raise SfuError("the member tells no figures")
        return stats

    # Workers

    async def spawn(self, settings: WorkerSettings) -> HostChannel:
        """See `sfu_core.channel.spawner.Spawner`. SfuError as soon as the host is lost or removed."""
        starting = self._loop.create_task(self._start(settings))
        self._starting.add(starting)
        try:
            return await starting
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if caller is not None and caller.cancelling():
                raise
            raise SfuError("the host has gone meanwhile") from None
        finally:
            self._starting.discard(starting)
            self._check_drained()

    async def _start(self, settings: WorkerSettings) -> HostChannel:
        return self._adopt(await self.manager.mediasoup.create_worker(**msgspec.structs.asdict(settings)))

    def _adopt(self, worker: Any) -> HostChannel:
        if worker.channel.place.protocol_version != PROTOCOL_VERSION:
            worker.close()
            theirs = worker.channel.place.protocol_version
            raise IncompatibleError(f"the host's workers speak protocol {theirs}, not {PROTOCOL_VERSION}")
        if not self.usable:
            worker.close()
            raise SfuError("the host has gone meanwhile")
        channel = HostChannel(worker.channel, self.pids.give(worker.pid))
        self.workers.add(channel)
        channel.on_end(lambda reason: self._worker_ended(channel, reason))
        return channel

    def _worker_ended(self, channel: HostChannel, reason: Exception | None) -> None:
        self.workers.discard(channel)
        self.pids.release(channel.pid)
        if reason is not None:
            self._watcher.worker_died(self, channel.pid, reason)
        self._check_drained()

    def _check_drained(self) -> None:
        if self.draining and self.empty and not (self._told_drained or self._ended):
            self._told_drained = True
            self._watcher.drained(self)


def check_version(theirs: str) -> None:
    """IncompatibleError unless that version and ours understand each other: the same major number, before 1.0 also
    the same minor one."""
    if _series(theirs) != _series(VERSION):
        raise IncompatibleError(f"the member has version {theirs}, which does not go with {VERSION}")


def _series(version: str) -> tuple[str, ...]:
    major, _, rest = version.partition(".")
    return (major, rest.partition(".")[0]) if major == "0" else (major,)
