"""Where processes run and what CPU time they use, from /proc; the measured process is not asked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CpuTime:
    """CPU time in ns: of a process, of its busiest thread (a core's media thread under load), and for how long that
    thread waited while other work had the CPU."""

    process: int
    thread: int
    waited: int


class ProcessClock:
    """Reads the CPU time of another process; `lap()` gives what was used since the last one."""

    def __init__(self, pid: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self._last = self._read()

    def lap(self) -> CpuTime:
        now, before = self._read(), self._last
        self._last = now
        used = [
            (ran - before.get(task, (0, 0))[0], waited - before.get(task, (0, 0))[1])
            for task, (ran, waited) in now.items()
        ]
        thread, waited = max(used, default=(0, 0))
        return CpuTime(sum(ran for ran, _ in used), thread, waited)

    def _read(self) -> dict[str, tuple[int, int]]:
        """Of each thread: ns that it ran, ns that it waited for a CPU."""
        times = {}
        for task in self._tasks.iterdir():
            try:
                ran, waited, _ = map(int, (task / "schedstat").read_text().split())
            except OSError:  # a thread that ended in between
                continue
            times[task.name] = (ran, waited)
        return times


def split_cpus() -> tuple[set[int], set[int]]:
    """(CPU for what is measured, CPUs for the load); the same when there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return ({usable[0]}, set(usable[1:])) if len(usable) > 1 else (set(usable), set(usable))


def pin(pid: int, cpus: set[int]) -> None:
    """Pins every thread of the process to `cpus`."""
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), cpus)
