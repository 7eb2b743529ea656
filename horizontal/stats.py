"""Statistics of several hosts as if of one: sums, with logical pids.

Pure. The fields are those of `get_stats()` of every manager (`sfu_core.stats` reads them from a system); what does not
look like that is left out, since it comes from elsewhere.
"""

from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from typing import Any

_NOT_SUMMED = {"uptime": min, "hrtime": max}
_LISTS = ("cpus", "loadavg")


def reduce_stats(hosts: Iterable[tuple[Mapping[str, Any], Callable[[int], int]]]) -> dict[str, Any]:
    """One set of figures of those of each host, given with what makes its pids logical ones.

    Processors are listed one after the other; counts, bytes and times are added; `uptime` is that of the youngest.
    """
    total: dict[str, Any] = {"os": {}, "process": {}}
    usages: dict[int, Any] = {}
    for stats, logical in hosts:
        usages |= {number: usage | {"pid": number} for number, usage in _usages(stats, logical)}
        total = {name: _added(part, stats.get(name)) for name, part in total.items()}
    return total | {"pidusages": usages or None}


def load_of(stats: Mapping[str, Any]) -> float:
    """Percent of a host that all of its manager's workers use. Raises something or other if it says nonsense."""
    cores = stats.get("os", {}).get("availableParallelism") or 1
    load = sum(float(usage.get("cpu", 0)) for usage in (stats.get("pidusages") or {}).values()) / max(1, cores)
    if not isfinite(load):
        raise ValueError(f"a load of {load}")
    return load


def _usages(stats: Mapping[str, Any], logical: Callable[[int], int]) -> Iterable[tuple[int, dict[str, Any]]]:
    usages = stats.get("pidusages")
    for pid, usage in usages.items() if isinstance(usages, Mapping) else ():
        if str(pid).isdecimal() and isinstance(usage, Mapping):
            yield logical(int(pid)), dict(usage)


def _added(total: Mapping[str, Any], more: object) -> dict[str, Any]:
    result = dict(total)
    for name, value in more.items() if isinstance(more, Mapping) else ():
        before = result.get(name)
        if isinstance(value, Mapping):
            result[name] = _added(before if isinstance(before, Mapping) else {}, value)
        elif name == "loadavg" and isinstance(value, list) and all(map(_is_number, value)):
            result[name] = [a + b for a, b in zip(before or [0] * len(value), value, strict=False)]
        elif name == "cpus" and isinstance(value, list):
            result[name] = [*(before or ()), *value]
        elif name not in _LISTS and _is_number(value):
            result[name] = _NOT_SUMMED.get(name, lambda a, b: a + b)(before, value) if _is_number(before) else value
    return result


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and isfinite(value)
