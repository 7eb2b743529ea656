"""Processes as a test sees them from outside: what they have open, how large they are, whether they live."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from sfu_core.channel.process import ProcessSpawner
from sfu_core.mediasoup import Mediasoup, Worker

from .targets import door_of

TARGETS = f"{__package__}.targets"


def mediasoup(function: str = "run", **options: Any) -> Mediasoup:
    """The API over core processes that run a function of `targets`."""
    return Mediasoup(ProcessSpawner(target=f"{TARGETS}:{function}", **options))


async def create_worker(**settings: Any) -> Worker:
    """A core process with a door."""
    return await mediasoup().create_worker(**settings)


async def ask(worker: Worker, method: str) -> Any:
    """Through the door of a worker."""
    reader, writer = await asyncio.open_unix_connection(door_of(worker.pid))
    try:
        writer.write(f"{method}\n".encode())
        return json.loads(await reader.readline())
    finally:
        writer.close()
        await writer.wait_closed()


def gil_held(worker: Worker) -> AbstractAsyncContextManager[None]:
    """See `gil_held_in`."""
    return gil_held_in(worker.pid)


@asynccontextmanager
async def gil_held_in(pid: int) -> AsyncIterator[None]:
    """The body runs while nothing but the media thread can run in that core."""
    reader, writer = await asyncio.open_unix_connection(door_of(pid))
    try:
        writer.write(b"hold_gil\n")
        assert await reader.readline() == b"held\n"
        yield
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def is_alive(pid: int) -> bool:
    """Not gone, and not just waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int | None = None) -> set[int]:
    """Of all threads of a process; this one's by default."""
    pid = pid or os.getpid()
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        found |= {int(child) for child in (task / "children").read_text().split()}
    return found


def descriptors(pid: int | None = None) -> dict[str, str]:
    """What a process has open; this one by default."""
    found, folder = {}, f"/proc/{pid or os.getpid()}/fd"
    for name in os.listdir(folder):
        try:
            found[name] = os.readlink(f"{folder}/{name}")
        except FileNotFoundError:
            continue  # the listing's own
    return found


def shared_mappings() -> list[str]:
    """Shared memory that this process has mapped."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return [line for line in lines if line.split()[1].endswith("s") and "memfd" in line]


def resident(pid: int) -> int:
    """Bytes of memory that a process uses, its share of the page cache included."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


async def used(worker: Worker) -> dict[str, int]:
    """What is taken of each table of the engine, when all that was asked for before has been done."""
    await worker.dump()
    found: dict[str, int] = await ask(worker, "slots_used")
    return found


async def until_used(worker: Worker, expected: dict[str, int]) -> None:
    """The media thread gives slots back soon, not at once."""
    async with asyncio.timeout(5):
        while await used(worker) != expected:
            await asyncio.sleep(0.01)
