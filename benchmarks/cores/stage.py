"""What the measurements of many cores share: rooms, whose packets they carry, and the CPU time of those who do.

Knows the public API and /proc only, so it measures one core and many alike.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any, Self

from sfu.bench import traffic
from sfu.bench.cpu import CpuTime, ProcessClock, pin
from sfu.bench.engine import CODECS, HOST, published, random_key
from sfu.bench.forward import SUITES
from sfu.bench.load import Address, LoadProcess
from sfu_core import mediasoup
from vertical import MediasoupVertical
from vertical import spread as evenly

SIZE = 1200
TICK = 0.002  # s between two looks of a sink: it is neither woken by senders nor does it take a CPU of its own
_WARM_UP = 0.5
_RATES = ("wakes", "ticks", "sends", "linkPackets", "linkPublications", "linkBells", "datagramsIn")

LISTEN: dict[str, Any] = {"protocol": "udp", "ip": HOST}


def cpus() -> list[int]:
    """Those that may be used, and so the cores that can be measured."""
    return sorted(os.sched_getaffinity(0))


async def core_pids(vertical: Any, count: int) -> list[int]:
    """The core processes of a vertical (the only place here that asks for them). RuntimeError if it has fewer."""
    pids = [core.pid for core in await vertical.cores()]
    if len(pids) != count:
        raise RuntimeError(f"{count} cores are to be measured, and there are {len(pids)}")
    return pids


@dataclass(frozen=True)
class Shape:
    """Who hears whom: one publisher and its subscribers, or (`mutual`) everybody all others."""

    people: int
    mutual: bool = False

    @property
    def name(self) -> str:
        return f"{self.people}x{self.people}" if self.mutual else f"1x{self.people}"

    @property
    def publishers(self) -> int:
        return self.people if self.mutual else 1

    @property
    def streams(self) -> int:
        """Consumers."""
        return self.people * (self.people - 1) if self.mutual else self.people

    def mesh(self, cores: int) -> int:
        """Pipes if every producer went to every other core, wanted or not."""
        return self.publishers * (cores - 1)

    def share(self, cores: int) -> Shape:
        """The room that gives one core as many streams as it has of this one on `cores`."""
        if not self.mutual:
            return Shape(max(1, self.people // cores))
        sizes = range(2, self.people + 1)
        return min((Shape(n, True) for n in sizes), key=lambda one: abs(one.streams * cores - self.streams))


class Room:
    """A router on a worker; people are plain transports."""

    def __init__(self, router: Any) -> None:
        self.router = router
        self.sources: list[Address] = []

    @classmethod
    async def open(cls, worker: Any, shape: Shape, sinks: Sequence[Address], kind: str, suite: str) -> Self:
        """Publishers first, so that a policy that takes turns spreads both kinds of transports over the cores."""
        room = cls(await worker.create_router(media_codecs=CODECS))
        producers = [await room._publish(kind) for _ in range(shape.publishers)]
        for person, sink in enumerate(sinks):
            others = [each for index, each in enumerate(producers) if not (shape.mutual and index == person)]
            await room._subscribe(sink, SUITES[suite], others)
        return room

    async def _publish(self, kind: str) -> Any:
        ingress = await self.router.create_plain_transport(listen_info=LISTEN, rtcp_mux=True, comedia=True)
        self.sources.append((HOST, int(ingress.tuple["localPort"])))
        return await ingress.produce(kind=kind, rtp_parameters=published(kind))

    async def _subscribe(self, sink: Address, suite: str | None, producers: Sequence[Any]) -> None:
        options = {"enable_srtp": True, "srtp_crypto_suite": suite} if suite else {}
        keys = {"srtp_parameters": random_key(suite)} if suite else {}
        egress = await self.router.create_plain_transport(listen_info=LISTEN, rtcp_mux=True, **options)
        await egress.connect(ip=sink[0], port=sink[1], **keys)
        for producer in producers:
            await egress.consume(producer_id=producer.id, rtp_capabilities=self.router.rtp_capabilities)


class Clocks:
    """CPU time of several processes."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._clocks = [ProcessClock(pid) for pid in pids]

    def lap(self) -> CpuTime:
        """Since the last one: sums, but of the waiting the longest."""
        laps = [clock.lap() for clock in self._clocks]
        return CpuTime(
            sum(lap.process for lap in laps), sum(lap.thread for lap in laps), max(lap.waited for lap in laps)
        )


def spread(values: Sequence[float], digits: int = 3) -> list[float]:
    """Lower quartile, median, upper quartile; of few values the lowest and the highest."""
    ends = quantiles(values, n=4) if len(values) > 3 else [min(values), 0, max(values)]
    return [round(value, digits) for value in (ends[0], median(values), ends[2])]


@dataclass
class Turn:
    """What a turn used and delivered; counters of all cores, per second."""

    cpu: CpuTime
    delivered: int
    expected: int
    seconds: float
    counters: dict[str, float]

    @property
    def cost(self) -> float:
        """ns of the media threads for a delivered packet."""
        return self.cpu.thread / self.delivered


@dataclass
class Side:
    """Rooms on workers, the clocks of their processes, and their load."""

    workers: Sequence[Any]
    clocks: Clocks
    load: LoadProcess
    fan_out: int
    turns: list[Turn] = field(default_factory=list)

    async def turn(self, seconds: float) -> Turn:
        before = await self._counters()
        self.clocks.lap()
        run = await self.load.run(seconds, tick=TICK)
        used, after = self.clocks.lap(), await self._counters()
        sent, received = run["sent"], run["received"]
        assert sent and received
        rates = {name: (after[name] - before[name]) / seconds for name in _RATES if name in after}
        return Turn(used, max(received["packets"], 1), sent["packets"] * self.fan_out, seconds, rates)

    async def _counters(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for worker in self.workers:
            total.update(await worker.get_core_stats())
        return total


@asynccontextmanager
async def one_room(shape: Shape, cores: int, rate: float, suite: str, *, timed: bool = False) -> AsyncIterator[Side]:
    """On a vertical of so many cores, everybody placed in turn."""
    async with MediasoupVertical(max_workers=cores, placement=evenly) as vertical:
        assert vertical.mediasoup is not None
        worker = await vertical.mediasoup.create_worker()
        pids = await core_pids(vertical, cores)
        if cores == 1:
            pin(pids[0], {cpus()[0]})
        async with _loaded([worker], pids, [shape], rate, suite, timed) as side:
            yield side


@asynccontextmanager
async def rooms_alone(shape: Shape, cores: int, rate: float, suite: str, *, timed: bool = False) -> AsyncIterator[Side]:
    """On so many workers, that know nothing of each other, each on a CPU of its own."""
    workers = [await mediasoup.create_worker() for _ in range(cores)]
    try:
        for cpu, worker in zip(cpus(), workers, strict=False):
            pin(worker.pid, {cpu})
        shapes, pids = [shape.share(cores)] * cores, [worker.pid for worker in workers]
        async with _loaded(workers, pids, shapes, rate, suite, timed) as side:
            yield side
    finally:
        for worker in workers:
            worker.close()


@asynccontextmanager
async def _loaded(
    workers: Sequence[Any], pids: Sequence[int], shapes: Sequence[Shape], rate: float, suite: str, timed: bool
) -> AsyncIterator[Side]:
    """A room of each shape on each worker; together they deliver `rate` packets a second, `timed` with their delays."""
    free = set(cpus()[len(pids) :]) or set(cpus())
    async with await LoadProcess.start(free) as load:
        sinks = await load.open_sinks(sum(shape.people for shape in shapes), timed=timed)
        sources: list[Address] = []
        taken = 0
        for worker, shape in zip(workers, shapes, strict=True):
            room = await Room.open(worker, shape, sinks[taken : taken + shape.people], "video", suite)
            sources += room.sources
            taken += shape.people
        streams = sum(shape.streams for shape in shapes)
        await load.open_source()
        await load.load(traffic.steady(SIZE, rate / streams), sources, stamped=timed, staggered=True)
        side = Side(workers, Clocks(pids), load, streams // len(sources))
        await side.turn(_WARM_UP)
        yield side
