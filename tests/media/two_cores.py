"""A room on two core processes, with peers on sockets, and a switch that tests can look into."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sfu_core import mediasoup
from sfu_core.channel import messages as m
from vertical import MediasoupVertical, get_stats_factory, spread
from vertical.links import UdpLink
from vertical.pipes import MakeLink
from vertical.rings import best_link
from vertical.switch import Switch
from waiting import until

CODECS: list[Any] = [
    {"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2},
    {"kind": "video", "mimeType": "video/VP8", "clockRate": 90000},
]
LOOPBACK: Any = {"protocol": "udp", "ip": "127.0.0.1"}
VP8_KEY_FRAME = bytes.fromhex("1000") + bytes.fromhex("9d012a") + bytes(4)
VP8_DELTA = b"\x10\x01" + bytes(20)


def audio() -> dict[str, Any]:
    codec = {"mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2}
    return {"codecs": [codec], "encodings": [{"ssrc": 1111}]}


def video() -> dict[str, Any]:
    feedback = [{"type": "nack", "parameter": "pli"}, {"type": "ccm", "parameter": "fir"}]
    codec = {"mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000, "rtcpFeedback": feedback}
    return {"codecs": [codec], "encodings": [{"ssrc": 2222}]}


def rtp(ssrc: int, payload_type: int, sequence: int, payload: bytes) -> bytes:
    return struct.pack("!BBHII", 0x80, payload_type, sequence & 0xFFFF, sequence * 960, ssrc) + payload


def payload(packet: bytes) -> bytes:
    """What is behind the header and its extensions (RFC 3550 §5.3.1)."""
    extended = packet[0] & 0x10
    return packet[16 + 4 * int.from_bytes(packet[14:16], "big") :] if extended else packet[12:]


def blocks(compound: bytes) -> list[bytes]:
    """The packets of a compound RTCP packet (RFC 3550 §6.1)."""
    found = []
    while len(compound) >= 4:
        size = 4 * (int.from_bytes(compound[2:4], "big") + 1)
        found.append(compound[:size])
        compound = compound[size:]
    return found


class Peer:
    """A UDP socket with a plain transport at the other end; what it received, RTP and RTCP apart."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.rtp: list[bytes] = []
        self.rtcp: list[bytes] = []
        self.transport: Any = None

    async def join(self, router: Any) -> Any:
        self.transport = await router.create_plain_transport(listen_info=LOOPBACK)
        await self.transport.connect(ip="127.0.0.1", port=self.socket.getsockname()[1])
        return self.transport

    async def consume(self, router: Any, producer: Any, **options: Any) -> Any:
        capabilities = router.rtp_capabilities
        return await self.transport.consume(producer_id=producer.id, rtp_capabilities=capabilities, **options)

    def send(self, packet: bytes) -> None:
        self.socket.sendto(packet, ("127.0.0.1", self.transport.tuple["localPort"]))

    def receive(self) -> None:
        while True:
            try:
                packet = self.socket.recv(2048)
            except BlockingIOError:
                return
            (self.rtcp if 192 <= packet[1] <= 223 else self.rtp).append(packet)

    def key_frames_asked(self) -> int:
        """How often since the last call (PLI, RFC 4585 §6.3.1), as far as it was received."""
        asked = sum(each[1] == 206 and each[0] & 31 == 1 for packet in self.rtcp for each in blocks(packet))
        self.rtcp.clear()
        return asked


class Stage:
    """A publisher on the first core; subscribers on the first and on the second."""

    def __init__(self, mediasoup: Any, router: Any, switch: Switch, cores: int) -> None:
        self.mediasoup, self.router, self.switch, self.cores = mediasoup, router, switch, cores
        self.publisher = Peer()
        self.subscribers = [Peer() for _ in range(3)]
        self.near: list[Peer] = []
        self.far: list[Peer] = []
        self.sequence = 1  # of the last packet filmed

    async def open(self) -> None:
        home = self.member_of(await self.publisher.join(self.router))
        for peer in self.subscribers:
            (self.near if self.member_of(await peer.join(self.router)) is home else self.far).append(peer)

    async def film(self) -> Any:
        """A video producer of the publisher, which has begun with a key frame."""
        producer = await self.publisher.transport.produce(kind="video", rtp_parameters=video())
        self.publisher.send(rtp(2222, 96, 1, VP8_KEY_FRAME))
        await until(lambda: producer.score)
        return producer

    async def play(self, count: int, *others: Peer) -> int:
        """More of the film, by a publisher who answers requests for key frames at once; how often it was asked."""
        answered = 0
        for _ in range(count):
            self.receive(*others)
            asked = self.publisher.key_frames_asked() > 0
            self.shoot(VP8_KEY_FRAME if asked else VP8_DELTA)
            answered += asked
            await asyncio.sleep(0.002)
        return answered

    def shoot(self, content: bytes) -> None:
        self.sequence += 1
        self.publisher.send(rtp(2222, 96, self.sequence, content))

    async def crossed(self, producer: Any) -> int:
        """How many packets of the producer its pipe has taken."""
        record = self.switch._operations.tree.objects[producer.id]
        (piped,) = record.piped.values()  # type: ignore[union-attr]
        near = record.transport.member.channel  # type: ignore[union-attr]
        stats = await near.request(m.ConsumerGetStats(), piped.carried.consumer_id)
        return sum(each.data.packet_count for each in stats.stats)

    def member_of(self, transport: Any) -> Any:
        return self.switch._operations.tree.objects[transport.id].member  # type: ignore[union-attr]

    def receive(self, *others: Peer) -> None:
        for peer in (self.publisher, *self.subscribers, *others):
            peer.receive()

    def close(self) -> None:
        for peer in (self.publisher, *self.subscribers):
            peer.socket.close()


@asynccontextmanager
async def stage(make_link: MakeLink, cores: int = 2) -> AsyncIterator[Stage]:
    """At least on so many cores. The switch runs here."""
    base: Any = {"mediasoup": mediasoup, "get_stats": get_stats_factory(mediasoup).get_stats}
    async with MediasoupVertical(**base, max_workers=2, placement=spread, make_link=make_link) as vertical:
        assert vertical.mediasoup is not None
        worker = await vertical.mediasoup.create_worker()
        router = await worker.create_router(media_codecs=CODECS)
        assert isinstance(worker.channel, Switch)
        if len(worker.channel.members) < cores:
            pytest.skip("one core")
        made = Stage(vertical.mediasoup, router, worker.channel, len(worker.channel.members))
        try:
            await made.open()
            yield made
        finally:
            made.close()


def shows_a_key_frame(packet: bytes) -> bool:
    return payload(packet)[-len(VP8_KEY_FRAME) + 1 :] == VP8_KEY_FRAME[1:]


LINKS = pytest.mark.parametrize("make_link", [best_link, UdpLink], ids=["ring", "udp"])
