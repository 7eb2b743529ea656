"""Rings between neighbours: a pipe through shared memory behaves like the stream it carries."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.media.engine.rig import OPUS, PRODUCER, SEND_STREAM, VP8, Publisher, Rig, Subscriber, link

CAPACITY = 65536
PLI = (206, 1)


class Pair:
    """Two cores with a link, on one clock."""

    def __init__(self) -> None:
        self.a, self.b = Rig(), Rig()
        self.memory, self.link_a, self.link_b = link(self.a.engine, self.b.engine, CAPACITY)

    def run(self, milliseconds: int, each: Any = None) -> None:
        for elapsed in range(milliseconds):
            self.b.now = self.a.now
            if each:
                each(elapsed)
            self.a.run(1)
            self.b.run(1)

    def close(self) -> None:
        self.a.close()
        self.b.close()
        self.memory.close()


class Pipe(Publisher):
    """A producer on core B that core A's link feeds."""

    def __init__(self, pair: Pair, source: Publisher, paused: bool = False) -> None:
        self.pair, self.video = pair, source.video
        a, b = pair.a.engine, pair.b.engine
        self.out, self.transport = a.add_link_transport(), b.add_link_transport()
        a.connect_link(self.out, pair.link_a, self.transport)
        b.connect_link(self.transport, pair.link_b, self.out)
        pt, codec, rate = (101, VP8, 90000) if source.video else (100, OPUS, 48000)
        self.stream = a.add_send_stream(
            self.out,
            source.streams[0],
            ssrc=31337,
            **(SEND_STREAM | {"payload_types": [pt], "pipe": True}),
        )
        self.producer, self.streams = b.add_producer(
            self.transport,
            int(source.video),
            [(pt, pt, codec, rate, -1)],
            [(31337, 0, "", pt)],
            **(PRODUCER | {"pli": source.video, "paused": paused}),
        )

    def close(self) -> None:
        a, b = self.pair.a.engine, self.pair.b.engine
        a.close_send_stream(self.stream)
        a.close_transport(self.out)
        b.close_producer(self.producer)
        b.close_transport(self.transport)


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


def test_packets_cross_and_all_arrive(pair: Pair) -> None:
    publisher = Publisher(pair.a)
    pipe = Pipe(pair, publisher)
    here, there = Subscriber(pair.a, publisher), Subscriber(pair.b, pipe)
    pair.run(3)
    pair.run(200, lambda ms: publisher.publish(key=ms == 0))
    pair.run(2)
    assert len(here.media) == len(there.media) == 200
    assert [packet.payload for packet in there.media] == [packet.payload for packet in here.media]
    assert [packet.marker for packet in there.media] == [packet.marker for packet in here.media]
    stats = pair.a.engine.link_stats(pair.link_a)
    assert stats["packets"] >= 200 and not stats["dropped"] and not stats["broken"]


def test_a_key_frame_request_crosses_back(pair: Pair) -> None:
    publisher = Publisher(pair.a)
    pipe = Pipe(pair, publisher)
    pair.run(3)
    pair.run(5, lambda ms: publisher.publish(key=ms == 0))
    pair.run(1500)
    asked = len(publisher.rtcp_of(*PLI))
    there = Subscriber(pair.b, pipe)
    pair.run(5)
    assert len(publisher.rtcp_of(*PLI)) == asked + 1
    pair.run(10, lambda ms: publisher.publish(key=ms == 0))
    assert len(there.media) == 10


def test_repairs_happen_on_the_core_of_the_subscriber(pair: Pair) -> None:
    publisher = Publisher(pair.a)
    pipe = Pipe(pair, publisher)
    there = Subscriber(pair.b, pipe, suite=1)
    pair.run(3)
    pair.run(20, lambda ms: publisher.publish(key=ms == 0))
    there.nack(there.media[5].seq, there.media[9].seq)
    pair.run(3)
    assert [packet.payload[2:] for packet in there.repairs] == [there.media[5].payload, there.media[9].payload]


def test_a_full_ring_drops_and_goes_on_with_a_key_frame(pair: Pair) -> None:
    publisher = Publisher(pair.a)
    pipe = Pipe(pair, publisher)
    there = Subscriber(pair.b, pipe)
    pair.run(3)
    pair.run(3, lambda ms: publisher.publish(key=ms == 0))
    for _ in range(30):  # the neighbour does not read
        for _ in range(8):
            publisher.publish(payload=b"\x10" + bytes(1000))
        pair.a.run(1)
    assert pair.a.engine.link_stats(pair.link_a)["dropped"] > 100
    assert pair.a.engine.transport_stats(pipe.out)["drops"]["linkFull"] > 100
    assert publisher.rtcp_of(*PLI)
    pair.run(2)
    before = len(there.media)
    pair.run(5, lambda ms: publisher.publish())
    assert len(there.media) == before, "nothing more of what cannot be decoded"
    pair.run(5, lambda ms: publisher.publish(key=ms == 0))
    assert len(there.media) == before + 5


def test_an_idle_link_sends_nothing(pair: Pair) -> None:
    publisher = Publisher(pair.a, "audio")
    Pipe(pair, publisher)
    pair.run(5000)
    assert pair.a.engine.core_stats()["linkPackets"] == pair.a.engine.link_stats(pair.link_a)["packets"] <= 1
    assert pair.b.engine.link_stats(pair.link_b)["packets"] <= 1


def test_closing_leaves_nothing_and_late_packets_find_nobody(pair: Pair) -> None:
    publisher = Publisher(pair.a, "audio")
    pipe = Pipe(pair, publisher)
    pair.run(3)
    publisher.publish()
    pair.a.run(1)
    pipe.close()
    pair.run(3)
    assert pair.b.engine.core_stats().get("drop.unknownTuple", 0) <= 1
    assert pair.b.engine.slots_used()["transports"] == 0
    descriptors = len(os.listdir("/proc/self/fd"))
    pair.a.engine.close_link(pair.link_a)
    pair.run(2)
    pair.a.engine.poll()
    assert len(os.listdir("/proc/self/fd")) == descriptors - 2
    with pytest.raises(LookupError):
        pair.a.engine.link_stats(pair.link_a)


@pytest.mark.parametrize("seed", range(20))
def test_a_neighbour_that_writes_nonsense_is_caught(pair: Pair, seed: int) -> None:
    """Whatever is scribbled into the shared memory: no crash, and what does not use the link is untouched."""
    publisher = Publisher(pair.a, "audio")
    pipe = Pipe(pair, publisher)
    here, there = Subscriber(pair.a, publisher, nack=False), Subscriber(pair.b, pipe, nack=False)
    dice = random.Random(seed)
    pair.run(3)
    for _ in range(60):
        publisher.publish()
        pair.a.run(1)
        at = dice.randrange(0, 256) if dice.random() < 0.3 else dice.randrange(0, len(pair.memory) - 64)
        noise = dice.randbytes(dice.choice((1, 4, 8, 64)))
        pair.memory[at : at + len(noise)] = noise
        pair.b.now = pair.a.now
        pair.b.run(1)
    assert len(here.media) == 60
    assert len(there.media) <= 120


def test_only_who_is_ready_asks_for_a_key_frame(pair: Pair) -> None:
    """A browser ignores a request within 300 ms of the last one, so none may be spent before somebody can see."""
    publisher = Publisher(pair.a)
    pair.run(3)
    publisher.publish(key=True)
    pair.run(1)
    pipe = Pipe(pair, publisher)
    pair.run(200, lambda ms: publisher.publish() if ms % 50 == 0 else None)
    assert publisher.rtcp_of(*PLI) == []
    Subscriber(pair.b, pipe)
    pair.run(3)
    assert len(publisher.rtcp_of(*PLI)) == 1


def test_a_request_from_behind_a_link_is_repeated_early(pair: Pair) -> None:
    """The publisher may have just answered another one; who waits on the other core waits no longer for that."""
    publisher = Publisher(pair.a)
    pipe = Pipe(pair, publisher)
    pair.run(3)
    pair.run(5, lambda ms: publisher.publish(key=ms == 0))
    there = Subscriber(pair.b, pipe)
    pair.run(5)
    asked = len(publisher.rtcp_of(*PLI))
    pair.run(500)
    assert len(publisher.rtcp_of(*PLI)) == asked + 1
    publisher.publish(key=True)
    pair.run(5)
    assert len(there.media) == 1
    pair.run(3000)
    assert len(publisher.rtcp_of(*PLI)) == asked + 1


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_a_pipe_among_consumers_that_come_and_go(pair: Pair, order: tuple[int, ...]) -> None:
    """The pipe stands first in its stream's list, whoever comes before or after it; nobody is lost on the way."""
    publisher = Publisher(pair.a, "audio")
    consumers = [Subscriber(pair.a, publisher, nack=False)]
    pipe = Pipe(pair, publisher)
    there = Subscriber(pair.b, pipe, nack=False)
    consumers += [Subscriber(pair.a, publisher, nack=False) for _ in range(3)]
    pair.run(3)
    expected = [0] * 4
    for number, leaves in enumerate(order):
        pair.run(5, lambda ms: publisher.publish())
        pair.run(2)
        expected = [count if index in order[:number] else count + 5 for index, count in enumerate(expected)]
        assert [len(each.media) for each in consumers] == expected
        assert len(there.media) == 5 * number + 5
        pair.a.engine.close_send_stream(consumers[leaves].stream)
    pipe.close()
    pair.run(3, lambda ms: publisher.publish())
    assert len(there.media) == 20


def test_a_link_for_which_the_queue_has_no_room() -> None:
    """It does not come to be, and the bells are the caller's still."""
    rig = Rig()
    with open(os.memfd_create("link"), "wb") as memory:
        memory.truncate(2 * (CAPACITY + 4096))
        bells = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)]
        while True:
            try:
                rig.engine.set_neighbour(0, 0)
            except BufferError:
                break
        with pytest.raises(BufferError):
            rig.engine.add_link(memory.fileno(), CAPACITY, 0, *bells)
        with pytest.raises(LookupError):
            rig.engine.close_link(1)
    for bell in bells:
        os.close(bell)
    rig.close()
