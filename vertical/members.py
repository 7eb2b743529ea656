"""The cores that logical workers share: started together, watched, sampled, replaced when they die.

Belongs to one event loop. Knows channels and their ends; nothing of routers or of what is placed.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from sfu_core.channel import messages as m
from sfu_core.channel.channel import Channel
from sfu_core.channel.place import Place
from sfu_core.channel.process import ProcessChannel
from sfu_core.errors import SfuError, WorkerClosedError
from vertical.placement import WATERMARK, Candidate, Policy, fill_first, passed
from vertical.pulse import END_NOTICED, CoreHungError, memory_of, standstill

if TYPE_CHECKING:
    from sfu_core._slab_read import SlabReader
    from vertical.ports import Ports
    from vertical.tree import MirrorTransport

SAMPLE_INTERVAL: Final = 1.0
FENCE_TIMEOUT: Final = 2.0
RETRY_DELAYS: Final = (0.05, 0.2, 1.0, 5.0)
"""Seconds before each further try to replace a core; the last one is repeated."""

_log = logging.getLogger(__name__)


class Member:
    """A core, its channel and its load (percent of one core)."""

    def __init__(self, index: int, channel: Channel, pid: int) -> None:
        self.index = index
        self.channel = channel
        self.pid = pid
        self.measured = 0.0
        self.predicted = 0.0
        self.full = False
        self.transports = 0
        self.retired = False
        """It was closed because its host is to be left."""
        self.rings: dict[Member, asyncio.Future[str]] = {}
        """Shared memory with neighbours: the ids, perhaps still being made."""
        self.memory: SlabReader | None = None
        """Its media state; still there when it has ended, until all have been told."""
        self._told = 0
        self._done = 0
        self._busy: tuple[float, float] | None = None  # seconds at work, and the clock when they were read

    def __repr__(self) -> str:
        return f"<Member {self.index} (process {self.pid}) {self.load:.1f} %>"

    @property
    def alive(self) -> bool:
        """Whether it takes requests."""
        return not self.channel.closed

    @property
    def place(self) -> Place:
        """Where it runs."""
        return self.channel.place

    @property
    def load(self) -> float:
        """The last sample, and what was placed since."""
        return self.measured + self.predicted

    def tell(self, message: m.Request[Any], target_id: str = "") -> None:
        """Ask it to close something, without waiting; what is asked later is carried out later."""
        self._told += 1
        self.channel.post(message, target_id)

    async def fence(self) -> None:
        """Wait until it has carried out what it was told, but not for ever. A core that has died has, too."""
        told = self._told
        if told > self._done:
            with suppress(SfuError, TimeoutError):
                async with asyncio.timeout(FENCE_TIMEOUT):
                    await self.channel.request(m.WorkerGetResourceUsage())
            self._done = max(self._done, told)

    async def close_ring(self, ring: "asyncio.Future[str]") -> None:
        """Its other end is dead. Links that were being made through it meanwhile end first."""
        with suppress(SfuError):
            ring_id = await ring
            for delay in RETRY_DELAYS:
                try:
                    return await self.channel.request(m.WorkerCloseRing(ring_id=ring_id))
                except WorkerClosedError:
                    return
                except SfuError:
                    await asyncio.sleep(delay)

    def candidate(self, has_room: bool) -> Candidate:
        """As a policy sees it."""
        return Candidate(load=self.load, full=self.full, has_room=has_room, transports=self.transports)

    async def sample(self, watermark: float) -> None:
        """Measure; what was predicted is in the measurement from then on."""
        predicted = self.predicted
        busy, now = await self._seconds_at_work(), asyncio.get_running_loop().time()
        if self._busy is not None and now > self._busy[1]:
            self.measure(100 * (busy - self._busy[0]) / (now - self._busy[1]), predicted, watermark)
        self._busy = busy, now

    def measure(self, load: float, predicted: float, watermark: float) -> None:
        """A new sample, which has in it what had been `predicted` when it was taken."""
        self.measured = max(0.0, load)
        self.predicted = max(0.0, self.predicted - predicted)
        self.full = passed(self.full, self.measured, watermark)

    async def counters(self) -> dict[str, int]:
        """Of its media thread, if it tells."""
        if m.WorkerGetCoreStats.METHOD not in self.place.extensions:
            return {}
        return (await self.channel.request(m.WorkerGetCoreStats())).counters

    async def _seconds_at_work(self) -> float:
        """Of the media thread where the core tells, else of the whole process."""
        if "busyNs" in (counters := await self.counters()):
            return counters["busyNs"] / 1e9
        usage = await self.channel.request(m.WorkerGetResourceUsage())
        return (usage.ru_utime + usage.ru_stime) / 1e3


class Tenant(Protocol):
    """A logical worker, as its members see it."""

    def core_died(self, member: Member) -> None:
        """What it had on that member is gone."""
        ...

    def log(self, line: str) -> None:
        """A member has logged; the first character is the level."""
        ...


class Watcher(Protocol):
    """Who wants to know how the cores fare."""

    def core_died(self, member: Member, reason: Exception) -> None:
        """It ended unasked; a replacement is being started."""
        ...

    def core_failed(self, error: Exception) -> None:
        """A replacement could not be started; another try follows."""
        ...

    def sampled(self) -> None:
        """The loads are new."""
        ...

    def accepts(self, member: "Member") -> bool:
        """Whether something new may be placed there."""
        ...


Spawn = Callable[[int], Awaitable[tuple[Channel, int]]]
"""Starts the member of an index: its channel and the pid of its process."""


class Pool:
    """Cores with the same settings. They end when the last logical worker has left."""

    def __init__(
        self,
        spawn: Spawn,
        count: int,
        watcher: Watcher,
        *,
        policy: Policy | None = None,
        watermark: float = WATERMARK,
        forward_logs: bool = True,
    ) -> None:
        """`forward_logs`: nobody else listens to what the members log."""
        self.watermark = watermark
        self.policy: Policy = policy or (lambda candidates: fill_first(candidates, watermark))
        self.mirror_group = uuid.uuid4().hex
        self.mirror_ends: dict[str, MirrorTransport] = {}
        """By id, of all logical workers (see `vertical.mirrors`)."""
        self._spawn = spawn
        self._count = count
        self._replacing: set[int] = set()
        self._watcher = watcher
        self._forward_logs = forward_logs
        self._members: dict[int, Member] = {}
        self._tenants: list[Tenant] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Event()
        self._settings = m.WorkerUpdateSettings()
        self._closed = False
        self.ports: Ports | None = None
        """What members share the ports of, if they can."""

    @property
    def members(self) -> list[Member]:
        """Those alive, by index."""
        return [member for _, member in sorted(self._members.items()) if member.alive]

    @property
    def closed(self) -> bool:
        """Nobody can join any more."""
        return self._closed

    # Coming and going

    async def start(self) -> None:
        """Start all members. If one cannot be started none is left, and its error is raised."""
        started = await asyncio.gather(*map(self._spawn, range(self._count)), return_exceptions=True)
        cores = [core for core in started if not isinstance(core, BaseException)]
        failures = [failure for failure in started if isinstance(failure, BaseException)]
        if failures:
            for channel, _ in cores:
                channel.close()
            await asyncio.gather(*(channel.ended() for channel, _ in cores))
            self._closed = True
            raise failures[0]
        for index, (channel, pid) in enumerate(cores):
            self._adopt(index, channel, pid)

    def resize(self, count: int) -> None:
        """So many members from now on. None is ended; of those that die only as many are replaced as are missing."""
        self._count = count
        for index in {*range(count)} - self._members.keys():
            self._replace(index)
        self._arrived.set()  # whoever waits looks again

    def join(self, tenant: Tenant) -> None:
        """A logical worker uses the members from now on."""
        self._tenants.append(tenant)

    async def leave(self, tenant: Tenant) -> None:
        """It does not any more. Waits for the members' end if it was the last."""
        self._tenants.remove(tenant)
        self.close_if_unused()
        if self._closed:
            await self.ended()

    def close_if_unused(self) -> None:
        """End all members unless there is a logical worker on them."""
        if self._tenants or self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        for member in self._members.values():
            member.channel.close()
        if self.ports is not None:
            self.ports.close_all()

    async def ended(self) -> None:
        """Once closed: wait for the members' end."""
        channels = [member.channel for member in self._members.values()]
        await asyncio.gather(*self._tasks, *(channel.ended() for channel in channels), return_exceptions=True)

    async def update(self, message: m.WorkerUpdateSettings) -> None:
        """What all members log, also those that come later."""
        if message.log_level is not None:
            self._settings.log_level = message.log_level
        if message.log_tags is not None:
            self._settings.log_tags = message.log_tags
        await self.ask_all(message)

    async def ask_all(self, message: m.Request[m.R]) -> Sequence[m.R]:
        """The answers of all members that live to give one."""
        answers = await asyncio.gather(
            *(member.channel.request(message) for member in self.members), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, WorkerClosedError):
                raise answer
        return [answer for answer in answers if not isinstance(answer, BaseException)]

    # Choosing

    async def choose(self, has_room: Callable[[Member], bool], fits: Callable[[Member], bool] = bool) -> Member:
        """The member for something new; waits for a replacement if all have died. SfuError if none `fits` (all do)."""
        while not (members := self.members):
            if self._closed:
                raise WorkerClosedError("the cores have ended")
            if not self._count:
                raise SfuError("there is no host for it now")
            self._arrived.clear()
            await self._arrived.wait()
        if not (members := [*filter(fits, members)]):
            raise SfuError("none of the cores there are can have it")
        members = [member for member in members if self._watcher.accepts(member)] or members
        return members[self.policy([member.candidate(has_room(member)) for member in members])]

    # What happens to members

    def _adopt(self, index: int, channel: Channel, pid: int) -> None:
        member = self._members[index] = Member(index, channel, pid)
        if self._forward_logs:
            channel.on_log(self._log)
        watching = [self.run(self._sample(member)), self.run(self._watch(member))]
        channel.on_end(lambda reason: self._ended(member, watching, reason))
        if self.ports is not None:
            self.ports.arrived(member)
        self._arrived.set()

    def _log(self, line: str) -> None:
        """To the oldest logical worker: a line shall not come twice."""
        if self._tenants:
            self._tenants[0].log(line)

    def _ended(self, member: Member, watching: "list[asyncio.Task[None]]", reason: Exception | None) -> None:
        for task in watching:
            task.cancel()
        if not self._closed:
            self._lose(member, reason)
        if member.memory is not None:
            member.memory.close()

    def _lose(self, member: Member, reason: Exception | None) -> None:
        del self._members[member.index]
        if self.ports is not None:
            self.ports.gone(member)
        if not member.retired:
            self._watcher.core_died(member, reason or SfuError("its channel was closed"))
        for tenant in list(self._tenants):
            tenant.core_died(member)
        for neighbour, ring in member.rings.items():
            neighbour.rings.pop(member, None)
            self.run(neighbour.close_ring(ring))
        self._replace(member.index)

    def _replace(self, index: int) -> None:
        if not self._closed and index not in self._replacing:
            self._replacing.add(index)
            self.run(self._start_again(index))

    async def _start_again(self, index: int) -> None:
        """Unless there are enough without it, by now."""
        tries = 0
        while len(self._members) < self._count:
            try:
                channel, pid = await self._spawn(index)
            except Exception as error:
                self._watcher.core_failed(error)
                await asyncio.sleep(RETRY_DELAYS[min(tries, len(RETRY_DELAYS) - 1)])
                tries += 1
                continue
            if len(self._members) >= self._count:
                channel.close()
                break
            self._adopt(index, channel, pid)
            if self._settings != m.WorkerUpdateSettings():
                channel.post(self._settings)
            break
        self._replacing.discard(index)

    async def _sample(self, member: Member) -> None:
        while member.alive:
            try:
                await member.sample(self.watermark)
            except SfuError as error:
                _log.debug("no sample of %r: %s", member, error)
            self._watcher.sampled()
            if self._unwanted(member):
                await member.fence()
                member.retired = self._unwanted(member)
            if member.retired:
                member.channel.close()
            await asyncio.sleep(SAMPLE_INTERVAL)

    def _unwanted(self, member: Member) -> bool:
        """A host that takes nothing new, and does not count any more, is left when nothing of ours is there."""
        busy = any(each.transports for each in self.members if each.place.shares_host_with(member.place))
        alive = member.alive  # if not it has just been lost, which is a death
        return alive and len(self._members) > self._count and not (busy or self._watcher.accepts(member))

    async def _watch(self, member: Member) -> None:
        """Kill it if it hangs: then it ends like others that die."""
        if not isinstance(member.channel, ProcessChannel):
            return
        try:
            member.memory = memory = await memory_of(member.channel)
            if memory is None:
                return
            await standstill(lambda: memory.ticks)
        except TimeoutError:  # it has not given it for longer than a control thread may be stuck
            pass
        except (SfuError, OSError, ValueError) as error:
            await asyncio.sleep(END_NOTICED)  # if that is why, this task ends here
            _log.warning("no memory of %r, so nobody sees it hang: %s", member, error)
            return
        member.channel.condemn(CoreHungError(member.pid))

    def run(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """As a task that ends with the members."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
