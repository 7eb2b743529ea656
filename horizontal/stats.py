"""Statistics of several hosts as if of one: sums, with logical pids.

Pure. The fields are those of `get_stats()` of every manager (`vertical.stats` reads them from a system).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

_NOT_SUMMED = {"uptime": min, "hrtime": max}


def reduce_stats(hosts: Iterable[tuple[Mapping[str, Any], Callable[[int], int]]]) -> dict[str, Any]:
    """One set of figures of those of each host, given with what makes its pids logical ones.

    Processors are listed one after the other; counts, bytes and times are added; `uptime` is that of the youngest.
    """
    total: dict[str, Any] = {}
    usages: dict[int, Any] = {}
    for stats, logical in hosts:
        for pid, usage in (stats.get("pidusages") or {}).items():
            number = logical(int(pid))
            usages[number] = {**usage, "pid": number}
        total = _added(total, {name: value for name, value in stats.items() if name != "pidusages"})
    return total | {"pidusages": usages or None}


def load_of(stats: Mapping[str, Any]) -> float:
    """Percent of a host that all of its manager's workers use."""
    cores = stats.get("os", {}).get("availableParallelism") or 1
    return sum(float(usage.get("cpu", 0)) for usage in (stats.get("pidusages") or {}).values()) / max(1, cores)


def _added(total: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(total)
    for name, value in more.items():
        before = result.get(name)
        if before is None:
            result[name] = value
        elif isinstance(value, Mapping):
            result[name] = _added(before, value)
        elif name == "loadavg":
            result[name] = [a + b for a, b in zip(before, value, strict=False)]
        elif isinstance(value, list):
            result[name] = [*before, *value]
        elif isinstance(value, int | float):
            result[name] = _NOT_SUMMED.get(name, lambda a, b: a + b)(before, value)
    return result
