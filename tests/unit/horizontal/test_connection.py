"""The way to a server: tries, keep-alive, and servers that greet in a way of their own."""

import asyncio
import contextlib
import itertools
import math
import threading
import time

import msgspec
import pytest
from fake_hosts import FakeHost
from test_clients import listening
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from horizontal import RemoteMediasoupClient, RemoteMediasoupServer
from horizontal.conversation import HIGH_WATER
from horizontal.protocol import MAX_MESSAGE, Hello, Welcome, pack, read_hello, read_welcome
from sfu_core.channel.codec import ProtocolError
from sfu_core.errors import SfuError
from sfu_core.mediasoup.extras import enhanced_once as once

HANDLERS = {"channelRequestHandlers": [], "channelNotificationHandlers": []}
GREETING = Welcome("s", "i", False, 0, 30.0, 1.5, "0.0.0")


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


class Greeter:
    """A server that answers the first message, and does with the socket as it likes."""

    def __init__(self, then=None, **welcome):
        self.welcome = pack(msgspec.structs.replace(GREETING, **welcome))
        self.then = then
        self.greeted = 0
        self.ends = []

    @contextlib.asynccontextmanager
    async def listening(self):
        async with serve(self.talk, "127.0.0.1", 0, subprotocols=["sfu.1"], compression=None, max_size=None) as server:
            yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"

    async def talk(self, socket):
        with contextlib.suppress(ConnectionClosed):
            read_hello(await socket.recv())
            await socket.send(self.welcome)
            self.greeted += 1
            if self.then is not None:
                await self.then(socket)
            await socket.wait_closed()
        self.ends.append((socket.close_code, socket.close_reason))


class Elsewhere:
    """A server that has an event loop, and a thread, of its own."""

    async def __aenter__(self):
        ready, self._end = asyncio.get_running_loop().create_future(), threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(asyncio.get_running_loop(), ready),))
        self._thread.start()
        return await ready

    async def __aexit__(self, *_):
        self._end.set()
        await asyncio.to_thread(self._thread.join)

    async def _serve(self, loop, ready):
        async with RemoteMediasoupServer(FakeHost()) as server:
            loop.call_soon_threadsafe(ready.set_result, server.url)
            while not self._end.is_set():
                await asyncio.sleep(0.01)


async def drop(socket):
    socket.transport.abort()


async def test_a_connection_that_does_not_last():
    """The client comes again, but not as fast as it can."""
    greeter = Greeter(drop)
    async with greeter.listening() as url:
        client = RemoteMediasoupClient(url)
        await asyncio.sleep(1.2)
        assert 3 <= greeter.greeted <= 6
        client.destroy()
        await client.wait_closed()


@pytest.mark.parametrize(
    ("welcome", "complaint"),
    [
        ({"resumed": True}, "resumed, which nobody has asked for"),
        ({"silence": 0.0}, "silence 0 s"),
        ({"silence": -1.0}, "silence -1 s"),
        ({"silence": math.nan}, "silence nan s"),
        ({"grace": math.nan}, "grace nan s"),
        ({"grace": -1.0}, "grace -1 s"),
    ],
    ids=str,
)
async def test_a_greeting_that_breaks_the_rules(welcome, complaint):
    """It is final, and both sides learn why."""
    greeter = Greeter(**welcome)
    async with greeter.listening() as url:
        client = RemoteMediasoupClient(url)
        with pytest.raises(ProtocolError, match=complaint):
            await client.ready()
        await until(lambda: greeter.ends)
        assert client.ready_state == 3 and greeter.ends[0][0] == 1002 and complaint in greeter.ends[0][1]
        client.destroy()


async def test_a_server_that_says_too_much():
    greeter = Greeter(lambda socket: socket.send(bytes(MAX_MESSAGE + 1)))
    async with greeter.listening() as url:
        client = RemoteMediasoupClient(url)
        log = listening(client)
        await client.ready()
        await until(lambda: client.ready_state == 3 and greeter.ends)
        assert greeter.ends[0][0] == 1009 and [event for event, *_ in log[-2:]] == ["error", "close"]
        assert isinstance(log[-2][1], ProtocolError)
        client.destroy()


async def test_lies_about_workers():
    """What is said of workers that do not exist is ignored; an answer of the wrong kind fails its call alone."""
    place = {"hostId": "h", "announcedAddresses": [], "protocolVersion": 1, "extensions": []}
    dump = {"webRtcServerIds": [], "routerIds": [], "channelMessageHandlers": HANDLERS}

    async def lie(socket):
        numbers = itertools.count(1)
        nonsense = ([2, 1, True, None, None, 5], [3, 1, "x", {}], [4, "D"], [1, 1, 1, "", {}], 5)
        stray = [[99, frame] for frame in nonsense]
        while True:
            _, _, entries = msgspec.msgpack.decode(await socket.recv())
            for number, (kind, request, *_) in entries:
                if kind == 1:
                    body = {"place": place} if number == 0 else {**dump, "pid": pids.pop(0)}
                    answer = [number, [2, request, True, None, None, body]]
                    ended = [0, [3, 1, "", {"worker": 99}]]
                    await socket.send(msgspec.msgpack.encode([next(numbers), 0, [*stray, ended, answer]]))

    pids = ["many", -1, 2**40, None, 7]
    async with Greeter(lie).listening() as url, RemoteMediasoupClient(url) as client:
        for _ in range(4):
            with pytest.raises(ProtocolError, match="body of the reply to WORKER_DUMP"):
                await client.mediasoup.create_worker()
        assert (await client.mediasoup.create_worker()).pid == 7 and client.ready_state == 4


async def test_an_application_that_is_held_up():
    """Long enough for the server, a thread of its own, to take it for lost: it comes back, and goes on."""
    async with Elsewhere() as url, RemoteMediasoupClient(url, silence=1.0) as client:
        worker = await client.mediasoup.create_worker()
        router = await worker.create_router()
        log = listening(client)
        time.sleep(2.5)
        assert (await worker.dump())["routerIds"] == [router.id]
        await asyncio.sleep(0.5)
        assert [event for event, *_ in log] == ["disconnected", "websocketclose", "websocketopen", "connected"]
        time.sleep(0.3)  # less than the time of silence
        await worker.dump()
        assert len(log) == 4 and client.ready_state == 4


async def test_nobody_is_sent_elsewhere():
    """A redirection is no answer of a server; what the client shows goes nowhere else."""
    heard = []

    async def elsewhere(reader, writer):
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async def here(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:{port}/\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    async with (
        await asyncio.start_server(elsewhere, "127.0.0.1", 0) as far,
        await asyncio.start_server(here, "127.0.0.1", 0) as near,
    ):
        port = far.sockets[0].getsockname()[1]
        client = RemoteMediasoupClient(f"ws://127.0.0.1:{near.sockets[0].getsockname()[1]}", token="secret")
        with pytest.raises(SfuError, match="answered 302"):
            await client.ready()
        client.destroy()
        await client.wait_closed()
        assert heard == []


async def test_secrets_in_the_url_are_not_shown():
    client = RemoteMediasoupClient("ws://user:secret-1@127.0.0.1:1/path?token=secret-2")
    with pytest.raises(SfuError, match=r"cannot connect to ws://127\.0\.0\.1:1/path: ") as failure:
        await client.ready()
    assert "secret" not in f"{failure.value!r} {failure.value.__cause__!r} {client._connection._endpoint!r}"
    client.destroy()
    await client.wait_closed()


async def test_what_each_event_finds():
    """`ready_state` and `mediasoup` when an event comes, over a loss, a new beginning and the end."""
    seen = []
    async with RemoteMediasoupServer(FakeHost()) as server:
        client = RemoteMediasoupClient(server.url)
        for event in ("open", "websocketopen", "mediasoup", "connected", "disconnected", "websocketclose", "close"):
            client.on(event, lambda *_, event=event: seen.append((event, client.ready_state, client.mediasoup is None)))
        await client.ready()
        client._connection._wire.abort()
        await once(client, "connected")
        client.close()
        await client.wait_closed()
        client.destroy()
    assert seen == [
        ("open", 1, True),
        ("websocketopen", 1, True),
        ("mediasoup", 4, False),
        ("connected", 4, False),
        ("disconnected", 0, False),
        ("websocketclose", 0, False),
        ("websocketopen", 1, False),
        ("connected", 4, False),
        ("mediasoup", 2, True),
        ("close", 3, True),
    ]


async def test_closing_makes_no_new_connection():
    accepted = []
    async with RemoteMediasoupServer(FakeHost(), authenticate=lambda _: accepted.append(1) or True) as server:
        for _ in range(3):
            async with RemoteMediasoupClient(server.url):
                pass
        await asyncio.sleep(0.1)
        assert len(accepted) == 3 and len(server._lobby) == 0


@pytest.mark.parametrize("end", ["close", "destroy"])
async def test_closing_at_any_moment(end):
    """While it connects, is let in, greets, or is there: no error is told, and nothing is left at either side."""
    async with RemoteMediasoupServer(FakeHost(), tokens=["t"]) as server:
        reached = set()
        for turns in range(0, 60, 2):
            client = RemoteMediasoupClient(server.url, token="t")
            log = listening(client)
            for _ in range(turns):
                await asyncio.sleep(0)
            reached.add(client.ready_state)
            getattr(client, end)()
            await client.wait_closed()
            told = [event for event, *_ in log]
            assert told[-1] == "close" and not {"error", "disconnected", "websocketclose"} & set(told)
            assert [args[0] is None for event, *args in log if event == "mediasoup"] in ([], [False, True])
        assert {0, 4} <= reached
        await until(lambda: server.sessions == len(server._lobby) == 0)


async def test_a_loop_that_is_held_up():
    """It has not listened meanwhile, so it does not take the other side for silent."""
    async with RemoteMediasoupServer(FakeHost(), silence=0.3) as server, RemoteMediasoupClient(server.url) as client:
        log = listening(client)
        for _ in range(3):
            time.sleep(0.8)
            await asyncio.sleep(0.2)
        assert log == [] and client.ready_state == 4 and server.sessions == 1


async def test_a_fault_inside_leaves_nobody_hanging(caplog, monkeypatch):
    """Of either side: it is logged, the connection ends, and the session goes on over the next one."""
    async with RemoteMediasoupServer(FakeHost()) as server, RemoteMediasoupClient(server.url) as client:
        worker = await client.mediasoup.create_worker()
        log = listening(client)
        for side in (next(iter(server._sessions.values())).conversation, client._connection.session.conversation):
            real = side._on_entry

            def broken(_, side=side, real=real):
                side._on_entry = real
                raise ZeroDivisionError("details")

            side._on_entry = broken
            asking = asyncio.ensure_future(worker.dump())
            await once(client, "connected")
            assert "details" in caplog.text and (await worker.dump())["routerIds"] == []
            asking.cancel()
            caplog.clear()
        assert [event for event, *_ in log] == ["disconnected", "websocketclose", "websocketopen", "connected"] * 2
        assert server.sessions == 1 and not worker.closed


async def test_whoever_pings_and_never_reads():
    """Answers to pings wait only up to a limit, however much comes; nobody else is harmed."""
    options = {"subprotocols": ["sfu.1"], "compression": None}
    async with (
        RemoteMediasoupServer(FakeHost(), silence=30, max_backlog=HIGH_WATER) as server,
        RemoteMediasoupClient(server.url) as client,
        connect(server.url, **options) as socket,
    ):
        await socket.send(pack(Hello()))
        read_welcome(await socket.recv())
        socket.transport.pause_reading()
        pings = (b"\x89\xfd" + bytes(4) + bytes(125)) * 1000
        most = sent = 0
        while not socket.transport.is_closing() and sent < 64 << 20:
            socket.transport.write(pings)
            sent += len(pings)
            while socket.transport.get_write_buffer_size() and not socket.transport.is_closing():
                most = max([most, *(each.transport.get_write_buffer_size() for each in server._server.connections)])
                await asyncio.sleep(0)
        assert sent < 64 << 20 and most < 3 * HIGH_WATER, (sent, most)
        assert client.ready_state == 4
        await client.mediasoup.create_worker()
        socket.transport.resume_reading()
