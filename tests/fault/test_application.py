"""The application ends, in every way it can: its core processes end with it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sfu.bench.load import LoadProcess
from sfu.bench.traffic import steady
from waiting import until

from .processes import is_alive

PROGRAM = Path(__file__).with_name("application.py")
LIMIT = 2.0  # seconds after the end of the application


class Application:
    """The program, running; `cores` are its core processes."""

    def __init__(self, process: asyncio.subprocess.Process, said: dict[str, Any]) -> None:
        self.process = process
        self.cores: list[int] = said["pids"]
        self.addresses = [(ip, port) for ip, port in said["addresses"]]

    async def ended(self) -> tuple[int, str]:
        """Its exit code and what it complained about."""
        _, complaints = await asyncio.wait_for(self.process.communicate(), 10)
        assert self.process.returncode is not None
        return self.process.returncode, complaints.decode()

    async def cores_end(self) -> float:
        """Waits for that; seconds."""
        return await until(lambda: not any(map(is_alive, self.cores)), LIMIT)


@asynccontextmanager
async def application(*arguments: str, group: bool = False) -> AsyncIterator[Application]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = await asyncio.create_subprocess_exec(
        sys.executable, PROGRAM, *arguments, stdout=-1, stderr=-1, env=environment, start_new_session=group
    )
    assert process.stdout is not None
    said: dict[str, Any] = {"pids": []}
    try:
        said = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        yield Application(process, said)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
        for pid in filter(is_alive, said["pids"]):
            os.kill(pid, signal.SIGKILL)


async def test_killed() -> None:
    async with application() as app:
        app.process.kill()
        assert (await app.ended())[0] == -signal.SIGKILL
        await app.cores_end()


async def test_killed_while_media_flows() -> None:
    source = await LoadProcess.start(os.sched_getaffinity(0))
    async with source, application() as app:
        await source.load(steady(160, 2000, burst=1), app.addresses)
        sending = asyncio.create_task(source.run(2))
        await asyncio.sleep(0.3)
        app.process.kill()
        await app.cores_end()
        assert not sending.done()
        await sending


async def test_killed_while_a_forked_child_keeps_its_descriptors() -> None:
    """Such a child holds the application's end of each channel open, so the channels do not end."""
    async with application("fork", group=True) as app:
        app.process.kill()
        try:
            await app.cores_end()
        finally:
            os.killpg(app.process.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("what", "code", "complaint"),
    [("close", 0, ""), ("forget", 0, ""), ("leave", 3, ""), ("fail", 1, "RuntimeError"), ("vanish", 4, "")],
)
async def test_ended_by_itself(what: str, code: int, complaint: str) -> None:
    async with application(what) as app:
        exit_code, complaints = await app.ended()
        assert exit_code == code
        assert complaint in complaints and bool(complaint) == bool(complaints), complaints
        await app.cores_end()


async def test_terminated() -> None:
    async with application() as app:
        app.process.terminate()
        assert await app.ended() == (-signal.SIGTERM, "")
        await app.cores_end()


async def test_interrupted_at_the_terminal() -> None:
    """Ctrl-C reaches all processes of the group; the application decides, and its cores follow."""
    async with application(group=True) as app:
        os.killpg(app.process.pid, signal.SIGINT)
        code, complaints = await app.ended()
        assert code == -signal.SIGINT and complaints.count("\nKeyboardInterrupt") == 1, complaints
        await app.cores_end()


async def test_nobody_imports_the_main_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = tmp_path / "starts"
    monkeypatch.setenv("STARTS", str(starts))
    async with application("close") as app:
        assert (await app.ended())[0] == 0
        assert starts.read_text().split() == [str(app.process.pid)]
