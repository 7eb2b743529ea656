"""Managers on managers: whatever happens below is told once, at the top, and the end of one is the end of all above."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from horizontal import MediasoupHorizontal, RemoteMediasoupClient, RemoteMediasoupClientMock, RemoteMediasoupServer
from horizontal.pids import split_pid
from sfu_core.errors import InvalidStateError
from vertical import MediasoupVertical
from waiting import until

from .processes import children, is_alive

EVENTS = ("mediasoup", "destroy", "error", "workerdied", "coredied", "hostlost", "hostleave", "died", "close")


class Combined:
    """The article's: clients of two servers, a horizontal over them, a vertical on top."""

    def __init__(self, urls: list[str]) -> None:
        self.told: Counter[tuple[str, str]] = Counter()
        self.clients = [RemoteMediasoupClient(url, listen_worker_died=False) for url in urls]
        self.horizontal = MediasoupHorizontal(self.clients, min_members=2, listen_worker_died=False)
        self.vertical = MediasoupVertical(self.horizontal, max_workers=2)
        self.listen("horizontal", self.horizontal)
        self.listen("vertical", self.vertical)

    def listen(self, name: str, emitter: Any) -> None:
        for event in EVENTS:
            emitter.on(event, lambda *_, event=event: self.told.update([(name, event)]))

    async def open(self) -> None:
        mediasoup = await self.vertical.ready()
        for client in self.clients:
            api = await client.ready()
            api.observer.on("newworker", lambda worker: self.listen("below", worker))
        await self.horizontal.ready()
        assert self.horizontal.mediasoup is not None
        self.horizontal.mediasoup.observer.on("newworker", lambda worker: self.listen("between", worker))
        self.told.clear()
        self.worker = await mediasoup.create_worker()
        self.listen("worker", self.worker)
        self.listen("worker's observer", self.worker.observer)
        self.router: Any = await self.worker.create_router()
        self.pids = [self.horizontal.locate(core.pid)[1] for core in await self.vertical.cores()]
        assert len(self.pids) == len(set(self.pids)) == 2

    async def ended(self) -> None:
        """All of it, with its processes."""
        await self.vertical.wait_destroyed()
        await self.horizontal.wait_destroyed()
        for client in self.clients:
            await client.wait_destroyed()
        await until(lambda: not any(map(is_alive, self.pids)))
        assert self.worker.closed and self.router.closed


@asynccontextmanager
async def combined() -> AsyncIterator[Combined]:
    async with RemoteMediasoupServer() as first, RemoteMediasoupServer() as second:
        each = Combined([first.url, second.url])
        await each.open()
        yield each
        await each.ended()


END = {
    ("horizontal", "destroy"): 1,
    ("horizontal", "mediasoup"): 1,
    ("vertical", "destroy"): 1,
    ("vertical", "mediasoup"): 1,
    ("worker's observer", "close"): 1,
}


async def test_the_horizontal_is_destroyed() -> None:
    async with combined() as each:
        each.horizontal.destroy()
        assert each.vertical.destroyed and each.vertical.mediasoup is None
        for manager in (each.horizontal, each.vertical):
            manager.destroy()  # may be repeated
            with pytest.raises(InvalidStateError):
                await manager.ready()
        for client in each.clients:
            client.destroy()
    assert each.told == END


async def test_the_clients_are_destroyed_first() -> None:
    """As the article ends."""
    async with combined() as each:
        for client in each.clients:
            client.destroy()
        each.horizontal.destroy()
    assert each.told == END | {("horizontal", "hostleave"): 2}


async def test_the_vertical_is_destroyed_first() -> None:
    async with combined() as each:
        each.vertical.destroy()
        assert not each.horizontal.destroyed and each.horizontal.mediasoup is not None
        each.horizontal.destroy()
        for client in each.clients:
            client.destroy()
    assert each.told == END


async def test_a_process_dies_under_all_of_them() -> None:
    """It is the topmost manager's affair; those below say nothing."""
    async with combined() as each:
        os.kill(each.pids[0], signal.SIGKILL)
        await until(lambda: each.told["vertical", "coredied"])
        await asyncio.sleep(0.3)
        assert each.told == {("vertical", "coredied"): 1}
        each.pids += [self_pid for self_pid in await processes(each) if self_pid not in each.pids]
        assert len(each.pids) == 3 and not each.worker.closed  # there is another one
        each.horizontal.destroy()
        for client in each.clients:
            client.destroy()


async def processes(each: Combined) -> list[int]:
    """Those of the cores, when there are two again."""
    async with asyncio.timeout(10):
        while len(cores := await each.vertical.cores()) < 2:
            await asyncio.sleep(0.02)
    return [each.horizontal.locate(core.pid)[1] for core in cores]


async def test_a_horizontal_over_managers_of_every_kind() -> None:
    """A vertical, a mock, and a horizontal over a mock: one worker of each, with a pid of its own that says whose."""
    before = children()
    vertical, mock = MediasoupVertical(max_workers=1), RemoteMediasoupClientMock("ws://nowhere")
    inner = MediasoupHorizontal([RemoteMediasoupClientMock("ws://nowhere")], own=True)
    ends: Counter[Any] = Counter()
    async with MediasoupHorizontal([vertical, mock, inner], own=True, min_members=3) as horizontal:
        for manager in (vertical, mock, inner, horizontal):
            manager.on("destroy", lambda manager=manager: ends.update([manager]))
        mediasoup = await horizontal.ready()
        workers = [await mediasoup.create_worker() for _ in range(6)]
        assert len({worker.pid for worker in workers}) == 6
        members = {worker.pid: horizontal.locate(worker.pid)[0] for worker in workers}
        assert {*members.values()} == {vertical, mock, inner}
        for pid, member in members.items():
            host = horizontal.host_of(member)
            assert host is not None and split_pid(pid)[0] == host.pids.host
        assert [(await worker.dump())["pid"] for worker in workers] == [worker.pid for worker in workers]
        stats = await horizontal.get_stats()
        assert {pid for pid, member in members.items() if member is mock} <= stats["pidusages"].keys()
    assert [ends[manager] for manager in (vertical, mock, inner, horizontal)] == [1, 1, 1, 1]
    assert all(worker.closed and not worker.died for worker in workers)
    assert children() <= before
