"""Which processors of this host a process may use.

Pure but for what it reads from the system.
"""

import math
import os
from pathlib import Path

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def usable_cpus() -> list[int]:
    """The processors to pin to: those of our affinity, at most as many as our control group grants time for."""
    cpus = sorted(os.sched_getaffinity(0))
    return cpus[: granted(_read(_CPU_MAX)) or len(cpus)]


def granted(cpu_max: str) -> int | None:
    """Whole processors that "quota period" (cgroup v2 `cpu.max`) amounts to, rounded up; None: no limit."""
    quota, _, period = cpu_max.strip().partition(" ")
    if not (quota.isdigit() and period.isdigit() and int(period)):
        return None
    return max(1, math.ceil(int(quota) / int(period)))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
