"""Where the vertical's policies put rooms on a host with 16 and with 64 cores (simulated, the same for the same seed).

`fill_first` keeps rooms together and leaves cores free; `spread` gives every core the same number of transports.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from statistics import fmean, pstdev
from typing import Any, Final

from benchmarks.cores.simulation import Host
from vertical.placement import WATERMARK, Policy, fill_first, spread

POLICIES: Final[dict[str, Policy]] = {"fill_first": fill_first, "spread": spread}
SEED: Final = 1
STAY: Final = 300.0
ROOMS_PER_CORE: Final = 0.03
"""New rooms in a second for each core: about half of the host is in use."""

HEADER = (
    "  cores  policy       load mean  highest  in use  core time ≥ 60 %  > 100 %  misplaced    pipes     mesh"
    "  rooms on 1 core  further cores"
)


async def measure(quick: bool) -> AsyncIterator[dict[str, Any]]:
    """Rows of both policies."""
    for cores in (16, 64):
        for name in POLICIES:
            yield simulate(cores, name, SEED, 120 if quick else 1200)


def simulate(cores: int, policy: str, seed: int, seconds: float) -> dict[str, Any]:
    """A row: means over the simulated seconds of the second half, when the host has filled."""
    host = Host(cores, POLICIES[policy], seed, ROOMS_PER_CORE * cores, STAY)
    mean, highest, deviation, used, full, over, pipes, mesh, together = ([] for _ in range(9))
    for now in host.run(seconds):
        if now < seconds / 2:
            continue
        loads = [core.load for core in host.cores]
        mean.append(fmean(loads))
        highest.append(max(loads))
        deviation.append(pstdev(loads))
        used.append(sum(load > 1 for load in loads))
        full.append(sum(load >= WATERMARK for load in loads) / cores)
        over.append(sum(load > 100 for load in loads) / cores)
        pipes.append(host.pipes)
        mesh.append(host.producers * (cores - 1))
        together.append(fmean(len(room.transports) <= 1 for room in host.rooms))
    return {
        "part": "placement",
        "cores": cores,
        "policy": policy,
        "seed": seed,
        "seconds": seconds,
        "rooms": host.opened,
        "placed": host.placed,
        "loadMean": round(fmean(mean), 1),
        "loadHighest": round(fmean(highest), 1),
        "loadDeviation": round(fmean(deviation), 1),
        "coresInUse": round(fmean(used), 1),
        "pastWatermark": round(fmean(full), 4),
        "overloaded": round(fmean(over), 4),
        "misplaced": host.misplaced,
        "pipes": round(fmean(pipes)),
        "mesh": round(fmean(mesh)),
        "onOneCore": round(fmean(together), 3),
        "furtherCores": host.spilled,
    }


def line(row: dict[str, Any]) -> str:
    return (
        f"  {row['cores']:>5}  {row['policy']:<11} {row['loadMean']:>9.1f} %{row['loadHighest']:>7.1f} %"
        f"  {row['coresInUse']:>6.1f}  {row['pastWatermark']:>16.2%}  {row['overloaded']:>7.2%}"
        f"  {row['misplaced'] / row['placed']:>9.2%}  {row['pipes']:>7,}  {row['mesh']:>7,}"
        f"  {row['onOneCore']:>15.1%}  {row['furtherCores']:>13,}"
    )
