"""Hosts of a horizontal end, with real processes and encrypted pipes between them: told once, the rest goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import msgspec

from horizontal import MediasoupHorizontal
from sfu_core.channel.process import ProcessSpawner
from sfu_core.mediasoup import Emitter, Mediasoup
from sfu_core.mediasoup.extras import enhanced_once as once
from sfu_core.stats import get_stats_factory

from .processes import is_alive

CODECS: list[Any] = [{"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2}]
PACKETS = 400


class LocalHost(Emitter):
    """This machine under another name; it can be lost as if its power failed and its client noticed."""

    def __init__(self, name: str) -> None:
        super().__init__()
        spawner = ProcessSpawner(announced_addresses=("127.0.0.1",))
        spawner._place = msgspec.structs.replace(spawner._place, host_id=name)
        self.name = name
        self.mediasoup: Any = Mediasoup(spawner)
        self.pids: list[int] = []
        self.mediasoup.observer.on("newworker", lambda worker: self.pids.append(worker.pid))
        self.get_stats = get_stats_factory(self.mediasoup).get_stats

    def lose(self) -> None:
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
        self.mediasoup = None
        self.emit("disconnected")
        self.emit("mediasoup", None)


class Room:
    """A router on each of two hosts; the first one's producer is piped to the second, where somebody listens."""

    def __init__(self, horizontal: MediasoupHorizontal) -> None:
        self.horizontal = horizontal
        self.told: list[tuple[str, Any]] = []
        for event in ("hostlost", "workerdied", "error"):
            horizontal.on(event, lambda what, *_, event=event: self.told.append((event, what)))

    async def open(self) -> None:
        mediasoup = self.horizontal.mediasoup
        assert mediasoup is not None
        workers = [await mediasoup.create_worker() for _ in range(2)]
        self.workers = {worker.channel.place.host_id: worker for worker in workers}
        routers = {name: await worker.create_router(media_codecs=CODECS) for name, worker in self.workers.items()}
        self.routers: dict[str, Any] = routers
        self.transports = {name: await router.create_direct_transport() for name, router in routers.items()}
        self.producers = {name: await self.publish(name, index + 1) for index, name in enumerate(routers)}
        await routers["a"].pipe_to_router(producer_id=self.producers["a"].id, router=routers["b"])
        self.crossing = await self.consume("b", self.producers["a"])
        self.staying = await self.consume("b", self.producers["b"])
        self.arrived: dict[str, list[bytes]] = {"crossing": [], "staying": []}
        self.crossing.on("rtp", self.arrived["crossing"].append)
        self.staying.on("rtp", self.arrived["staying"].append)

    async def publish(self, name: str, ssrc: int) -> Any:
        codec = {"mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2}
        parameters = {"codecs": [codec], "encodings": [{"ssrc": ssrc}]}
        return await self.transports[name].produce(kind="audio", rtp_parameters=parameters)

    async def consume(self, name: str, producer: Any) -> Any:
        capabilities = self.routers[name].rtp_capabilities
        return await self.transports[name].consume(producer_id=producer.id, rtp_capabilities=capabilities)


async def send(producer: Any, count: int, first: int = 0) -> None:
    ssrc = producer.rtp_parameters["encodings"][0]["ssrc"]
    for sequence in range(first, first + count):
        head = bytes([0x80, 111]) + sequence.to_bytes(2, "big") + (sequence * 960).to_bytes(4, "big")
        producer.send(head + ssrc.to_bytes(4, "big") + bytes(40))
        await asyncio.sleep(0.001)


async def until(condition: Any, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def opened(*hosts: LocalHost) -> tuple[MediasoupHorizontal, Room]:
    horizontal = MediasoupHorizontal(hosts, min_members=len(hosts))
    await once(horizontal, "mediasoup")
    room = Room(horizontal)
    await room.open()
    return horizontal, room


async def test_a_host_is_lost_under_traffic() -> None:
    a, b = LocalHost("a"), LocalHost("b")
    horizontal, room = await opened(a, b)
    async with horizontal:
        heard: list[str] = []
        for event in ("producerclose", "transportclose"):
            room.crossing.on(event, lambda event=event: heard.append(event))
        await send(room.producers["a"], 50)
        await until(lambda: len(room.arrived["crossing"]) == 50)
        dead = room.workers["a"]
        sending = asyncio.ensure_future(send(room.producers["b"], PACKETS))
        lost_at = time.monotonic()
        a.lose()
        await until(lambda: dead.subprocess_closed and room.crossing.closed)
        assert time.monotonic() - lost_at < 2
        await sending
        await until(lambda: len(room.arrived["staying"]) == PACKETS)  # nothing is lost on the other host
        assert sorted(event for event, _ in room.told) == ["hostlost", "workerdied"]
        assert ("workerdied", dead.pid) in room.told and ("hostlost", a) in room.told
        assert dead.died and heard == ["producerclose"]
        left = await room.routers["b"].dump()
        assert left["transportIds"] == [room.transports["b"].id]  # its end of the pipe has gone, too
        assert not room.workers["b"].closed and not room.routers["b"]._pipes
    assert not any(map(is_alive, a.pids + b.pids))


async def test_the_only_worker_of_a_host_dies_again_and_again() -> None:
    a, b = LocalHost("a"), LocalHost("b")
    horizontal, room = await opened(a, b)
    async with horizontal:
        for round in range(3):
            os.kill(a.pids[-1], signal.SIGKILL)
            await until(lambda round=round: len(room.told) == round + 1)
            assert horizontal.mediasoup is not None
            worker = await horizontal.mediasoup.create_worker()
            assert worker.channel.place.host_id == "a"  # it has the fewest
        await asyncio.sleep(0.05)
        assert [event for event, _ in room.told] == ["workerdied"] * 3
        assert len({pid for _, pid in room.told}) == 3
