"""All cores of a host as one worker.

    from vertical import MediasoupVertical

    async with MediasoupVertical() as vertical:
        worker = await vertical.mediasoup.create_worker()

`docs/vertical.md` says how it works, and where it can be told from one worker.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sfu_core.channel.messages import CoreInfo
    from sfu_core.stats import GetStats, get_stats_factory
    from vertical.manager import MediasoupVertical
    from vertical.placement import Candidate, Policy, fill_first, spread

__all__ = [
    "Candidate",
    "CoreInfo",
    "GetStats",
    "MediasoupVertical",
    "Policy",
    "fill_first",
    "get_stats_factory",
    "spread",
]

_HOMES = {
    "sfu_core.channel.messages": ("CoreInfo",),
    "sfu_core.stats": ("GetStats", "get_stats_factory"),
    "vertical.manager": ("MediasoupVertical",),
    "vertical.placement": ("Candidate", "Policy", "fill_first", "spread"),
}


def __getattr__(name: str) -> Any:
    """Imported when asked for: the host process has no use for the API, and shall start quickly."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
