"""One port for all cores of a host, with real cores and clients: who comes to the wrong core is served by his own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sfu.bench.engine import CODECS
from sfu.bench.joiner import binding_request
from vertical import MediasoupVertical, spread

from .peer import TCP, UDP, Peer, address_of, publish
from .tcp import TcpPeer
from .torrent import Torrent

FAMILIES = pytest.mark.parametrize(
    ("ip", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)], ids=["IPv4", "IPv6"]
)
IN_HAND = 64  # datagrams that a core has read and not yet passed on may end with it


class Hall:
    """Two cores, a server on one UDP and one TCP port, a router, and peers that publish."""

    def __init__(self, vertical: MediasoupVertical, worker: Any, server: Any, router: Any) -> None:
        self.vertical = vertical
        self.worker = worker
        self.server = server
        self.router = router
        self.peers: list[Peer] = []
        self.producers: list[Any] = []

    async def join(self, peer: Peer) -> Any:
        transport = await self.router.create_webrtc_transport(webrtc_server=self.server, enable_tcp=True)
        await peer.connect(transport)
        self.peers.append(peer)
        self.producers.append(await publish(transport))
        return transport

    async def counts(self) -> list[int]:
        """Packets that each producer has got."""
        stats = [await producer.get_stats() for producer in self.producers if not producer.closed]
        return [sum(int(each["packetCount"]) for each in one) for one in stats]

    def core_of(self, transport: Any) -> int:
        return int(transport.ice_parameters["usernameFragment"][:2], 36)


@asynccontextmanager
async def hall(cores: int = 2, ip: str = "127.0.0.1") -> AsyncIterator[Hall]:
    async with MediasoupVertical(max_workers=cores, placement=spread) as vertical:
        worker = await vertical.mediasoup.create_worker()  # type: ignore[union-attr]
        server = await worker.create_webrtc_server(listen_infos=[UDP | {"ip": ip}, TCP | {"ip": ip}])
        router = await worker.create_router(media_codecs=CODECS)
        it = Hall(vertical, worker, server, router)
        try:
            yield it
        finally:
            for peer in it.peers:
                peer.close()


@FAMILIES
async def test_every_client_reaches_its_core(ip: str, family: socket.AddressFamily) -> None:
    async with hall(ip=ip) as it:
        transports = [await it.join(Peer(family)) for _ in range(12)]
        assert len({it.core_of(each) for each in transports}) == 2
        assert len({each.ice_candidates[0]["port"] for each in transports}) == 1
        for _ in range(100):
            for peer in it.peers:
                peer.send()
            await asyncio.sleep(0.001)
        async with asyncio.timeout(10):
            while await it.counts() != [100] * 12:
                await asyncio.sleep(0.02)
        stats = await it.worker.get_core_stats()
        assert 0 < stats["handedOut"] == stats["handedIn"] < stats["datagramsIn"]
        assert len((await it.server.dump())["udpSockets"]) == 1


@FAMILIES
async def test_a_tcp_connection_is_passed_to_its_core(ip: str, family: socket.AddressFamily) -> None:
    async with hall(ip=ip) as it:
        transports = [await it.join(TcpPeer(family)) for _ in range(12)]
        assert len({it.core_of(each) for each in transports}) == 2
        assert {each.ice_selected_tuple["protocol"] for each in transports} == {"tcp"}
        for _ in range(20):
            for peer in it.peers:
                peer.send()
            await asyncio.sleep(0.002)
        async with asyncio.timeout(10):
            while await it.counts() != [20] * 12:
                await asyncio.sleep(0.02)
        stats = await it.worker.get_core_stats()
        assert 0 < stats["tcpHandedOut"] == stats["tcpHandedIn"] < 12


@FAMILIES
async def test_a_client_moves_to_other_addresses_and_restarts_ice(ip: str, family: socket.AddressFamily) -> None:
    """Each new socket may come to another core; media goes on every time."""
    async with hall(ip=ip) as it:
        transport = await it.join(peer := Peer(family))
        for number in range(1, 13):
            peer.move()
            if number % 4 == 0:
                peer.rename(await transport.restart_ice())
            assert await peer.is_answered()
            for _ in range(25):
                peer.send()
            async with asyncio.timeout(5):
                while await it.counts() != [25 * number]:
                    await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            while transport.ice_selected_tuple["remotePort"] != peer.port:  # the news is on its way
                await asyncio.sleep(0.01)
        assert (await it.worker.get_core_stats())["handedOut"] > 0


async def spoof(transport: Any, count: int) -> None:
    """Requests with a right name and a wrong password, and garbage, each from an address of its own."""
    address = address_of(transport)
    ufrag = transport.ice_parameters["usernameFragment"]
    garbage = (b"\x80\x6f" + bytes(60), b"\x16\xfe\xfd" + bytes(60), b"\xff" * 900, b"\x00\x01")
    for number in range(count):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(binding_request(ufrag, "wrong" * 6, os.urandom(12)), address)
            sock.sendto(garbage[number % 4], address)
        if number % 20 == 0:
            await asyncio.sleep(0.002)


async def test_spoofed_addresses_leave_nothing_and_cost_running_calls_nothing() -> None:
    async with hall() as it:
        transports = [await it.join(Peer()) for _ in range(6)]
        before = await it.worker.get_core_stats()
        with Torrent(it.peers, 300, 60) as torrent:
            for transport in transports[:2]:
                await spoof(transport, 5000)
        async with asyncio.timeout(10):
            while await it.counts() != [torrent.sent] * 6:
                await asyncio.sleep(0.02)
        after = await it.worker.get_core_stats()
        assert after["drop.stunUnauthorized"] - before.get("drop.stunUnauthorized", 0) == 10_000
        assert after["drop.unknownTuple"] - before.get("drop.unknownTuple", 0) >= 5000
        assert all(each.ice_state == "completed" for each in transports)


async def test_a_core_is_killed_and_replaced_while_others_carry_20000_packets_per_second() -> None:
    """Its sockets still get a share of what is for the others: a neighbour reads them until its successor does."""
    async with hall() as it:
        transports = [await it.join(Peer()) for _ in range(16)]
        staying = [each for each in transports if it.core_of(each) == 0]
        peers = [it.peers[transports.index(each)] for each in staying]
        first, second = sorted(await it.vertical.cores(), key=lambda core: core.index)
        with Torrent(peers, 20_000, 5) as torrent:
            await asyncio.sleep(1)
            handed = (await it.worker.get_core_stats())["handedOut"]
            os.kill(second.pid, signal.SIGKILL)
            async with asyncio.timeout(10):
                while len(cores := await it.vertical.cores()) < 2 or second.pid in (core.pid for core in cores):
                    await asyncio.sleep(0.01)
            assert not torrent.over, "too slow: the flow has ended before the successor came"
            while not torrent.over:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        counts = await it.counts()
        lost = torrent.sent * len(staying) - sum(counts)
        print(f"{torrent.sent * len(staying)} sent, {lost} lost, {handed} handed over before")
        assert handed > 1000 and first.pid in (core.pid for core in cores)
        assert 0 <= lost <= IN_HAND
        assert all(each.closed for each in transports if each not in staying)
        later = [await it.join(Peer()) for _ in range(6)]
        assert 1 in {it.core_of(each) for each in later}, "the successor is reached like its predecessor"
