"""Where processes run and what CPU time they use, from /proc; the measured process is not asked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CpuTime:
    """CPU time in ns: of a whole process, and of its busiest thread (a core's media thread under load)."""

    process: int
    thread: int


class ProcessClock:
    """Reads the CPU time of another process; `lap()` gives what was used since the last one."""

    def __init__(self, pid: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self._last = self._read()

    def lap(self) -> CpuTime:
        now, before = self._read(), self._last
        self._last = now
        used = [ns - before.get(task, 0) for task, ns in now.items()]
        return CpuTime(sum(used), max(used, default=0))

    def _read(self) -> dict[str, int]:
        times = {}
        for task in self._tasks.iterdir():
            try:
                times[task.name] = int((task / "schedstat").read_text().split()[0])
            except OSError:  # a thread that ended in between
                continue
        return times


def split_cpus() -> tuple[set[int], set[int]]:
    """(CPU for what is measured, CPUs for the load); the same when there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return ({usable[0]}, set(usable[1:])) if len(usable) > 1 else (set(usable), set(usable))


def pin(pid: int, cpus: set[int]) -> None:
    """Pins every thread of the process to `cpus`."""
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), cpus)
