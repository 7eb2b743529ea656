"""A host with many cores on which rooms come and go: pure, on a clock of its own, the same for the same seed.

Where a transport goes is decided by the vertical's own code (`placement`, and `Member`'s samples and predictions); what
a stream really costs, how long people stay and how late samples come is invented here. No process, no packet.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from sfu_core.channel import messages as m
from vertical.members import SAMPLE_INTERVAL, Member
from vertical.placement import WATERMARK, Policy, cost_of

SAMPLE_DELAY: Final = 0.2
VISIBLE: Final = 9
"""Videos that a person looks at; applications do not show more."""

NEAR, FAR = 0.2, 0.5
"""What a pipe costs the core that it comes from, in consumers, and the other one, in producers."""

_SIZES: Final = ((2, 30), (3, 20), (4, 15), (6, 15), (10, 10), (25, 6), (60, 2), (150, 1), (400, 1))
"""People of a room, and how many of 100 rooms have so many. From 100 on only one of them publishes."""


def _costs() -> tuple[dict[m.MediaKind, float], dict[m.MediaKind, float], float]:
    """What the vertical predicts for producers, consumers and a transport."""
    none: Any = None
    producers = {
        kind: cost_of(m.TransportProduce(producer_id="", kind=kind, rtp_parameters=none, rtp_mapping=none))
        for kind in m.MediaKind
    }
    consumers = {
        kind: cost_of(
            m.TransportConsume(
                consumer_id="",
                producer_id="",
                kind=kind,
                rtp_parameters=none,
                type=m.RtpType.SIMPLE,
                consumable_rtp_encodings=[],
            )
        )
        for kind in m.MediaKind
    }
    return producers, consumers, cost_of(m.RouterCreateDirectTransport(transport_id="", options=none))


PRODUCER, CONSUMER, TRANSPORT = _costs()


class Core:
    """What it really carries, and the member as the vertical knows it."""

    def __init__(self, index: int) -> None:
        nothing: Any = None
        self.member = Member(index, nothing, 0)
        self.load = 0.0
        self._work = 0.0
        self._since = 0.0

    def add(self, load: float, now: float) -> None:
        self._work, self._since = self.work(now), now
        self.load += load

    def work(self, now: float) -> float:
        """Percent seconds so far; a core does no more than 100 percent."""
        return self._work + min(100.0, self.load) * (now - self._since)


@dataclass(eq=False)
class Stream:
    """A producer; consumers count by core, pipes are the cores among them that are not its home."""

    kind: m.MediaKind
    home: Core
    consumers: Counter[Core] = field(default_factory=Counter)
    watchers: dict[Person, None] = field(default_factory=dict)


@dataclass(eq=False)
class Person:
    """Two transports; what it publishes, and what it consumes."""

    sends_on: Core
    receives_on: Core
    streams: list[Stream] = field(default_factory=list)
    consumes: dict[Stream, None] = field(default_factory=dict)
    videos: int = 0


@dataclass(eq=False)
class Room:
    """`weight`: how much more or less than predicted its streams cost."""

    size: int
    weight: float
    people: dict[Person, None] = field(default_factory=dict)
    publishers: dict[Person, None] = field(default_factory=dict)
    transports: Counter[Core] = field(default_factory=Counter)

    @property
    def webinar(self) -> bool:
        return self.size >= 100


class Host:
    """Cores with rooms on them; `run` lets time pass."""

    def __init__(self, cores: int, policy: Policy, seed: int, rooms_per_second: float, stay: float) -> None:
        """`stay`: seconds that people stay, on average."""
        self.cores = [Core(index) for index in range(cores)]
        self.rooms: dict[Room, None] = {}
        self.now = 0.0
        self.pipes = self.producers = self.placed = self.misplaced = self.spilled = self.opened = 0
        self._policy = policy
        self._random = random.Random(seed)
        self._rate, self._stay = rooms_per_second, stay
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        for core in self.cores:
            self._after(self._random.random() * SAMPLE_INTERVAL, partial(self._sample, core, 0.0, 0.0))
        self._after(0, self._open_rooms)

    def run(self, seconds: float) -> Iterator[float]:
        """Yields once a simulated second."""
        for second in range(1, round(seconds) + 1):
            while self._queue[0][0] <= second:
                self.now, _, event = heapq.heappop(self._queue)
                event()
            self.now = second
            yield self.now

    def _after(self, seconds: float, event: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._queue, (self.now + seconds, self._number, event))

    def _sample(self, core: Core, work: float, since: float) -> None:
        """As `Member.sample`: asked now, answered a little later; the next one an interval after that."""
        predicted, asked, done = core.member.predicted, self.now, core.work(self.now)

        def answered() -> None:
            core.member.measure((done - work) / max(asked - since, 1e-9), predicted, WATERMARK)
            self._after(SAMPLE_INTERVAL, partial(self._sample, core, done, asked))

        self._after(SAMPLE_DELAY, answered)

    # Rooms and people

    def _open_rooms(self) -> None:
        size = self._random.choices([size for size, _ in _SIZES], [share for _, share in _SIZES])[0]
        room = Room(size, self._random.lognormvariate(0, 0.4))
        self.rooms[room] = None
        self.opened += 1
        for _ in range(size):  # most come within the first minute
            self._after(self._random.expovariate(1 / 20), partial(self._join, room))
        self._after(self._random.expovariate(self._rate), self._open_rooms)

    def _join(self, room: Room) -> None:
        person = Person(self._place(room), self._place(room))
        for other in room.publishers:
            self._watch(room, person, other.streams)
        if not (room.webinar and room.publishers):
            self._publish(room, person)
        room.people[person] = None
        self._after(self._random.expovariate(1 / self._stay), partial(self._leave, room, person))

    def _publish(self, room: Room, person: Person) -> None:
        person.streams = [Stream(kind, person.sends_on) for kind in m.MediaKind]
        room.publishers[person] = None
        self.producers += len(person.streams)
        for stream in person.streams:
            self._charge(person.sends_on, PRODUCER[stream.kind], room)
        for other in room.people:
            self._watch(room, other, person.streams)

    def _place(self, room: Room) -> Core:
        chosen = self._policy([core.member.candidate(core in room.transports) for core in self.cores])
        core = self.cores[chosen]
        self.placed += 1
        if core.load >= WATERMARK and any(other.load < WATERMARK for other in self.cores):
            self.misplaced += 1
        if room.transports and core not in room.transports:
            self.spilled += 1
        core.member.transports += 1
        core.member.predicted += TRANSPORT
        room.transports[core] += 1
        return core

    def _watch(self, room: Room, person: Person, streams: list[Stream]) -> None:
        for stream in streams:
            video = stream.kind is m.MediaKind.VIDEO
            if not video or person.videos < VISIBLE:
                person.consumes[stream] = stream.watchers[person] = None
                person.videos += video
                self._consume(room, stream, person.receives_on, 1)

    def _unwatch(self, room: Room, person: Person, stream: Stream) -> None:
        del person.consumes[stream], stream.watchers[person]
        person.videos -= stream.kind is m.MediaKind.VIDEO
        self._consume(room, stream, person.receives_on, -1)

    def _consume(self, room: Room, stream: Stream, core: Core, count: int) -> None:
        before = stream.consumers[core]
        stream.consumers[core] += count
        self._charge(core, CONSUMER[stream.kind] * count, room)
        if core is not stream.home and bool(before) != bool(stream.consumers[core]):
            self.pipes += count
            self._charge(stream.home, NEAR * CONSUMER[stream.kind] * count, room)
            self._charge(core, FAR * PRODUCER[stream.kind] * count, room)

    def _charge(self, core: Core, predicted: float, room: Room) -> None:
        """It costs that from now on. The vertical predicts what is new; what has gone it sees in its samples."""
        core.add(predicted * room.weight, self.now)
        if predicted > 0:
            core.member.predicted += predicted

    def _leave(self, room: Room, person: Person) -> None:
        del room.people[person]
        for stream in list(person.consumes):
            self._unwatch(room, person, stream)
        for stream in person.streams:
            for other in list(stream.watchers):
                self._unwatch(room, other, stream)
            self._charge(person.sends_on, -PRODUCER[stream.kind], room)
        room.publishers.pop(person, None)
        self.producers -= len(person.streams)
        for core in (person.sends_on, person.receives_on):
            core.member.transports -= 1
            room.transports[core] -= 1
            if not room.transports[core]:
                del room.transports[core]
        if not room.people:
            self.rooms.pop(room, None)
