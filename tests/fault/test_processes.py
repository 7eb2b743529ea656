"""A core process ends, in every way it can: it is noticed once, and nothing of it is left."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from sfu.bench.engine import CODECS
from sfu_core.channel import process as process_module
from sfu_core.channel.process import WorkerExitError
from sfu_core.errors import SfuError, WorkerClosedError
from sfu_core.mediasoup import Worker
from waiting import until

from .call import Call
from .processes import (
    children,
    create_worker,
    descriptors,
    gil_held,
    is_alive,
    mediasoup,
    resident,
    until_used,
    used,
)

NOTICED = 2.0  # seconds
WALKED = 200_000  # bytes that a room writes to rings which were not yet walked through once (history, commands)


class Listener:
    """What a worker, a router and a transport said about their end, in order."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def hear(self, name: str) -> Callable[..., None]:
        return lambda *_: self.heard.append(name)

    def follow(self, worker: Worker, router: Any = None, transport: Any = None) -> None:
        worker.on("died", self.hear("died"))
        worker.on("subprocessclose", self.hear("subprocessclose"))
        worker.observer.on("close", self.hear("worker close"))
        if router is not None:
            router.on("workerclose", self.hear("router: workerclose"))
        if transport is not None:
            transport.on("routerclose", self.hear("transport: routerclose"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
async def test_killed(number: signal.Signals) -> None:
    worker = await create_worker()
    router = await worker.create_router(media_codecs=CODECS)
    transport = await router.create_plain_transport(listen_info={"protocol": "udp", "ip": "127.0.0.1"})
    listener, reasons = Listener(), []
    listener.follow(worker, router, transport)
    worker.on("died", reasons.append)
    os.kill(worker.pid, number)
    await until(lambda: "subprocessclose" in listener.heard, NOTICED)
    assert listener.heard == [
        "transport: routerclose",
        "router: workerclose",
        "died",
        "worker close",
        "subprocessclose",
    ]
    assert isinstance(reasons[0], WorkerExitError) and reasons[0].exit_code == -number
    assert worker.closed and worker.died and worker.subprocess_closed and router.closed and transport.closed
    with pytest.raises(WorkerClosedError):
        await worker.dump()
    worker.close()
    await worker.wait_subprocess_closed()
    assert listener.heard.count("died") == listener.heard.count("subprocessclose") == 1


async def test_killed_while_requests_are_pending() -> None:
    worker = await create_worker()
    router = await worker.create_router(media_codecs=CODECS)
    async with gil_held(worker):
        waiting = [asyncio.create_task(each) for each in (worker.dump(), router.dump(), worker.create_router())]
        await asyncio.sleep(0.1)
        assert not any(task.done() for task in waiting)
        os.kill(worker.pid, signal.SIGKILL)
        results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), NOTICED)
        assert [type(result) for result in results] == [WorkerClosedError] * 3
    await worker.wait_subprocess_closed()
    assert worker.died


async def test_killed_while_media_flows_beside_another() -> None:
    """Its neighbour does not notice."""
    async with await create_worker() as other, Call(other) as call:
        worker = await create_worker()
        async with Call(worker) as doomed:
            await call.begin()
            await doomed.begin()
            await asyncio.sleep(0.5)
            os.kill(worker.pid, signal.SIGKILL)
            assert await until(lambda: worker.died, NOTICED) < NOTICED
            await asyncio.sleep(0.5)
            count = await call.end()
            assert count.complete, count


async def test_sigterm_ends_it_in_order() -> None:
    worker = await create_worker()
    await worker.create_router(media_codecs=CODECS)
    listener, reasons = Listener(), []
    listener.follow(worker)
    worker.on("died", reasons.append)
    os.kill(worker.pid, signal.SIGTERM)
    await until(lambda: worker.subprocess_closed, NOTICED)
    assert listener.heard == ["died", "worker close", "subprocessclose"]
    assert reasons[0].exit_code == 0


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP", "SIGPIPE", "SIGUSR1", "SIGUSR2", "SIGALRM"])
async def test_signals_that_are_not_for_it(name: str) -> None:
    """A Ctrl-C or a closed terminal reaches the core too; it waits for what its application decides."""
    async with await create_worker() as worker:
        os.kill(worker.pid, getattr(signal, name))
        await asyncio.sleep(0.05)
        assert (await worker.dump())["pid"] == worker.pid and not worker.died


@pytest.mark.parametrize("hung", ["stopped", "stuck"])
async def test_closing_one_that_does_not_answer(hung: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "CLOSE_TIMEOUT", 0.5)
    worker = await create_worker()
    listener = Listener()
    listener.follow(worker)
    async with gil_held(worker):
        if hung == "stopped":
            os.kill(worker.pid, signal.SIGSTOP)
        begun = time.monotonic()
        worker.close()
        await asyncio.wait_for(worker.wait_subprocess_closed(), 5)
        assert 0.5 <= time.monotonic() - begun < NOTICED
    assert listener.heard == ["worker close", "subprocessclose"] and not worker.died


async def test_stopped_and_continued() -> None:
    """As when a virtual machine is moved: what came meanwhile waits in the kernel, and nothing ends."""
    async with await create_worker() as worker, Call(worker) as call:
        await call.begin()
        await asyncio.sleep(0.3)
        os.kill(worker.pid, signal.SIGSTOP)
        await asyncio.sleep(2)
        os.kill(worker.pid, signal.SIGCONT)
        await asyncio.sleep(0.3)
        count = await call.end()
        assert count.complete, count
        assert (await worker.dump())["pid"] == worker.pid


async def test_two_workers_are_independent() -> None:
    async with await create_worker() as first, await create_worker() as second:
        assert first.pid != second.pid and children() >= {first.pid, second.pid}
        first.close()
        await first.wait_subprocess_closed()
        assert not is_alive(first.pid)
        assert (await second.dump())["pid"] == second.pid


async def use(worker: Worker) -> None:
    """One of everything."""
    server = await worker.create_webrtc_server(
        listen_infos=[{"protocol": protocol, "ip": "127.0.0.1"} for protocol in ("udp", "tcp")]
    )
    router = await worker.create_router(media_codecs=CODECS)
    async with Call(worker, fan_out=2) as call:
        transport = await router.create_webrtc_transport(webrtc_server=server)
        await router.create_pipe_transport(listen_info={"protocol": "udp", "ip": "127.0.0.1"})
        direct = await router.create_direct_transport()
        assert (await call.run(0.2)).complete
        await transport.get_stats()
        await direct.dump()
    router.close()
    server.close()


@pytest.mark.parametrize("cycles", [3, pytest.param(100, marks=pytest.mark.full)])
async def test_nothing_is_left_of_many_workers(cycles: int) -> None:
    """Of the application: descriptors, children, threads, mappings (by the fixture of all tests), tasks and memory."""

    async def cycle() -> None:
        async with await create_worker() as worker:
            await use(worker)

    await cycle()
    gc.collect()
    before, tasks, memory = descriptors(), asyncio.all_tasks(), resident(os.getpid())
    for _ in range(cycles):
        await cycle()
    gc.collect()
    assert descriptors() == before and asyncio.all_tasks() == tasks
    assert resident(os.getpid()) - memory < 4 << 20


@pytest.mark.parametrize("cycles", [3, pytest.param(200, marks=pytest.mark.full)])
async def test_nothing_is_left_of_many_rooms(cycles: int) -> None:
    """Of the core: slots, descriptors and memory."""
    async with await create_worker() as worker:
        before = len(descriptors(worker.pid))
        await use(worker)
        memory, nothing = resident(worker.pid), dict.fromkeys(await used(worker), 0)
        for _ in range(cycles):
            await use(worker)
        await until_used(worker, nothing)
        await until(lambda: len(descriptors(worker.pid)) == before, 2)
        assert resident(worker.pid) - memory < (4 << 20) + cycles * WALKED


async def test_a_start_that_is_refused() -> None:
    with pytest.raises(TypeError, match="engine: unknown setting 'turbo'"):
        await create_worker(engine={"turbo": True})


async def test_a_start_that_ends_early() -> None:
    with pytest.raises(WorkerExitError, match="exited with code 7 before it was ready"):
        await mediasoup("leave").create_worker()


async def test_a_start_that_takes_too_long() -> None:
    others = children()
    with pytest.raises(SfuError, match="not ready"):
        await mediasoup("hang", start_timeout=0.5).create_worker()
    await until(lambda: children() == others, NOTICED)


async def test_a_start_that_is_cancelled() -> None:
    others = children()
    starting = asyncio.create_task(mediasoup("hang").create_worker())
    await until(lambda: children() > others, 10)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await until(lambda: children() == others, NOTICED)


@pytest.mark.parametrize("spare", [0, 1, 2, 4, 6])
async def test_a_start_without_descriptors(spare: int) -> None:
    """Wherever they run out, what was opened until then is closed."""
    others = children()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(os.open("/dev/null", os.O_RDONLY))
    highest = max(map(int, descriptors()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + spare, hard))
    try:
        worker = await create_worker()
    except (OSError, SfuError):
        pass
    else:
        worker.close()
        await worker.wait_subprocess_closed()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await until(lambda: children() == others, NOTICED)
