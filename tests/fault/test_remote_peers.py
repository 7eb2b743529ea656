"""Clients and servers that break the rules: a clear error on the right side, and nobody else is harmed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from horizontal import RemoteMediasoupClient
from horizontal.protocol import (
    MAX_MESSAGE,
    SERVER,
    SUBPROTOCOL,
    Entry,
    Envelope,
    Hello,
    Resume,
    Welcome,
    pack,
    read_envelope,
)
from sfu_core.channel import messages as m
from sfu_core.channel.codec import ProtocolError
from sfu_core.errors import SfuError, UnsupportedError
from tests.network.authority import Authority
from waiting import until

from .processes import is_alive, resident
from .remote import raw, site
from .served import served

SETTINGS: dict[str, Any] = {}
CREATE = 1
HALF_OPEN = 10_000


@contextlib.asynccontextmanager
async def unharmed(it: Any) -> AsyncIterator[None]:
    """Another client works before and afterwards, without interruption."""
    client = await it.client()
    worker = await client.mediasoup.create_worker()
    yield
    router = await worker.create_router()
    assert (await worker.dump())["routerIds"] == [router.id]
    assert "disconnected" not in it.events and not worker.closed


async def refused(socket: Any, code: int, reason: str) -> None:
    """The server closes it so."""
    with pytest.raises(ConnectionClosed) as closed:
        async with asyncio.timeout(10):
            while True:
                await socket.recv()
    assert closed.value.rcvd is not None and closed.value.rcvd.code == code
    assert reason in closed.value.rcvd.reason


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        (b"", 1002, "malformed"),
        (b"\xff" * 50, 1002, "malformed"),
        ("text", 1002, "text"),
        (pack([7, 0, []]), 1002, "message 7 after 1"),  # type: ignore[arg-type]
        (pack([1, 9, []]), 1002, "has not been sent"),  # type: ignore[arg-type]
        (pack([1, 0, [[SERVER, "nonsense"]]]), 1002, "malformed frame"),  # type: ignore[arg-type]
        (pack([1, 0, [[SERVER, [2, 1, True, None, None, None]]]]), 1002, "sends only requests"),  # type: ignore
        (pack([1, 0, [[SERVER, [3, 99, "", {}]]]]), 1002, "unknown event 99"),  # type: ignore[arg-type]
        (bytes(MAX_MESSAGE + 1), 1009, ""),
    ],
    ids=["empty", "garbage", "text", "number", "received", "frame", "reply", "notification", "oversized"],
)
async def test_a_client_that_breaks_the_rules(message: Any, code: int, reason: str) -> None:
    async with site(silence=30) as it, unharmed(it):
        async with raw(it.server.url) as peer:
            await peer.greet()
            await peer.ask(1, CREATE, {"worker": 1, "settings": SETTINGS})
            await until(lambda: len(it.server.workers) == 2)
            theirs = it.server.workers[1]
            peer.number = 0
            await until(lambda: it.server.sessions == 2)
            message = pack([2, 0, []]) if message is None else message
            if isinstance(message, bytes) and message[:2] == b"\x93\x01":
                message = b"\x93\x02" + message[2:]
            await peer.socket.send(message)
            await refused(peer.socket, code, reason)
        await until(lambda: it.server.sessions == 1 and not is_alive(theirs.pid))


@pytest.mark.parametrize(
    ("hello", "reason"),
    [
        (b"\xc1", "malformed hello"),
        ("{}", "text"),
        (pack([1, 0, []]), "malformed hello"),  # type: ignore[arg-type]
        (pack(Hello(name="x" * 1025)), "malformed hello"),
        (pack(Hello(resume=Resume("x" * 1025, 0))), "malformed hello"),
    ],
    ids=["garbage", "text", "envelope", "name", "session"],
)
async def test_a_wrong_hello(hello: Any, reason: str) -> None:
    async with site(silence=30) as it, raw(it.server.url) as peer:
        await peer.socket.send(hello)
        await refused(peer.socket, 1002, reason)
        assert it.server.sessions == 0


async def test_a_client_of_another_version() -> None:
    async with site(silence=30) as it:
        for subprotocol in ("sfu.9", "chat"):
            with pytest.raises(InvalidStatus) as refusal:
                async with raw(it.server.url, subprotocol):
                    pass
            assert refusal.value.response.status_code == 400
            assert SUBPROTOCOL.encode() in (refusal.value.response.body or b"")


async def test_ids_that_are_in_use() -> None:
    """A worker's number twice is refused; a request's number twice is a broken rule."""
    async with site(silence=30) as it, unharmed(it), raw(it.server.url) as peer:
        await peer.greet()
        for request_id, number in ((1, 1), (2, 1), (3, 4), (4, 0)):
            await peer.ask(request_id, CREATE, {"worker": number, "settings": SETTINGS})
        answers: dict[int, Any] = {}
        while len(answers) < 4:
            for entry in read_envelope(await peer.socket.recv()).entries:
                content = decoded(entry)
                if entry.worker == SERVER and content[0] == 2:
                    answers[content[1]] = content
        assert answers[1][2] is True
        for request_id in (2, 3, 4):
            assert answers[request_id][2:4] == [False, "TypeError"] and "in use" in answers[request_id][4]
        dump = [1, 9, m.WorkerDump.METHOD, "", {}]
        await peer.say((1, dump), (1, dump))
        await refused(peer.socket, 1002, "request 9 is still being answered")


def decoded(entry: Entry) -> Any:
    return msgspec.msgpack.decode(entry.frame)


async def test_a_client_that_never_reads() -> None:
    """What waits for it is bounded; then it is cut off, and what it owned ends."""
    async with site(max_backlog=1 << 20, silence=30) as it, unharmed(it):
        before = resident(os.getpid())
        async with raw(it.server.url) as peer:
            await peer.greet()
            await peer.ask(1, CREATE, {"worker": 1, "settings": SETTINGS})
            await until(lambda: len(it.server.workers) == 2)
            theirs = it.server.workers[1]
            peer.socket.transport.pause_reading()
            request_id = 0
            with contextlib.suppress(ConnectionClosed):
                while it.server.sessions == 2:
                    frames = []
                    for _ in range(200):
                        request_id += 1
                        frames.append((1, [1, request_id, m.WorkerGetResourceUsage.METHOD, "", {}]))
                    await peer.say(*frames)
                    await asyncio.sleep(0.01)
            peer.socket.transport.resume_reading()  # too late; it learns why
            await refused(peer.socket, 4000, "you take nothing")
        assert resident(os.getpid()) - before < 32 << 20
        await until(lambda: not is_alive(theirs.pid))


async def test_a_client_that_asks_too_much_waits() -> None:
    """Of requests that have no answer yet only so many are taken in."""
    from horizontal.session import MAX_AT_WORK

    async with site(silence=30) as it, unharmed(it), raw(it.server.url) as peer:
        await peer.greet()
        await peer.ask(1, CREATE, {"worker": 1, "settings": SETTINGS})
        await until(lambda: len(it.server.workers) == 2)
        most = 0
        for batch in range(40):
            frames = [(1, [1, batch * 500 + each, m.WorkerDump.METHOD, "", {}]) for each in range(500)]
            await peer.say(*frames)
            most = max(most, max(session._at_work for session in it.server._sessions.values()))
            await asyncio.sleep(0)
        answered = 0
        while answered < 20_000:
            envelope = read_envelope(await peer.socket.recv())
            answered += len([each for each in envelope.entries if each.worker == 1])
            most = max(most, max(session._at_work for session in it.server._sessions.values()))
            await peer.socket.send(pack(Envelope(0, envelope.number, [])))
        assert most <= MAX_AT_WORK + 500


async def test_ten_thousand_half_open_connections() -> None:
    """They say nothing. Whoever does gets in at once; memory and descriptors stay bounded."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    knocking: list[socket.socket] = []
    try:
        async with site(silence=30) as it, unharmed(it):
            before, most = resident(os.getpid()), 0
            for index in range(HALF_OPEN):
                sock = socket.socket()
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", it.server.port))
                knocking.append(sock)
                if index % 100 == 99:
                    await asyncio.sleep(0.005)
                    most = max(most, len(it.server._lobby))
                if len(knocking) > 3000:
                    knocking.pop(0).close()
            began = time.monotonic()
            client = RemoteMediasoupClient(it.server.url)
            await client.ready()
            assert time.monotonic() - began < 3
            client.destroy()
            await client.wait_closed()
            assert most <= it.server._lobby._limit <= 1024
            assert resident(os.getpid()) - before < 100 << 20
    finally:
        for sock in knocking:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("secured", [False, True], ids=["plain", "TLS"])
async def test_half_open_connections_use_up_no_descriptors(tmp_path: Path, secured: bool) -> None:
    """A process that may have 256 of them gives a quarter to those who have not said who they are, also within TLS."""
    ours = Authority(tmp_path, "ours")
    certificate = ours.issue("server")
    flags = ("--cert", certificate, "--key", certificate) if secured else ()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    knocking: list[socket.socket] = []
    try:
        async with served(*flags) as server:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            options: dict[str, Any] = {"ssl": ours.client()} if secured else {}
            async with RemoteMediasoupClient(server.url, **options) as client:
                worker = await client.mediasoup.create_worker()
                descriptors = Path(f"/proc/{server.process.pid}/fd")
                before, most = len(list(descriptors.iterdir())), 0
                host, _, port = server.url.rpartition("/")[2].rpartition(":")
                for index in range(HALF_OPEN):
                    sock = socket.socket()
                    sock.setblocking(False)
                    sock.connect_ex((host, int(port)))
                    knocking.append(sock)
                    if index % 100 == 99:
                        await asyncio.sleep(0.01)
                        most = max(most, len(list(descriptors.iterdir())))
                    if len(knocking) > 1000:
                        knocking.pop(0).close()
                began = time.monotonic()
                async with RemoteMediasoupClient(server.url, request_timeout=10, **options) as late:
                    await late.mediasoup.create_worker()
                assert time.monotonic() - began < 5
                assert before + 60 < most <= before + 2 * 64 + 10  # those who are pushed out go some turns later
                assert (await worker.dump())["pid"] == worker.pid and client.ready_state == 4
    finally:
        for sock in knocking:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_somebody_guesses_tokens() -> None:
    """Each wrong one takes its time, and after some the address is not looked at; those who are in stay in."""
    async with site(tokens=["right"]) as it:
        client = await it.client(token="right")
        worker = await client.mediasoup.create_worker()
        began = time.monotonic()
        statuses = await asyncio.gather(*(status(it.server.url, f"guess {each}") for each in range(10)))
        assert set(statuses) == {401} and time.monotonic() - began > 0.4
        assert await status(it.server.url, "guess") == 429
        with pytest.raises(SfuError, match="answered 429: too many"):
            await it.client(token="guess")
        assert (await worker.dump())["routerIds"] == []


async def status(url: str, token: str) -> int:
    with pytest.raises(InvalidStatus) as refusal:
        async with raw(url, additional_headers={"Authorization": f"Bearer {token}"}):
            pass
    return refusal.value.response.status_code


# Servers


class Liar:
    """A server that greets as it should, and then answers as `answer` likes."""

    def __init__(self, *answers: Any, welcome: Any = None) -> None:
        self.answers = list(answers)
        self.welcome = welcome
        self.closed: list[Any] = []

    @contextlib.asynccontextmanager
    async def listening(self, subprotocol: str = SUBPROTOCOL) -> AsyncIterator[str]:
        async with serve(self.talk, "127.0.0.1", 0, subprotocols=[subprotocol], compression=None) as server:  # type: ignore
            yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"

    async def talk(self, socket: ServerConnection) -> None:
        await socket.recv()
        welcome = Welcome("s", "i", False, 0, 30, 1.5, "0.0.0")
        await socket.send(pack(welcome) if self.welcome is None else self.welcome)
        with contextlib.suppress(ConnectionClosed):
            await self.lie(socket)
            await socket.wait_closed()
        self.closed.append((socket.close_code, socket.close_reason))

    async def lie(self, socket: ServerConnection) -> None:
        for answer in self.answers:
            while True:
                envelope = read_envelope(await socket.recv())
                if envelope.entries:
                    break
            request = decoded(envelope.entries[0])
            await socket.send(pack(answer(request) if callable(answer) else answer))


def reply(request_id: int, body: Any, number: int = 1) -> Any:
    return [number, 0, [[SERVER, [2, request_id, True, None, None, body]]]]


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda request: reply(request[1] + 1, {}), "which is not pending"),
        (lambda request: reply(request[1], {}, number=5), "message 5 after 0"),
        (lambda request: [1, 99, []], "has not been sent"),
        (lambda request: [1, 0, [[SERVER, [1, 1, 1, "", {}]]]], "sends no requests"),
        (lambda request: [1, 0, [[SERVER, [3, 2, "", {"worker": 1, "place": {"hostId": "x"}}]]]], "odd, or in use"),
        (lambda request: [1, 0, [[SERVER, [3, 77, "", {}]]]], "unknown event"),
        (lambda request: "nonsense", "malformed"),
    ],
    ids=["reply", "number", "received", "request", "worker", "event", "garbage"],
)
async def test_a_server_that_lies(answer: Any, complaint: str) -> None:
    """The client says what is wrong, to the application and to the server, and does not come again."""
    liar = Liar(answer)
    async with liar.listening() as url:
        client = RemoteMediasoupClient(url)
        errors: list[Exception] = []
        client.on("error", errors.append)
        api = await client.ready()
        with pytest.raises(SfuError):
            await api.create_worker()
        await until(lambda: client.ready_state == 3)
        (error,) = errors
        assert isinstance(error, ProtocolError) and complaint in str(error)
        assert client.mediasoup is None
        await until(lambda: liar.closed)
        code, reason = liar.closed[0]
        assert code == 1002 and complaint in reason
        client.destroy()


async def test_a_reply_of_the_wrong_kind() -> None:
    """Only the call that it belongs to fails."""
    liar = Liar(lambda request: reply(request[1], {"place": 5}), lambda request: reply(request[1], {"fine": 1}, 2))
    async with liar.listening() as url, RemoteMediasoupClient(url) as client:
        with pytest.raises(ProtocolError, match="body of the reply to CREATE_WORKER"):
            await client.mediasoup.create_worker()
        liar.answers.clear()
        assert client.ready_state == 4


@pytest.mark.parametrize("welcome", [b"\xc1", "text", pack({"session": 5})], ids=repr)  # type: ignore[arg-type]
async def test_a_wrong_welcome(welcome: Any) -> None:
    async with Liar(welcome=welcome).listening() as url:
        client = RemoteMediasoupClient(url)
        with pytest.raises(ProtocolError, match="malformed welcome"):
            await client.ready()
        assert client.ready_state == 3
        client.destroy()


async def test_a_server_of_another_version() -> None:
    async with Liar().listening("sfu.9") as url:
        client = RemoteMediasoupClient(url)
        with pytest.raises(UnsupportedError, match="subprotocol"):
            await client.ready()
        assert client.ready_state == 3
        client.destroy()


async def test_no_websocket_server() -> None:
    """Something else listens there: it is tried again."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        client = RemoteMediasoupClient(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(SfuError, match="cannot connect to"):
            await client.ready()
        assert client.ready_state == 0
        client.destroy()
        await client.wait_closed()


async def test_a_session_cannot_be_stolen() -> None:
    """Its id alone, with another token, opens nothing."""
    async with site(tokens=["one", "two"], silence=30) as it:
        client = await it.client(token="one")
        await client.mediasoup.create_worker()
        session = client._session.id
        async with raw(it.server.url, additional_headers={"Authorization": "Bearer two"}) as thief:
            welcome = await thief.greet(resume={"session": session, "received": 0})
            assert not welcome.resumed and welcome.session != session
        assert client.ready_state == 4 and "disconnected" not in it.events


async def test_a_session_that_is_resumed_twice() -> None:
    """The newer socket has it; the older one is told."""
    async with site(silence=5) as it, raw(it.server.url) as first:
        welcome = await first.greet()
        async with raw(it.server.url) as second:
            again = await second.greet(resume={"session": welcome.session, "received": 0})
            assert again.resumed and it.server.sessions == 1
            await refused(first.socket, 4001, "newer connection")
            await second.socket.send(pack(Envelope(1, 0, [])))
            async with asyncio.timeout(5):
                envelope = read_envelope(await second.socket.recv())
            assert envelope.received <= 1
            await second.socket.close(1000)
        await until(lambda: it.server.sessions == 0)


