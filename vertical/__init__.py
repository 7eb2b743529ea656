"""All cores of a host as one worker.

    from vertical import MediasoupVertical

    async with MediasoupVertical() as vertical:
        worker = await vertical.mediasoup.create_worker()

`docs/vertical.md` says how it works, and where it can be told from one worker.
"""

from sfu_core.stats import GetStats, get_stats_factory
from vertical.manager import MediasoupVertical
from vertical.placement import Candidate, Policy, fill_first, spread

__all__ = ["Candidate", "GetStats", "MediasoupVertical", "Policy", "fill_first", "get_stats_factory", "spread"]
