"""The forwarding benchmark: CPU time of the engine for a packet it delivers, beside the floor of the same run.

Engine and floor take turns, round by round, on the same CPU and with the same sinks, so that a noisy minute
falls on both; reported are medians, and the median of the rounds' ratios.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from sfu.bench import traffic
from sfu.bench.cpu import CpuTime, ProcessClock, split_cpus
from sfu.bench.engine import Forwarder
from sfu.bench.load import Address, LoadProcess

SUITES = {"plain": None, "gcm": "AEAD_AES_128_GCM", "cm": "AES_CM_128_HMAC_SHA1_80"}
PATTERNS = ("lone", "burst", "video")
BURST = 8
DELIVERED_PER_SECOND = 50_000
_TRIES = 5
_START_UP = 0.3  # s before a round is measured: RTCP, key frame request, caches


@dataclass(frozen=True)
class Scenario:
    """What is forwarded to how many; `size` is bytes of RTP payload (0: as captured)."""

    pattern: str
    size: int
    fan_out: int
    suite: str

    @property
    def name(self) -> str:
        size = f"{self.size} B" if self.size else "720p"
        return f"{self.pattern} {size} x{self.fan_out} {self.suite}"

    def cycle(self) -> traffic.Cycle:
        """The packets of the publisher, at a rate that keeps the engine's core about a third busy."""
        if self.pattern == "video":
            return traffic.captured()
        burst = BURST if self.pattern == "burst" else 1
        rate = min(max(DELIVERED_PER_SECOND / self.fan_out, 50), 10_000)
        return traffic.steady(self.size, rate, burst)


@dataclass(frozen=True)
class Sample:
    """One turn of engine or floor: CPU time, packets and bytes delivered, packets expected, length in s."""

    cpu: CpuTime
    delivered: int
    octets: int
    expected: int
    seconds: float

    @property
    def cost(self) -> float:
        """ns of the measured thread for a delivered packet."""
        return self.cpu.thread / self.delivered

    @property
    def waited(self) -> float:
        """Share of the time for which the measured thread could have run, but other work had the CPU."""
        return self.cpu.waited / (self.seconds * 1e9)


@dataclass
class Result:
    """All rounds of a scenario."""

    scenario: Scenario
    rate: float
    engine: list[Sample] = field(default_factory=list)
    floor: list[Sample] = field(default_factory=list)
    segmented_floor: list[Sample] = field(default_factory=list)

    def summary(self) -> dict[str, object]:
        """The row of the table; costs in ns a delivered packet."""
        delivered = sum(sample.delivered for sample in self.engine)
        row: dict[str, object] = {
            "pattern": self.scenario.pattern,
            "size": self.scenario.size,
            "fanOut": self.scenario.fan_out,
            "suite": self.scenario.suite,
            "packetsPerSecondIn": round(self.rate),
            "rounds": len(self.engine),
            "engineNs": round(_cost(self.engine)),
            "engineProcessNs": round(median(s.cpu.process / s.delivered for s in self.engine)),
            "packetsPerCpuSecond": round(1e9 / _cost(self.engine)),
            "floorNs": round(_cost(self.floor)),
            "ratio": round(_ratio(self.engine, self.floor), 3),
            "datagramBytes": round(sum(s.octets for s in self.engine) / delivered),
            "waited": round(median(s.waited for s in self.engine), 3),
            "lost": 1 - delivered / sum(s.expected for s in self.engine),
        }
        if self.segmented_floor:
            row["segmentedFloorNs"] = round(_cost(self.segmented_floor))
            row["segmentedRatio"] = round(_ratio(self.engine, self.segmented_floor), 3)
        return row


def _cost(samples: Sequence[Sample]) -> float:
    return median(sample.cost for sample in samples)


def _ratio(engine: Sequence[Sample], floor: Sequence[Sample]) -> float:
    return median(e.cost / f.cost for e, f in zip(engine, floor, strict=True))


class Bench:
    """The engine, the floor and the load, each in its process; `measure` runs one scenario."""

    def __init__(self, forwarder: Forwarder, floor: LoadProcess, load: LoadProcess, *, polling: bool) -> None:
        self._forwarder, self._floor, self._load = forwarder, floor, load
        self._polling = polling

    async def measure(self, scenario: Scenario, rounds: int, seconds: float) -> Result:
        cycle = scenario.cycle()
        subscribers = await self._load.open_sinks(scenario.fan_out)
        room = await self._forwarder.open_room(cycle.kind, SUITES[scenario.suite], subscribers)
        try:
            result = Result(scenario, cycle.rate)
            await self._load.open_source()
            await self._load.load(cycle, [room])
            first = await self._warm_up(scenario)
            sent_as = cycle.grown(round(first.octets / first.delivered) - _mean_size(cycle))
            for _ in range(rounds):
                result.engine.append(await self._engine_turn(scenario, seconds))
                result.floor.append(await self._floor_turn(sent_as, subscribers, seconds, gso=False))
                if scenario.pattern != "lone":
                    turn = await self._floor_turn(sent_as, subscribers, seconds, gso=True)
                    result.segmented_floor.append(turn)
            return result
        finally:
            await self._forwarder.close_room()

    async def _warm_up(self, scenario: Scenario) -> Sample:
        """A short turn that delivers something; on a crowded machine the first may not."""
        for _ in range(_TRIES):
            sample = await self._engine_turn(scenario, _START_UP)
            if sample.octets:
                return sample
        raise RuntimeError(f"{scenario.name}: nothing of {sample.expected} packets was delivered")

    async def _engine_turn(self, scenario: Scenario, seconds: float) -> Sample:
        clock = ProcessClock(self._forwarder.pid)
        run = await self._load.run(seconds, polling=self._polling)
        used = clock.lap()
        sent, received = run["sent"], run["received"]
        assert sent and received
        expected = sent["packets"] * scenario.fan_out
        return Sample(used, max(received["packets"], 1), received["bytes"], expected, seconds)

    async def _floor_turn(
        self, cycle: traffic.Cycle, subscribers: list[Address], seconds: float, *, gso: bool
    ) -> Sample:
        await self._floor.load(cycle, subscribers, gso=gso)
        await self._load.begin_count(polling=self._polling)
        run = await self._floor.run(seconds, settle=0)
        received, sent = await self._load.end_count(), run["sent"]
        assert sent
        cpu = CpuTime(run["cpu_ns"], run["cpu_ns"], 0)
        return Sample(cpu, max(received["packets"], 1), received["bytes"], sent["packets"], seconds)


def _mean_size(cycle: traffic.Cycle) -> int:
    return round(sum(len(packet) for _, _, packet in cycle.steps) / len(cycle.steps))


async def run(
    start: Callable[[set[int]], Awaitable[Forwarder]],
    scenarios: Sequence[Scenario],
    *,
    rounds: int,
    seconds: float,
    polling: bool = True,
    on_start: Callable[[Scenario], None] = lambda _: None,
) -> AsyncIterator[Result]:
    """Measures the scenarios one after the other; `start` makes the forwarder on the given CPUs."""
    measured, rest = split_cpus()
    forwarder = await start(measured)
    try:
        async with await LoadProcess.start(measured) as floor, await LoadProcess.start(rest) as load:
            bench = Bench(forwarder, floor, load, polling=polling)
            for scenario in scenarios:
                on_start(scenario)
                yield await bench.measure(scenario, rounds, seconds)
    finally:
        await forwarder.close()
