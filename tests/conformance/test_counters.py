"""Beyond mediasoup: the engine's own counters."""

import asyncio


async def test_drops_of_a_transport_are_told_by_reason(room):
    transport = await room.plain()
    assert await transport.get_drops() == {}


async def test_core_counters(worker):
    before = await worker.get_core_stats()
    after = await worker.get_core_stats()
    assert after["ticks"] >= before["ticks"]
    assert {"datagramsIn", "datagramsOut", "gsoSegments", "wakes"} <= after.keys()


async def test_an_idle_core_shows_that_it_lives(worker):
    before = await worker.get_core_stats()
    await asyncio.sleep(1.5)
    after = await worker.get_core_stats()
    assert 2 <= after["ticks"] - before["ticks"] < 50
