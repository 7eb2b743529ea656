"""The control thread over a real socket: start, requests, events, and every way it ends."""

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from sfu_core.channel import messages as m
from sfu_core.channel.channel import StreamChannel
from sfu_core.channel.place import local_place
from sfu_core.channel.settings import WorkerSettings
from sfu_core.errors import NotFoundError, UnsupportedError
from sfu_core.worker import core_process
from sfu_core.worker.certificate import Certificate
from sfu_core.worker.core_process import MediaThread, serve
from sfu_core.worker.events import EngineEvent
from sfu_core.worker.settings import EngineSettings

from .conftest import listen_info, produce_request
from .fake_engine import FakeEngine


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """A core process that ends ignores signals; this one goes on."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


SETTINGS = WorkerSettings(log_level="debug", log_tags=("rtp",))


class Served:
    """A client, and the control thread's coroutine as a task of the same loop."""

    def __init__(self, certificate: Certificate) -> None:
        ours, theirs = socket.socketpair()
        self.engine = FakeEngine()
        self.sock = ours
        self.channel = StreamChannel(local_place())
        self.running: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.lines: list[str] = []
        self.channel.on_log(self.lines.append)
        self.channel.subscribe(str(os.getpid()), lambda message: self.running.set_result(type(message).NAME))
        engine: object = self.engine
        self.task = asyncio.create_task(serve(engine, theirs, SETTINGS, EngineSettings(), lambda: certificate))  # type: ignore[arg-type]

    async def open(self) -> None:
        await self.channel.open(self.sock)
        assert await asyncio.wait_for(self.running, 5) == "WORKER_RUNNING"

    async def fill(self) -> None:
        """A router with a plain and a direct transport and a producer."""
        await self.channel.request(m.WorkerCreateRouter(router_id="r"))
        plain = m.PlainTransportOptions(
            base=m.TransportOptions(),
            listen_info=listen_info(),
            rtcp_mux=True,
            comedia=True,
            enable_srtp=False,
        )
        await self.channel.request(m.RouterCreatePlainTransport(transport_id="p", options=plain), "r")
        direct = m.DirectTransportOptions(base=m.TransportOptions(direct=True))
        await self.channel.request(m.RouterCreateDirectTransport(transport_id="d", options=direct), "r")
        await self.channel.request(produce_request(), "d")


@asynccontextmanager
async def served(certificate: Certificate) -> AsyncIterator[Served]:
    each = Served(certificate)
    await each.open()
    try:
        yield each
    finally:
        each.channel.close()
        await asyncio.wait_for(each.task, 5)
        assert each.engine.is_empty()
        each.engine.close()


async def test_requests_refusals_and_events(certificate: Certificate) -> None:
    async with served(certificate) as core:
        await core.fill()
        assert (await core.channel.request(m.WorkerDump())).router_ids == ["r"]
        with pytest.raises(NotFoundError):
            await core.channel.request(m.RouterDump(), "x")
        with pytest.raises(UnsupportedError):
            await core.channel.request(m.TransportProduceData(data_producer_id="x", type=m.DataType.DIRECT), "d")
        told = asyncio.get_running_loop().create_future()
        core.channel.subscribe("prod", told.set_result)
        (stream,) = core.engine.handles("recv")
        core.engine.emit(EngineEvent.NEW_STREAM, stream, 1111)
        scores = (await asyncio.wait_for(told, 5)).scores
        assert [(score.ssrc, score.score) for score in scores] == [(1111, 10)]


async def test_notifications_from_above(certificate: Certificate) -> None:
    async with served(certificate) as core:
        await core.fill()
        core.channel.notify(m.ProducerSend(data=b"packet"), "prod")
        await core.channel.request(m.WorkerDump())  # in order: so it has arrived
        assert [data for _, data in core.engine.called("inject_rtp")] == [b"packet"]


async def test_more_events_than_a_turn_takes(certificate: Certificate) -> None:
    async with served(certificate) as core:
        await core.fill()
        got: list[m.Notification] = []
        core.channel.subscribe("d", got.append)
        handle = core.engine.handles("transport")[1]
        count = 3 * core_process.EVENTS_PER_TURN + 1
        for number in range(count):
            core.engine.emit(EngineEvent.RTCP, handle, number.to_bytes(2, "big"))
        async with asyncio.timeout(5):
            while len(got) < count:
                await asyncio.sleep(0.01)
        assert got == [m.DirectTransportRtcp(data=n.to_bytes(2, "big")) for n in range(count)]


async def test_a_bad_event_costs_no_other(certificate: Certificate) -> None:
    async with served(certificate) as core:
        await core.fill()
        got: list[m.Notification] = []
        core.channel.subscribe("d", got.append)
        (producer,) = core.engine.handles("producer")
        core.engine.emit(EngineEvent.PRODUCER_TRACE, producer, "nonsense")
        core.engine.emit(EngineEvent.RTCP, core.engine.handles("transport")[1], b"ok")
        async with asyncio.timeout(5):
            while not got:
                await asyncio.sleep(0.01)
        assert any("event 13" in line for line in core.lines)


async def test_end_of_file_closes_everything(certificate: Certificate) -> None:
    core = Served(certificate)
    await core.open()
    await core.fill()
    core.sock.shutdown(socket.SHUT_RDWR)  # as if the application had been killed
    await asyncio.wait_for(core.task, 5)
    assert core.engine.is_empty()
    core.engine.close()
    core.channel.close()
    await core.channel.ended()


async def test_garbage_on_the_channel_ends_it(certificate: Certificate) -> None:
    core = Served(certificate)
    await core.open()
    os.write(core.sock.fileno(), b"\xff" * 64)
    await asyncio.wait_for(core.task, 5)
    core.engine.close()
    await core.channel.ended()


def test_media_thread_is_stopped_and_freed() -> None:
    engine = FakeEngine()
    media = MediaThread(engine)  # type: ignore[arg-type]
    media.start()
    assert engine.running.wait(5)
    assert media.stop()
    assert engine.closed
    assert not [thread for thread in threading.enumerate() if thread.name == "media"]


def test_media_thread_that_does_not_stop_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine()
    monkeypatch.setattr(core_process, "STOP_TIMEOUT", 0.05)
    monkeypatch.setattr(engine, "stop", lambda: None)
    media = MediaThread(engine)  # type: ignore[arg-type]
    media.start()
    begun = time.monotonic()
    assert not media.stop()
    assert time.monotonic() - begun < 2 and not engine.closed
    engine._stop.set()
    media._thread.join(5)
    engine.close()


def test_media_thread_takes_no_signals() -> None:
    engine = FakeEngine()
    masks: list[set[signal.Signals]] = []
    real = engine.run
    engine.run = lambda: (masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ())), real())[1]  # type: ignore
    media = MediaThread(engine)  # type: ignore[arg-type]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    media.start()
    assert engine.running.wait(5)
    assert {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1} <= masks[0]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    assert media.stop()


def test_media_thread_without_room_for_commands_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise BufferError

    engine = FakeEngine()
    monkeypatch.setattr(core_process, "STOP_TIMEOUT", 0.05)
    monkeypatch.setattr(engine, "stop", full)
    media = MediaThread(engine)  # type: ignore[arg-type]
    media.start()
    assert not media.stop()
    engine._stop.set()
    media._thread.join(5)
    engine.close()
