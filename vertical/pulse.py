"""Cores that live but stand still: seen in their shared memory, without asking anybody.

A core's media thread counts its turns in its slab, at least two a second. So a control thread may be busy or stuck for
as long as it likes; a process that is stopped, or a media thread that is caught somewhere, shows within two seconds.
Belongs to the pool's event loop.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sfu_core.channel import messages as m
from sfu_core.channel.channel import Channel
from sfu_core.errors import SfuError

if TYPE_CHECKING:
    from sfu_core._slab_read import SlabReader

INTERVAL: Final = 0.35
"""Seconds between two looks."""

STILL: Final = 4
"""Looks in a row that found no turn, until a core counts as hung: 1.4 s."""

END_NOTICED: Final = 0.5
"""Seconds within which the end of a core is noticed."""

ANSWER_TIMEOUT: Final = 10.0
"""Seconds that a core may take to give its memory: as long as a control thread may be stuck."""

TRIES: Final = 2
"""To get it: the first may have been under way when it became stuck."""


class CoreHungError(SfuError):
    """A core process was there but did nothing any more, and was killed."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        super().__init__(f"worker process {pid} stood still and was killed")


async def memory_of(channel: Channel) -> "SlabReader | None":
    """The slab of a core on this host, None if it does not share it.

    TimeoutError: it does not answer at all. SfuError, OSError, ValueError: it answers otherwise, or has ended.
    """
    if m.WorkerShareMemory.METHOD not in channel.place.extensions:
        return None
    from sfu_core._slab_read import SlabReader  # compiled, and there if such a core is
    from sfu_core.worker.door import fetch

    for _ in range(TRIES):
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_TIMEOUT):
                key = await channel.request(m.WorkerShareMemory())
                (memfd,) = await fetch(asyncio.get_running_loop(), key.address, key.token)
            return SlabReader(memfd)
    raise TimeoutError


async def standstill(turns: Callable[[], int]) -> None:
    """Wait until the count has stopped for good.

    A look that comes late proves nothing: then we did not run ourselves, and perhaps nobody did (an overloaded or
    suspended machine, a Ctrl-Z).
    """
    loop = asyncio.get_running_loop()
    seen, still, last = -1, 0, loop.time()
    while still < STILL:
        await asyncio.sleep(INTERVAL)
        now, found = loop.time(), turns()
        late, last = now - last > 2 * INTERVAL, now
        if found != seen:
            seen, still = found, 0
        elif not late:
            still += 1
