"""Logical workers in a host process: how they come, what they are called, what is told of them, how all of it ends."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from fake_core import CODECS, LOOPBACK
from fake_host import Estate

from sfu_core.channel import messages as m
from sfu_core.channel.settings import WorkerSettings
from sfu_core.errors import SfuError, UnsupportedError, WorkerClosedError
from sfu_core.mediasoup import Mediasoup
from vertical import MediasoupVertical, host_process, members
from vertical.host import Forwarding, number_bytes
from vertical.placement import spread
from vertical.switch import FIRST_PID
from waiting import until

PLAIN = WorkerSettings()


@pytest.fixture
def estate(runner, monkeypatch):
    """Two fake cores in a host that has not been started yet."""
    before = sockets()
    made = []

    def make(**options):
        made.append(Estate(monkeypatch, settings=PLAIN, **options))
        return made[-1]

    yield make
    for each in made:
        runner.run(each.close())
    assert sockets() == before


def sockets():
    found = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    return [link for each in found if each.is_symlink() and (link := os.readlink(each)).startswith("socket")]


async def room(estate, **options):
    """The API, a worker and a router."""
    mediasoup = Mediasoup(estate.cluster)
    worker = await mediasoup.create_worker(**options)
    return mediasoup, worker, await worker.create_router(media_codecs=CODECS)


async def test_nothing_runs_before_it_is_needed(runner, estate):
    here = estate()
    assert here.cluster.host_pid is None and await here.cluster.cores() == []
    assert here.spawner.hosts == []


async def test_a_worker_as_any_other(runner, estate):
    here = estate(policy=spread)
    _, worker, router = await room(here)
    transports = [await router.create_direct_transport() for _ in range(2)]
    codec = {"mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2}
    producer = await transports[0].produce(
        kind="audio", rtp_parameters={"codecs": [codec], "encodings": [{"ssrc": 1}]}, id="mine"
    )
    consumer = await transports[1].consume(producer_id="mine", rtp_capabilities=router.rtp_capabilities)
    assert (await worker.dump())["pid"] == worker.pid and (await consumer.dump())["producerId"] == "mine"
    first, second = await here.cluster.cores()
    assert [first.pid, second.pid] == [core.pid for core in here.cores]
    assert [first.transports, second.transports] == [1, 1] and [first.pipes, second.pipes] == [0, 1]
    assert [first.links, second.links] == [1, 1] and first.workers == second.workers == [worker.pid]
    assert [await here.cluster.core_of(each.id) for each in transports] == [first.pid, second.pid]
    assert await here.cluster.core_of(router.id) is None and await here.cluster.core_of("nobody") is None
    heard = []
    consumer.on("producerclose", lambda: heard.append("producerclose"))
    producer.close()
    await until(lambda: heard)
    with pytest.raises(UnsupportedError):
        await worker.channel.request(m.WorkerOpenRing(ring_id="x"))


async def test_pids(runner, estate):
    """The first that lives has that of the process."""
    here = estate()
    mediasoup = Mediasoup(here.cluster)
    first = await mediasoup.create_worker()
    others = await asyncio.gather(*(mediasoup.create_worker() for _ in range(3)))
    assert first.pid == os.getpid() == here.cluster.host_pid
    assert len({each.pid for each in others}) == 3 and min(each.pid for each in others) >= FIRST_PID
    first.close()
    await first.wait_subprocess_closed()
    again = await mediasoup.create_worker()
    assert again.pid == os.getpid() and len(here.cores) == 2


async def test_the_process_ends_with_the_last_worker(runner, estate):
    here = estate()
    mediasoup = Mediasoup(here.cluster)
    workers = [await mediasoup.create_worker() for _ in range(2)]
    for left, worker in enumerate(reversed(workers)):
        assert here.cluster.host_pid is not None
        worker.close()
        await worker.wait_subprocess_closed()
        assert not worker.died and bool(here.cores) is not bool(left)
    assert here.cluster.host_pid is None and here.spawner.channels[0].closed
    assert not (await mediasoup.create_worker()).closed and len(here.spawner.hosts) == 2


async def test_a_worker_right_after_the_last_one(runner, estate):
    here = estate()
    mediasoup = Mediasoup(here.cluster)
    for _ in range(5):
        worker = await mediasoup.create_worker()
        worker.close()
    last = await mediasoup.create_worker()
    await worker.wait_subprocess_closed()
    await asyncio.sleep(0.02)
    assert (await last.dump())["pid"] == last.pid and not last.closed


async def test_many_at_once(runner, estate):
    here = estate()
    mediasoup = Mediasoup(here.cluster)
    workers = await asyncio.gather(*(mediasoup.create_worker() for _ in range(3 * host_process.MOST_ASKED)))
    assert len({worker.pid for worker in workers}) == len(workers) and len(here.spawner.hosts) == 1
    for worker in workers:
        worker.close()
    await asyncio.gather(*(worker.wait_subprocess_closed() for worker in workers))


async def test_whoever_wanted_it_does_not_wait(runner, estate):
    """At whatever moment somebody gives up, the worker does not stay, and others get theirs."""
    for turns in range(0, 30, 3):
        here = estate()
        mediasoup = Mediasoup(here.cluster)
        creating = [asyncio.ensure_future(mediasoup.create_worker()) for _ in range(2)]
        for _ in range(turns):
            await asyncio.sleep(0)
        creating[0].cancel()
        worker = await creating[1]
        await asyncio.gather(creating[0], return_exceptions=True)
        await until(lambda worker=worker, here=here: len(here.spawner.hosts[0]._cluster.switches) == 1)
        assert (await worker.dump())["pid"] == worker.pid
        await here.close()


async def test_nobody_waits_any_more(runner, estate):
    here = estate()
    creating = asyncio.ensure_future(Mediasoup(here.cluster).create_worker())
    await asyncio.sleep(0)
    creating.cancel()
    await asyncio.gather(creating, return_exceptions=True)
    await until(lambda: here.spawner.channels and here.spawner.channels[0].serving.done())
    assert here.cores == []


async def test_a_core_that_dies_is_told(runner, estate, monkeypatch):
    monkeypatch.setattr(members, "RETRY_DELAYS", (0.005,))
    here = estate()
    await room(here)
    here.source.failure = SfuError("no more processes")
    victim = here.cores[0]
    victim.kill()
    await until(lambda: len(here.errors) >= 2)
    ((pid, reason),) = here.died
    assert pid == victim.pid and type(reason) is SfuError and str(reason) == "killed"
    assert str(here.errors[0]) == "no more processes"
    here.spawner.hosts[0]._cluster._on_crowded(91.5)
    await until(lambda: here.crowded)
    assert here.crowded == [91.5]


async def test_the_process_dies(runner, estate):
    here = estate()
    mediasoup, worker, router = await room(here)
    other = await mediasoup.create_worker()
    heard = []
    for each in (worker, other):
        each.on("died", lambda reason, each=each: heard.append((each.pid, str(reason))))
    asked = asyncio.ensure_future(router.create_plain_transport(listen_info=LOOPBACK))
    await asyncio.sleep(0)
    here.spawner.channels[0].kill()
    with pytest.raises(WorkerClosedError):
        await asked
    await asyncio.gather(*(each.wait_subprocess_closed() for each in (worker, other)))
    assert sorted(pid for pid, _ in heard) == sorted([worker.pid, other.pid]) and router.closed
    assert all("SIGKILL" in reason for _, reason in heard)
    assert await here.cluster.cores() == []
    await until(lambda: here.cores == [])
    assert not (await mediasoup.create_worker()).closed and len(here.spawner.hosts) == 2


async def test_the_process_dies_while_a_worker_is_made(runner, estate):
    here = estate()
    mediasoup = Mediasoup(here.cluster)
    spawn, waiting = here.source.spawn, asyncio.get_running_loop().create_future()
    here.source.spawn = lambda index, settings: asyncio.shield(waiting)
    creating = asyncio.ensure_future(mediasoup.create_worker())
    await until(lambda: here.spawner.channels)
    await asyncio.sleep(0.01)
    here.spawner.channels[0].kill()
    with pytest.raises(WorkerClosedError):
        await creating
    here.source.spawn = spawn
    waiting.set_exception(SfuError("killed, too"))
    assert not (await mediasoup.create_worker()).closed


async def test_a_process_that_cannot_be_started(runner, estate):
    here = estate()
    mediasoup = Mediasoup(here.cluster)
    here.spawner.failure = SfuError("no more processes")
    with pytest.raises(SfuError, match="no more"):
        await mediasoup.create_worker()
    here.spawner.failure = None
    assert not (await mediasoup.create_worker()).closed


async def test_wrong_settings(runner, estate):
    here = estate()
    mediasoup = Mediasoup(here.cluster)
    here.source.failure = TypeError("wrong settings: no")
    with pytest.raises(TypeError, match="wrong settings: no"):
        await mediasoup.create_worker()
    assert here.cluster.host_pid is None
    here.source.failure = None
    worker = await mediasoup.create_worker()
    here.source.failure = TypeError("wrong settings: no")
    with pytest.raises(TypeError, match="wrong settings: no"):
        await mediasoup.create_worker(rtc_min_port=20000)
    assert not worker.closed and here.cluster.host_pid is not None


async def test_destruction(runner, estate):
    here = estate()
    mediasoup, worker, _ = await room(here)
    creating = asyncio.ensure_future(mediasoup.create_worker())
    await asyncio.sleep(0)
    here.cluster.close()
    assert worker.channel.closed
    await worker.wait_subprocess_closed()
    assert not worker.died
    for call in (creating, mediasoup.create_worker()):
        with pytest.raises(WorkerClosedError):
            await call
    await here.cluster.ended()


async def test_a_worker_that_does_not_end(runner, estate, monkeypatch):
    """Its process is killed, and the others in it die."""
    monkeypatch.setattr(host_process, "CLOSING_TIMEOUT", 0.05)
    here = estate()
    mediasoup, worker, _ = await room(here)
    other = await mediasoup.create_worker()
    monkeypatch.setattr(here.spawner.hosts[0], "_tell", lambda *_: None)
    other.close()
    await other.wait_subprocess_closed()
    await worker.wait_subprocess_closed()
    assert here.spawner.channels[0].killed and worker.died and not other.died


async def test_sockets_of_requests_that_were_given_up(runner, estate):
    here = estate()
    mediasoup, worker, _ = await room(here)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(here.cluster._host._control, [number_bytes(1)], [theirs.fileno()])
    assert not (await mediasoup.create_worker()).closed
    with pytest.raises(SfuError, match="socket"):
        await here.spawner.channels[0].request(m.HostCreateWorker(number=5, settings=PLAIN))
    with pytest.raises(UnsupportedError, match="ROUTER_DUMP"):
        await here.spawner.channels[0].request(m.RouterDump())
    assert not worker.closed


async def test_logs_of_cores_and_of_the_process(runner, estate, caplog):
    here = estate()
    _, worker, _ = await room(here)
    lines = []
    worker.channel.on_log(lines.append)
    here.cores[0].log("Wsomething")
    await until(lambda: lines)
    assert lines == ["Wsomething"]
    handler = Forwarding(here.spawner.hosts[0].log)
    handler.handle(logging.makeLogRecord({"name": "deep", "levelno": logging.ERROR, "msg": "%s", "args": ("broken",)}))
    await until(lambda: len(caplog.records) == 2)
    told = caplog.records[-1]
    assert (told.levelno, told.message) == (logging.ERROR, "host process: deep: broken")


def test_functions_that_cannot_be_handed_over():
    generator = (each for each in ())
    with pytest.raises(TypeError, match="placement"):
        MediasoupVertical(placement=lambda candidates: next(generator))
    with pytest.raises(TypeError, match="make_link"):
        MediasoupVertical(make_link=lambda *_: generator)


def test_the_process_imports_little():
    code = "import sys, vertical.host; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "vertical.host" in loaded
    assert [name for name in loaded if name.startswith(("sfu_core.mediasoup", "sfu_core._"))] == []
    of_cores = {name.removeprefix("sfu_core.worker.") for name in loaded if name.startswith("sfu_core.worker.")}
    assert of_cores == {"binding", "codecs", "rtp", "rtp_listener", "validation"}  # what is wanted; nothing that runs
