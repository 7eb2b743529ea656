"""One room on two core processes: every packet of a publisher reaches subscribers on either core, over either link."""

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

CODECS: list[Any] = [
    {"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2},
    {"kind": "video", "mimeType": "video/VP8", "clockRate": 90000},
]
LOOPBACK: Any = {"protocol": "udp", "ip": "127.0.0.1"}
VP8_KEY_FRAME = bytes.fromhex("1000") + bytes.fromhex("9d012a") + bytes(4)


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


async def until(condition: Any, seconds: float = 8.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


class Stage:
    """A publisher on the first core; subscribers on the first and on the second."""

    def __init__(self, mediasoup: Any, router: Any, switch: Switch, cores: int) -> None:
        self.mediasoup, self.router, self.switch, self.cores = mediasoup, router, switch, cores
        self.publisher = Peer()
        self.subscribers = [Peer() for _ in range(3)]
        self.near: list[Peer] = []
        self.far: list[Peer] = []

    async def open(self) -> None:
        home = self.member_of(await self.publisher.join(self.router))
        for peer in self.subscribers:
            (self.near if self.member_of(await peer.join(self.router)) is home else self.far).append(peer)

    def member_of(self, transport: Any) -> Any:
        return self.switch._operations.tree.objects[transport.id].member  # type: ignore[union-attr]

    def receive(self) -> None:
        for peer in (self.publisher, *self.subscribers):
            peer.receive()

    def close(self) -> None:
        for peer in (self.publisher, *self.subscribers):
            peer.socket.close()


@asynccontextmanager
async def stage(make_link: MakeLink) -> AsyncIterator[Stage]:
    """The switch runs here, so that tests can look into it."""
    base: Any = {"mediasoup": mediasoup, "get_stats": get_stats_factory(mediasoup).get_stats}
    async with MediasoupVertical(**base, max_workers=2, placement=spread, make_link=make_link) as vertical:
        assert vertical.mediasoup is not None
        worker = await vertical.mediasoup.create_worker()
        router = await worker.create_router(media_codecs=CODECS)
        assert isinstance(worker.channel, Switch)
        made = Stage(vertical.mediasoup, router, worker.channel, len(worker.channel.members))
        try:
            await made.open()
            yield made
        finally:
            made.close()


LINKS = pytest.mark.parametrize("make_link", [best_link, UdpLink], ids=["ring", "udp"])


@LINKS
def test_every_packet_arrives_on_both_cores(make_link: MakeLink) -> None:
    asyncio.run(_every_packet_arrives(make_link))


async def _every_packet_arrives(make_link: MakeLink) -> None:
    async with stage(make_link) as room:
        pipes = room.switch.pipes
        producer = await room.publisher.transport.produce(kind="audio", rtp_parameters=audio())
        assert (pipes.count, pipes.links) == (0, 0)
        consumers = {peer: await peer.consume(room.router, producer) for peer in room.subscribers}
        assert pipes.count == pipes.links == (1 if room.cores > 1 else 0)
        assert bool(room.far) == (room.cores > 1) and room.near
        for sequence in range(1000):
            room.publisher.send(rtp(1111, 111, 65000 + sequence, sequence.to_bytes(2, "big") + bytes(60)))
            if sequence % 10 == 9:
                await asyncio.sleep(0.001)
                room.receive()
        await until(lambda: (room.receive(), all(len(peer.rtp) >= 1000 for peer in room.subscribers))[1])
        for peer in room.subscribers:
            assert [payload(packet)[:2] for packet in peer.rtp] == [n.to_bytes(2, "big") for n in range(1000)]
            numbers = [int.from_bytes(packet[2:4], "big") for packet in peer.rtp]
            assert numbers == [(numbers[0] + n) & 0xFFFF for n in range(1000)]
            (stats, received) = await consumers[peer].get_stats()
            assert stats["packetCount"] == received["packetCount"] == 1000
            assert received["ssrc"] == 1111 and received["packetsLost"] == 0
        for peer in room.far:
            consumers[peer].close()
        await room.router.dump()
        assert (pipes.count, pipes.links) == (0, 0)


@LINKS
def test_key_frames_are_asked_for_through_the_pipe(make_link: MakeLink) -> None:
    asyncio.run(_key_frames_are_asked_for(make_link))


async def _key_frames_are_asked_for(make_link: MakeLink) -> None:
    """The publisher hears the wish of a subscriber on the other core, which then gets the picture."""
    async with stage(make_link) as room:
        if not room.far:
            pytest.skip("one core")
        producer = await room.publisher.transport.produce(kind="video", rtp_parameters=video())
        room.publisher.send(rtp(2222, 96, 1, VP8_KEY_FRAME))
        await until(lambda: producer.score)
        (peer, *_), sequence = room.far, 1
        await peer.consume(room.router, producer)

        def asked() -> bool:
            nonlocal sequence
            room.receive()
            sequence += 1
            room.publisher.send(rtp(2222, 96, sequence, b"\x10\x01" + bytes(20)))  # no key frame
            return any(b[1] == 206 and b[0] & 31 == 1 for packet in room.publisher.rtcp for b in blocks(packet))

        await until(asked)
        room.receive()
        assert peer.rtp == []
        room.publisher.send(rtp(2222, 96, sequence + 1, VP8_KEY_FRAME))
        await until(lambda: (room.receive(), peer.rtp)[1])
        assert payload(peer.rtp[0])[-len(VP8_KEY_FRAME) + 1 :] == VP8_KEY_FRAME[1:]


def blocks(compound: bytes) -> list[bytes]:
    """The packets of a compound RTCP packet (RFC 3550 §6.1)."""
    found = []
    while len(compound) >= 4:
        size = 4 * (int.from_bytes(compound[2:4], "big") + 1)
        found.append(compound[:size])
        compound = compound[size:]
    return found


@LINKS
def test_nothing_crosses_while_paused(make_link: MakeLink) -> None:
    asyncio.run(_nothing_crosses_while_paused(make_link))


async def _nothing_crosses_while_paused(make_link: MakeLink) -> None:
    async with stage(make_link) as room:
        producer = await room.publisher.transport.produce(kind="audio", rtp_parameters=audio(), paused=True)
        consumers = [await peer.consume(room.router, producer) for peer in room.subscribers]
        assert all(consumer.producer_paused for consumer in consumers)
        for sequence in range(20):
            room.publisher.send(rtp(1111, 111, sequence, b"early"))
        await asyncio.sleep(0.1)
        room.receive()
        assert all(peer.rtp == [] for peer in room.subscribers)
        await producer.resume()
        for sequence in range(20, 40):
            room.publisher.send(rtp(1111, 111, sequence, b"late"))
        await until(lambda: (room.receive(), all(len(peer.rtp) == 20 for peer in room.subscribers))[1])
        assert {payload(packet) for peer in room.subscribers for packet in peer.rtp} == {b"late"}
        await until(lambda: not any(consumer.producer_paused for consumer in consumers))


@LINKS
def test_nothing_crosses_for_paused_consumers(make_link: MakeLink) -> None:
    asyncio.run(_nothing_crosses_for_paused_consumers(make_link))


async def _nothing_crosses_for_paused_consumers(make_link: MakeLink) -> None:
    """Counted on the pipe; whoever resumes gets a picture as soon as the publisher has answered."""
    async with stage(make_link) as room:
        if not room.far:
            pytest.skip("one core")
        producer = await room.publisher.transport.produce(kind="video", rtp_parameters=video())
        room.publisher.send(rtp(2222, 96, 1, VP8_KEY_FRAME))
        await until(lambda: producer.score)
        (peer, *_), sequence = room.far, 1
        consumer = await peer.consume(room.router, producer, paused=True)
        assert consumer.paused and room.switch.pipes.count == 1

        async def stream(count: int) -> None:
            """Packets of the publisher, who answers each request for a key frame at once."""
            nonlocal sequence
            for _ in range(count):
                sequence += 1
                room.receive()
                asked = any(b[1] == 206 and b[0] & 31 == 1 for packet in room.publisher.rtcp for b in blocks(packet))
                room.publisher.rtcp.clear()
                room.publisher.send(rtp(2222, 96, sequence, VP8_KEY_FRAME if asked else b"\x10\x01" + bytes(20)))
                await asyncio.sleep(0.002)

        await stream(50)
        assert await crossed(room, producer) == 0 and peer.rtp == []
        for round in range(1, 4):
            room.publisher.rtcp.clear()
            await consumer.resume()
            await stream(50)
            assert payload(peer.rtp[0])[-len(VP8_KEY_FRAME) + 1 :] == VP8_KEY_FRAME[1:]
            assert len(peer.rtp) > 25, f"no picture within half of round {round}"
            await consumer.pause()
            before = await crossed(room, producer)
            room.receive()
            peer.rtp.clear()
            await stream(50)
            assert await crossed(room, producer) == before and peer.rtp == []


async def crossed(room: Stage, producer: Any) -> int:
    """How many packets of the producer its pipe has taken."""
    record = room.switch._operations.tree.objects[producer.id]
    (piped,) = record.piped.values()  # type: ignore[union-attr]
    near = record.transport.member.channel  # type: ignore[union-attr]
    stats = await near.request(m.ConsumerGetStats(), piped.carried.consumer_id)
    return sum(each.data.packet_count for each in stats.stats)
