"""One core of two is killed or hangs while both carry traffic and feed each other."""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest

from sfu.bench.engine import CODECS
from sfu_core.channel.process import WorkerExitError
from vertical.pulse import CoreHungError
from waiting import until

from .call import Call
from .house import House, house, send_signal

RATE = 1000
LOOPBACK: Any = {"protocol": "udp", "ip": "127.0.0.1"}
KEY_FRAME = bytes.fromhex("10009d012a8002680110")  # VP8: descriptor, then the start of a key frame
DELTA_FRAME = bytes.fromhex("1001000000")


async def opened(stack: AsyncExitStack, each: House, places: list[int], rate: int = RATE, **options: Any) -> Call:
    """A call whose transports go there: first the publisher's, then the subscribers'."""
    each.places = places
    return await stack.enter_async_context(Call(each.worker, rate=rate, fan_out=2, **options))


class Ends:
    """The events that an application hears of what it has on a core."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.expected: list[str] = []

    async def follow(self, each: House, call: Call, lost: int) -> None:
        """Expect what the end of core `lost` means to the transports and consumers of a call."""
        transports = list(call.router._transports.values())
        producer_lost = each.core_of(transports[0]) == lost
        for transport in transports:
            self._hear(transport, "routerclose")
            gone = each.core_of(transport) == lost
            self.expected += ["routerclose"] * gone
            for consumer in transport._consumers.values():
                self._hear(consumer, "transportclose", "producerclose")
                self.expected += ["transportclose"] if gone else ["producerclose"] * producer_lost

    def _hear(self, entity: Any, *events: str) -> None:
        for event in events:
            entity.on(event, lambda event=event: self.heard.append(event))

    @property
    def complete(self) -> bool:
        return sorted(self.heard) == sorted(self.expected)


@pytest.mark.parametrize(("number", "limit"), [(signal.SIGKILL, 0.1), (signal.SIGSTOP, 2.0)])
async def test_one_of_two_cores_is_lost(number: signal.Signals, limit: float) -> None:
    async with house() as each, AsyncExitStack() as stack:
        await each.watched()
        doomed = await opened(stack, each, [0])
        living = await opened(stack, each, [1])
        crossing = [await opened(stack, each, [0, 1]), await opened(stack, each, [1, 0])]
        ends = Ends()
        for call in (doomed, living, *crossing):
            await ends.follow(each, call, 0)
            await call.begin()
        await asyncio.sleep(0.5)
        assert min(await asyncio.gather(*(call.delivered() for call in (doomed, living, *crossing)))) > 0
        victim, survivor = each.member(0), each.member(1)
        at = send_signal(victim, number)
        await until(lambda: each.died, limit + 2)
        pid, reason, noticed = each.died[0]
        assert pid == victim.pid and isinstance(reason, CoreHungError if limit > 1 else WorkerExitError)
        assert noticed - at < limit + 0.5, noticed - at  # the half second is for a machine that has no time
        assert each.members == [survivor]
        meanwhile = await living.router.create_plain_transport(listen_info=LOOPBACK)
        assert each.core_of(meanwhile) == 1
        await until(lambda: ends.complete, 2)
        assert await served(living)
        await until(lambda: len(each.members) == 2, 10)
        assert each.member(0).pid != victim.pid and len(each.died) == 1
        fresh = await opened(stack, each, [0, 1])
        assert (await fresh.run(0.5)).complete  # on the replacement, and over a new ring
        assert (await living.end()).complete
        assert len(each.died) == 1 and ends.complete


async def served(call: Call) -> bool:
    """Whether its packets go on arriving."""
    before = await call.delivered()
    await asyncio.sleep(0.3)
    return await call.delivered() > before


async def test_a_neighbour_that_stands_still_for_a_while_costs_only_what_was_for_it() -> None:
    """Not long enough to be hung. Its ring fills, what does not fit is counted, and nobody waits for it."""
    async with house() as each, AsyncExitStack() as stack:
        await each.watched()
        crossing = await opened(stack, each, [0, 1], rate=4000, burst=8, size=1200)
        living = await opened(stack, each, [0])
        for call in (crossing, living):
            await call.begin()
        await asyncio.sleep(0.3)
        neighbour = each.member(1)
        send_signal(neighbour, signal.SIGSTOP)
        async with asyncio.timeout(0.9):
            while (await each.stats_of(0)).counters.get("drop.linkFull", 0) <= 100:
                await asyncio.sleep(0.02)
        send_signal(neighbour, signal.SIGCONT)
        assert await served(crossing)
        count = await crossing.end(1)
        assert 0 < count.lost < count.received and count.missing == 0  # the numbers go on without a hole
        assert (await living.end()).complete
        assert not each.died


class Video:
    """A publisher of one long picture after another; a key frame when it is asked for one."""

    def __init__(self, subscriber: socket.socket) -> None:
        self.socket, self.subscriber = udp(), subscriber
        self.asked = 1
        self.frames: list[tuple[int, bool]] = []  # of the subscriber: sequence number, whether a key frame
        self._answered = 0
        self._sequence = 0

    async def run(self) -> None:
        while True:
            for _ in range(6):
                self._send()
            self._listen()
            await asyncio.sleep(0.002)

    def _send(self) -> None:
        key, self._answered = self._answered < self.asked, self.asked
        head = struct.pack("!BBHII", 0x80, 96 | 0x80, self._sequence & 0xFFFF, self._sequence * 30, 7)
        self.socket.send(head + (KEY_FRAME if key else DELTA_FRAME) + bytes(1150))
        self._sequence += 1

    def _listen(self) -> None:
        with suppress(BlockingIOError):
            while data := self.socket.recv(2048):
                self.asked += data[1] == 206 and data[0] & 31 in (1, 4)  # PLI, FIR
        with suppress(BlockingIOError):
            while data := self.subscriber.recv(2048):
                if data[1] & 127 == 101:
                    self.frames.append((int.from_bytes(data[2:4], "big"), KEY_FRAME in data[:64]))


def udp() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


async def test_after_a_full_ring_a_picture_begins_with_a_key_frame() -> None:
    async with house() as each, AsyncExitStack() as stack:
        await each.watched()
        router = await each.worker.create_router(media_codecs=CODECS)
        each.places = [0, 1]
        source, sink = [await router.create_plain_transport(listen_info=LOOPBACK, rtcp_mux=True) for _ in range(2)]
        video = Video(udp())
        stack.callback(video.socket.close)
        stack.callback(video.subscriber.close)
        for transport, sock in ((source, video.socket), (sink, video.subscriber)):
            await transport.connect(ip="127.0.0.1", port=sock.getsockname()[1])
            sock.connect(("127.0.0.1", transport.tuple["localPort"]))
        feedback = [{"type": "nack", "parameter": "pli"}]
        codec = {"mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000, "rtcpFeedback": feedback}
        producer = await source.produce(kind="video", rtp_parameters={"codecs": [codec], "encodings": [{"ssrc": 7}]})
        await sink.consume(producer_id=producer.id, rtp_capabilities=router.rtp_capabilities)
        sending = asyncio.create_task(video.run())
        stack.callback(sending.cancel)
        await until(lambda: len(video.frames) > 200, 5)
        asked = video.asked
        send_signal(each.member(1), signal.SIGSTOP)
        await asyncio.sleep(1.0)
        assert (await each.stats_of(0)).counters["drop.linkFull"] > 0
        seen = len(video.frames)
        send_signal(each.member(1), signal.SIGCONT)
        await until(lambda: any(key for _, key in video.frames[seen:]), 3)
        again = next(i for i in range(seen, len(video.frames)) if video.frames[i][1])
        await until(lambda: len(video.frames) > again + 500, 5)
        numbers = [number for number, _ in video.frames[again:]]
        assert numbers == [(numbers[0] + i) & 0xFFFF for i in range(len(numbers))]  # and from there on all is there
        assert video.asked > asked
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
