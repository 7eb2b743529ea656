"""Figures of the host, of this process and of worker processes, read from the system.

The fields are those that managers of this family exchange: camelCase, times and sizes in the units said with each.
"""

import os
import resource
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from sfu_core.cores import usable_cpus

MAX_CAPACITY: Final = 1024
"""Workers that a manager is taken to carry, whatever it says."""

_PROC: Final = Path("/proc")
_MEMORY_MAX: Final = Path("/sys/fs/cgroup/memory.max")
_TICK: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class StatsReader:
    """Reads all figures; cpu percentages are since the previous reading."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[float, float]] = {}  # pid: cpu seconds, clock

    def read(self, pids: Iterable[int], full_memory_usage: bool = False) -> dict[str, Any]:
        """`pids`: the worker processes of the moment; those that do not exist (any more) are left out.

        `full_memory_usage`: more than the resident size of this process.
        """
        usages = {pid: usage for pid in pids if (usage := self._pid_usage(pid)) is not None}
        self._before = {pid: before for pid, before in self._before.items() if pid in usages}
        return {"os": host(), "pidusages": usages or None, "process": this_process(full_memory_usage)}

    def _pid_usage(self, pid: int) -> dict[str, Any] | None:
        try:
            # the name, in brackets, may hold anything
            fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except (OSError, ProcessLookupError):
            return None
        ticks, children = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
        now, uptime = time.time(), _uptime()
        age = max(uptime - int(fields[19]) / _TICK, 1 / _TICK)
        used, clock = ticks / _TICK, time.monotonic()
        used_before, clock_before = self._before.get(pid, (0.0, clock - age))
        self._before[pid] = used, clock
        return {
            "cpu": 100 * (used - used_before) / max(clock - clock_before, 1 / _TICK),
            "memory": int(fields[21]) * _PAGE,
            "ppid": int(fields[1]),
            "pid": pid,
            "ctime": (ticks + children) * 1000 / _TICK,
            "elapsed": age * 1000,
            "timestamp": now * 1000,
        }


class GetStats:
    """`get_stats()` and `close()`, as `get_stats_factory` hands them out."""

    def __init__(self, mediasoup: Any) -> None:
        self._observer = mediasoup.observer
        self._pids: set[int] = set()
        self._reader = StatsReader()
        self._observer.on("newworker", self._add)

    async def get_stats(self, full_memory_usage: bool = False) -> dict[str, Any]:
        """See `StatsReader.read`."""
        return self._reader.read(sorted(self._pids), full_memory_usage)

    def close(self) -> None:
        """Follow workers no more, and forget those there are. May be repeated."""
        if self._add in self._observer.listeners("newworker"):
            self._observer.remove_listener("newworker", self._add)
        self._pids.clear()

    def _add(self, worker: Any) -> None:
        self._pids.add(worker.pid)
        worker.observer.once("close", lambda: self._pids.discard(worker.pid))


def get_stats_factory(mediasoup: Any) -> GetStats:
    """Follows the workers that `mediasoup` creates from now on."""
    return GetStats(mediasoup)


def capacity_of(stats: Any) -> int:
    """How many workers make sense, by what a manager's `get_stats()` said: what it says of it, else the processors.

    At least one, and no more than anybody has processors.
    """
    try:
        said = stats.get("capacity")
        return min(max(1, int(stats["os"]["availableParallelism"] if said is None else said)), MAX_CAPACITY)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return 1


def host() -> dict[str, Any]:
    """Processors (MHz; times in ms), memory in bytes, load averages of 1, 5 and 15 minutes, seconds since boot."""
    memory = _meminfo()
    return {
        "availableParallelism": len(usable_cpus()),
        "cpus": _cpus(),
        "freemem": memory.get("MemFree", 0),
        "totalmem": memory.get("MemTotal", 0),
        "loadavg": list(os.getloadavg()),
        "uptime": _uptime(),
    }


def this_process(full_memory_usage: bool = False) -> dict[str, Any]:
    """Memory in bytes, CPU time in µs, `hrtime` in ns, `uptime` in s."""
    usage, times = resource.getrusage(resource.RUSAGE_SELF), os.times()
    available, constrained = _meminfo().get("MemAvailable", 0), _constrained()
    return {
        "availableMemory": min(available, constrained) if constrained else available,
        "constrainedMemory": constrained,
        "cpuUsage": {"user": round(times.user * 1e6), "system": round(times.system * 1e6)},
        "hrtime": time.monotonic_ns(),
        "memoryUsage": _memory(full_memory_usage),
        "resourceUsage": {
            "userCPUTime": round(usage.ru_utime * 1e6),
            "systemCPUTime": round(usage.ru_stime * 1e6),
            "maxRSS": usage.ru_maxrss,
            "sharedMemorySize": usage.ru_ixrss,
            "unsharedDataSize": usage.ru_idrss,
            "unsharedStackSize": usage.ru_isrss,
            "minorPageFault": usage.ru_minflt,
            "majorPageFault": usage.ru_majflt,
            "swappedOut": usage.ru_nswap,
            "fsRead": usage.ru_inblock,
            "fsWrite": usage.ru_oublock,
            "ipcSent": usage.ru_msgsnd,
            "ipcReceived": usage.ru_msgrcv,
            "signalsCount": usage.ru_nsignals,
            "voluntaryContextSwitches": usage.ru_nvcsw,
            "involuntaryContextSwitches": usage.ru_nivcsw,
        },
        "uptime": max(0.0, _uptime() - _start_of(os.getpid())),
    }


def _memory(full: bool) -> dict[str, int]:
    """Bytes; the full set has the address space, what is shared with others, and data with stack."""
    size, resident, shared, _, _, data, _ = map(int, (_PROC / "self/statm").read_text().split())
    usage = {"rss": resident * _PAGE}
    return usage | {"size": size * _PAGE, "shared": shared * _PAGE, "data": data * _PAGE} if full else usage


def _meminfo() -> dict[str, int]:
    lines = (line.split() for line in (_PROC / "meminfo").read_text().splitlines())
    return {fields[0].rstrip(":"): int(fields[1]) * 1024 for fields in lines if len(fields) > 2}


def _constrained() -> int:
    """The control group's limit in bytes, 0 without one."""
    try:
        limit = _MEMORY_MAX.read_text().strip()
    except OSError:
        return 0
    return int(limit) if limit.isdigit() else 0


def _cpus() -> list[dict[str, Any]]:
    described: list[dict[str, str]] = []
    for block in (_PROC / "cpuinfo").read_text().split("\n\n"):
        pairs = (line.partition(":") for line in block.splitlines())
        if values := {key.strip(): value.strip() for key, _, value in pairs}:
            described.append(values)
    times = [
        line.split()[1:]
        for line in (_PROC / "stat").read_text().splitlines()
        if line.startswith("cpu") and line[3].isdigit()
    ]
    return [_cpu(described[index] if index < len(described) else {}, each) for index, each in enumerate(times)]


def _cpu(described: dict[str, str], ticks: list[str]) -> dict[str, Any]:
    user, nice, system, idle, _, irq, *_ = (int(value) * 1000 / _TICK for value in ticks)
    return {
        "model": described.get("model name", "unknown"),
        "speed": float(described.get("cpu MHz", 0)),
        "times": {"user": user, "nice": nice, "sys": system, "idle": idle, "irq": irq},
    }


def _uptime() -> float:
    return float((_PROC / "uptime").read_text().split()[0])


def _start_of(pid: int) -> float:
    """Seconds after boot."""
    return int((_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[19]) / _TICK
