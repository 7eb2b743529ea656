"""Mirrors that end while those who consume them do."""

import asyncio

import pytest
from test_mirrors import Mirrored, nothing_left


@pytest.fixture
def mirrored(runner, house):
    return runner.run(Mirrored.open(house))


@pytest.mark.parametrize("turns", range(8))
async def test_who_consumes_it_ends_at_the_same_time(house, mirrored, turns):
    consumers = [await mirrored.consumer(core) for core in (0, 1)]
    mirrored.producer.close()
    for _ in range(turns):
        await asyncio.sleep(0)
    for consumer in consumers:
        consumer.close()
    await nothing_left(house)  # and no core was asked to end what has ended with the original, says the fixture
