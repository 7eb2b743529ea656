"""Starts logical workers: for each set of settings one pool of cores, shared by all that have these settings.

Belongs to one event loop. Knows where cores come from, not what is done with them.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

import msgspec

from sfu_core.channel import messages as m
from sfu_core.channel.channel import Channel
from sfu_core.channel.process import ProcessSpawner
from sfu_core.channel.settings import WorkerSettings
from sfu_core.channel.spawner import Spawner
from sfu_core.errors import SfuError, WorkerClosedError
from sfu_core.stats import capacity_of
from vertical.members import Member, Pool
from vertical.pipes import MakeLink
from vertical.placement import NODE_WATERMARK, WATERMARK, Policy, node_load, passed
from vertical.ports import Ports
from vertical.rings import best_link
from vertical.switch import Switch

DESCRIBE_TIMEOUT: Final = 0.5
"""Seconds that a core has to tell its counters; it is shown without them otherwise."""

_DEFAULTS: Final = WorkerSettings()


class Source(Protocol):
    """Where cores come from."""

    @property
    def logs_by_itself(self) -> bool:
        """Whether what its cores log reaches the application without us."""
        ...

    async def capacity(self) -> int:
        """How many cores there can be now, at least one."""
        ...

    def accepts(self, pid: int) -> bool:
        """Whether something new may be placed on the core of that pid."""
        ...

    async def spawn(self, index: int, settings: WorkerSettings) -> tuple[Channel, int]:
        """Starts a core on the processor of that number (they go round); its channel, and the pid of its process."""
        ...


class OwnCores:
    """Processes on this host, each on a processor of its own if there are several."""

    logs_by_itself = False

    def __init__(self, cpus: list[int], spawner: Spawner | None = None) -> None:
        self._cpus = cpus
        self._spawner = spawner or ProcessSpawner()

    async def capacity(self) -> int:
        return len(self._cpus)

    def accepts(self, pid: int) -> bool:
        return True

    async def spawn(self, index: int, settings: WorkerSettings) -> tuple[Channel, int]:
        if "cpu" in settings.engine:
            raise TypeError("wrong settings: engine.cpu: the cores of a vertical are pinned already")
        if len(self._cpus) > 1:
            engine = settings.engine | {"cpu": self._cpus[index % len(self._cpus)]}
            settings = msgspec.structs.replace(settings, engine=engine)
        channel = await self._spawner.spawn(settings)
        try:
            return channel, (await channel.request(m.WorkerDump())).pid
        except BaseException:
            channel.close()
            raise


class BaseWorkers:
    """Workers of another manager, each used as a core."""

    logs_by_itself = True

    def __init__(self, manager: Any) -> None:
        """`manager`: what has `mediasoup` and `get_stats`."""
        self._manager = manager

    async def capacity(self) -> int:
        return capacity_of(await self._manager.get_stats())

    def accepts(self, pid: int) -> bool:
        return not hasattr(self._manager, "accepts") or bool(self._manager.accepts(pid))

    async def spawn(self, index: int, settings: WorkerSettings) -> tuple[Channel, int]:
        mediasoup = self._manager.mediasoup
        if mediasoup is None:
            raise SfuError("the manager below has no mediasoup now")
        worker = await mediasoup.create_worker(**msgspec.structs.asdict(settings))
        return worker.channel, worker.pid


class Cluster:
    """A spawner of logical workers."""

    def __init__(
        self,
        source: Source,
        count: int | None = None,
        *,
        settings: WorkerSettings = _DEFAULTS,
        watermark: float = WATERMARK,
        node_watermark: float = NODE_WATERMARK,
        policy: Policy | None = None,
        make_link: MakeLink | None = None,
        on_core_died: Callable[[int, Exception], None] = lambda pid, reason: None,
        on_error: Callable[[Exception], None] = lambda error: None,
        on_crowded: Callable[[float], None] = lambda load: None,
    ) -> None:
        """As many cores a pool as `source` can give, at most `count`.

        `settings` apply where an application leaves mediasoup's default.

        `on_crowded` is called with the node's load each time it passes `node_watermark`.
        """
        self._source = source
        self._limit = count
        self._count = 1
        self._settings = settings
        self._watermark = watermark
        self._node_watermark = node_watermark
        self._policy = policy
        self._make_link = make_link or best_link
        self._on_core_died = on_core_died
        self._on_error = on_error
        self._on_crowded = on_crowded
        self._pools: dict[bytes, asyncio.Task[Pool]] = {}
        self._waiting: Counter[bytes] = Counter()
        self._switches: set[Switch] = set()
        self._crowded = False
        self._closed = False

    host_pid = None
    """It needs no process of its own."""

    @property
    def members(self) -> list[Member]:
        """All cores there are."""
        return [member for pool in self._running() for member in pool.members]

    @property
    def switches(self) -> list[Switch]:
        """All logical workers that are not closed."""
        return [switch for switch in self._switches if not switch.closed]

    async def cores(self) -> list[m.CoreInfo]:
        """All cores there are, and what they carry."""
        return await asyncio.gather(*map(self._describe, self.members))

    async def core_of(self, transport_id: str) -> int | None:
        """The pid of the core that carries a transport, None if there is no such transport."""
        found = (switch.member_of(transport_id) for switch in self.switches)
        return next((member.pid for member in found if member is not None), None)

    async def spawn(self, settings: WorkerSettings, pid: int | None = None) -> Switch:
        """A logical worker (see `sfu_core.channel.spawner.Spawner`); without `pid` it gets one that no process has."""
        settings = with_defaults(settings, self._settings)
        while True:
            if self._closed:
                raise WorkerClosedError("the manager was destroyed")
            pool = await self._pool(_key_of(settings), settings)
            if not (pool.closed or self._closed):
                break
        switch = Switch(pool, self._make_link, pid)
        self._switches.add(switch)
        switch.on_end(lambda _: self._switches.discard(switch))
        try:
            if (settings.log_level, settings.log_tags) != (_DEFAULTS.log_level, _DEFAULTS.log_tags):
                logs = m.WorkerUpdateSettings(log_level=settings.log_level, log_tags=list(settings.log_tags))
                await pool.update(logs)
        except BaseException:
            switch.close()
            raise
        return switch

    def resize(self, capacity: int) -> None:
        """The source can give so many cores now: more are started, or of those that die fewer are replaced."""
        self._count = self._limited(capacity)
        for pool in self._running():
            pool.resize(self._count)

    def _limited(self, capacity: int) -> int:
        return capacity if self._limit is None else min(capacity, self._limit)

    def close(self) -> None:
        """Close all logical workers, and with them the cores. May be repeated."""
        self._closed = True
        for switch in self.switches:
            switch.close()
        for starting in self._pools.values():
            starting.add_done_callback(_close_if_unused)

    async def ended(self) -> None:
        """After `close()`: wait for the end of everything."""
        pools = await asyncio.gather(*self._pools.values(), return_exceptions=True)
        await asyncio.gather(*(switch.ended() for switch in list(self._switches)))
        await asyncio.gather(*(pool.ended() for pool in pools if isinstance(pool, Pool)))

    # As the watcher of its pools

    def core_died(self, member: Member, reason: Exception) -> None:
        self._on_core_died(member.pid, reason)

    def core_failed(self, error: Exception) -> None:
        self._on_error(error)

    def accepts(self, member: Member) -> bool:
        return self._source.accepts(member.pid)

    def sampled(self) -> None:
        load = node_load([member.measured for member in self.members], self._count)
        before, self._crowded = self._crowded, passed(self._crowded, load, self._node_watermark)
        if self._crowded and not before:
            self._on_crowded(load)

    # Inside

    async def _pool(self, key: bytes, settings: WorkerSettings) -> Pool:
        """Running, or being started: one for all who ask meanwhile. If nobody waits any more, it ends again."""
        starting = self._pools.get(key)
        if starting is None or _is_over(starting):
            starting = self._pools[key] = asyncio.get_running_loop().create_task(self._start(settings))
        self._waiting[key] += 1
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            if self._waiting[key] == 1:
                starting.add_done_callback(_close_if_unused)
            raise
        finally:
            self._waiting[key] -= 1

    async def _start(self, settings: WorkerSettings) -> Pool:
        others = sum(not _is_over(each) for each in self._pools.values()) - 1
        self._count = self._limited(await self._source.capacity())
        pool = Pool(
            lambda index: self._source.spawn(index + others, settings),  # each pool fills another core first
            self._count,
            self,
            policy=self._policy,
            watermark=self._watermark,
            forward_logs=not self._source.logs_by_itself,
        )
        pool.ports = Ports((settings.rtc_min_port, settings.rtc_max_port), pool.run)
        await pool.start()
        return pool

    async def _describe(self, member: Member) -> m.CoreInfo:
        counters: dict[str, int] = {}
        with suppress(SfuError, TimeoutError):  # it may be about to end
            async with asyncio.timeout(DESCRIBE_TIMEOUT):
                counters = await member.counters()
        users = [switch for switch in self.switches if member in switch.members]
        return m.CoreInfo(
            index=member.index,
            pid=member.pid,
            load=member.load,
            transports=member.transports,
            producers=sum(switch.producers_on(member) for switch in users),
            consumers=sum(switch.consumers_on(member) for switch in users),
            pipes=sum(switch.piped_to(member) for switch in users),
            links=sum(switch.pipes.links_of(member) for switch in users),
            workers=[switch.pid for switch in users],
            counters=counters,
        )

    def _running(self) -> list[Pool]:
        return [task.result() for task in self._pools.values() if task.done() and not _is_over(task)]


def with_defaults(given: WorkerSettings, ours: WorkerSettings) -> WorkerSettings:
    """`given`, with `ours` where it has mediasoup's default."""
    changes = {
        name: getattr(ours, name)
        for name in WorkerSettings.__struct_fields__
        if getattr(given, name) == getattr(_DEFAULTS, name)
    }
    return msgspec.structs.replace(given, **changes)


def _key_of(settings: WorkerSettings) -> bytes:
    """The same for settings that can share cores; what is logged can be changed, so it does not count."""
    same = msgspec.structs.replace(settings, log_level="", log_tags=())
    return msgspec.json.encode(same, order="deterministic")


def _is_over(starting: "asyncio.Task[Pool]") -> bool:
    """It failed, or the pool has closed since."""
    return starting.done() and (starting.cancelled() or starting.exception() is not None or starting.result().closed)


def _close_if_unused(starting: "asyncio.Task[Pool]") -> None:
    if not _is_over(starting):
        starting.result().close_if_unused()
