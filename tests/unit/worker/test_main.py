"""A real core process: how it starts, what it ignores, what ends it and with which exit code."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sfu_core.channel import messages as m
from sfu_core.channel.process import ProcessChannel, ProcessSpawner, WorkerExitError
from sfu_core.channel.settings import WorkerSettings
from sfu_core.worker.main import CONTROL_NICE


def with_core(scenario: Callable[[ProcessChannel], Awaitable[None]], settings: WorkerSettings | None = None) -> None:
    async def run() -> None:
        channel = await ProcessSpawner().spawn(settings or WorkerSettings())
        try:
            await scenario(channel)
        finally:
            channel.close()
            await asyncio.wait_for(channel.ended(), 10)

    asyncio.run(run())


def threads(pid: int) -> list[int]:
    return [int(name) for name in os.listdir(f"/proc/{pid}/task")]


def test_it_answers_and_ends_with_zero() -> None:
    async def scenario(core: ProcessChannel) -> None:
        assert (await core.request(m.WorkerDump())).pid == core.pid
        core.close()
        assert await asyncio.wait_for(core.ended(), 10) is None
        assert core._exit_code == 0

    with_core(scenario)


def test_ignored_signals() -> None:
    async def scenario(core: ProcessChannel) -> None:
        for name in ("SIGPIPE", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2"):
            os.kill(core.pid, getattr(signal, name))
        await asyncio.sleep(0.05)
        assert (await core.request(m.WorkerDump())).pid == core.pid

    with_core(scenario)


def test_sigterm_closes_cleanly() -> None:
    async def scenario(core: ProcessChannel) -> None:
        await core.request(m.WorkerCreateRouter(router_id="r"))
        os.kill(core.pid, signal.SIGTERM)
        reason = await asyncio.wait_for(core.ended(), 10)
        assert isinstance(reason, WorkerExitError) and reason.exit_code == 0

    with_core(scenario)


def test_control_thread_is_nicer_than_the_media_thread() -> None:
    async def scenario(core: ProcessChannel) -> None:
        await core.request(m.WorkerDump())
        own = os.getpriority(os.PRIO_PROCESS, 0)
        values = {tid: os.getpriority(os.PRIO_PROCESS, tid) for tid in threads(core.pid)}
        assert values.pop(core.pid) == min(own + CONTROL_NICE, 19)
        assert list(values.values()) == [own]

    with_core(scenario)


def test_as_many_descriptors_as_it_may_have() -> None:
    async def scenario(core: ProcessChannel) -> None:
        await core.request(m.WorkerDump())
        soft, hard = resource.prlimit(core.pid, resource.RLIMIT_NOFILE)
        assert soft == hard

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
    try:
        with_core(scenario)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_pinning() -> None:
    cpu = max(os.sched_getaffinity(0))

    async def scenario(core: ProcessChannel) -> None:
        await core.request(m.WorkerDump())
        assert all(os.sched_getaffinity(tid) == {cpu} for tid in threads(core.pid))

    with_core(scenario, WorkerSettings(engine={"cpu": cpu}))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"log_level": "chatty"}, "logLevel 'chatty'"),
        ({"rtc_max_port": 65536}, "rtcMaxPort 65536"),
        ({"engine": {"turbo": True}}, "engine: unknown setting 'turbo'"),
        ({"engine": {"srtp_suites": ["NULL"]}}, "engine.srtp_suites"),
        ({"dtls_certificate_file": "/nonexistent/cert.pem", "dtls_private_key_file": "/x"}, "/nonexistent/cert.pem"),
    ],
)
async def test_wrong_settings(wrong: dict[str, Any], reason: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TypeError, match=f"^wrong settings: .*{reason}"):
        await ProcessSpawner().spawn(WorkerSettings(**wrong))
    assert capfd.readouterr().err == ""


PARENT = """
import asyncio, os, sys
from sfu_core.channel.process import ProcessSpawner
from sfu_core.channel.settings import WorkerSettings

async def main():
    channel = await ProcessSpawner().spawn(WorkerSettings())
    print(channel.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        pidfd = os.pidfd_open(pid)
        parent.kill()
    try:
        poll = threading.Event()
        begun = time.monotonic()
        while is_running(pid) and time.monotonic() - begun < 5:
            poll.wait(0.02)
        assert not is_running(pid)
    finally:
        os.close(pidfd)


def is_running(pid: int) -> bool:
    """Not gone, and not just waiting for whoever reaps orphans."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
