"""Hosts of a horizontal end, with real processes and encrypted pipes between them: told once, the rest goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import msgspec
import pytest

from horizontal import MediasoupHorizontal, RemoteMediasoupClient
from horizontal.client import SILENCE
from sfu_core.channel import messages as m
from sfu_core.channel.process import ProcessSpawner
from sfu_core.mediasoup import Emitter, Mediasoup
from sfu_core.mediasoup.extras import enhanced_once as once
from sfu_core.stats import get_stats_factory
from vertical import MediasoupVertical, spread
from waiting import until

from .direct import audio, send
from .processes import is_alive
from .remote import site

CODECS: list[Any] = [{"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2}]
PACKETS = 400


class LocalHost(Emitter):
    """This machine under another name; it can be lost as if its power failed and its client noticed."""

    def __init__(self, name: str, capacity: int = 1, address: str = "127.0.0.1") -> None:
        super().__init__()
        spawner = ProcessSpawner(announced_addresses=(address,))
        spawner._place = msgspec.structs.replace(spawner._place, host_id=name)
        self.name = name
        self.mediasoup: Any = Mediasoup(spawner)
        self.pids: list[int] = []
        self._alive: set[int] = set()
        self.mediasoup.observer.on("newworker", self._follow)
        self._stats = get_stats_factory(self.mediasoup)
        self._capacity = capacity

    async def get_stats(self) -> Any:
        return await self._stats.get_stats() | {"capacity": self._capacity}

    def _follow(self, worker: Any) -> None:
        self.pids.append(worker.pid)
        self._alive.add(worker.pid)
        worker.observer.once("close", lambda: self._alive.discard(worker.pid))

    def lose(self) -> None:
        for pid in self._alive:
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
        return await self.transports[name].produce(kind="audio", rtp_parameters=audio(ssrc))

    async def consume(self, name: str, producer: Any) -> Any:
        capabilities = self.routers[name].rtp_capabilities
        return await self.transports[name].consume(producer_id=producer.id, rtp_capabilities=capabilities)


async def opened(*hosts: LocalHost) -> tuple[MediasoupHorizontal, Room]:
    horizontal = MediasoupHorizontal(hosts, min_members=len(hosts))
    await once(horizontal, "mediasoup")
    room = Room(horizontal)
    await room.open()
    return horizontal, room


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_a_host_is_lost_under_traffic(address: str) -> None:
    a, b = LocalHost("a", address=address), LocalHost("b", address=address)
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


@pytest.mark.parametrize(("patience", "grace"), [(0, 30.0), (0.5, 30.0), (None, 1.0)])
async def test_a_host_falls_silent(patience: float | None, grace: float) -> None:
    """Packets vanish, and nobody says so: all is told and ended within 2 s of the end of patience, or of grace."""
    a, b = LocalHost("a"), LocalHost("b")
    async with site(manager=a, grace=grace) as silent, site(manager=b) as other:
        clients = [RemoteMediasoupClient(each.url, listen_worker_died=False) for each in (silent, other)]
        horizontal = MediasoupHorizontal(clients, own=True, min_members=2, patience=patience)
        times: dict[str, list[float]] = {}

        def note(name: str, emitter: Any, event: str) -> None:
            emitter.on(event, lambda *_: times.setdefault(name, []).append(time.monotonic()))

        await horizontal.ready()
        room = Room(horizontal)
        await room.open()
        await send(room.producers["a"], 20)
        await until(lambda: len(room.arrived["crossing"]) == 20)
        lost = room.workers["a"]
        note("silence", clients[0], "disconnected")
        note("hostlost", horizontal, "hostlost")
        note("workerdied", horizontal, "workerdied")
        note("died", lost, "died")
        note("router", room.routers["a"].observer, "close")
        note("producer", room.producers["a"].observer, "close")
        note("consumer over there", room.crossing, "producerclose")
        silent.relay.freeze()
        frozen = time.monotonic()
        sending = asyncio.ensure_future(send(room.producers["b"], PACKETS))
        await until(lambda: len(times) == 7, SILENCE + grace + 5)
        (noticed,) = times.pop("silence")
        due = noticed + (grace if patience is None else patience)
        late = {name: at - due for name, (at,) in times.items()}
        told = ", ".join(f"{name} {1e3 * each:.0f} ms" for name, each in late.items())
        print(f"silence noticed after {noticed - frozen:.2f} s; late: {told}")
        assert noticed - frozen < SILENCE + 1 and all(-0.01 < each < 2 for each in late.values())
        await sending
        await until(lambda: len(room.arrived["staying"]) == PACKETS)
        left = await room.routers["b"].dump()
        assert left["transportIds"] == [room.transports["b"].id] and not room.routers["b"]._pipes
        again = await horizontal.mediasoup.create_worker()  # type: ignore[union-attr]
        assert again.channel.place.host_id == "b"
        silent.relay.mend()
        await until(lambda: not any(map(is_alive, a.pids)))
        await until(lambda: horizontal.host_of(clients[0]).usable)  # type: ignore[union-attr]
        assert {name: len(each) for name, each in times.items()} == dict.fromkeys(late, 1)
        horizontal.destroy()
        await horizontal.wait_destroyed()
        await until(lambda: not any(map(is_alive, b.pids)))


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


async def test_one_room_over_the_cores_of_two_hosts() -> None:
    """Two cores each: the producer crosses once, and goes on inside; then the core dies that it comes through."""
    hosts = [LocalHost(name, capacity=2) for name in "ab"]
    horizontal = MediasoupHorizontal(hosts, min_members=2, listen_worker_died=False)
    vertical = MediasoupVertical(horizontal, placement=spread)
    died: list[int] = []
    vertical.on("coredied", lambda pid, _: died.append(pid))
    if vertical.mediasoup is None:
        await once(vertical, "mediasoup")
    assert vertical.mediasoup is not None
    async with horizontal:
        worker = await vertical.mediasoup.create_worker()
        router: Any = await worker.create_router(media_codecs=CODECS)
        transports = [await router.create_direct_transport() for _ in range(4)]
        pids = [await vertical.core_of(transport.id) or 0 for transport in transports]
        on = [horizontal.locate(pid)[0].name for pid in pids]
        assert len(set(pids)) == 4 and sorted(on) == ["a", "a", "b", "b"]
        codec = {"mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2}
        parameters = {"codecs": [codec], "encodings": [{"ssrc": 1}]}
        producer = await transports[0].produce(kind="audio", rtp_parameters=parameters)
        arrived: dict[int, list[bytes]] = {}

        async def listen(index: int) -> Any:
            consumer = await transports[index].consume(
                producer_id=producer.id, rtp_capabilities=router.rtp_capabilities
            )
            arrived[index] = []
            consumer.on("rtp", arrived[index].append)
            return consumer

        far = [index for index in range(1, 4) if on[index] != on[0]]
        (near,) = {1, 2, 3} - {*far}
        gateway, behind = [await listen(index) for index in far]
        await listen(near)
        await send(producer, PACKETS)
        await until(lambda: all(len(packets) == PACKETS for packets in arrived.values()))
        stats = await worker.get_core_stats()
        assert stats["pipes"] == stats["pipeLinks"] == 3
        home, *others = [await encrypted(worker, pids[index]) for index in (0, near, *far)]
        assert PACKETS <= home < PACKETS * 1.2 and max(others) < PACKETS * 0.2  # RTCP, else nothing

        heard: list[str] = []
        again: list[asyncio.Task[Any]] = []
        gateway.on("transportclose", lambda: heard.append("gateway"))
        behind.on("producerclose", lambda: heard.append("behind"))
        behind.on("producerclose", lambda: again.append(asyncio.ensure_future(listen(far[1]))))
        os.kill(horizontal.locate(pids[far[0]])[1], signal.SIGKILL)
        await until(lambda: len(heard) == 2)
        assert sorted(heard) == ["behind", "gateway"] and not producer.closed
        await asyncio.gather(*again)
        stats = await worker.get_core_stats()
        assert stats["pipes"] == stats["pipeLinks"] == 2  # to the other core here, and again to that host
        await send(producer, PACKETS, first=PACKETS)
        await until(lambda: len(arrived[far[1]]) == PACKETS and len(arrived[near]) == 2 * PACKETS)
        await until(lambda: died == [pids[far[0]]])
        assert sorted(heard) == ["behind", "gateway"]
    assert vertical.destroyed and worker.closed  # with what it was built on
    await vertical.wait_destroyed()
    assert not any(is_alive(pid) for host in hosts for pid in host.pids)


async def encrypted(worker: Any, pid: int) -> int:
    """Packets that a core has sent to other hosts, RTCP included."""
    (member,) = [member for member in worker.channel.members if member.pid == pid]
    counters = (await member.channel.request(m.WorkerGetCoreStats())).counters
    return counters["protectedPackets"]


async def test_hosts_come_and_go_below_a_vertical() -> None:
    """It has as many cores as there are: a host that joins adds its own, one that is drained is left when nothing is
    there any more, the cores of a lost one are not made up for."""
    a, b = LocalHost("a", capacity=1), LocalHost("b", capacity=2)
    horizontal = MediasoupHorizontal([a], listen_worker_died=False)
    vertical = MediasoupVertical(horizontal, placement=spread)
    died: list[int] = []
    vertical.on("coredied", lambda pid, _: died.append(pid))
    await horizontal.ready()
    assert vertical.mediasoup is not None
    async with horizontal:
        worker = await vertical.mediasoup.create_worker()
        router: Any = await worker.create_router(media_codecs=CODECS)

        async def hosts() -> list[str]:
            return sorted(horizontal.locate(core.pid)[0].name for core in await vertical.cores())

        assert await hosts() == ["a"]
        kept = await router.create_direct_transport()

        async def become(names: str) -> None:
            async with asyncio.timeout(10):
                while await hosts() != [*names]:
                    await asyncio.sleep(0.02)

        horizontal.add(b)
        await become("abb")
        moving = [await router.create_direct_transport() for _ in range(2)]
        horizontal.drain(b)
        more = await router.create_direct_transport()
        assert horizontal.locate(await vertical.core_of(more.id) or 0)[0] is a
        drained = asyncio.ensure_future(once(horizontal, "hostdrained"))
        await asyncio.sleep(1.5)
        assert await hosts() == [*"abb"] and not any(transport.closed for transport in moving)
        for transport in moving:
            transport.close()
        await become("a")
        assert (await drained) == (b,) and died == [] and not more.closed

        horizontal.add(b)  # it is back
        await become("abb")
        moved = [await router.create_direct_transport() for _ in range(2)]
        b.lose()
        await until(lambda: len(died) == 2 and all(transport.closed for transport in moved))
        await asyncio.sleep(1)
        assert await hosts() == ["a"] and len(died) == 2 and len(a.pids) == 1
        assert not kept.closed and not worker.closed
        assert not (await router.create_direct_transport()).closed
    await vertical.wait_destroyed()
    assert not any(is_alive(pid) for host in (a, b) for pid in host.pids)
