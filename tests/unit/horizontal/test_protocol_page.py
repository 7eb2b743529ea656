"""The page on the protocol is what the server does: its exchange is held, its numbers are those of the code."""

import asyncio
import json
import re
import runpy
from pathlib import Path

import msgspec
import pytest
from fake_hosts import FakeHost
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from horizontal import RemoteMediasoupServer, protocol
from horizontal.admission import ATTEMPTS
from horizontal.server import INTERNAL_ERROR, TRY_AGAIN_LATER
from horizontal.session import EARLY, MAX_AT_WORK
from sfu_core.channel import journal
from sfu_core.channel import messages as m
from sfu_core.channel.messages import NOTIFICATIONS, WorkerDump

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "remote-protocol.md").read_text()
VARIES = {"session", "silence", "instance", "version", "hostId", "announcedAddresses", "extensions", "pid"}


def exchange():
    """The lines of the example: direction and content (None: the end)."""
    block = PAGE.partition("## An exchange")[2]
    lines = re.findall(r"^    ([→←]) (.*(?:\n       .*)*)", block, re.M)
    for direction, text in lines:
        yield direction, None if text == "close 1000" else json.loads(text.replace("\n", " "))


def fits(got, said):
    """As the page says, but for what differs from one server to the next, and keys that it may leave out."""
    if isinstance(said, dict):
        return said.keys() <= got.keys() and all(
            type(got[key]) is type(value) if key in VARIES else fits(got[key], value) for key, value in said.items()
        )
    if isinstance(said, list):
        return len(got) == len(said) and all(map(fits, got, said))
    return got == said


async def test_the_exchange():
    said = list(exchange())
    assert len(said) == 11 and said[-1] == ("→", None)
    async with (
        RemoteMediasoupServer(FakeHost(), silence=30.0) as server,
        connect(server.url, subprotocols=["sfu.1"], compression=None) as socket,
    ):
        frames = []
        for direction, content in said:
            if direction == "→" and content is not None:
                await socket.send(msgspec.msgpack.encode(content))
            elif direction == "←" and isinstance(content, dict):
                assert fits(msgspec.msgpack.decode(await socket.recv()), content)
            elif direction == "←" and content[0]:
                wanted = content[2]
                while len(frames) < len(wanted):  # they may come one by one
                    async with asyncio.timeout(5):
                        frames += msgspec.msgpack.decode(await socket.recv())[2]
                assert fits(frames[: len(wanted)], wanted), frames
                del frames[: len(wanted)]
        await socket.close(1000)
        async with asyncio.timeout(5):
            while server.sessions:
                await asyncio.sleep(0.005)
        assert server.workers == []


async def test_a_worker_can_be_asked_in_the_envelope_that_creates_it():
    def envelope(number, worker, early):
        create = [0, [1, worker, protocol.CreateWorker.METHOD, "", {"worker": worker, "settings": {}}]]
        asked = [[worker, [1, id, WorkerDump.METHOD, "", {}]] for id in range(early)]
        return msgspec.msgpack.encode([number, 0, [create, *asked]])

    async with (
        RemoteMediasoupServer(FakeHost(), silence=30.0) as server,
        connect(server.url, subprotocols=["sfu.1"], compression=None) as socket,
    ):
        await socket.send(msgspec.msgpack.encode({}))
        await socket.recv()
        answers = []
        await socket.send(envelope(1, 1, EARLY))
        while len(answers) < 1 + EARLY:
            async with asyncio.timeout(5):
                answers += msgspec.msgpack.decode(await socket.recv())[2]
        assert all(accepted for _, [_, _, accepted, *_] in answers)
        assert sorted(frame[1] for worker, frame in answers if worker == 1) == list(range(EARLY))
        await socket.send(envelope(2, 3, EARLY + 1))
        with pytest.raises(ConnectionClosed, match="too many frames for worker 3"):
            async with asyncio.timeout(5):
                while True:
                    await socket.recv()


def test_numbers():
    assert f"at most {protocol.MAX_MESSAGE:,} bytes".replace(",", " ") in PAGE
    assert f"subprotocol `{protocol.SUBPROTOCOL}`" in PAGE and ATTEMPTS == 10 and MAX_AT_WORK == 1024
    assert f"at most {protocol.MAX_ENTRIES} frames" in PAGE and f"Up to {EARLY} frames" in PAGE
    codes = {int(code) for line in re.findall(r"^\| ([\d, ]+) \|", PAGE, re.M) for code in line.split(",")}
    assert codes == set(protocol.Close) | {INTERNAL_ERROR, TRY_AGAIN_LATER}
    own = (protocol.CreateWorker, protocol.GetStats, protocol.Call)
    news = (protocol.WorkerEnded, protocol.WorkerAdded, protocol.Told)
    for kind in own:
        assert f"### {kind.METHOD} {kind.NAME} (request)" in PAGE
    for kind in news:
        assert f"### {kind.EVENT} {kind.NAME} (notification to the client)" in PAGE
    for kind in (*own, *news):
        for field in kind.__struct_fields__:
            assert f"`{field}`" in PAGE
    for kind in (protocol.Hello, protocol.Welcome):
        for field in kind.__struct_encode_fields__:
            assert f"| `{field}` |" in PAGE


def numbers(text):
    """3, 9 to 11 → {3, 9, 10, 11}"""
    ranges = re.findall(r"(\d+)(?: to (\d+))?", text)
    return {number for first, last in ranges for number in range(int(first), int(last or first) + 1)}


def test_what_clients_of_a_session_are_told():
    for kind in (m.WorkerFollowPeers, m.WorkerDescribeRouter):
        assert f"### {kind.METHOD} {kind.NAME} (request to the worker)" in PAGE
    section = PAGE.partition(f"### {m.PeerDone.EVENT} {m.PeerDone.NAME} (notification to the client)")[2]
    created, closed, changed = (numbers(each) for each in re.findall(r"\((\d+,[^)]*)\)", section)[:3])
    assert created == {kind.METHOD for kind in journal._CREATES} and closed == {kind.METHOD for kind in journal._CLOSES}
    requests = [kind for kind in (*journal._ROWS, *journal._PASSING) if issubclass(kind, m.Request)]
    assert changed == {kind.METHOD for kind in requests}


def test_what_may_get_lost():
    lossy = {number for number, each in NOTIFICATIONS.items() if each.MEDIA}
    assert lossy == {1, 2, 13, 15, 21, 23}


def test_the_messages_are_those_of_the_code():
    """`python scripts/message_tables.py` writes the page."""
    made = runpy.run_path(str(DOCS.parent / "scripts" / "message_tables.py"))
    assert (DOCS / "messages.md").read_text() == made["page"]()
