"""How long a vertical takes to start, and what it uses while nothing happens.

Started is when the first `create_worker()` has answered. All processes below the application count while idle.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from benchmarks.cores.stage import Clocks, core_pids, cpus, spread
from vertical import MediasoupVertical

HEADER = "  cores  started in s (quartiles)   idle, percent of a CPU a core"


def descendants(pid: int) -> list[int]:
    """All processes below one, however many layers there are."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            children = [int(word) for word in (task / "children").read_text().split()]
        except OSError:  # it ended in between
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


async def measure(quick: bool) -> AsyncIterator[dict[str, Any]]:
    """Rows for one core, for two, and for as many as there are."""
    rounds, seconds = (1, 0.5) if quick else (7, 3.0)
    for cores in sorted({1, min(2, len(cpus())), len(cpus())}):
        started, idle = [], []
        for _ in range(rounds):
            begin = time.perf_counter()
            async with MediasoupVertical(max_workers=cores) as vertical:
                assert vertical.mediasoup is not None
                await vertical.mediasoup.create_worker()
                started.append(time.perf_counter() - begin)
                await core_pids(vertical, cores)
                await asyncio.sleep(min(seconds, 1))  # what is loaded late
                clocks = Clocks(descendants(os.getpid()))
                await asyncio.sleep(seconds)
                idle.append(clocks.lap().process / (seconds * 1e9) * 100 / cores)
        yield {
            "part": "idle",
            "cores": cores,
            "rounds": rounds,
            "startSeconds": spread(started),
            "idlePercent": spread(idle),
        }


def line(row: dict[str, Any]) -> str:
    low, middle, high = row["startSeconds"]
    return f"  {row['cores']:>5}  {middle:>8.2f} ({low:.2f} … {high:.2f})   {row['idlePercent'][1]:>20.2f} %"
