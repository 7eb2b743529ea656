"""What mediasoup has no words for: numbers from 200 on, sent only where a place announces them."""

from sfu_core.channel.messages.base import U64, Request, Table
from sfu_core.channel.messages.registry import extend


class Counters(Table):
    """Named counters; what has not happened may be left out."""

    counters: dict[str, U64]


@extend
class TransportGetDrops(Request[Counters]):
    """Packets of a transport that went no further, by reason."""

    METHOD = 200
    NAME = "TRANSPORT_GET_DROPS"


@extend
class WorkerGetCoreStats(Request[Counters]):
    """The counters of the media loop: wakes, packets, messages to the kernel, GSO segments, drops."""

    METHOD = 201
    NAME = "WORKER_GET_CORE_STATS"
