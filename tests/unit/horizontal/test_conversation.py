"""Frames arrive exactly once and in order, whatever happens to the sockets."""

import asyncio
import random

import pytest

from horizontal.conversation import ACK_AFTER, HIGH_WATER, Conversation, Lane
from horizontal.protocol import BATCH, MAX_ENTRIES, Envelope, pack, read_envelope
from sfu_core.channel.codec import PREFIX, ProtocolError

LIMIT = 4 << 20


def frame(content):
    """As codecs write one: its length, then MessagePack."""
    return bytes(PREFIX) + pack(content)


class Side:
    def __init__(self, limit=LIMIT):
        self.got = []
        self.overflown = 0
        self.conversation = Conversation(self.take, self.overflow, limit)

    def take(self, entry):
        self.got.append((entry.worker, bytes(entry.frame)))

    def overflow(self):
        self.overflown += 1

    def say(self, worker, content, media=False):
        self.conversation.write(worker, frame(content), media)


class Cable:
    """A socket between two sides: messages are on their way until they are delivered, or lost with it."""

    def __init__(self, first, second):
        self.ways = {first: (second, []), second: (first, [])}
        self.sends = {}
        for side, (other, under_way) in self.ways.items():
            self.sends[side] = under_way.append
            side.conversation.attach(self.sends[side], lambda: 0, other.conversation.received)

    def deliver(self, side, count=None):
        """What `side` has sent comes in at the other one."""
        other, under_way = self.ways[side]
        for message in under_way[:count]:
            other.conversation.receive(message)
        del under_way[: len(under_way) if count is None else count]

    def settle(self):
        for _ in range(4):
            for side in self.ways:
                self.deliver(side)

    def cut(self):
        for side in self.ways:
            side.conversation.detach(self.sends[side])


async def turn():
    await asyncio.sleep(0)


def pair():
    return Side(), Side()


async def test_frames_of_a_turn_leave_as_one_message():
    client, server = pair()
    cable = Cable(client, server)
    client.say(1, ["a"])
    client.say(3, ["b"])
    assert cable.ways[client][1] == []
    await turn()
    (message,) = cable.ways[client][1]
    envelope = read_envelope(message)
    assert (envelope.number, envelope.received) == (1, 0)
    assert [(each.worker, bytes(each.frame)) for each in envelope.entries] == [(1, pack(["a"])), (3, pack(["b"]))]
    cable.settle()
    assert server.got == [(1, pack(["a"])), (3, pack(["b"]))]


async def test_large_turns_are_cut_in_messages():
    client, server = pair()
    cable = Cable(client, server)
    for index in range(5):
        client.say(1, "x" * (BATCH // 2) + str(index))
    await turn()
    assert len(cable.ways[client][1]) == 5
    cable.settle()
    assert [content[-1:] for _, content in server.got] == [b"0", b"1", b"2", b"3", b"4"]


async def test_many_small_frames_are_cut_in_messages():
    client, server = pair()
    cable = Cable(client, server)
    for index in range(MAX_ENTRIES + 1):
        client.say(1, index)
    await turn()
    assert [len(read_envelope(each).entries) for each in cable.ways[client][1]] == [MAX_ENTRIES, 1]
    cable.settle()
    assert len(server.got) == MAX_ENTRIES + 1


@pytest.mark.parametrize("seed", range(30))
async def test_nothing_is_lost_or_repeated_by_cuts(seed):
    """Both sides talk, messages are lost with their sockets at random places; everything arrives, in order."""
    rng = random.Random(seed)
    sides = client, server = pair()
    cable = Cable(client, server)
    said = {client: [], server: []}
    for step in range(300):
        side = rng.choice(sides)
        what = rng.random()
        if what < 0.6:
            said[side].append((rng.randrange(4), pack(step)))
            side.say(said[side][-1][0], step)
        elif what < 0.9:
            await turn()
            cable.deliver(side, rng.randrange(4))
        else:
            cable.cut()
            if rng.random() < 0.5:  # it goes on talking while it is cut
                said[side].append((0, pack(step)))
                side.say(0, step)
                await turn()
            cable = Cable(client, server)
    await turn()
    cable.settle()
    assert server.got == said[client] and client.got == said[server]
    for side in sides:
        side.conversation.beat()
        side.conversation.beat()
    cable.settle()
    assert client.conversation.waiting == server.conversation.waiting == 0


async def test_what_has_arrived_is_forgotten():
    client, server = pair()
    cable = Cable(client, server)
    for index in range(ACK_AFTER):
        client.say(1, index)
        await turn()
    assert client.conversation.waiting > 0
    cable.settle()
    assert client.conversation.waiting == 0


async def test_a_beat_tells_what_has_arrived():
    client, server = pair()
    cable = Cable(client, server)
    client.say(1, "a")
    await turn()
    cable.deliver(client)
    assert cable.ways[server][1] == []
    server.conversation.beat()
    (message,) = cable.ways[server][1]
    assert read_envelope(message) == Envelope(0, 1, [])
    cable.settle()
    assert client.conversation.waiting == 0
    server.say(1, "b")
    await turn()
    cable.settle()
    server.conversation.beat()  # something was said since the last one
    assert cable.ways[server][1] == []


async def test_media_is_lost_with_the_socket():
    client, server = pair()
    cable = Cable(client, server)
    client.say(1, "a")
    client.say(1, "media", media=True)
    client.say(1, "b")
    await turn()
    numbers = [read_envelope(message).number for message in cable.ways[client][1]]
    assert numbers == [1, 0, 2]
    cable.cut()
    client.say(1, "media", media=True)
    assert client.conversation.media_dropped == 1
    cable = Cable(client, server)
    cable.settle()
    assert [content for _, content in server.got] == [pack("a"), pack("b")]


async def test_congestion_holds_requests_and_drops_media():
    client, server = pair()
    cable = Cable(client, server)
    client.say(1, "x" * (HIGH_WATER + 1))
    assert client.conversation.congested
    client.say(1, "media", media=True)
    assert client.conversation.media_dropped == 1
    waiting = asyncio.ensure_future(client.conversation.drained())
    await turn()
    assert not waiting.done()
    cable.deliver(client)
    server.conversation.beat()
    cable.deliver(server)
    await waiting


async def test_a_side_that_takes_nothing():
    client, _ = Side(limit=1000), None
    client.say(1, "x" * 500)
    await turn()
    assert client.overflown == 0
    client.say(1, "x" * 600)
    await turn()
    assert client.overflown == 1


async def test_closing_wakes_who_waits():
    client, _ = pair()
    client.say(1, "x" * (HIGH_WATER + 1))
    waiting = asyncio.ensure_future(client.conversation.drained())
    await turn()
    client.conversation.close()
    await waiting
    client.say(1, "y")
    assert client.conversation.waiting == 0


async def test_a_lane_that_is_closed_is_silent():
    client, server = pair()
    cable = Cable(client, server)
    lane = Lane(client.conversation, 5)
    lane.write(frame("a"))
    lane.close()
    lane.write(frame("b"))
    await turn()
    cable.settle()
    assert server.got == [(5, pack("a"))]


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (b"", "malformed"),
        (b"\xc1", "malformed"),
        ("[1, 0, []]", "text"),
        (pack([1, 0]), "malformed"),
        (pack([1, 0, [[1]]]), "malformed"),
        (pack([1, 0, [[-1, []]]]), "malformed"),
        (pack([-1, 0, []]), "negative"),
        (pack([1, -1, []]), "negative"),
        (pack([2, 0, []]), "message 2 after 0"),
        (pack([1, 0, [[1, None]] * (MAX_ENTRIES + 1)]), "4097 frames in one message"),
        (pack([1, 7, []]), "message 7 has not been sent yet"),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_broken_rules(message, complaint):
    side = Side()
    with pytest.raises(ProtocolError, match=complaint):
        side.conversation.receive(message)


async def test_a_message_comes_once():
    side = Side()
    side.conversation.receive(pack([1, 0, []]))
    with pytest.raises(ProtocolError, match="message 1 after 1"):
        side.conversation.receive(pack([1, 0, []]))


async def test_nobody_resumes_from_where_nobody_was():
    client, server = pair()
    cable = Cable(client, server)
    for index in range(3):
        client.say(1, index)
        await turn()
    cable.settle()
    server.conversation.beat()
    cable.settle()
    for arrived in (2, 4):  # the one is not kept any more, the other was never sent
        with pytest.raises(ProtocolError, match="cannot be the last"):
            client.conversation.attach(lambda _: None, lambda: 0, arrived)


def test_later_versions_may_add_fields():
    envelope = read_envelope(pack([1, 2, [[3, None, "more"]], "more"]))
    assert (envelope.number, envelope.received) == (1, 2)
    assert [(each.worker, bytes(each.frame)) for each in envelope.entries] == [(3, pack(None))]
