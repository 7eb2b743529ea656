"""One room over three hosts, each a network name space with a server of its own: 100 ms and 2 % loss between them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from horizontal import MediasoupHorizontal, RemoteMediasoupClient
from network.relay import Impairment
from network.wire import Wire, address, why_not
from vertical import MediasoupVertical, spread
from waiting import until

ROOT = Path(__file__).parents[2]
TOKEN = "5f3a9c0e-only-for-this-test"
BETWEEN = Impairment(delay_ms=100, loss=0.02)
GRACE = 6.0
MARKER = b"in the clear, for all to read"
CODECS: list[Any] = [{"kind": "video", "mimeType": "video/VP8", "clockRate": 90000}]
KEY_FRAME = bytes.fromhex("1000000000" + "9d012a") + bytes(4)

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


class Hosts:
    """The servers and what is built over them."""

    def __init__(self, wire: Wire, servers: list[subprocess.Popen[bytes]]) -> None:
        self.wire = wire
        self.servers = servers
        self.clients = [
            RemoteMediasoupClient(f"ws://{address(number)}:4443", token=TOKEN, listen_worker_died=False)
            for number in wire.names
        ]
        self.horizontal = MediasoupHorizontal(self.clients, own=True, min_members=3, listen_worker_died=False)
        self.vertical = MediasoupVertical(self.horizontal, max_workers=3, placement=spread)
        self.told: list[tuple[str, Any, float]] = []
        for event in ("hostjoin", "hostlost"):
            self.horizontal.on(event, lambda what, *_, event=event: self._tell(event, what))
        for client in self.clients:
            client.on("disconnected", lambda client=client: self._tell("disconnected", client))
            client.on("connected", lambda client=client: self._tell("connected", client))
        self.vertical.on("coredied", lambda pid, _: self._tell("coredied", pid))

    def _tell(self, event: str, what: Any) -> None:
        self.told.append((event, what, time.monotonic()))

    def when(self, event: str, what: Any) -> list[float]:
        return [at for each, about, at in self.told if each == event and about is what]

    async def open(self) -> None:
        """A room with a publisher and a viewer on each host; every viewer sees the publishers of the others."""
        async with asyncio.timeout(30):
            await self.horizontal.ready()
        assert self.vertical.mediasoup is not None
        self.worker = await self.vertical.mediasoup.create_worker()
        self.router: Any = await self.worker.create_router(media_codecs=CODECS)
        self.transports: list[Any] = [await self.router.create_direct_transport() for _ in range(3)]
        self.pids = [await self.vertical.core_of(each.id) or 0 for each in self.transports]
        self.host_of = [self.clients.index(self.horizontal.locate(pid)[0]) for pid in self.pids]
        assert sorted(self.host_of) == [0, 1, 2]
        self.producers = [await self._publish(index) for index in range(3)]
        self.arrived: dict[tuple[int, int], set[int]] = {}
        for viewer in range(3):
            for publisher in range(3):
                if viewer != publisher:
                    await self.view(viewer, publisher)

    async def _publish(self, index: int) -> Any:
        feedback = [{"type": "nack"}, {"type": "nack", "parameter": "pli"}, {"type": "ccm", "parameter": "fir"}]
        codec = {"mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000, "rtcpFeedback": feedback}
        parameters = {"codecs": [codec], "encodings": [{"ssrc": 1000 + index}]}
        return await self.transports[index].produce(kind="video", rtp_parameters=parameters)

    async def view(self, viewer: int, publisher: int) -> None:
        consumer = await self.transports[viewer].consume(
            producer_id=self.producers[publisher].id, rtp_capabilities=self.router.rtp_capabilities
        )
        numbers = self.arrived[publisher, viewer] = set()
        consumer.on("rtp", lambda packet: numbers.add(int.from_bytes(packet[-4:], "big")))

    async def send(self, publisher: int, numbers: range) -> None:
        """A hundred packets a second, each a key frame that says its number."""
        for number in numbers:
            head = bytes([0x80, 0xE0]) + number.to_bytes(2, "big") + (number * 900).to_bytes(4, "big")
            ssrc = (1000 + publisher).to_bytes(4, "big")
            self.producers[publisher].send(head[:1] + bytes([0xE0]) + head[2:] + ssrc + _payload(number))
            await asyncio.sleep(0.01)

    async def arrive(self, publisher: int, viewer: int, numbers: range, seconds: float = 10.0) -> None:
        """All of them, repaired if lost."""
        await until(lambda: self.arrived[publisher, viewer] >= {*numbers}, seconds)


def _payload(number: int) -> bytes:
    return KEY_FRAME + MARKER + number.to_bytes(4, "big")


@asynccontextmanager
async def three_hosts(between: Impairment) -> AsyncIterator[Hosts]:
    with Wire(3, between) as wire:
        wire.markers.append(MARKER)
        servers = [_serve(wire, number) for number in wire.names]
        try:
            hosts = Hosts(wire, servers)
            async with hosts.horizontal:
                await hosts.open()
                yield hosts
            assert hosts.vertical.destroyed
        finally:
            for server in servers:
                server.terminate()
            for server in servers:
                server.wait(20)


def _serve(wire: Wire, number: int) -> subprocess.Popen[bytes]:
    own = address(number)
    flags = ["--host", own, "--port", "4443", "--announced-address", own, "--grace", str(GRACE), "--drain", "0"]
    command = wire.command(number, sys.executable, "-m", "sfu", "serve", *flags)
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "SFU_TOKEN": TOKEN}, stdout=subprocess.DEVNULL)


async def test_one_room_over_three_hosts() -> None:
    """Every packet arrives on every host, and none can be read between them."""
    async with three_hosts(BETWEEN) as hosts:
        count = range(300)
        # more follow, so that the loss of the last ones shows, too
        await asyncio.gather(*(hosts.send(publisher, range(len(count) + 50)) for publisher in range(3)))
        for publisher, viewer in hosts.arrived:
            await hosts.arrive(publisher, viewer, count)
        links = (await hosts.worker.get_core_stats())["pipeLinks"]
        assert links == 3  # one for each two hosts
        packets = hosts.wire.packets
        assert packets["udp"] >= 6 * len(count) and packets["seen"] == 0


async def test_a_host_is_cut_off_and_comes_back_then_is_killed_and_another_vanishes() -> None:
    async with three_hosts(BETWEEN) as hosts:
        first, second, victim = range(3)
        lost = hosts.clients[hosts.host_of[victim]]
        for publisher in range(3):
            await hosts.send(publisher, range(20))
        await hosts.arrive(first, victim, range(1))

        cut_at = time.monotonic()
        hosts.wire.cut(1 + hosts.host_of[victim])
        await hosts.send(first, range(20, 320))  # three seconds
        await until(lambda: hosts.when("disconnected", lost))
        assert hosts.when("disconnected", lost)[0] - cut_at < 3
        hosts.wire.mend(1 + hosts.host_of[victim])
        mended_at = time.monotonic()
        await until(lambda: len(hosts.when("connected", lost)) == 2)
        assert hosts.when("connected", lost)[-1] - mended_at < 3
        await hosts.send(first, range(320, 420))
        await hosts.arrive(first, second, range(20, 370))  # the others have not noticed
        await hosts.arrive(first, victim, range(380, 400))  # the same objects go on
        assert not any(event in ("hostlost", "coredied") for event, *_ in hosts.told)
        assert not any(transport.closed for transport in hosts.transports)

        killed_at = time.monotonic()
        _kill(hosts.servers[hosts.host_of[victim]])
        await until(lambda: hosts.when("hostlost", lost), GRACE + 5)
        assert hosts.when("hostlost", lost)[0] - killed_at < GRACE + 2
        await until(lambda: hosts.transports[victim].closed and hosts.producers[victim].closed)
        assert len([event for event, *_ in hosts.told if event == "hostlost"]) == 1
        assert [what for event, what, _ in hosts.told if event == "coredied"] == [hosts.pids[victim]]
        await hosts.send(first, range(420, 520))
        await hosts.arrive(first, second, range(420, 480))

        vanished = hosts.clients[hosts.host_of[second]]  # nobody says that it has gone: its packets just stop
        hosts.wire.cut(1 + hosts.host_of[second])
        await until(lambda: hosts.when("hostlost", vanished), GRACE + 5)
        late = hosts.when("hostlost", vanished)[0] - hosts.when("disconnected", vanished)[-1] - GRACE
        print(f"told {late * 1e3:.0f} ms after its last sign of life timed out")
        assert -0.01 < late < 2
        await until(lambda: hosts.transports[second].closed and hosts.producers[second].closed, 1)
        assert [what for event, what, _ in hosts.told if event == "coredied"] == [
            hosts.pids[victim],
            hosts.pids[second],
        ]
        assert not hosts.transports[first].closed and not hosts.worker.closed


def _kill(server: subprocess.Popen[bytes]) -> None:
    """The server, which `ip netns exec` has become."""
    os.kill(server.pid, signal.SIGKILL)
    server.wait()


async def test_what_is_not_encrypted_would_be_seen() -> None:
    """If an application says so, packets cross in clear: so the other tests look at the right place. Those of
    `pipe_to_router` do not."""
    async with three_hosts(Impairment()) as hosts:
        workers = [await hosts.horizontal.mediasoup.create_worker() for _ in range(3)]
        first = next(worker for worker in workers if worker.channel.place.announced_addresses == (address(1),))
        other = next(worker for worker in workers if worker is not first)
        here, there = [await worker.create_router(media_codecs=CODECS) for worker in (first, other)]
        hosts.router, hosts.transports = here, [await here.create_direct_transport()]
        hosts.producers = [await hosts._publish(0)]
        options = {"listen_info": {"protocol": "udp", "ip": "0.0.0.0", "announcedAddress": address(1)}}
        ends = [await here.create_pipe_transport(**options), await there.create_pipe_transport(listen_ip="0.0.0.0")]
        place = other.channel.place.announced_addresses[0]
        await ends[0].connect(ip=place, port=ends[1].tuple["localPort"])
        await ends[1].connect(ip=address(1), port=ends[0].tuple["localPort"])
        await ends[0].consume(producer_id=hosts.producers[0].id)
        await hosts.send(0, range(50))
        await until(lambda: hosts.wire.packets["seen"] >= 40)
        for end in ends:
            end.close()
        await here.dump()
        await there.dump()
        before = dict(hosts.wire.packets)
        await here.pipe_to_router(producer_id=hosts.producers[0].id, router=there)
        hosts.transports.append(await there.create_direct_transport())
        await hosts.view(1, 0)
        await hosts.send(0, range(50, 150))
        await hosts.arrive(0, 1, range(60, 140))
        assert hosts.wire.packets["seen"] == before["seen"] and hosts.wire.packets["udp"] >= before["udp"] + 80
