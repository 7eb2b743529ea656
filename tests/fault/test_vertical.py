"""Cores of a vertical end, in every way: the application hears of it once, the rest goes on, nothing is left."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from sfu.bench.engine import CODECS
from vertical import MediasoupVertical, spread
from waiting import until

from .direct import audio, send

ROOT = Path(__file__).parents[2]
LOOPBACK: Any = {"protocol": "udp", "ip": "127.0.0.1"}


async def all_cores(vertical: MediasoupVertical, count: int) -> Any:
    """When there are so many."""
    async with asyncio.timeout(10):
        while len(cores := await vertical.cores()) != count:
            await asyncio.sleep(0.01)
    return cores


class Room:
    """A router with a sender and a receiver on each core, all through the application."""

    def __init__(self, vertical: MediasoupVertical) -> None:
        self.vertical = vertical
        self.died: list[tuple[int, float]] = []
        vertical.on("coredied", lambda pid, reason: self.died.append((pid, time.monotonic())))

    async def open(self) -> None:
        assert self.vertical.mediasoup is not None
        self.worker = await self.vertical.mediasoup.create_worker()
        self.router: Any = await self.worker.create_router(media_codecs=CODECS)
        self.pids: dict[Any, int | None] = {}
        self.transports = [await self.join() for _ in range(2)]
        self.producers = [
            await transport.produce(kind="audio", rtp_parameters=audio(index + 1))
            for index, transport in enumerate(self.transports)
        ]
        self.heard: list[str] = []

    async def join(self) -> Any:
        """A transport; `pids` has the process that got it."""
        transport = await self.router.create_direct_transport()
        self.pids[transport] = await self.vertical.core_of(transport.id)
        return transport

    def hear(self, name: str, entity: Any, *events: str) -> None:
        for event in events:
            entity.on(event, lambda event=event: self.heard.append(f"{name} {event}"))

    async def consume(self, transport: Any, producer: Any) -> Any:
        return await transport.consume(producer_id=producer.id, rtp_capabilities=self.router.rtp_capabilities)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
async def test_a_core_is_killed(number: signal.Signals) -> None:
    async with MediasoupVertical(max_workers=2, placement=spread) as vertical:
        room = Room(vertical)
        await room.open()
        if len(await vertical.cores()) < 2:
            pytest.skip("one core")
        victim, survivor = room.transports
        crossing = await room.consume(survivor, room.producers[0])
        staying = await room.consume(survivor, room.producers[1])
        room.hear("victim", victim, "routerclose")
        room.hear("producer", room.producers[0], "transportclose")
        room.hear("crossing", crossing, "producerclose")
        packets: list[bytes] = []
        staying.on("rtp", packets.append)
        pid, survivors = room.pids[victim], room.pids[survivor]
        sending = asyncio.ensure_future(send(room.producers[1], 300))
        await asyncio.sleep(0.05)
        killed = time.monotonic()
        os.kill(pid, number)
        await until(lambda: room.died)
        assert [each for each, _ in room.died] == [pid]
        if number is signal.SIGKILL:
            assert room.died[0][1] - killed < 0.5  # 0.1 on a machine that has time
        await until(lambda: len(room.heard) == 3)
        assert sorted(room.heard) == ["crossing producerclose", "producer transportclose", "victim routerclose"]
        assert victim.closed and not (survivor.closed or staying.closed or room.router.closed or room.worker.died)
        await sending
        await until(lambda: len(packets) == 300)  # nothing is lost on the other core

        cores = await all_cores(vertical, 2)
        assert survivors in [core.pid for core in cores]
        transports = [await room.join() for _ in range(2)]
        fresh = next(transport for transport in transports if room.pids[transport] not in (pid, survivors))
        consumer = await room.consume(fresh, room.producers[1])
        again: list[bytes] = []
        consumer.on("rtp", again.append)
        await send(room.producers[1], 20, first=300)
        await until(lambda: len(again) == 20)
        assert len(room.died) == 1


async def test_all_cores_are_killed_again_and_again() -> None:
    async with MediasoupVertical(max_workers=2) as vertical:
        room = Room(vertical)
        await room.open()
        count = len(await vertical.cores())
        for round in range(1, 3):
            for core in await vertical.cores():
                os.kill(core.pid, signal.SIGKILL)
            await until(lambda round=round: len(room.died) == round * count)
            transport = await room.router.create_plain_transport(listen_info=LOOPBACK)
            assert not transport.closed and not room.worker.closed
            await all_cores(vertical, count)
    assert all(transport.closed for transport in room.transports)
