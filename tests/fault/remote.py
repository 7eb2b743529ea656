"""A server, a network that can be broken, and clients behind it; and peers that do not keep to the rules."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.protocol import State

from horizontal import RemoteMediasoupClient, RemoteMediasoupServer
from horizontal.protocol import SERVER, SUBPROTOCOL, Entry, Envelope, Hello, Welcome, pack, read_welcome
from sfu_core.channel.msgpack import MessagePackCodec
from tests.network.tcp_relay import TcpRelay

LOOPBACK: Any = {"protocol": "udp", "ip": "127.0.0.1"}
EVENTS = ("open", "websocketopen", "mediasoup", "connected", "disconnected", "websocketclose", "error", "close")
CODEC = MessagePackCodec()


class Site:
    """A server with clients that reach it through a relay."""

    def __init__(self, relay: TcpRelay, server: RemoteMediasoupServer) -> None:
        self.relay = relay
        self.server = server
        self.log: list[tuple[Any, ...]] = []
        self.times: dict[str, float] = {}
        self._clients: list[RemoteMediasoupClient] = []

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.relay.port}"

    async def client(self, **options: Any) -> RemoteMediasoupClient:
        """One that is ready; what it tells is in `log`, and when it told it last in `times`."""
        client = RemoteMediasoupClient(self.url, **options)
        self._clients.append(client)
        for event in EVENTS:
            client.on(event, lambda *args, event=event: self._note(event, args))
        await client.ready()
        return client

    def _note(self, event: str, args: tuple[Any, ...]) -> None:
        self.log.append((event, *args))
        self.times[event] = time.monotonic()

    @property
    def events(self) -> list[str]:
        return [event for event, *_ in self.log]

    async def close(self) -> None:
        for client in self._clients:
            if not client.destroyed:
                client.destroy()
            await client.wait_closed()


@contextlib.asynccontextmanager
async def site(**options: Any) -> AsyncIterator[Site]:
    """Its server has `options`; at the end nothing is left."""
    async with RemoteMediasoupServer(**options) as server, TcpRelay(server.port) as relay:
        it = Site(relay, server)
        try:
            yield it
        finally:
            it.relay.mend()
            await it.close()


class Raw:
    """A client that says what it likes."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.number = 0

    async def greet(self, **hello: Any) -> Welcome:
        await self.socket.send(pack(Hello(**hello)))
        return read_welcome(await self.socket.recv())

    async def say(self, *frames: tuple[int, Any], number: int | None = None) -> None:
        """A message of frames: (worker, content)."""
        self.number += 1
        entries = [Entry(worker, _raw(content)) for worker, content in frames]
        await self.socket.send(pack(Envelope(self.number if number is None else number, 0, entries)))

    async def ask(self, request_id: int, method: int, body: dict[str, Any], worker: int = SERVER) -> None:
        await self.say((worker, [1, request_id, method, "", body]))


def _raw(content: Any) -> Any:
    return msgspec.Raw(msgspec.msgpack.encode(content))


@contextlib.asynccontextmanager
async def raw(url: str, subprotocol: str = SUBPROTOCOL, **options: Any) -> AsyncIterator[Raw]:
    """A bare WebSocket to a server."""
    socket = await connect(
        url,
        subprotocols=[subprotocol],  # type: ignore[list-item]
        compression=None,
        ping_interval=None,
        max_size=None,
        **options,
    )
    try:
        yield Raw(socket)
    finally:
        if socket.state is not State.CLOSED:
            socket.transport.abort()
        await socket.wait_closed()
