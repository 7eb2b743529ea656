"""What counts as hung, and what does not."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sfu_core.stats import get_stats_factory
from vertical import MediasoupVertical
from vertical.pulse import CoreHungError
from waiting import until

from .call import Call
from .house import house
from .processes import gil_held_in, mediasoup

ROOT = Path(__file__).parents[2]
STUCK = 4.0  # seconds: twice what makes a media thread hung


async def test_a_control_thread_that_is_stuck_is_not_hung() -> None:
    async with house() as each, Call(each.worker, fan_out=2) as call:
        await each.watched()
        await call.begin()
        async with gil_held_in(each.member(0).pid):
            await asyncio.sleep(STUCK)
        assert (await call.end()).complete
        assert not each.died


async def test_a_media_thread_that_does_not_turn_is_hung() -> None:
    """Its control thread answers whatever is asked."""
    async with house(target="stand_still") as each:
        await until(lambda: len(each.died) >= 2, 10)
        assert {type(reason) for _, reason, _ in each.died} == {CoreHungError}


async def test_a_core_of_another_manager_is_watched_too() -> None:
    api, died = mediasoup(), []
    async with MediasoupVertical(mediasoup=api, get_stats=get_stats_factory(api).get_stats) as vertical:
        vertical.on("coredied", lambda pid, reason: died.append((pid, reason)))
        await vertical.mediasoup.create_worker()  # type: ignore[union-attr]
        await asyncio.sleep(1)
        victim, *_ = await vertical.cores()
        os.kill(victim.pid, signal.SIGSTOP)
        await until(lambda: died, 2.5)
        assert died[0][0] == victim.pid and isinstance(died[0][1], CoreHungError)


async def test_an_application_that_stands_still_accuses_nobody() -> None:
    async with house() as each:
        await each.watched()
        for _ in range(3):
            time.sleep(STUCK / 2)
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        assert not each.died


APPLICATION = """
import asyncio
from sfu_core.stats import get_stats_factory
from vertical import MediasoupVertical

async def main():
    async with MediasoupVertical(max_workers=2) as vertical:
        vertical.on("coredied", lambda pid, reason: print("died", reason, flush=True))
        await vertical.mediasoup.create_worker()
        await asyncio.sleep(1)
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, input)
        await asyncio.sleep(2)
        print("done", flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("seconds", [STUCK])
def test_a_whole_application_that_was_stopped_goes_on(seconds: float) -> None:
    """As by Ctrl-Z and fg, or on a machine that was suspended."""
    with subprocess.Popen(
        [sys.executable, "-c", APPLICATION],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    ) as application:
        assert application.stdin is not None and application.stdout is not None
        assert application.stdout.readline() == "ready\n"
        os.killpg(application.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.killpg(application.pid, signal.SIGCONT)
        application.stdin.write("\n")
        application.stdin.flush()
        assert application.stdout.read() == "done\n"
