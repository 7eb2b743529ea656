"""One port for all cores of a host, with real cores and clients: who comes to the wrong core is served by his own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sfu.bench.engine import CODECS
from vertical import MediasoupVertical, spread

from .peer import TCP, UDP, Peer, publish
from .tcp import TcpPeer


class Hall:
    """Two cores, a server on one UDP and one TCP port, a router, and peers that publish."""

    def __init__(self, worker: Any, server: Any, router: Any) -> None:
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
async def hall(cores: int = 2) -> AsyncIterator[Hall]:
    async with MediasoupVertical(max_workers=cores, placement=spread) as vertical:
        worker = await vertical.mediasoup.create_worker()  # type: ignore[union-attr]
        server = await worker.create_webrtc_server(listen_infos=[UDP, TCP])
        router = await worker.create_router(media_codecs=CODECS)
        it = Hall(worker, server, router)
        try:
            yield it
        finally:
            for peer in it.peers:
                peer.close()


async def test_every_client_reaches_its_core() -> None:
    async with hall() as it:
        transports = [await it.join(Peer()) for _ in range(12)]
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


async def test_a_tcp_connection_is_passed_to_its_core() -> None:
    async with hall() as it:
        transports = [await it.join(TcpPeer()) for _ in range(12)]
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
