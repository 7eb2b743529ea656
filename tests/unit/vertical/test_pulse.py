"""When a core counts as hung: the count of its turns stands still, and we are sure that we looked."""

import asyncio
import time

import pytest

from vertical import pulse
from vertical.pulse import STILL, memory_of, standstill

INTERVAL = 0.02


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(pulse, "INTERVAL", INTERVAL)


class Turns:
    """A counter and how often somebody looked."""

    def __init__(self, moves):
        self.count = self.looks = 0
        self.moves = moves

    def __call__(self):
        self.looks += 1
        self.count += self.moves(self.looks)
        return self.count


async def test_a_count_that_stands_still():
    turns = Turns(lambda look: 0)
    async with asyncio.timeout(5):
        await standstill(turns)
    assert turns.looks >= 1 + STILL


async def test_a_count_that_goes_on_now_and_then():
    turns = Turns(lambda look: look % STILL == 0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(20 * INTERVAL):
            await standstill(turns)
    assert turns.looks > STILL


async def test_a_count_that_stops():
    turns = Turns(lambda look: look <= 10)
    async with asyncio.timeout(5):
        await standstill(turns)
    assert turns.looks >= 10 + STILL


async def test_looks_that_come_late_prove_nothing():
    """The loop is busy, so that each look is late; when it has time again, the core is found to be hung."""
    turns = Turns(lambda look: 0)
    watching = asyncio.ensure_future(standstill(turns))
    for _ in range(3 * STILL):
        await asyncio.sleep(INTERVAL / 4)
        time.sleep(3 * INTERVAL)
    assert turns.looks > STILL and not watching.done()
    async with asyncio.timeout(5):
        await watching


async def test_a_core_that_does_not_answer(house, monkeypatch):
    monkeypatch.setattr(pulse, "ANSWER_TIMEOUT", 0.02)
    core = house.cores[0]
    core.hold()
    with pytest.raises(TimeoutError):
        await memory_of(core)
    core.go()


async def test_memory_that_is_no_slab(house):
    """The cores of these tests have none."""
    with pytest.raises(ValueError, match="not a slab"):
        await memory_of(house.cores[0])
