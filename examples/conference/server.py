"""A small video conference: rooms, everyone sees and hears everyone, one public port for all media.

Run it and open the page it names in two tabs:

    python server.py

A page talks to this server over one WebSocket. Three kinds of JSON message travel on it:

    page → server    {"id": 7, "method": "consume", "data": {...}}     a request
    server → page    {"id": 7, "data": {...}} or {"id": 7, "error": "..."}     its answer
    server → page    {"method": "peerLeft", "data": {...}}     a notification

``run`` is given its media server: pass ``sfu_core.mediasoup``, or any other object with the same API.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import secrets
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

log = logging.getLogger("conference")
STATIC = Path(__file__).parent / "static"

MEDIA_CODECS = [
    {"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2},
    {"kind": "video", "mimeType": "video/VP8", "clockRate": 90000},
    {
        "kind": "video",
        "mimeType": "video/H264",
        "clockRate": 90000,
        "parameters": {"packetization-mode": 1, "profile-level-id": "42e01f", "level-asymmetry-allowed": 1},
    },
]

MAX_PEERS = 30  # in a room
MAX_PRODUCERS = 4  # of a peer: microphone, camera, screen and its sound
MAX_MESSAGE = 64 * 1024  # bytes
MAX_UNSENT = 1000  # messages waiting for a page that does not read

Json = dict[str, Any]


class RequestError(Exception):
    """A request that cannot be served; the page is told why."""


class Peer:
    """One page in a room: its WebSocket, and what it owns on the media server.

    It is a member of the room from the moment it connects, and visible to the others once it has joined.
    """

    def __init__(self, room: Room, token: str) -> None:
        self.id = secrets.token_hex(4)
        self.token = token  # known to this page only: whoever shows it again replaces this peer
        self.name = ""
        self.joined = False
        self.room = room
        self.socket = web.WebSocketResponse(heartbeat=10, max_msg_size=MAX_MESSAGE)
        self._unsent: asyncio.Queue[Json] = asyncio.Queue(MAX_UNSENT)
        self._rtp_capabilities: Json = {}
        self._transports: dict[str, Any] = {}
        self._producers: dict[str, Any] = {}
        self._consumers: dict[str, Any] = {}
        self._methods: dict[str, Callable[[Json], Awaitable[Json | None]]] = {
            "getRouterRtpCapabilities": self._get_router_rtp_capabilities,
            "createTransport": self._create_transport,
            "connectTransport": self._connect_transport,
            "restartIce": self._restart_ice,
            "join": self._join,
            "produce": self._produce,
            "pauseProducer": self._pause_producer,
            "resumeProducer": self._resume_producer,
            "closeProducer": self._close_producer,
            "consume": self._consume,
            "resumeConsumer": self._resume_consumer,
        }

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Answers the page's requests, one after the other, until its WebSocket closes."""
        await self.socket.prepare(request)
        writer = asyncio.create_task(self._write())
        try:
            async for message in self.socket:
                if message.type == WSMsgType.TEXT:
                    self.send(await self._answer(message.json()))
        except ValueError:
            await self.socket.close(code=WSCloseCode.UNSUPPORTED_DATA, message=b"not JSON")
        finally:
            writer.cancel()
            for transport in self._transports.values():
                transport.close()  # and with it what it carries: the others see their consumers close
        return self.socket

    def send(self, message: Json) -> None:
        """Queues a message; a page that has stopped reading is disconnected."""
        try:
            self._unsent.put_nowait(message)
        except asyncio.QueueFull:
            self.disconnect("too slow")

    def notify(self, method: str, **data: Any) -> None:
        """Tells the page about something it did not ask for."""
        self.send({"method": method, "data": data})

    def disconnect(self, reason: str) -> None:
        """Closes the WebSocket, which ends :meth:`serve`."""
        goodbye = self.socket.close(code=WSCloseCode.GOING_AWAY, message=reason.encode())
        self._goodbye = asyncio.ensure_future(goodbye)

    def describe(self) -> Json:
        """What the others learn about this peer."""
        producers = [{"id": each.id, "kind": each.kind} for each in self._producers.values()]
        return {"id": self.id, "name": self.name, "producers": producers}

    async def _write(self) -> None:
        while True:
            message = await self._unsent.get()
            try:
                await self.socket.send_json(message)
            except ConnectionError:
                return  # the reading side notices too

    async def _answer(self, request: Any) -> Json:
        identity = request.get("id") if isinstance(request, dict) else None
        try:
            method = self._methods[request["method"]]
            return {"id": identity, "data": await method(request.get("data") or {})}
        except KeyError as error:
            return {"id": identity, "error": f"no such method, object or field: {error}"}
        except Exception as error:  # whatever a page sends, and whatever the media server thinks of it
            log.warning("%s: %r failed: %s", self.name or self.id, request, error)
            return {"id": identity, "error": f"{type(error).__name__}: {error}"}

    # What a page can ask for. Objects are looked up among this peer's own, so no page reaches another's.

    async def _get_router_rtp_capabilities(self, data: Json) -> Json:
        return dict(self.room.router.rtp_capabilities)

    async def _create_transport(self, data: Json) -> Json:
        if len(self._transports) == 2:
            raise RequestError("a page has one transport for each direction")
        transport = await self.room.router.create_webrtc_transport(webrtc_server=self.room.webrtc_server)
        self._transports[transport.id] = transport
        return {
            "id": transport.id,
            "iceParameters": transport.ice_parameters,
            "iceCandidates": transport.ice_candidates,
            "dtlsParameters": transport.dtls_parameters,
        }

    async def _connect_transport(self, data: Json) -> None:
        await self._transports[data["transportId"]].connect(dtls_parameters=data["dtlsParameters"])

    async def _restart_ice(self, data: Json) -> Json:
        return dict(await self._transports[data["transportId"]].restart_ice())

    async def _join(self, data: Json) -> Json:
        if self.joined:
            raise RequestError("already joined")
        self.name = str(data["name"])[:40] or "anonymous"
        self._rtp_capabilities = data["rtpCapabilities"]
        self.joined = True
        others = self.room.others(self)
        for other in others:
            other.notify("peerJoined", peer=self.describe())
        return {"id": self.id, "peers": [other.describe() for other in others]}

    async def _produce(self, data: Json) -> Json:
        if not self.joined or len(self._producers) == MAX_PRODUCERS:
            raise RequestError("not joined yet, or too many producers")
        transport = self._transports[data["transportId"]]
        producer = await transport.produce(kind=data["kind"], rtp_parameters=data["rtpParameters"])
        self._producers[producer.id] = producer
        for other in self.room.others(self):
            other.notify("newProducer", peerId=self.id, producer={"id": producer.id, "kind": producer.kind})
        return {"id": producer.id}

    async def _pause_producer(self, data: Json) -> None:
        await self._producers[data["producerId"]].pause()

    async def _resume_producer(self, data: Json) -> None:
        await self._producers[data["producerId"]].resume()

    async def _close_producer(self, data: Json) -> None:
        self._producers.pop(data["producerId"]).close()

    async def _consume(self, data: Json) -> Json:
        """Creates a consumer, paused until the page has built its end and asks for ``resumeConsumer``."""
        consumer = await self._transports[data["transportId"]].consume(
            producer_id=data["producerId"], rtp_capabilities=self._rtp_capabilities, paused=True
        )
        self._consumers[consumer.id] = consumer
        consumer.on("producerclose", lambda: self._on_producer_close(consumer.id))
        consumer.on("producerpause", lambda: self.notify("consumerPaused", consumerId=consumer.id))
        consumer.on("producerresume", lambda: self.notify("consumerResumed", consumerId=consumer.id))
        return {
            "id": consumer.id,
            "producerId": consumer.producer_id,
            "kind": consumer.kind,
            "rtpParameters": consumer.rtp_parameters,
            "producerPaused": consumer.producer_paused,
        }

    async def _resume_consumer(self, data: Json) -> None:
        await self._consumers[data["consumerId"]].resume()

    def _on_producer_close(self, consumer_id: str) -> None:
        del self._consumers[consumer_id]
        self.notify("consumerClosed", consumerId=consumer_id)


class Room:
    """The peers that see each other, on one router."""

    def __init__(self, name: str, router: Any, webrtc_server: Any) -> None:
        self.name = name
        self.router = router
        self.webrtc_server = webrtc_server
        self.peers: dict[str, Peer] = {}

    def add(self, peer: Peer) -> None:
        """A new peer; the one that came with the same token before (a page that reconnects) has to go."""
        for old in [other for other in self.peers.values() if other.token == peer.token]:
            old.disconnect("replaced")
            self.remove(old)
        self.peers[peer.id] = peer

    def remove(self, peer: Peer) -> None:
        """Does nothing if the peer is no longer a member."""
        if self.peers.pop(peer.id, None) is not None:
            for other in self.others(peer):
                other.notify("peerLeft", peerId=peer.id)

    def others(self, peer: Peer) -> list[Peer]:
        """Those that ``peer`` can see."""
        return [other for other in self.peers.values() if other.joined and other is not peer]


class Conference:
    """All rooms of one worker; a room lives as long as somebody is in it."""

    def __init__(self, worker: Any, webrtc_server: Any) -> None:
        self._worker = worker
        self._webrtc_server = webrtc_server
        self._rooms: dict[str, Room] = {}
        self._entering = asyncio.Lock()  # two who come first into a room must get the same one

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The WebSocket of a page: ``/ws?room=NAME&token=SECRET``."""
        name, token = request.query.get("room", "")[:40], request.query.get("token", "")
        if not name or len(token) < 16:
            raise web.HTTPBadRequest(text="room and token are required")
        async with self._entering:
            room = self._rooms.get(name) or await self._open(name)
            if len(room.peers) == MAX_PEERS:
                raise web.HTTPServiceUnavailable(text="the room is full")
            peer = Peer(room, token)
            room.add(peer)
        try:
            return await peer.serve(request)
        finally:
            room.remove(peer)
            self._close_if_empty(room)

    async def close(self) -> None:
        """Sends everybody away."""
        for room in list(self._rooms.values()):
            for peer in list(room.peers.values()):
                await peer.socket.close(code=WSCloseCode.GOING_AWAY, message=b"server shutdown")

    async def _open(self, name: str) -> Room:
        router = await self._worker.create_router(media_codecs=MEDIA_CODECS)
        self._rooms[name] = Room(name, router, self._webrtc_server)
        log.info("room %s opened", name)
        return self._rooms[name]

    def _close_if_empty(self, room: Room) -> None:
        if not room.peers and self._rooms.get(room.name) is room:
            del self._rooms[room.name]
            room.router.close()
            log.info("room %s closed", room.name)


async def run(
    mediasoup: Any,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    rtc_ip: str = "127.0.0.1",
    rtc_port: int = 44444,
    announced_address: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Serves the conference until cancelled, or until its worker dies.

    Args:
        mediasoup: an object with mediasoup's API.
        host, port: TCP address for the page and the WebSockets.
        rtc_ip, rtc_port: address for all media, UDP and TCP.
        announced_address: what pages are told instead of ``rtc_ip`` (behind NAT, or when that is 0.0.0.0).
        tls: certificate; browsers give pages from other hosts their camera over HTTPS only.
    """
    worker = await mediasoup.create_worker()
    died = asyncio.get_running_loop().create_future()
    worker.on("died", died.set_exception)
    conference = Conference(worker, await listen(worker, rtc_ip, rtc_port, announced_address))
    async with pages(STATIC, conference.serve, host, port, tls) as address:
        log.info("open %s/?room=lobby", address)
        try:
            await died
        finally:
            await conference.close()
            worker.close()


async def listen(worker: Any, ip: str, port: int, announced_address: str | None) -> Any:
    """The WebRtcServer that all media goes through, UDP and TCP."""
    where = {"ip": ip, "port": port, "announcedAddress": announced_address}
    return await worker.create_webrtc_server(listen_infos=[{"protocol": each, **where} for each in ("udp", "tcp")])


@contextlib.asynccontextmanager
async def pages(
    static: Path, serve: Callable[..., Any], host: str, port: int, tls: ssl.SSLContext | None
) -> AsyncIterator[str]:
    """Serves the page in ``static``, and its WebSocket by ``serve``; gives the address."""

    async def index(request: web.Request) -> web.FileResponse:
        return web.FileResponse(static / "index.html")

    application = web.Application()
    application.add_routes([web.get("/", index), web.get("/ws", serve), web.static("/", static)])
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
        yield f"{'https' if tls else 'http'}://{host}:{port}"
    finally:
        await runner.cleanup()


def parser(description: str, rtc_port: int) -> argparse.ArgumentParser:
    """Where the page is, and where media goes."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--host", default="127.0.0.1", help="address for the page (default %(default)s)")
    made.add_argument("--port", type=int, default=8080, help="TCP port for the page (default %(default)s)")
    made.add_argument("--rtc-ip", default="127.0.0.1", help="address for media (default %(default)s)")
    made.add_argument("--rtc-port", type=int, default=rtc_port, help="port for media (default %(default)s)")
    made.add_argument("--announced-address", help="address pages send media to, if it is another one")
    made.add_argument("--cert", help="TLS certificate chain (PEM)")
    made.add_argument("--key", help="its private key (PEM)")
    return made


def read(parser: argparse.ArgumentParser, static: Path) -> dict[str, Any]:
    """The options as :func:`run` takes them; ends the program if the page is not there."""
    options = vars(parser.parse_args())
    certificate, key = options.pop("cert"), options.pop("key")
    if certificate:
        options["tls"] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        options["tls"].load_cert_chain(certificate, key)
    if not (static / "main.js").exists():
        parser.exit(1, "The page is not built yet: npm ci && npm run build\n")
    return options


def start(main: Callable[..., Awaitable[None]], options: dict[str, Any]) -> None:
    """Runs ``main`` until it fails, or SIGINT or SIGTERM cancels it: what it has opened is closed then."""
    from sfu_core.errors import SfuError

    async def until_told() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
        await main(**options)

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
            asyncio.run(until_told())
    except (OSError, SfuError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    given = read(parser("A small video conference on sfu-core.", rtc_port=44444), STATIC)
    from sfu_core import mediasoup

    start(partial(run, mediasoup), given)
