"""The programs of the porting page, which are the article's: a call on each, a clean end by a signal, and the news of
a server that is not there."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from .served import ROOT, Served, served

BLOCKS = [each for each in re.findall(r"```python\n(.*?)```", (ROOT / "docs/porting.md").read_text(), re.S)]
PROGRAMS = {
    "remote": BLOCKS[0],
    "mock": BLOCKS[0].replace("RemoteMediasoupClient", "RemoteMediasoupClientMock"),
    "vertical": BLOCKS[1],
    "horizontal": BLOCKS[2],
    "combined": BLOCKS[3],
}
NAMES = re.compile(r"ws://example\d?\.com")
APPLICATION = """
from tests.fault.call import Call

async def application(mediasoup):
    worker = await mediasoup.create_worker()
    closed = asyncio.Event()
    worker.observer.once("close", closed.set)
    async with Call(worker, fan_out=2) as call:
        assert (await call.run(0.3)).complete
        print("a call", flush=True)
        await closed.wait()

asyncio.run(main(application))
"""


@asynccontextmanager
async def program(name: str, urls: list[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """The page's, with these servers for its own."""
    text = NAMES.sub(lambda _: urls.pop(0), PROGRAMS[name]) + APPLICATION
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", text, cwd=ROOT, stdout=-1, stderr=-1)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_call_and_a_clean_end(name: str) -> None:
    async with AsyncExitStack() as servers:
        count = 0 if name == "mock" else len(NAMES.findall(PROGRAMS[name]))
        there = [await servers.enter_async_context(served("--grace", "60")) for _ in range(count)]
        async with program(name, [each.url for each in there] or ["ws://127.0.0.1:1"]) as process:
            assert process.stdout is not None
            async with asyncio.timeout(20):
                assert await process.stdout.readline() == b"a call\n"
            assert sum([await _figure(each, "sfu_sessions") for each in there]) == count
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                said, errors = await process.communicate()
            assert (process.returncode, said, errors) == (0, b"", b"")
        for each in there:  # it has said good-bye
            assert await _figure(each, "sfu_sessions") == await _figure(each, "sfu_workers") == 0


async def _figure(server: Served, name: str) -> float:
    return (await server.figures())[name]


@pytest.mark.parametrize("name", ["remote", "horizontal", "combined"])
async def test_a_server_that_is_not_there_is_told(name: str) -> None:
    async with program(name, ["ws://127.0.0.1:1"] * 3) as process, asyncio.timeout(20):
        _, errors = await process.communicate()
        assert process.returncode == 1
        assert re.fullmatch(rb"Error connecting to Remote Mediasoup servers?: cannot connect to ws://127.*\n", errors)
