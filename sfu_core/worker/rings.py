"""Rings to neighbours: who holds which end, from the door to the engine.

A ring is a pair of one-way rings in one memfd and an eventfd for each side. The core that opens it is side 0.
Control thread only.
"""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sfu_core.channel.messages import DoorKey, WorkerCloseRing, WorkerJoinRing, WorkerOpenRing
from sfu_core.errors import NotFoundError, SfuError
from sfu_core.shared_memory import make_memory, memory_size
from sfu_core.worker.door import Door, fetch

if TYPE_CHECKING:
    from sfu_core._engine import Engine

HEADER_BYTES = 4096  # more than the header of a ring
MIN_CAPACITY, MAX_CAPACITY = 1 << 16, 1 << 28


class Rings:
    """The ends that this core holds, by ring id."""

    def __init__(self, engine: "Engine", door: Door) -> None:
        self._engine = engine
        self._door = door
        self._links: dict[str, int] = {}
        self._users: dict[str, int] = {}
        self._closing: set[str] = set()

    def link(self, ring_id: str) -> int:
        """The engine's name of it. NotFoundError if there is none, or it is being closed."""
        if ring_id not in self._links or ring_id in self._closing:
            raise NotFoundError(f"no ring with the id {ring_id!r}")
        return self._links[ring_id]

    def open(self, request: WorkerOpenRing) -> DoorKey:
        """WORKER_OPEN_RING."""
        self._check(request.ring_id, request.capacity)
        held: list[int] = []
        with _closed_on_error(held):
            held.append(make_memory("sfu-ring", 2 * (request.capacity + HEADER_BYTES)))
            held.extend(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(2))
            self._attach(request.ring_id, held[0], request.capacity, 0, held[1:])
        try:
            address, token = self._door.offer(held)
        except BaseException:
            self._drop(request.ring_id)
            raise
        return DoorKey(address=address, token=token)

    async def join(self, request: WorkerJoinRing) -> None:
        """WORKER_JOIN_RING. SfuError if the neighbour does not give its end."""
        try:
            fetched = await fetch(asyncio.get_running_loop(), request.door.address, request.door.token)
        except (OSError, ValueError, TimeoutError) as error:
            raise SfuError(f"ring {request.ring_id!r} could not be joined: {error}") from error
        try:
            capacity = _capacity_of(fetched, request.ring_id)
            self._check(request.ring_id, capacity)
            self._attach(request.ring_id, fetched[0], capacity, 1, fetched[1:])
        finally:
            _close_all(fetched)

    def close(self, request: WorkerCloseRing) -> None:
        """WORKER_CLOSE_RING: no new transports; it goes with the last that uses it."""
        self.link(request.ring_id)
        self._closing.add(request.ring_id)
        self._drop_if_unused(request.ring_id)

    def close_all(self) -> None:
        """With the worker; its transports are closed already."""
        for ring_id in list(self._links):
            self._drop(ring_id)

    def use(self, ring_id: str, change: int) -> None:
        """A transport begins (1) or ends (-1) to use it."""
        self._users[ring_id] += change
        self._drop_if_unused(ring_id)

    def _drop_if_unused(self, ring_id: str) -> None:
        if ring_id in self._closing and not self._users[ring_id]:
            self._drop(ring_id)

    def _drop(self, ring_id: str) -> None:
        self._closing.discard(ring_id)
        self._engine.close_link(self._links.pop(ring_id))
        del self._users[ring_id]

    def _check(self, ring_id: str, capacity: int) -> None:
        if ring_id in self._links:
            raise SfuError(f"a ring with the id {ring_id!r} exists already")
        if not MIN_CAPACITY <= capacity <= MAX_CAPACITY or capacity & (capacity - 1):
            raise TypeError(f"capacity: {capacity} is not a power of two from {MIN_CAPACITY} to {MAX_CAPACITY}")

    def _attach(self, ring_id: str, memfd: int, capacity: int, side: int, bells: Sequence[int]) -> None:
        """`bells`: what wakes side 0, and side 1. The engine maps the memory and takes copies of them."""
        copies: list[int] = []
        with _closed_on_error(copies):
            copies.extend(map(os.dup, (bells[side], bells[1 - side])))
            self._links[ring_id] = self._engine.add_link(memfd, capacity, side, *copies)
        self._users[ring_id] = 0


def _capacity_of(fetched: Sequence[int], ring_id: str) -> int:
    """Of what a neighbour gave: the memory, and a bell for each side."""
    try:
        memfd, _, _ = fetched
        return memory_size(memfd) // 2 - HEADER_BYTES
    except ValueError as error:
        raise SfuError(f"ring {ring_id!r}: {error}") from error


@contextmanager
def _closed_on_error(descriptors: Sequence[int]) -> Iterator[None]:
    """Also those that are added meanwhile: whoever was to take them has not."""
    try:
        yield
    except BaseException:
        _close_all(descriptors)
        raise


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
