"""MediasoupHorizontal: many hosts behind mediasoup's API.

Belongs to the application's event loop. Picks the host for each new worker and hands out that host's channel; no
message passes here. Members are managers of any kind, so it does not know how hosts are reached.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any, Self

from horizontal.host import Host
from horizontal.host_channel import HostChannel
from horizontal.lifecycle import ReadyState
from horizontal.pids import HOSTS, split_pid
from horizontal.placement import NODE_WATERMARK, Policy, least_loaded, passed
from horizontal.stats import reduce_stats
from sfu_core.channel.settings import WorkerSettings
from sfu_core.errors import InvalidStateError, SfuError
from sfu_core.manager import Manager, check_manager, check_percentage
from sfu_core.mediasoup import Mediasoup


class MediasoupHorizontal(Manager):
    """A manager over managers: `mediasoup` is the API, whose workers are on the least loaded hosts.

    It is a set of its members: `add`, `delete`, `has` and `in`, `clear`, `len`, iteration.

    Events: `mediasoup` (the API when enough members are there; None when the last one has gone), `connected` and
    `disconnected` with these two, `error` (exception), `hostjoin` (member), `hostlost` (member, exception),
    `hostleave` (member; it was removed, or its owner has closed or destroyed it), `hostdrained` (member), `workerdied`
    (pid, exception; unless `listen_worker_died` is off), `capacity` (how many workers make sense, when it changes),
    `nodewatermark` (load of all hosts in percent, when it passes the mark), `destroy`. `async with` destroys it at the
    end and waits for it.
    """

    def __init__(
        self,
        members: Iterable[Any] = (),
        *,
        own: bool = False,
        min_members: int = 1,
        listen_worker_died: bool = True,
        watermark_node: float = NODE_WATERMARK,
        placement: Policy = least_loaded,
        patience: float | None = None,
        app_data: Any = None,
    ) -> None:
        """Over `members`: each has `mediasoup` and `get_stats`, perhaps events.

        `own`: members are destroyed with it, or when they are removed. `min_members` must be there before it is ready.
        `listen_worker_died`: whether its workers emit `died`, and it `workerdied`. `watermark_node`: percent of a host
        above which it gets nothing new. `patience`: seconds that a member may be without connection until it counts as
        lost; default: until it gives up by itself. Needs a running event loop.
        """
        super().__init__()
        members = list(members)
        _check(members, min_members, watermark_node, patience)
        self.app_data = {} if app_data is None else app_data
        self._own = own
        self._min_members = min_members
        self._listen_worker_died = listen_worker_died
        self._watermark = watermark_node
        self._placement = placement
        self._patience = patience
        self._hosts: dict[int, Host] = {}  # by id() of the manager, which need not be hashable
        self._ending: set[asyncio.Task[None]] = set()
        self._last_number = HOSTS.start - 1
        self._ready = False
        self._crowded = False
        self._capacity = 0
        self._mediasoup = Mediasoup(self, listen_worker_died=listen_worker_died)
        for member in members:
            self.add(member)

    # What applications use

    @property
    def mediasoup(self) -> Mediasoup | None:
        """The API; None while too few members are there, and after `destroy()`."""
        return self._mediasoup if self._ready and not self._destroyed else None

    @property
    def ready_state(self) -> ReadyState:
        """4 when there is an API, else the best state of the members (0 connecting, 1 open, 2 closing, 3 closed)."""
        if self.mediasoup is not None:
            return ReadyState.CONNECTED
        states = [] if self._destroyed else [host.state for host in self.hosts]
        return min((state for state in states if state < ReadyState.CONNECTED), default=ReadyState.CLOSED)

    @property
    def hosts(self) -> list[Host]:
        """Its members with what is known of them, for looking at; oldest first."""
        return list(self._hosts.values())

    @property
    def capacity(self) -> int:
        """How many workers the hosts can carry on which new ones may be placed."""
        return sum(host.capacity for host in self.hosts if host.usable and not host.draining)

    def host_of(self, member: object) -> Host | None:
        """What is known of a member; None if it is none."""
        return self._hosts.get(id(member))

    async def get_stats(self) -> Any:
        """The sums over all members within reach, with logical pids; `capacity` is how many workers make sense."""
        hosts = [host for host in self.hosts if host.reachable]
        answers = await asyncio.gather(*(host.stats() for host in hosts), return_exceptions=True)
        total = reduce_stats(
            (stats, host.pids.logical)
            for host, stats in zip(hosts, answers, strict=True)
            if not isinstance(stats, BaseException)
        )
        return total | {"capacity": self.capacity}

    def locate(self, pid: int) -> tuple[Any, int]:
        """The member that has the worker of a logical pid, and the worker's pid there. ValueError if there is none."""
        number, own = split_pid(pid)
        for host in self.hosts:
            if host.pids.host == number:
                return host.manager, host.pids.own(pid) or own
        raise ValueError(f"{pid} is a pid on no member")

    def accepts(self, pid: int) -> bool:
        """Whether something new may go to the worker of a logical pid: its host can be reached, and does not drain."""
        return any(host.open and host.pids.own(pid) is not None for host in self.hosts)

    async def wait_destroyed(self) -> None:
        """After `destroy()`: wait until all workers have ended, and members that are its own."""
        await asyncio.gather(*self._ending)

    # As a set

    def add(self, member: Any, *, own: bool | None = None) -> Self:
        """Use a manager from now on; if it is being drained, no longer. `own`: see the constructor."""
        if self._destroyed:
            raise InvalidStateError("it was destroyed")
        check_manager(member, "member")
        if (present := self.host_of(member)) is not None:
            present.drain(False)
            self._check_capacity()
            return self
        host = Host(
            member,
            self._free_number(),
            self,
            own=self._own if own is None else own,
            watermark=self._watermark,
            patience=self._patience,
        )
        self._hosts[id(member)] = host
        host.follow()
        return self

    def delete(self, member: Any) -> bool:
        """Close the workers it has and use it no more; whether it was a member. To wait for its workers: `drain`."""
        host = self.host_of(member)
        if host is None:
            return False
        self._dismiss(host)
        self._departed(host)
        return True

    discard = delete

    def clear(self) -> None:
        """Delete all."""
        for member in list(self):
            self.delete(member)

    def has(self, member: object) -> bool:
        """Whether it is a member, usable or not."""
        return id(member) in self._hosts

    __contains__ = has

    def __iter__(self) -> Iterator[Any]:
        return iter([host.manager for host in self.hosts])

    def __len__(self) -> int:
        return len(self._hosts)

    def __bool__(self) -> bool:
        return True  # a manager is one even without members

    def drain(self, member: Any) -> None:
        """Place nothing new there; `hostdrained` comes when its last worker has closed. `add` takes it back."""
        host = self.host_of(member)
        if host is None:
            raise SfuError("it is no member")
        host.drain(True)
        self._check_capacity()

    # As a spawner of workers

    async def spawn(self, settings: WorkerSettings) -> HostChannel:
        """See `sfu_core.channel.spawner.Spawner`: on the least loaded host, or the next one if that fails."""
        tried: list[Host] = []
        while True:
            hosts = [host for host in self.hosts if host.open and host not in tried]
            if self._destroyed:
                raise InvalidStateError("it was destroyed")
            if not hosts:
                raise SfuError("there is no host for a worker")
            host = hosts[self._placement([each.candidate() for each in hosts])]
            tried.append(host)
            try:
                return await host.spawn(settings)
            except SfuError as error:
                if not any(each.open and each not in tried for each in self.hosts):
                    raise
                self.failed(host, error)

    # As the watcher of its hosts

    def joined(self, host: Host) -> None:
        self._tell("hostjoin", host.manager)
        self._check_capacity()
        if not self._ready and sum(each.usable for each in self.hosts) >= self._min_members:
            self._ready = True
            self._tell("mediasoup", self._mediasoup)
            self._tell("connected")

    def lost(self, host: Host, reason: Exception) -> None:
        self._check_capacity()
        self._tell("hostlost", host.manager, reason)
        self._check_ready()

    def left(self, host: Host) -> None:
        if getattr(host.manager, "destroyed", False):
            self._dismiss(host)
        self._departed(host)

    def drained(self, host: Host) -> None:
        self._tell("hostdrained", host.manager)

    def worker_died(self, host: Host, pid: int, reason: Exception) -> None:
        if self._listen_worker_died:
            self._tell("workerdied", pid, reason)

    def failed(self, host: Host, error: Exception) -> None:
        self._tell("error", error)

    def sampled(self) -> None:
        hosts = [host for host in self.hosts if host.usable]
        load = sum(host.load * host.capacity for host in hosts) / max(1, sum(host.capacity for host in hosts))
        self._check_capacity()
        before, self._crowded = self._crowded, passed(self._crowded, load, self._watermark)
        if self._crowded and not before:
            self._tell("nodewatermark", load)

    # Inside

    def _end(self) -> None:
        """All workers; members stay, unless they are its own."""
        for host in self.hosts:
            self._dismiss(host)
        if self._ready:
            self.emit("mediasoup", None)

    def _dismiss(self, host: Host) -> None:
        """Out of the set; its workers may take a moment to end."""
        self._hosts.pop(id(host.manager), None)
        host.leave()
        ending = asyncio.ensure_future(host.ended())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _departed(self, host: Host) -> None:
        self._check_capacity()
        self._tell("hostleave", host.manager)
        self._check_ready()

    def _check_capacity(self) -> None:
        """Whoever is built on top of it may want more workers, or must do with fewer."""
        before, self._capacity = self._capacity, self.capacity
        if self._capacity != before:
            self._tell("capacity", self._capacity)

    def _check_ready(self) -> None:
        """The last one has gone?"""
        if self._ready and not any(host.usable for host in self.hosts):
            self._ready = False
            self._tell("mediasoup", None)
            self._tell("disconnected")

    def _free_number(self) -> int:
        """The next one round; a number is used again as late as possible."""
        taken = {host.pids.host for host in self.hosts}
        for step in range(len(HOSTS)):
            number = HOSTS[(self._last_number + 1 - HOSTS.start + step) % len(HOSTS)]
            if number not in taken:
                self._last_number = number
                return number
        raise SfuError(f"more than {len(HOSTS)} members")


def _check(members: list[object], min_members: object, watermark: object, patience: object) -> None:
    """TypeError for what is wrong, before anything has begun."""
    for member in members:
        check_manager(member, "member")
    if type(min_members) is not int or min_members < 1:
        raise TypeError("min_members is not a positive number")
    check_percentage(watermark, "watermark_node")
    if patience is not None and (type(patience) not in (int, float) or patience < 0):  # type: ignore[operator]
        raise TypeError("patience is no number of seconds")
