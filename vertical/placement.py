"""Where a new transport goes: pure functions over what is known of each core.

All loads are percent of one core. A policy can be replaced by any function of the same shape. Knows no channels,
no clock and no messages' way; only what messages will cost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sfu_core.channel import messages as m

WATERMARK: Final = 60.0
"""A core at or above this load gets nothing new while another one is below."""

NODE_WATERMARK: Final = 90.0
"""A host whose cores carry this much on average wants another host beside it."""

BAND: Final = 10.0
"""A mark that was passed counts as passed until the load has fallen this far below it."""


NEW_ROOM: Final = 2 / 3
"""Share of the watermark above which no new room begins on a core: the rest is for the rooms that it has to grow."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A core, as a policy sees it."""

    load: float
    """The last sample and, on top, the predicted cost of what was placed since."""

    full: bool = False
    """It has passed the watermark and not come down by `BAND` since; or it drops packets."""

    has_room: bool = False
    """Transports of the same router are there already."""

    transports: int = 0
    """How many it carries, of all routers."""


Policy = Callable[[Sequence[Candidate]], int]
"""Picks one of at least one candidates, by its index."""


def fill_first(candidates: Sequence[Candidate], watermark: float = WATERMARK) -> int:
    """Keep a room together until its core passes the watermark, then take the next; new rooms on few cores.

    Few cores in use mean few pipes, and leave others free for rooms that grow. A room that begins on a core about to be
    full would soon be cut in two, so it begins where there is still `NEW_ROOM`. When no core has any the least loaded
    one hurts least.
    """
    below = [index for index, each in enumerate(candidates) if not each.full and each.load < watermark]
    home = [index for index in below if candidates[index].has_room]
    calm = [index for index in below if candidates[index].load < watermark * NEW_ROOM]
    if home or calm:
        return max(home or calm, key=lambda index: (candidates[index].load, -index))
    everyone = range(len(candidates))
    return min(below or everyone, key=lambda index: (candidates[index].load, not candidates[index].has_room))


def spread(candidates: Sequence[Candidate]) -> int:
    """As evenly as possible, by the number of transports: the most pipes. For tests and comparisons."""
    return min(range(len(candidates)), key=lambda index: candidates[index].transports)


def passed(before: bool, load: float, mark: float, band: float = BAND) -> bool:
    """Whether `load` counts as past `mark`, given that it did `before`."""
    return load >= mark or (before and load > mark - band)


def node_load(loads: Sequence[float], cores: int) -> float:
    """The load of a host with `cores` usable cores whose members carry `loads`."""
    return sum(loads) / max(cores, 1)


# What is new is not in the last sample, so its cost is predicted: packets per second times microseconds per packet,
# from the middle of what cameras and microphones send. A handshake costs some milliseconds, once.

_TRANSPORT: Final = 0.3
_PRODUCER: Final = {m.MediaKind.AUDIO: 0.02, m.MediaKind.VIDEO: 0.1}
_CONSUMER: Final = {m.MediaKind.AUDIO: 0.0125, m.MediaKind.VIDEO: 0.06}


def cost_of(message: m.Request[Any]) -> float:
    """The predicted load of what `message` creates, 0 for what costs nothing."""
    match message:
        case m.TransportProduce(kind=kind):
            return _PRODUCER[kind]
        case m.TransportConsume(kind=kind, paused=paused):
            return 0.0 if paused else _CONSUMER[kind]
        case (
            m.RouterCreateWebRtcTransport()
            | m.RouterCreateWebRtcTransportWithServer()
            | m.RouterCreatePlainTransport()
            | m.RouterCreatePipeTransport()
            | m.RouterCreateDirectTransport()
        ):
            return _TRANSPORT
        case _:
            return 0.0
