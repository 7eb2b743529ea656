"""The media thread runs without Python: what flows goes on flowing while nothing else in its process can run.

One thread of the core process holds the GIL. Whoever asks for it meanwhile stands still until it is let go: the
control thread does, as its late answer shows. Had the media thread asked once, it would have forwarded no more.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from sfu_core.mediasoup import Worker

from .call import Call
from .processes import ask, create_worker

MILLION = 1_000_000


@pytest.mark.parametrize("seconds", [10, pytest.param(120, marks=pytest.mark.full)])
async def test_no_packet_is_lost_while_the_gil_is_held(seconds: int) -> None:
    """The stream begins before that time and ends after it; what is sent is encrypted."""
    async with await create_worker() as worker, Call(worker, fan_out=8, suite="AEAD_AES_128_GCM") as call:
        await call.begin()
        await asyncio.sleep(0.5)
        holding = asyncio.create_task(ask(worker, "hold_gil", seconds))
        asking = asyncio.create_task(answered(worker))
        delivered = await call.delivered()
        while not holding.done():
            await asyncio.wait([holding], timeout=2)
            before, delivered = delivered, await call.delivered()
            assert delivered > before + 500 or holding.done()
        begun, ended = await holding
        await asyncio.sleep(0.5)
        count = await call.end()
    assert ended - begun >= seconds
    assert await asking >= ended
    assert count.complete, count


async def answered(worker: Worker) -> float:
    """When it answers a request that is made while the GIL is held."""
    await asyncio.sleep(0.5)
    await worker.dump()
    return time.monotonic()


async def test_a_million_packets_without_the_gil() -> None:
    """Sent, forwarded and counted between taking and letting go of it: acquired 0 times by the media thread."""
    async with await create_worker() as worker, Call(worker, fan_out=200, rate=1100, burst=10) as call:
        holding = asyncio.create_task(ask(worker, "hold_gil", 10))
        await asyncio.sleep(0.5)
        asking = asyncio.create_task(worker.dump())
        count = await call.run(5)
        counted = time.monotonic()
        assert not asking.done()
        begun, ended = await holding
        await asking
    assert ended - begun >= 10
    assert begun < counted < ended
    assert count.complete, count
    assert count.received >= MILLION
