"""The host process of a vertical ends, or the application does, in every way and at any moment: nothing is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sfu_core.errors import SfuError, WorkerClosedError
from vertical import MediasoupVertical
from waiting import until

from .processes import children, is_alive

ROOT = Path(__file__).parents[2]
LIMIT = 3.0  # seconds after which all processes have ended


async def gone(pids: set[int]) -> None:
    await until(lambda: not any(map(is_alive, pids)), LIMIT)


def shared_memory() -> set[str]:
    return set(os.listdir("/dev/shm"))


class Death:
    """What applications hear of a worker."""

    def __init__(self, worker: Any) -> None:
        self.worker = worker
        self.heard: list[str] = []
        for event in ("died", "subprocessclose"):
            worker.on(event, lambda *_, event=event: self.heard.append(event))
        worker.observer.on("close", lambda: self.heard.append("close"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
async def test_the_host_process_ends(number: signal.Signals) -> None:
    before = shared_memory()
    async with MediasoupVertical(max_workers=2) as vertical:
        assert vertical.mediasoup is not None
        told: list[Any] = []
        vertical.on("coredied", lambda *args: told.append(args))
        vertical.on("error", told.append)
        deaths = [Death(await vertical.mediasoup.create_worker()) for _ in range(2)]
        router = await deaths[0].worker.create_router()
        transport = await router.create_direct_transport()
        host, cores = vertical.host_pid, {core.pid for core in await vertical.cores()}
        assert host == deaths[0].worker.pid and cores == children(host)
        assert Path(f"/proc/{host}/comm").read_text() == "sfu-host\n"
        os.kill(host, number)
        for death in deaths:
            await asyncio.wait_for(death.worker.wait_subprocess_closed(), LIMIT)
            assert death.heard == ["died", "close", "subprocessclose"]
        assert transport.closed and vertical.host_pid is None and await vertical.cores() == []
        await gone(cores | {host})
        with pytest.raises(WorkerClosedError):
            await deaths[1].worker.dump()
        again = await vertical.mediasoup.create_worker()
        assert again.pid == vertical.host_pid != host and (await again.dump())["pid"] == again.pid
        assert told == [] and all(len(death.heard) == 3 for death in deaths)
    assert shared_memory() == before


@pytest.mark.parametrize("cores_begun", [False, True])
async def test_the_host_process_is_killed_while_it_starts(cores_begun: bool) -> None:
    async with MediasoupVertical(max_workers=2) as vertical:
        assert vertical.mediasoup is not None
        before = children()
        creating = asyncio.ensure_future(vertical.mediasoup.create_worker())
        await until(lambda: children() - before, 10)
        (host,) = children() - before
        if cores_begun:
            await until(lambda: children(host), 10)
        cores = children(host)
        os.kill(host, signal.SIGKILL)
        with pytest.raises(SfuError):
            await creating
        await gone(cores | {host})
        worker = await vertical.mediasoup.create_worker()
        assert not worker.closed


async def test_signals_that_are_not_meant_for_it() -> None:
    async with MediasoupVertical(max_workers=1) as vertical:
        assert vertical.mediasoup is not None
        worker = await vertical.mediasoup.create_worker()
        for name in ("SIGINT", "SIGPIPE", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2"):
            os.kill(worker.pid, getattr(signal, name))
        await asyncio.sleep(0.05)
        assert (await worker.dump())["pid"] == worker.pid


async def test_a_busy_application_delays_no_replacement() -> None:
    async with MediasoupVertical(max_workers=2) as vertical:
        assert vertical.mediasoup is not None
        await vertical.mediasoup.create_worker()
        before = [core.pid for core in await vertical.cores()]
        os.kill(before[0], signal.SIGKILL)
        time.sleep(3)  # the application does something else
        after = [core.pid for core in await vertical.cores()]
        assert len(after) == len(before) and after[0] not in before and after[1:] == before[1:]


async def test_a_hung_host_process_can_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vertical.host_process.CLOSING_TIMEOUT", 0.3)
    async with MediasoupVertical(max_workers=1) as vertical:
        assert vertical.mediasoup is not None
        worker = await vertical.mediasoup.create_worker()
        cores = {core.pid for core in await vertical.cores()}
        os.kill(worker.pid, signal.SIGSTOP)
        worker.close()
        await worker.wait_subprocess_closed()
        await gone(cores | {worker.pid})


APPLICATION = """
import asyncio, os, sys, time
from vertical import MediasoupVertical

async def main():
    vertical = MediasoupVertical(max_workers=2, placement=lambda candidates: choose(candidates))
    creating = [asyncio.ensure_future(vertical.mediasoup.create_worker()) for _ in range(2)]
    if "with its interpreter" in sys.argv:
        while not (begun := open(f"/proc/self/task/{os.getpid()}/children").read()):
            await asyncio.sleep(0)
        print(begun, flush=True)
        os.kill(os.getpid(), 9)
    if "with its cores" in sys.argv:
        while vertical.host_pid is None:
            await asyncio.sleep(0.001)
        print(vertical.host_pid, flush=True)
        os.kill(os.getpid(), 9)
    workers = await asyncio.gather(*creating)
    router = await workers[0].create_router()
    await router.create_direct_transport()
    if "fork" in sys.argv and os.fork() == 0:
        os.closerange(0, 3)
        time.sleep(20)
        os._exit(0)
    print(vertical.host_pid, *(core.pid for core in await vertical.cores()), flush=True)
    if "fail" in sys.argv:
        raise RuntimeError("the application has failed")
    if "end" not in sys.argv:
        await asyncio.sleep(60)

def choose(candidates):
    return len(candidates) - 1

asyncio.run(main())
"""


@contextmanager
def application(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """In a session of its own, all of which is killed at the end."""
    command = [sys.executable, "-c", APPLICATION, *arguments]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, cwd=ROOT, start_new_session=True) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("what", ["killed", "ends", "fails", "interrupted", "terminated", "killed, with a child"])
async def test_the_application_ends(what: str) -> None:
    """Nobody is left to destroy the manager; the host process notices, and its cores follow."""
    argument = {"ends": "end", "fails": "fail", "killed, with a child": "fork"}.get(what, "wait")
    with application(argument) as process:
        assert process.stdout is not None and process.stderr is not None
        pids = {int(pid) for pid in process.stdout.readline().split()}
        assert len(pids) >= 2
        if what.startswith("killed"):
            process.kill()
        elif what == "interrupted":
            os.killpg(process.pid, signal.SIGINT)
        elif what == "terminated":
            process.terminate()
        await until(lambda: process.poll() is not None, LIMIT)
        await gone(pids)
        if "child" not in what:
            last = {"fails": "RuntimeError: the application has failed\n", "interrupted": "\nKeyboardInterrupt\n"}
            said = process.stderr.read()
            assert said.endswith(last[what]) if what in last else said == ""


@pytest.mark.parametrize("busy", ["with its interpreter", "with its cores"])
async def test_the_application_is_killed_while_the_host_process_starts(busy: str) -> None:
    with application(busy) as process:
        assert process.stdout is not None
        host = int(process.stdout.readline())
        begun, cores = time.monotonic(), set[int]()
        while is_alive(host):
            assert time.monotonic() < begun + 8
            try:
                cores |= children(host)
            except (FileNotFoundError, ProcessLookupError):
                break
            await asyncio.sleep(0.002)
        await gone(cores | {host})
