"""The control thread stands still while the media thread has much to tell it; the application does not read."""

from __future__ import annotations

import asyncio
import random
import time

from waiting import until

from .flood import dtls
from .peer import Peer
from .processes import gil_held, resident
from .scene import scene
from .tcp import TcpPeer

PEERS = 20
STUCK = 3.0  # seconds at least
EVENT_QUEUE = 4 << 20  # bytes


async def test_states_are_right_after_a_standstill() -> None:
    """ICE is answered meanwhile. What is bulk gives way to changes of state, so that none of these is lost."""
    rng = random.Random(5)
    async with scene(max_lines=16 * PEERS, max_answer=STUCK + 10) as each:
        transports = [await each.open_transport() for _ in range(2 * PEERS)]
        peers = [Peer() for _ in range(PEERS)] + [TcpPeer() for _ in range(PEERS)]
        memory = resident(each.worker.pid)
        try:
            async with gil_held(each.worker):
                begun = time.monotonic()
                await asyncio.gather(*map(Peer.check, peers, transports))
                garbage = [dtls(rng).ljust(1200, b"\0") for _ in range(50)]
                for _ in range(200):
                    for data in garbage:
                        peers[0].send_raw(data)
                    await asyncio.sleep(0.001)
                for peer in peers[-PEERS // 2 :]:
                    peer.close()
                await asyncio.sleep(max(0.5, begun + STUCK - time.monotonic()))
                assert {transport.ice_state for transport in transports} == {"new"}
            gone, there = transports[-PEERS // 2 :], transports[: -PEERS // 2]
            await until(lambda: all(transport.ice_state == "disconnected" for transport in gone), 5)
            await until(lambda: all(transport.ice_state == "completed" for transport in there), 5)
            assert resident(each.worker.pid) - memory < 2 * EVENT_QUEUE
            stats = await each.worker.get_core_stats()
            assert stats["drop.queueFull"] > 5000 and stats["eventsLost"] == 0
            for peer, transport in zip(peers, there, strict=False):
                await peer.connect(transport)
                assert transport.ice_selected_tuple["remotePort"] == peer.port
        finally:
            for peer in peers:
                peer.close()


async def test_an_application_that_does_not_read() -> None:
    """Packets for its direct transport and news about single packets are dropped; requests and states are not, and
    other media does not notice."""
    async with scene(rate=1000, fan_out=16, slice_seconds=3.5, max_answer=5) as each:
        router, memory = each.call.router, resident(each.worker.pid)
        (producer_id,) = (entry["key"] for entry in (await router.dump())["mapProducerIdConsumerIds"])
        direct = await router.create_direct_transport()
        packets, traces = [], []
        for _ in range(16):
            consumer = await direct.consume(producer_id=producer_id, rtp_capabilities=router.rtp_capabilities)
            consumer.on("rtp", packets.append)
            consumer.on("trace", traces.append)
            await consumer.enable_trace_event(["rtp"])
        await asyncio.sleep(0.3)
        assert packets and traces
        time.sleep(2.5)  # the loop of the application stands still: 40 000 packets, and as many traces
        grown = resident(each.worker.pid) - memory
        assert grown < 16 << 20, grown
        await direct.dump()
        direct.close()
        (await each.worker.create_router()).close()
