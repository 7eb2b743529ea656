"""Which host a new worker goes to: pure functions over what is known of each.

Loads are percent of a whole host. A policy can be replaced by any function of the same shape. Knows no managers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

NODE_WATERMARK: Final = 90.0
"""A host at or above this load gets nothing new while another one is below."""

BAND: Final = 10.0
"""Loads that differ by less count as equal; a mark that was passed counts as passed until so far below it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A host, as a policy sees it."""

    load: float
    """The last sample."""

    workers: int = 0
    """How many of ours it has, or is starting."""

    capacity: int = 1
    """How many workers it can carry."""

    full: bool = False
    """It has passed the watermark and not come down by `BAND` since."""


Policy = Callable[[Sequence[Candidate]], int]
"""Picks one of at least one candidates, by its index."""


def least_loaded(candidates: Sequence[Candidate]) -> int:
    """Among the hosts that are not full, can carry one more, and are about as idle as the idlest: the one with the
    fewest workers for what it can carry. What no host fulfils counts for none.

    A worker just made has no load yet, or that of its start, and a sample is never exact: so small differences decide
    nothing, and workers that are made one after the other spread over the hosts as these can carry them. Of equals the
    first is taken.
    """
    indices = range(len(candidates))
    open_ones = [index for index in indices if not candidates[index].full] or indices
    roomy = [index for index in open_ones if candidates[index].workers < candidates[index].capacity] or open_ones
    idlest = min(candidates[index].load for index in roomy)
    alike = [index for index in roomy if candidates[index].load < idlest + BAND]
    return min(alike, key=lambda index: (candidates[index].workers + 1) / max(candidates[index].capacity, 1))


def passed(before: bool, load: float, mark: float) -> bool:
    """Whether `load` counts as past `mark`, given that it did `before`."""
    return load >= mark or (before and load > mark - BAND)
