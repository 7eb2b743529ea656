"""Cores of a vertical with the switch in this process, so that a test says where things go and can look inside."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sfu_core.channel.process import ProcessSpawner
from sfu_core.cores import usable_cpus
from sfu_core.mediasoup import Mediasoup
from vertical.cluster import Cluster, OwnCores
from vertical.members import Member
from vertical.placement import Candidate

from .processes import TARGETS


class House:
    """`places` is where the next transports go, by index of the core; the last one is kept."""

    def __init__(self, count: int, target: str) -> None:
        self.places = [0]
        self.died: list[tuple[int, Exception, float]] = []
        self.ends: list[Callable[[], None]] = []
        self.cluster = Cluster(
            OwnCores(usable_cpus()[:count], ProcessSpawner(target=f"{TARGETS}:{target}")),
            count,
            policy=self._choose,
            on_core_died=self._core_died,
        )
        self.worker: Any = None

    @property
    def members(self) -> list[Member]:
        """Those that live, by index."""
        return self.cluster.members

    def member(self, index: int) -> Member:
        return next(member for member in self.members if member.index == index)

    def core_of(self, transport: Any) -> int:
        """The index of the core that carries it."""
        return int(self.worker.channel._operations.tree.objects[transport.id].member.index)

    def stats_of(self, index: int) -> Any:
        """Counters of one core."""
        from sfu_core.channel.messages import WorkerGetCoreStats

        return self.member(index).channel.request(WorkerGetCoreStats())

    async def watched(self) -> None:
        """All cores share their memory."""
        async with asyncio.timeout(10):
            while not all(member.memory for member in self.members):
                await asyncio.sleep(0.01)

    def _choose(self, candidates: Any) -> int:
        assert all(isinstance(each, Candidate) for each in candidates)
        wanted = self.places.pop(0) if len(self.places) > 1 else self.places[0]
        return min(wanted, len(candidates) - 1)

    def _core_died(self, pid: int, reason: Exception) -> None:
        self.died.append((pid, reason, time.monotonic()))
        for end in self.ends:
            end()


@asynccontextmanager
async def house(count: int = 2, target: str = "run") -> AsyncIterator[House]:
    """With one logical worker; afterwards everything has ended."""
    each = House(count, target)
    each.worker = await Mediasoup(each.cluster).create_worker()
    try:
        yield each
    finally:
        each.cluster.close()
        await each.cluster.ended()


def send_signal(member: Member, number: int) -> float:
    """When it was sent."""
    now = time.monotonic()
    os.kill(member.pid, number)
    return now
