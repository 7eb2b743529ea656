"""A core ends while producers of one room are shown in rooms of other logical workers."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from sfu.bench.engine import CODECS
from vertical import MediasoupVertical, spread
from waiting import until

from .direct import send
from .test_vertical import Room, all_cores


@pytest.mark.parametrize("victim", ["of the original", "of its consumers"])
async def test_a_core_is_killed(victim: str) -> None:
    """What was on it ends and says so; what is mirrored elsewhere goes on without losing a packet."""
    async with MediasoupVertical(max_workers=2, placement=spread) as vertical:
        room = Room(vertical)
        await room.open()
        if len(await vertical.cores()) < 2:
            pytest.skip("one core")
        assert vertical.mediasoup is not None
        other: Any = await vertical.mediasoup.create_worker()
        router = await other.create_router(media_codecs=CODECS)
        mirrors = [await mirror(room, producer, router) for producer in room.producers]
        listeners = [await router.create_direct_transport() for _ in range(2)]
        pids = [await vertical.core_of(each.id) for each in listeners]
        heard: dict[Any, list[bytes]] = {}
        consumers = {}
        for listener, pid in zip(listeners, pids, strict=True):
            for number, shown in enumerate(mirrors):
                consumer = await room.consume(listener, shown)
                consumers[pid, number] = consumer
                consumer.on("rtp", heard.setdefault((pid, number), []).append)
        home, away = room.pids[room.transports[0]], room.pids[room.transports[1]]
        assert {home, away} == set(pids) and home is not None and away is not None
        dead, alive = (home, away) if victim == "of the original" else (away, home)
        safe = 1 if dead == home else 0  # the producer on the core that stays
        sending = asyncio.ensure_future(send(room.producers[safe], 300))
        await asyncio.sleep(0.05)
        os.kill(dead, signal.SIGKILL)
        await until(lambda: room.died)
        await until(lambda: all(consumers[dead, n].closed for n in (0, 1)) and consumers[alive, 1 - safe].closed)
        assert mirrors[1 - safe].closed and room.producers[1 - safe].closed
        assert not (mirrors[safe].closed or consumers[alive, safe].closed or router.closed or other.closed)
        await sending
        await until(lambda: len(heard[alive, safe]) == 300)

        await all_cores(vertical, 2)
        fresh = [await router.create_direct_transport() for _ in range(2)]
        late = [await room.consume(transport, mirrors[safe]) for transport in fresh]
        packets: list[bytes] = []
        for consumer in late:
            consumer.on("rtp", packets.append)
        await send(room.producers[safe], 20, first=300)
        await until(lambda: len(packets) == 40)
        assert (await other.get_core_stats())["pipes"] == 0  # it belongs to the worker of the original
        assert (await room.worker.get_core_stats())["pipes"] == 1
        for consumer in late:
            consumer.close()
        await router.dump()
        assert (await room.worker.get_core_stats())["pipes"] == 0


async def mirror(room: Room, producer: Any, router: Any) -> Any:
    return (await room.router.pipe_to_router(producer_id=producer.id, router=router)).pipe_producer
