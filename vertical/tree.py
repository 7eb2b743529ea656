"""What a logical worker consists of, and where each piece lives.

Pure bookkeeping, synchronous: an object is here from the moment its creation is confirmed until somebody ends it, and
ends together with all that belongs to it. Sends nothing.
"""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from sfu_core.channel import messages as m
from sfu_core.errors import NotFoundError, SfuError

if TYPE_CHECKING:
    from vertical.members import Member
    from vertical.pipes import Piped


@dataclass(eq=False, slots=True)
class Router:
    """Exists on a member from the first transport placed there, with the same id on each."""

    id: str
    members: "dict[Member, asyncio.Future[None]]" = field(default_factory=dict)
    transports: "dict[str, Transport]" = field(default_factory=dict)
    producers: "dict[str, Producer]" = field(default_factory=dict)
    closed: bool = False

    def has_room_on(self, member: "Member") -> bool:
        """Whether transports of it are there."""
        return any(transport.member is member for transport in self.transports.values())


@dataclass(eq=False, slots=True)
class Server:
    """A WebRtcServer. `anywhere`: each member may have one with ports of its own; else there is one, on one member."""

    id: str
    listen_infos: list[m.ListenInfo]
    anywhere: bool
    home: "Member | None" = None
    members: "dict[Member, asyncio.Future[None]]" = field(default_factory=dict)
    transports: "dict[str, Transport]" = field(default_factory=dict)
    closed: bool = False


@dataclass(eq=False, slots=True)
class Transport:
    """Placed once, on one member."""

    id: str
    router: Router
    member: "Member"
    server: Server | None = None
    producers: "dict[str, Producer]" = field(default_factory=dict)
    consumers: "dict[str, Consumer]" = field(default_factory=dict)
    closed: bool = False


@dataclass(eq=False, slots=True)
class Producer:
    """At home where its transport is, and piped to where it is consumed."""

    id: str
    wire_id: str
    transport: Transport
    request: m.TransportProduce
    paused: bool
    consumers: "dict[str, Consumer]" = field(default_factory=dict)
    piped: "dict[Member, Piped]" = field(default_factory=dict)
    scores: dict[int, m.ProducerStreamScore] = field(default_factory=dict)
    closed: bool = False


@dataclass(eq=False, slots=True)
class Consumer:
    """Where its transport is."""

    id: str
    transport: Transport
    producer: Producer
    type: m.RtpType
    score: m.ConsumerScores
    paused: bool = False
    closed: bool = False

    @property
    def remote(self) -> bool:
        """Whether its producer comes through a pipe."""
        return self.transport.member is not self.producer.transport.member


Record: TypeAlias = Router | Server | Transport | Producer | Consumer
T = TypeVar("T", Router, Server, Transport, Producer, Consumer)


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
            case Transport(router=router, server=server):
                router.transports[record.id] = record
                if server is not None:
                    server.transports[record.id] = record
            case Producer(transport=transport):
                transport.producers[record.id] = record
                transport.router.producers[record.id] = record
            case Consumer(transport=transport, producer=producer):
                transport.consumers[record.id] = record
                producer.consumers[record.id] = record

    def remove(self, record: Record) -> list[Record]:
        """Ends it and all that ends with it; these, children first. Nothing if it has ended already."""
        if record.closed:
            return []
        record.closed = True
        removed: list[Record] = []
        match record:
            case Router() | Server():
                children: list[Record] = [*record.transports.values()]
            case Transport():
                children = [*record.consumers.values(), *record.producers.values()]
            case Producer():
                children = [*record.consumers.values()]
            case Consumer():
                children = []
        for child in children:
            removed += self.remove(child)
        self._detach(record)
        return [*removed, record]

    def _detach(self, record: Record) -> None:
        del self.objects[record.id]
        match record:
            case Transport(router=router, server=server):
                del router.transports[record.id]
                if server is not None:
                    del server.transports[record.id]
            case Producer(transport=transport):
                del transport.producers[record.id]
                del transport.router.producers[record.id]
            case Consumer(transport=transport, producer=producer):
                del transport.consumers[record.id]
                del producer.consumers[record.id]
