"""What mediasoup has no words for: numbers from 200 on, sent only where a place announces them."""

from sfu_core.channel.messages.base import U32, U64, Notification, Request, Table
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


class RingDoor(Table):
    """Where a neighbour gets its end of a ring: an abstract Unix socket, and a token that is good once."""

    address: str
    token: bytes


@extend
class WorkerOpenRing(Request[RingDoor]):
    """Make a pair of rings for a neighbour; `capacity` in bytes for each direction, a power of two."""

    METHOD = 202
    NAME = "WORKER_OPEN_RING"
    ring_id: str
    capacity: U32 = 2**21


@extend
class WorkerJoinRing(Request[None]):
    """Take the other end of a ring that a neighbour has opened."""

    METHOD = 203
    NAME = "WORKER_JOIN_RING"
    ring_id: str
    door: RingDoor


@extend
class WorkerCloseRing(Request[None]):
    """Give up this end: no new transports, and it goes with the last that uses it."""

    METHOD = 204
    NAME = "WORKER_CLOSE_RING"
    ring_id: str


class RingTransportCreated(Table):
    """`tag` is what the other end must write on packets for this transport."""

    tag: U64


@extend
class RouterCreateRingTransport(Request[RingTransportCreated]):
    """One end of a pipe through a ring, for producers and consumers of type pipe."""

    METHOD = 205
    NAME = "ROUTER_CREATE_RINGTRANSPORT"
    transport_id: str
    ring_id: str


@extend
class RingTransportConnect(Request[None]):
    """Packets may flow to the transport of that tag at the other end."""

    METHOD = 206
    NAME = "RINGTRANSPORT_CONNECT"
    tag: U64


@extend
class TransportCoreGone(Notification):
    """The core that carried the transport has ended, and the transport with it; the worker goes on."""

    EVENT = 220
    NAME = "TRANSPORT_CORE_GONE"
