"""Applications on one host divide its processors; what one had is free when it has ended, however it did."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sfu_core.cores import usable_cpus
from vertical.leases import VARIABLE

ROOT = Path(__file__).parents[2]
PROCESSORS = len(usable_cpus())
APPLICATION = """
import asyncio, logging, os, sys
from vertical import MediasoupVertical

async def main():
    async with MediasoupVertical(max_workers=int(sys.argv[1]) or None) as vertical:
        for settings in ({}, {"engine": {"transports": 64}})[: int(sys.argv[2])]:
            await vertical.mediasoup.create_worker(**settings)
        pids = [core.pid for core in await vertical.cores()]
        print(*(f"{pid}:{','.join(map(str, sorted(os.sched_getaffinity(pid))))}" for pid in pids), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

logging.basicConfig(format="%(message)s")
asyncio.run(main())
"""


class Application:
    """Runs until it is closed or killed; `cores` are its processes, and the processors that each may use."""

    def __init__(self, most: int = 0, pools: int = 1) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", APPLICATION, str(most), str(pools)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {VARIABLE: f"test {os.getpid()}"},
        )
        assert self._process.stdout is not None
        words = [word.split(":") for word in self._process.stdout.readline().split()]
        self.cores = {int(pid): [int(cpu) for cpu in cpus.split(",")] for pid, cpus in words}

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def close(self) -> str:
        """What it has said on the way."""
        return self._process.communicate("\n", timeout=20)[1]


@pytest.fixture
def run() -> Iterator[type[Application]]:
    started: list[Application] = []

    class Started(Application):
        def __init__(self, *arguments: int, **options: int) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    yield Started
    for each in started:
        each.kill()


@pytest.mark.skipif(PROCESSORS < 2, reason="one processor")
def test_two_applications_do_not_oversubscribe_the_host(run: type[Application]) -> None:
    first = run(most=PROCESSORS - 1)
    second = run()
    third = run()
    assert [len(each.cores) for each in (first, second, third)] == [PROCESSORS - 1, 1, 1]
    assert "processors" not in first.close() + second.close()
    assert f"other applications have all {PROCESSORS} processors" in third.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, 0])
def test_what_it_had_is_free_when_it_has_ended(run: type[Application], number: int) -> None:
    first = run()
    assert len(first.cores) == PROCESSORS
    if number == signal.SIGKILL:
        first.kill()
    elif number:
        first._process.send_signal(number)
        first._process.wait(10)
    else:
        assert not first.close()
    second = run()
    assert len(second.cores) == PROCESSORS and not second.close()


@pytest.mark.skipif(PROCESSORS < 2, reason="one processor")
def test_two_pools_share_the_processors_and_begin_on_different_ones(run: type[Application]) -> None:
    application = run(pools=2)
    assert len(application.cores) == 2 * PROCESSORS
    pinned = [cpus for _, cpus in application.cores.items()]
    assert all(len(cpus) == 1 for cpus in pinned)
    one, two = pinned[:PROCESSORS], pinned[PROCESSORS:]
    assert sorted(one) == sorted(two) and one[0] != two[0]
    assert not application.close()


def test_the_end_of_the_last_worker_lets_go_of_them(run: type[Application]) -> None:
    code = f"""
import asyncio
from vertical import MediasoupVertical
from vertical.leases import Leases

async def main():
    async with MediasoupVertical() as vertical:
        for _ in range(3):
            worker = await vertical.mediasoup.create_worker()
            assert len(await vertical.cores()) == {PROCESSORS}
            assert not Leases().take(range({os.cpu_count()}), {PROCESSORS}) or {os.cpu_count()} > {PROCESSORS}
            worker.close()
        while vertical.host_pid is not None or len(Leases().take(range({os.cpu_count()}), {PROCESSORS})) < {PROCESSORS}:
            await asyncio.sleep(0.01)

asyncio.run(asyncio.wait_for(main(), 20))
"""
    environment = os.environ | {VARIABLE: f"test {os.getpid()}"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
