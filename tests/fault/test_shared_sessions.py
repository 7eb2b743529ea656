"""Clients of one session and real media between what they make, also when one of them is lost."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from horizontal import RemoteMediasoupClient
from sfu_core.mediasoup.extras import enhanced_once as once
from waiting import until

from .remote import LOOPBACK, Site, site
from .test_remote_cuts import audio

CODECS: Any = [{"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2}]
SSRC = 4711
INTERVAL = 0.01


@contextlib.asynccontextmanager
async def one_core() -> AsyncIterator[Any]:
    yield None


@contextlib.asynccontextmanager
async def two_cores() -> AsyncIterator[Any]:
    """Transports alternate between them, so what the clients make is on different cores."""
    from vertical import MediasoupVertical, spread

    async with MediasoupVertical(max_workers=2, placement=spread) as manager:
        yield manager


class Member:
    """One of the clients: the objects that it has heard of, by id."""

    def __init__(self, client: RemoteMediasoupClient) -> None:
        self.client = client
        self.worker: Any = None
        self.objects: dict[str, Any] = {}
        client.mediasoup.observer.on("newworker", self._on_worker)

    @classmethod
    async def join(cls, it: Site) -> Member:
        return cls(await it.client(session="room"))

    def _on_worker(self, worker: Any) -> None:
        self.worker = worker
        self._watch(worker)

    def _watch(self, thing: Any) -> None:
        for event in ("newrouter", "newtransport", "newproducer", "newconsumer"):
            thing.observer.on(event, self._on_new)

    def _on_new(self, new: Any) -> None:
        self.objects[new.id] = new
        self._watch(new)

    async def publish(self) -> tuple[Any, Any, Any]:
        """A router, with a transport that waits for its publisher, and a producer there."""
        worker = await self.client.mediasoup.create_worker()
        router = await worker.create_router(media_codecs=CODECS)
        transport = await router.create_plain_transport(listen_info=LOOPBACK, comedia=True)
        return router, transport, await transport.produce(kind="audio", rtp_parameters=audio(SSRC))

    async def twin(self, thing: Any) -> Any:
        await until(lambda: thing.id in self.objects)
        return self.objects[thing.id]


class Source:
    """Sends to a transport until it is told not to."""

    def __init__(self, transport: Any) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._address = ("127.0.0.1", transport.tuple["localPort"])
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        number = 0
        while True:
            number = number + 1 & 0xFFFF
            head = bytes([0x80, 111]) + number.to_bytes(2, "big") + (960 * number & 0xFFFFFFFF).to_bytes(4, "big")
            self._socket.sendto(head + SSRC.to_bytes(4, "big") + bytes(40), self._address)
            await asyncio.sleep(INTERVAL)

    async def __aenter__(self) -> Source:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._socket.close()


class Sink:
    """Receives what a consumer on a transport of its own gets."""

    def __init__(self, router: Any) -> None:
        self._router = router
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.transport: Any = None

    async def __aenter__(self) -> Sink:
        self.transport = await self._router.create_plain_transport(listen_info=LOOPBACK)
        await self.transport.connect(ip="127.0.0.1", port=self._socket.getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._socket.close()

    async def consume(self, producer: Any) -> Any:
        return await self.transport.consume(producer_id=producer.id, rtp_capabilities=self._router.rtp_capabilities)

    def empty(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(2048)

    async def packets(self, consumer: Any, count: int = 20) -> None:
        """Waits for so many more, which must be the consumer's."""
        ssrc = consumer.rtp_parameters["encodings"][0]["ssrc"].to_bytes(4, "big")
        self.empty()
        async with asyncio.timeout(10):
            while count:
                packet = await asyncio.get_running_loop().sock_recv(self._socket, 2048)
                count -= packet[8:12] == ssrc and packet[1] & 0x7F == 100

    async def silence(self) -> None:
        """Waits until nothing comes any more."""
        async with asyncio.timeout(10):
            while True:
                self.empty()
                await asyncio.sleep(20 * INTERVAL)
                try:
                    self._socket.recv(2048)
                except BlockingIOError:
                    return


@pytest.mark.parametrize("offered", [one_core, two_cores])
async def test_one_room_of_two_applications(offered: Any) -> None:
    """What one makes the other uses; both see what becomes of it."""
    async with offered() as manager, site(manager=manager) as it:
        first, second = await Member.join(it), await Member.join(it)
        router, sends, producer = await first.publish()
        theirs, room = await second.twin(producer), await second.twin(router)
        assert room.can_consume(producer_id=theirs.id, rtp_capabilities=router.rtp_capabilities)
        async with Source(sends), Sink(room) as sink:
            consumer = await sink.consume(theirs)
            await sink.packets(consumer)
            twin = await first.twin(consumer)
            assert second.objects[sends.id].tuple["remotePort"] == sends.tuple["remotePort"] > 0
            await theirs.pause()
            await until(lambda: producer.paused and consumer.producer_paused and twin.producer_paused)
            await sink.silence()
            await producer.resume()
            await sink.packets(consumer)
            await until(lambda: not theirs.paused)
            await twin.pause()
            await sink.silence()
            assert consumer.paused
            await consumer.resume()
            await sink.packets(consumer)
            ended = asyncio.ensure_future(once(consumer, "producerclose"))
            told = asyncio.ensure_future(once(theirs, "peerclose"))
            await asyncio.sleep(0)
            producer.close()
            await asyncio.gather(ended, told)
            await sink.silence()
            gone = asyncio.ensure_future(once(router.observer, "close"))
            await asyncio.sleep(0)
            room.close()
            await gone
            assert all(each.closed for member in (first, second) for each in member.objects.values())
        assert (await second.worker.dump())["routerIds"] == []


@pytest.mark.parametrize("offered", [one_core, two_cores])
async def test_the_others_go_on(offered: Any) -> None:
    """Who made it all is cut off and does not come back: media flows on, and who comes later finds everything."""
    async with offered() as manager, site(manager=manager, grace=0.5) as it:
        first, second = await Member.join(it), await Member.join(it)
        router, sends, producer = await first.publish()
        theirs, room = await second.twin(producer), await second.twin(router)
        async with Source(sends), Sink(room) as sink:
            consumer = await sink.consume(theirs)
            await sink.packets(consumer)
            first.client._connection._task.cancel()  # type: ignore[union-attr]
            first.client._connection._wire.abort()  # type: ignore[union-attr]
            await until(lambda: it.server.sessions == 1)
            await sink.packets(consumer)
            assert not theirs.closed and not room.closed
            late = await Member.join(it)
            await late.twin(consumer)
            async with Sink(late.objects[router.id]) as another:
                also = await another.consume(late.objects[producer.id])
                await another.packets(also)
                late.objects[consumer.id].close()
                await until(lambda: consumer.closed)
                await another.packets(also)
                theirs.close()
                await until(lambda: also.closed)
                await another.silence()
            room.close()
            await until(lambda: late.objects[router.id].closed)
        assert (await second.worker.dump())["routerIds"] == []
