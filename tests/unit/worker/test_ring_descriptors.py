"""Descriptors of rings whose making fails, in one process."""

import asyncio
import os
from collections.abc import Sequence

import pytest

from sfu_core.channel.messages import DoorKey, WorkerJoinRing, WorkerOpenRing
from sfu_core.errors import SfuError
from sfu_core.shared_memory import make_memory
from sfu_core.worker.door import Door
from sfu_core.worker.rings import HEADER_BYTES, MIN_CAPACITY, Rings


class FullEngine:
    """Has no room for another ring."""

    def add_link(self, *_: object) -> int:
        raise BufferError("this core cannot have another ring")


def rings_of(door: Door) -> Rings:
    return Rings(FullEngine(), door)  # type: ignore[arg-type]


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


async def test_opening_fails() -> None:
    door = Door(asyncio.get_running_loop())
    before = descriptors()
    with pytest.raises(BufferError):
        rings_of(door).open(WorkerOpenRing(ring_id="ring", capacity=MIN_CAPACITY))
    assert descriptors() == before


@pytest.mark.parametrize("offered", ["a ring", "two bells", "no memory"])
async def test_joining_fails(offered: str) -> None:
    door = Door(asyncio.get_running_loop())
    before = descriptors()
    address, token = door.offer(offer(offered))
    with pytest.raises((BufferError, SfuError)):
        await rings_of(door).join(WorkerJoinRing(ring_id="ring", door=DoorKey(address=address, token=token)))
    door.close()
    assert descriptors() == before


def offer(what: str) -> Sequence[int]:
    bells = [os.eventfd(0), os.eventfd(0)]
    if what == "two bells":
        return bells
    if what == "no memory":
        return [os.eventfd(0), *bells]
    return [make_memory("ring", 2 * (MIN_CAPACITY + HEADER_BYTES)), *bells]
