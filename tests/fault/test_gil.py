"""The media thread runs without Python: what flows goes on flowing while nothing else in its process can run.

One thread of the core process holds the GIL. Whoever asks for it meanwhile stands still until it is let go: the
control thread does, as its late answer shows. Had the media thread asked once, it would have forwarded no more.
"""

from __future__ import annotations

import asyncio

import pytest

from .call import Call
from .processes import create_worker, gil_held

MILLION = 1_000_000


@pytest.mark.parametrize("seconds", [10, pytest.param(120, marks=pytest.mark.full)])
async def test_no_packet_is_lost_while_the_gil_is_held(seconds: int) -> None:
    """The stream begins before that time and ends after it; what is sent is encrypted."""
    async with await create_worker() as worker, Call(worker, fan_out=8, suite="AEAD_AES_128_GCM") as call:
        await call.begin()
        await asyncio.sleep(0.5)
        async with gil_held(worker):
            asking, delivered = asyncio.create_task(worker.dump()), await call.delivered()
            for _ in range(seconds // 2):
                await asyncio.sleep(2)
                before, delivered = delivered, await call.delivered()
                assert delivered > before + 500
            assert not asking.done()
        await asking
        await asyncio.sleep(0.5)
        count = await call.end()
        assert count.complete, count


async def test_a_million_packets_without_the_gil() -> None:
    """Sent, forwarded and counted between taking and letting go of it: acquired 0 times by the media thread."""
    async with await create_worker() as worker, Call(worker, fan_out=200, rate=1100, burst=10) as call:
        async with gil_held(worker), asyncio.timeout(60):
            asking = asyncio.create_task(worker.dump())
            await call.begin()
            while await call.delivered() < MILLION:
                await asyncio.sleep(0.05)
            count = await call.end()
            assert not asking.done()
        await asking
        assert count.complete, count
        assert count.received >= MILLION
