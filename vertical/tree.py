"""What a logical worker consists of, and where each piece lives.

Pure bookkeeping, synchronous: an object is here from the moment its creation is confirmed until somebody ends it, and
ends together with all that belongs to it. Sends nothing.

Transports, producers and consumers are of two kinds. The usual one is on a member. The other one is what `pipeToRouter`
between two routers of the same members makes, which is on none (`vertical.mirrors`).
"""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError, SfuError

if TYPE_CHECKING:
    from vertical.loans import Loan
    from vertical.members import Member
    from vertical.news import News
    from vertical.pipes import Piped, Pipes
    from vertical.ports import Port


@dataclass(eq=False, slots=True)
class Router:
    """Exists on a member from the first transport placed there, with the same id on each."""

    id: str
    members: "dict[Member, asyncio.Future[None]]" = field(default_factory=dict)
    transports: "dict[str, AnyTransport]" = field(default_factory=dict)
    producers: "dict[str, AnyProducer]" = field(default_factory=dict)
    closed: bool = False

    def has_room_on(self, member: "Member") -> bool:
        """Whether transports of it are there."""
        return any(isinstance(each, Transport) and each.member is member for each in self.transports.values())

    def producer(self, id: str) -> "AnyProducer":
        """NotFoundError if there is none."""
        if id not in self.producers:
            raise NotFoundError(f"no producer with the id {id!r} in this router")
        return self.producers[id]


@dataclass(eq=False, slots=True)
class Server:
    """A WebRtcServer: on all members, with one `port` for all. Where members cannot share ports (`port` is None) it is
    `anywhere`, if each member may have one with ports of its own; else there is one, on one member."""

    id: str
    listen_infos: list[m.ListenInfo]
    anywhere: bool
    port: "Port | None" = None
    home: "Member | None" = None
    members: "dict[Member, asyncio.Future[None]]" = field(default_factory=dict)
    transports: "dict[str, Transport]" = field(default_factory=dict)
    closed: bool = False


@dataclass(eq=False, slots=True, kw_only=True)
class AnyTransport:
    """Of either kind."""

    id: str
    router: Router
    producers: "dict[str, AnyProducer]" = field(default_factory=dict)
    consumers: "dict[str, AnyConsumer]" = field(default_factory=dict)
    closed: bool = False


@dataclass(eq=False, slots=True, kw_only=True)
class Transport(AnyTransport):
    """Placed once, on one member."""

    member: "Member"
    server: Server | None = None


@dataclass(eq=False, slots=True, kw_only=True)
class MirrorTransport(AnyTransport):
    """One end of a pair; what is consumed here can be produced at the other end."""

    options: m.PipeTransportOptions
    other: "MirrorTransport | None" = None
    limits: dict[str, int] = field(default_factory=dict)
    traced: list[m.TransportTraceEventType] = field(default_factory=list)


@dataclass(eq=False, slots=True, kw_only=True)
class AnyProducer:
    """Of either kind; `request` is what made it."""

    id: str
    transport: AnyTransport
    request: m.TransportProduce
    paused: bool
    consumers: "dict[str, AnyConsumer]" = field(default_factory=dict)
    traced: list[m.ProducerTraceEventType] = field(default_factory=list)
    closed: bool = False

    @property
    def source(self) -> "Producer":
        """Where the packets come from."""
        raise NotImplementedError


@dataclass(eq=False, slots=True, kw_only=True)
class Producer(AnyProducer):
    """At home where its transport is, and piped to where it is consumed."""

    transport: Transport
    wire_id: str
    pipes: "Pipes"
    piped: "dict[Member, Piped]" = field(default_factory=dict)
    mirrors: "list[Mirror]" = field(default_factory=list)
    scores: dict[int, m.ProducerStreamScore] = field(default_factory=dict)

    @property
    def source(self) -> "Producer":
        return self


@dataclass(eq=False, slots=True, kw_only=True)
class Mirror(AnyProducer):
    """A producer of another router, perhaps of another logical worker: on each member that it is lent to."""

    transport: MirrorTransport
    feed: "PipeConsumer"
    news: "News"
    loans: "dict[Member, Loan]" = field(default_factory=dict)

    @property
    def source(self) -> Producer:
        return self.feed.producer.source

    @property
    def held(self) -> bool:
        """Whether it lets nothing through, paused itself or at the other end."""
        return self.paused or self.feed.paused


@dataclass(eq=False, slots=True, kw_only=True)
class AnyConsumer:
    """Of either kind."""

    id: str
    transport: AnyTransport
    producer: AnyProducer
    paused: bool
    closed: bool = False


@dataclass(eq=False, slots=True, kw_only=True)
class Consumer(AnyConsumer):
    """Where its transport is."""

    transport: Transport
    type: m.RtpType
    score: m.ConsumerScores

    @property
    def remote(self) -> bool:
        """Whether its producer comes through a pipe."""
        return self.transport.member is not self.producer.source.transport.member


@dataclass(eq=False, slots=True, kw_only=True)
class PipeConsumer(AnyConsumer):
    """What a mirror in another router shows; `request` is what made it."""

    transport: MirrorTransport
    request: m.TransportConsume
    mirror: Mirror | None = None
    priority: int = 1
    traced: list[m.ConsumerTraceEventType] = field(default_factory=list)


Record: TypeAlias = Router | Server | AnyTransport | AnyProducer | AnyConsumer
T = TypeVar("T", bound=Record)


class Tree:
    """The living objects of one logical worker by id, oldest first."""

    def __init__(self) -> None:
        self.objects: dict[str, Record] = {}

    def all(self, kind: type[T]) -> list[T]:
        """Those of one kind."""
        return [record for record in self.objects.values() if isinstance(record, kind)]

    def check_free(self, id: str) -> None:
        """SfuError if an object of that id exists."""
        if id in self.objects:
            raise SfuError(f"an object with the id {id!r} exists already")

    def get(self, id: str, kind: type[T]) -> T:
        """NotFoundError if there is none; SfuError if it is something else."""
        record = self.find(id)
        if not isinstance(record, kind):
            raise SfuError(f"{type(record).__name__} {id!r} is no {kind.__name__}")
        return record

    def find(self, id: str) -> Record:
        """NotFoundError if there is none."""
        try:
            return self.objects[id]
        except KeyError:
            raise NotFoundError(f"no object with the id {id!r}") from None

    def add(self, record: Record) -> None:
        """Also to those that it belongs to or depends on."""
        self.objects[record.id] = record
        match record:
            case AnyTransport(router=router):
                router.transports[record.id] = record
                if isinstance(record, Transport) and record.server is not None:
                    record.server.transports[record.id] = record
            case AnyProducer(transport=transport):
                transport.producers[record.id] = record
                transport.router.producers[record.id] = record
            case AnyConsumer(transport=transport, producer=producer):
                transport.consumers[record.id] = record
                producer.consumers[record.id] = record

    def remove(self, record: Record) -> list[Record]:
        """Ends it and all that ends with it; these, children first. Nothing if it has ended already."""
        if record.closed:
            return []
        record.closed = True
        removed: list[Record] = []
        for child in _children(record):
            removed += self.remove(child)
        self._detach(record)
        return [*removed, record]

    def _detach(self, record: Record) -> None:
        del self.objects[record.id]
        match record:
            case AnyTransport(router=router):
                del router.transports[record.id]
                if isinstance(record, Transport) and record.server is not None:
                    del record.server.transports[record.id]
            case AnyProducer(transport=transport):
                del transport.producers[record.id]
                del transport.router.producers[record.id]
            case AnyConsumer(transport=transport, producer=producer):
                del transport.consumers[record.id]
                del producer.consumers[record.id]


def check_open(*records: Record | None) -> None:
    """NotFoundError if one has ended, perhaps while something was being created in it."""
    for record in records:
        if record is not None and record.closed:
            raise NotFoundError(f"{type(record).__name__} {record.id} is closed")


def not_understood(record: Record, message: object) -> SfuError:
    """What to raise for a message of another kind of object."""
    return SfuError(f"{type(record).__name__} does not understand {type(message).__name__}")


def _children(record: Record) -> list[Record]:
    match record:
        case Router() | Server():
            return [*record.transports.values()]
        case AnyTransport():
            return [*record.consumers.values(), *record.producers.values()]
        case AnyProducer():
            return [*record.consumers.values()]
        case _:
            return []
