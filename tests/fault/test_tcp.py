"""TCP connections of peers that are slow, silent, mad or too many."""

from __future__ import annotations

import asyncio
import random
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from sfu.bench.cpu import ProcessClock
from waiting import until

from . import flood
from .peer import address_of
from .processes import create_worker, resident, until_used, used
from .scene import TCP, UDP, scene
from .tcp import TcpPeer, closed_by_server, connections

TABLE = 2048  # connections that a core has room for
PATIENCE = 15  # seconds that it waits for a proof


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * TABLE:
        pytest.skip(f"needs {2 * TABLE} descriptors, may have {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * TABLE), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_silent_connections(many_descriptors: None) -> None:
    """As many as there is room for stay until 15 s are over; what is more is refused; all goes on meanwhile."""
    async with scene() as each:
        address, memory = address_of(each.transport, "tcp"), resident(each.worker.pid)
        begun = time.monotonic()
        silent = await connections(address, TABLE + 50)
        for sock in silent[::2]:
            sock.send(b"\x04")  # half a length
        try:
            await until(lambda: sum(map(closed_by_server, silent)) >= 50, 5)
            assert (await used(each.worker))["connections"] == TABLE
            assert (await each.worker.get_core_stats())["tcpRefused"] == 50
            assert resident(each.worker.pid) - memory < 16 << 20
            await until(lambda: all(map(closed_by_server, silent)), PATIENCE + 5)
            assert time.monotonic() - begun > PATIENCE
        finally:
            for sock in silent:
                sock.close()
        assert (await used(each.worker))["connections"] == 0
        peer = TcpPeer()
        await peer.connect(await each.open_transport())
        peer.close()


async def test_mad_connections() -> None:
    """Whoever does not speak RFC 4571 is closed at once; whoever does is heard, and dropped by reason."""
    rng = random.Random(3)
    async with scene() as each:
        address, before = address_of(each.transport, "tcp"), await used(each.worker)
        for _ in range(20):
            mad = await connections(address, 20)
            for sock in mad:
                try:
                    for _ in range(rng.randrange(1, 4)):
                        sock.send(
                            rng.choice((rng.randbytes(rng.randrange(1, 9000)), b"\xff" * 40, framed(rng), framed(rng)))
                        )
                except OSError:
                    pass  # it has been closed already
            await asyncio.sleep(0.01)
            for sock in mad:
                sock.close()
        await until_used(each.worker, before)
        drops = await each.drops()
        assert {"tcpFrame", "unknownTuple"} <= drops.keys()


def framed(rng: random.Random) -> bytes:
    data = flood.mixed(rng, "x")[:1400]
    return len(data).to_bytes(2, "big") + data


async def test_a_slow_reader_loses_only_its_own() -> None:
    """What it does not read waits in a bounded buffer; then it is dropped and counted."""
    async with scene(size=1000, rate=500) as each:
        router = each.call.router
        server = await each.worker.create_webrtc_server(listen_infos=[TCP | {"sendBufferSize": 65536}])
        transport = await router.create_webrtc_transport(webrtc_server=server)
        peer = TcpPeer(recv_buffer=16384)
        await peer.connect(transport)
        memory = resident(each.worker.pid)
        (producer_id,) = (entry["key"] for entry in (await router.dump())["mapProducerIdConsumerIds"])
        await transport.consume(producer_id=producer_id, rtp_capabilities=router.rtp_capabilities)
        async with asyncio.timeout(10):
            while (await transport.get_drops()).get("sendBacklog", 0) <= 100:
                await asyncio.sleep(0.05)
        assert resident(each.worker.pid) - memory < 8 << 20
        assert await peer.is_answered()  # behind all that waited for it
        await asyncio.sleep(0.1)
        peer.close()
        await until(lambda: transport.ice_state == "disconnected", 5)


async def test_more_connections_than_descriptors() -> None:
    """Connections that cannot be accepted must not keep the media thread busy."""
    async with await create_worker() as worker:
        server = await worker.create_webrtc_server(listen_infos=[UDP, TCP])
        router = await worker.create_router()
        transport = await router.create_webrtc_transport(webrtc_server=server)
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (100, 100))
        with ExitStack() as stack:
            for sock in await connections(address_of(transport, "tcp"), 300):
                stack.enter_context(sock)
            await asyncio.sleep(0.3)
            clock = ProcessClock(worker.pid)
            await asyncio.sleep(1)
            assert clock.lap().thread < 100e6
