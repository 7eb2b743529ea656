"""RTCP that lies, from peers that may send it: broken packets, requests without end, reports of everybody."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import time
from collections.abc import Iterable

from sfu.bench.engine import CODECS, published
from sfu.bench.traffic import SSRC, steady

from .flood import spoiled
from .peer import UDP
from .processes import resident
from .scene import Scene, scene

SR, RR, SDES, BYE, RTPFB, PSFB, XR = 200, 201, 202, 203, 205, 206, 207
NACK, TRANSPORT_CC, PLI, FIR, REMB = 1, 15, 1, 4, 15
SHORTEST_PAUSE = 0.1  # seconds between two repeats of a packet, where the round-trip time is not known
SHORTEST_REQUEST_PAUSE = 0.25  # seconds between two requests for a key frame
STRANGERS = range(1000, 1100)


def packet(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def words(*values: int) -> bytes:
    return struct.pack(f"!{len(values)}I", *values)


def correct(rng: random.Random, ssrc: int) -> bytes:
    """A correct packet about `ssrc`, of any kind that there is."""
    block = words(ssrc, rng.getrandbits(32), rng.getrandbits(32), *(rng.getrandbits(32) for _ in range(3)))
    sender = words(rng.choice((1, ssrc)))
    about = sender + words(ssrc)
    return rng.choice(
        (
            packet(SR, 1, sender + rng.randbytes(20) + block),
            packet(RR, 1, sender + block),
            packet(SDES, 1, sender + b"\x01\x04abcd\0\0"),
            packet(BYE, 1, sender),
            packet(RTPFB, NACK, about + rng.randbytes(4 * rng.randrange(1, 60))),
            packet(RTPFB, TRANSPORT_CC, about + rng.randbytes(4 * rng.randrange(2, 40))),
            packet(PSFB, PLI, about),
            packet(PSFB, FIR, about + words(ssrc, rng.randrange(256) << 24)),
            packet(PSFB, REMB, sender + words(0) + b"REMB" + rng.randbytes(4) + words(ssrc)),
            packet(XR, 0, sender + struct.pack("!BBH", 5, 0, 3) + words(ssrc, 0, 0)),
            packet(XR, 0, sender + struct.pack("!BBH", 4, 0, 2) + rng.randbytes(8)),
        )
    )


class Room:
    """A publisher of video and a subscriber with RTX over plain RTP; both ends are the test's."""

    def __init__(self) -> None:
        self.publisher, self.subscriber = bound_socket(), bound_socket()

    async def open(self, each: Scene) -> None:
        router = await each.worker.create_router(media_codecs=CODECS)
        self.incoming, self.outgoing = [
            await router.create_plain_transport(listen_info=UDP, rtcp_mux=True) for _ in range(2)
        ]
        for sock, transport in ((self.publisher, self.incoming), (self.subscriber, self.outgoing)):
            ip, port = sock.getsockname()
            await transport.connect(ip=ip, port=port)
            sock.connect((transport.tuple["localIp"], transport.tuple["localPort"]))
        producer = await self.incoming.produce(kind="video", rtp_parameters=published("video"))
        consumer = await self.outgoing.consume(producer_id=producer.id, rtp_capabilities=router.rtp_capabilities)
        self.ssrc = consumer.rtp_parameters["encodings"][0]["ssrc"]
        self.seq = 0
        self._cycle = steady(1000, 500).steps

    def publish(self, count: int) -> None:
        for _ in range(count):
            data = bytearray(self._cycle[self.seq % len(self._cycle)][2])
            self.seq += 1
            struct.pack_into("!HII", data, 2, self.seq & 0xFFFF, 90 * self.seq, SSRC)
            self.publisher.send(data)

    def close(self) -> None:
        self.publisher.close()
        self.subscriber.close()


def bound_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    return sock


def drained(sock: socket.socket) -> list[bytes]:
    """All that waits there."""
    found = []
    while True:
        try:
            found.append(sock.recv(2048))
        except BlockingIOError:
            return found


async def send_all(sock: socket.socket, datagrams: Iterable[bytes], pause_after: int = 50) -> None:
    for number, data in enumerate(datagrams):
        sock.send(data)
        if number % pause_after == 0:
            await asyncio.sleep(0.002)


async def test_broken_and_strange_packets() -> None:
    rng = random.Random(4)
    async with scene() as each:
        room = Room()
        await room.open(each)
        room.publish(100)
        for sock, ssrc in ((room.subscriber, room.ssrc), (room.publisher, SSRC)):
            known = [correct(rng, rng.choice((ssrc, rng.getrandbits(32)))) for _ in range(3000)]
            await send_all(sock, known)
            await send_all(sock, (spoiled(rng, b"".join(rng.choices(known, k=2)))[:1500] for _ in range(3000)))
        for transport in (room.incoming, room.outgoing):
            assert (await transport.get_drops())["rtcpMalformed"] > 100
        before = len(drained(room.subscriber))
        room.publish(100)
        await asyncio.sleep(0.3)
        assert before and len([d for d in drained(room.subscriber) if d[8:12] == words(room.ssrc)]) == 100
        room.close()


async def test_requests_without_end() -> None:
    """Everything that was sent is asked for again and again; a key frame with every second packet."""
    async with scene() as each:
        room, memory = Room(), resident(each.worker.pid)
        await room.open(each)
        room.publish(500)
        await asyncio.sleep(0.2)
        sent = [data for data in drained(room.subscriber) if data[8:12] == words(room.ssrc)]
        assert len(sent) == 500
        (last,) = struct.unpack("!H", sent[-1][2:4])
        numbers = b"".join(struct.pack("!HH", (last - 17 * i) & 0xFFFF, 0xFFFF) for i in range(1, 31))
        nack = packet(RTPFB, NACK, words(1, room.ssrc) + numbers)
        pli = packet(PSFB, PLI, words(1, room.ssrc))
        begun, repeats, requests = time.monotonic(), 0, 0
        for _ in range(100):
            await send_all(room.subscriber, [nack, pli] * 20)
            repeats += len(drained(room.subscriber))
            requests += sum(data[1] == PSFB for data in drained(room.publisher))
        seconds = time.monotonic() - begun
        assert 400 < repeats < 500 * (2 + seconds / SHORTEST_PAUSE)
        assert 0 < requests < 2 + seconds / SHORTEST_REQUEST_PAUSE
        assert resident(each.worker.pid) - memory < 16 << 20
        print(repeats, requests, seconds)
        room.close()


async def test_many_senders_of_genuine_srtcp() -> None:
    """A transport remembers some; the others are dropped, and those that it knows are still heard."""
    async with scene() as each:
        await send_all_srtcp(each, [0xABC, *STRANGERS])
        assert (await each.transport.get_drops())["srtpFailed"] >= len(STRANGERS) - 20
        before = (await each.transport.get_drops())["srtpFailed"]
        await send_all_srtcp(each, [0xABC] * 10)
        assert (await each.transport.get_drops())["srtpFailed"] == before


async def send_all_srtcp(each: Scene, senders: list[int]) -> None:
    for ssrc in senders:
        each.peer.send_raw(each.peer.protect_rtcp(packet(RR, 0, words(ssrc))))
    await asyncio.sleep(0.2)
