"""What mediasoup has no words for: numbers from 200 on, sent only where a place announces them."""

from typing import Any, Final

from sfu_core.channel.messages.base import F64, U32, U64, Notification, Request, Table
from sfu_core.channel.messages.network import ListenInfo
from sfu_core.channel.messages.plain_transport import (
    PipeTransportConnectResponse,
    PipeTransportDumpResponse,
    PipeTransportOptions,
)
from sfu_core.channel.messages.registry import extend
from sfu_core.channel.settings import WorkerSettings


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


class DoorKey(Table):
    """Where descriptors are fetched: an abstract Unix socket, and a token that is good once."""

    address: str
    token: bytes


@extend
class WorkerOpenRing(Request[DoorKey]):
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
    door: DoorKey


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


class NeighbourDoor(Table):
    """Where neighbours bring TCP connections that are this core's."""

    address: str


@extend
class WorkerShareWebRtcServer(Request[None]):
    """Like WORKER_CREATE_WEBRTCSERVER, on ports that all cores of the host share; this one is number `core` of them.

    Behind `door` are the table of flows and a socket for each listen info, in their order. `number` and `secret` are
    the same on all cores: what the server is called between them, and what opens their doors to its connections.
    """

    METHOD = 210
    NAME = "WORKER_SHARE_WEBRTCSERVER"
    web_rtc_server_id: str
    listen_infos: list[ListenInfo]
    door: DoorKey
    number: U32
    secret: bytes
    core: U32


@extend
class WorkerSetNeighbour(Request[NeighbourDoor]):
    """The core of that number, among those that share ports, is at the other end of a ring, and has a door.

    Asked before the core gets sockets of a shared port, so that it can hand over what it reads. An empty `address` is
    not known yet.
    """

    METHOD = 211
    NAME = "WORKER_SET_NEIGHBOUR"
    core: U32
    ring_id: str
    address: str


@extend
class WorkerAdoptSockets(Request[None]):
    """Read the sockets of a shared server whose core has died, until they are released; behind `door` as above."""

    METHOD = 212
    NAME = "WORKER_ADOPT_SOCKETS"
    web_rtc_server_id: str
    core: U32
    door: DoorKey


@extend
class WorkerReleaseSockets(Request[None]):
    """The core of that number lives again and reads its sockets itself."""

    METHOD = 213
    NAME = "WORKER_RELEASE_SOCKETS"
    web_rtc_server_id: str
    core: U32


@extend
class WorkerShareMemory(Request[DoorKey]):
    """For whoever watches over the core: behind the door is its slab, which outlives it (`sfu_core/_slab_read`)."""

    METHOD = 207
    NAME = "WORKER_SHARE_MEMORY"


@extend
class RouterBorrowProducer(Request[None]):
    """Let consumers of this router have a producer of another router of the same core, as `loan_id`.

    `mapped_ssrcs`: the numbers that its streams have here, in the order of its encodings. ProducerPause and
    ProducerResume of the loan concern this router only; it ends with the producer, too.
    """

    METHOD = 230
    NAME = "ROUTER_BORROW_PRODUCER"
    loan_id: str
    producer_id: str
    mapped_ssrcs: list[U32]
    paused: bool = False


@extend
class RouterReturnProducer(Request[None]):
    """End a loan; its consumers end with CONSUMER_PRODUCER_CLOSE."""

    METHOD = 231
    NAME = "ROUTER_RETURN_PRODUCER"
    loan_id: str


@extend
class RouterCreateMirrorTransport(Request[PipeTransportDumpResponse]):
    """One end of a pair between routers of the same group (`Place.mirror_group`): a PipeTransport without a socket.

    To consume a producer on it and to produce what was consumed on its other end shows the producer over there, and
    no packet passes until somebody consumes it.
    """

    METHOD = 232
    NAME = "ROUTER_CREATE_MIRRORTRANSPORT"
    transport_id: str
    options: PipeTransportOptions


@extend
class MirrorTransportConnect(Request[PipeTransportConnectResponse]):
    """Join it to the transport of that id, in any router of the group."""

    METHOD = 233
    NAME = "MIRRORTRANSPORT_CONNECT"
    transport_id: str


@extend
class TransportCoreGone(Notification):
    """The core that carried the transport has ended, and the transport with it; the worker goes on."""

    EVENT = 220
    NAME = "TRANSPORT_CORE_GONE"


# To and from the host process of a vertical, on the channel that concerns the host (handler id: empty)


class HostWorkerCreated(Table):
    """What its place says of the logical worker: the extensions it serves, and with whom it mirrors."""

    extensions: list[U32]
    mirror_group: str


@extend
class HostCreateWorker(Request[HostWorkerCreated]):
    """A logical worker behind the socket that was sent with this number. The number is its pid, too, unless it is the
    only one that lives: that one has the pid of the host process."""

    METHOD = 240
    NAME = "HOST_CREATE_WORKER"
    number: U32
    settings: WorkerSettings


class CoreInfo(Table):
    """A core of a vertical, as it is now."""

    index: U32
    """Which processor of those that are used; a replacement has that of its predecessor."""

    pid: U32
    load: F64
    """Percent of one core: the last sample, and the predicted cost of what was placed since."""

    transports: U32
    """Of all logical workers."""

    producers: U32
    """Those that send to it, not what is piped here."""

    consumers: U32
    """Those that receive from it, not what is piped from here."""

    pipes: U32
    """Producers of other cores that are piped here."""

    links: U32
    """Ways to other cores, counted once for each router."""

    workers: list[U32]
    """Pids of the logical workers that use it."""

    counters: dict[str, U64]
    """Of its media thread since it started, as WORKER_GET_CORE_STATS has them; empty where it does not tell."""


class HostCores(Table):
    cores: list[CoreInfo]


@extend
class HostGetCores(Request[HostCores]):
    """All cores that live, by index; those of the settings that were used first come first."""

    METHOD = 241
    NAME = "HOST_GET_CORES"


class HostCoreOf(Table):
    pid: U32 = 0
    """0: there is no such transport."""


@extend
class HostGetCoreOf(Request[HostCoreOf]):
    """Which core carries a transport, of whatever logical worker."""

    METHOD = 242
    NAME = "HOST_GET_CORE_OF"
    transport_id: str


@extend
class HostWorkerEnded(Notification):
    """A logical worker, and all that it had on the cores, is gone."""

    EVENT = 250
    NAME = "HOST_WORKER_ENDED"
    number: U32


@extend
class HostCoreDied(Notification):
    """A core ended unasked; the reason by class name and message."""

    EVENT = 251
    NAME = "HOST_CORE_DIED"
    pid: U32
    error: str
    reason: str


@extend
class HostCrowded(Notification):
    """The host's load has passed the mark above which another host is wanted."""

    EVENT = 252
    NAME = "HOST_CROWDED"
    load: F64


@extend
class HostError(Notification):
    """A core could not be replaced."""

    EVENT = 253
    NAME = "HOST_ERROR"
    error: str
    reason: str


# In a named session of a remote server: between a server and the clients that share a worker


@extend
class WorkerFollowPeers(Request[None]):
    """From now on hear by PEER_DONE what the other clients of the session do. First comes what made the objects that
    are there, in the order in which they were made, each followed by its latest state."""

    METHOD = 260
    NAME = "WORKER_FOLLOW_PEERS"


@extend
class WorkerDescribeRouter(Request[None]):
    """What only the client knows that has created the router, and all others need: its RTP capabilities. May be
    repeated."""

    METHOD = 261
    NAME = "WORKER_DESCRIBE_ROUTER"
    router_id: str
    rtp_capabilities: dict[str, Any]


@extend
class PeerDone(Notification):
    """Another client has asked this object for it, and it was done: the number and body of the request, and that of
    the answer. What changes an object without making or ending one comes to the client that asked, too."""

    EVENT = 262
    NAME = "PEER_DONE"
    method: U32
    body: Any
    answer: Any = None


SHARING: Final = frozenset((WorkerFollowPeers.METHOD, WorkerDescribeRouter.METHOD, PeerDone.EVENT))
"""Served by servers, not by workers."""
