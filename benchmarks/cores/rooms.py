"""One room over all cores beside rooms that have a core each: CPU time for a packet delivered.

Both are loaded in turns, with the same number of delivered packets per second. The rooms beside are of the size that
gives each core as many outgoing streams, so what is compared is the price of being one room: the way between the cores.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import product
from statistics import median
from typing import Any

from benchmarks.cores.stage import Shape, Turn, cpus, one_room, rooms_alone, spread

DELIVERED_PER_SECOND = 20_000
HEADER = (
    "  room     cores  beside        ns/packet room, alone   packets/CPU-s  ratio (quartiles)     crossing"
    "  pipes / mesh    lost"
)


async def compare(shape: Shape, cores: int, rounds: int, seconds: float, rate: float, suite: str) -> dict[str, Any]:
    """A row of the table."""
    async with one_room(shape, cores, rate, suite) as room, rooms_alone(shape, cores, rate, suite) as alone:
        for number in range(rounds):
            for side in (room, alone) if number % 2 == 0 else (alone, room):
                side.turns.append(await side.turn(seconds))
        stats = await room.workers[0].get_core_stats()
        return summary(shape, cores, suite, room.turns, alone.turns, stats)


def summary(
    shape: Shape, cores: int, suite: str, room: Sequence[Turn], alone: Sequence[Turn], stats: Mapping[str, int]
) -> dict[str, Any]:
    """Costs in ns for a delivered packet; `ratio` is packets per CPU-second of the room to those of the rooms alone."""
    counters = {name: round(median(turn.counters[name] for turn in room)) for name in room[0].counters}
    delivered = median(turn.delivered / turn.seconds for turn in room)
    return {
        "part": "rooms",
        "room": shape.name,
        "alone": shape.share(cores).name,
        "cores": cores,
        "suite": suite,
        "rounds": len(room),
        "seconds": room[0].seconds,
        "deliveredPerSecond": round(delivered),
        "roomNs": spread([turn.cost for turn in room], 0),
        "aloneNs": spread([turn.cost for turn in alone], 0),
        "ratio": spread([each.cost / one.cost for one, each in zip(room, alone, strict=True)]),
        "processRatio": spread(
            [
                each.cpu.process / each.delivered * one.delivered / one.cpu.process
                for one, each in zip(room, alone, strict=True)
            ]
        ),
        "packetsPerCpuSecond": round(1e9 / median(turn.cost for turn in room)),
        "crossing": round(counters["linkPackets"] / delivered, 4),
        "pipes": stats["pipes"],
        "mesh": shape.mesh(cores),
        "countersPerSecond": counters,
        "aloneCountersPerSecond": {n: round(median(turn.counters[n] for turn in alone)) for n in alone[0].counters},
        "waited": round(median(turn.cpu.waited / (turn.seconds * 1e9) for turn in (*room, *alone)), 3),
        "lost": round(1 - sum(turn.delivered for turn in room) / sum(turn.expected for turn in room), 5),
    }


async def measure(quick: bool) -> AsyncIterator[dict[str, Any]]:
    """Rows of all shapes, on one core, on two, and on as many as there are."""
    rounds, seconds = (2, 0.4) if quick else (12, 1.0)
    shapes = [Shape(10), Shape(4, mutual=True)] if quick else [Shape(100), Shape(8, mutual=True)]
    counts = sorted({1, min(2, len(cpus())), len(cpus())})
    for shape, cores in product(shapes, counts):
        yield await compare(shape, cores, rounds, seconds, DELIVERED_PER_SECOND, "gcm")


def line(row: dict[str, Any]) -> str:
    low, middle, high = row["ratio"]
    return (
        f"  {row['room']:<8} {row['cores']:>5}  {row['cores']} rooms {row['alone']:<6}"
        f" {row['roomNs'][1]:>9.0f} {row['aloneNs'][1]:>8.0f}   {row['packetsPerCpuSecond']:>13,}"
        f"  {middle:.2f} ({low:.2f} … {high:.2f})  {row['crossing']:>9.1%}  {row['pipes']:>5} / {row['mesh']}"
        f"  {row['lost']:>7.2%}"
    )
