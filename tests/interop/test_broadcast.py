"""The broadcast example: a page on stage, pages and viewers of its own over two cores, and what the terminal shows."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from .call import until
from .visitors import free_tcp_port, running

ROOT = Path(__file__).parents[2]
needs_page = pytest.mark.usefixtures("examples")


@contextlib.asynccontextmanager
async def broadcast(manager: Any, **options: Any) -> AsyncIterator[tuple[str, io.StringIO]]:
    """The example with a page on stage; gives its address, and what the terminal shows."""
    from examples.broadcast.__main__ import run

    port, shown = free_tcp_port(), io.StringIO()
    async with running(run(manager, port=port, rtc_port=0, out=shown, **options), port) as address:
        yield address, shown


async def frames(page: Any) -> int:
    """Of the picture on a page, so far."""
    count: int = await page.evaluate("document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames")
    return count


async def runs(page: Any, count: int = 10) -> None:
    """Waits until the picture has gone on by ``count`` frames."""
    wanted = await frames(page) + count
    await until(lambda: frames(page), lambda seen: seen >= wanted)


@needs_page
async def test_a_page_on_stage_is_seen_on_all_cores(browser: Any, vertical: Any) -> None:
    if len(await _cores_of_a_worker(vertical)) < 2:
        pytest.skip("needs two cores")
    async with broadcast(vertical, viewers=6, per_second=50) as (address, shown):
        stage, *audience = [await browser.new_page() for _ in range(3)]
        try:
            await stage.goto(f"{address}/?stage")
            await stage.click("text=Go on stage")
            for page in audience:
                await page.goto(address)
            for page in audience:
                await runs(page)

            assert [core.transports for core in await vertical.cores()] in ([4, 5], [5, 4])
            pipes = sorted(core.pipes for core in await vertical.cores())
            assert pipes == [0, 2], "sound and picture, once to the other core"
            watching = await stage.inner_text("#status")
            assert watching == "2 watching here"
            text = await until(lambda: _last_picture(shown), lambda text: _received(text) > 50)
            assert "pipes: 2; a mesh, every producer on every core, would need 2" in text
            assert re.search(r"^ +0 .*\n +1 ", text, re.M), text

            await stage.goto("about:blank")
            await until(lambda: _pipes(vertical), lambda count: count == 0)
            await stage.goto(f"{address}/?stage")
            await stage.click("text=Go on stage")
            for page in audience:
                await runs(page)
        finally:
            for page in (stage, *audience):
                await page.close()


async def _cores_of_a_worker(manager: Any) -> list[Any]:
    worker = await manager.mediasoup.create_worker()
    cores = await manager.cores()
    worker.close()
    return list(cores)


async def _pipes(manager: Any) -> int:
    return sum(core.pipes for core in await manager.cores())


async def _last_picture(shown: io.StringIO) -> str:
    return ["", *shown.getvalue().split("\n\n")][-2]


def _received(text: str) -> int:
    found = re.findall(r"they receive ([\d,]+) packets/s", text)
    return int(found[-1].replace(",", "")) if found else 0


@needs_page
async def test_one_command_shows_it_and_ends_cleanly() -> None:
    """As the README runs it, in a terminal that is none."""
    command = [sys.executable, "-m", "examples.broadcast", "--viewers", "6", "--source", "load"]
    process = await asyncio.create_subprocess_exec(
        *command, "--port", str(free_tcp_port()), "--rtc-port", "0", cwd=ROOT, stdout=-1, stderr=-1
    )
    assert process.stdout is not None
    text = ""
    async with asyncio.timeout(30):
        while _received(text) < 50:
            text += (await process.stdout.readline()).decode()
        pids = {int(pid) for pid in re.findall(r"^ +\d+ +(\d+) ", text, re.M)}
        process.send_signal(signal.SIGTERM)
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert "\x1b" not in text
    assert pids and not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_the_picture_is_redrawn_in_place() -> None:
    from examples.broadcast.view import HOME, Look, lines, picture

    def core(index: int, packets: int, **more: Any) -> Any:
        counters = {"datagramsIn": packets, "datagramsOut": 10 * packets, "handedOut": packets // 10}
        counters["drop.bad"] = packets // 50
        described = {"index": index, "pid": 100 + index, "load": 50.0, "pipes": index, "producers": 2 - 2 * index}
        return SimpleNamespace(**described, transports=3, consumers=4, counters=counters, **more)

    before = Look(1.0, [core(0, 1000)], 5, 100, 0)
    now = Look(3.0, [core(0, 1200), core(1, 700)], 5, 900, 2)
    head, first, second, pipes, audience = lines(before, now)
    assert head.split()[:4] == ["core", "process", "load", "transports"]
    assert first.split() == ["0", "100", "██████······", "50%", "3", "2", "4", "0", "100", "1,000", "0", "10", "2"]
    assert second.split()[-5:] == ["0"] * 5, "a core that has just come has no rates yet"
    assert pipes == "pipes: 1; a mesh, every producer on every core, would need 2"
    assert audience == "viewers of this program: 5; they receive 400 packets/s, 2 missing so far"
    assert len({len(line) for line in (head, first, second)}) == 1
    drawn = picture("title", ["one", "two"], in_place=True)
    assert drawn.startswith(HOME) and drawn.count("\x1b[K\n") == 4
    assert "\x1b" not in picture("title", ["one", "two"], in_place=False)


async def test_a_terminal_is_left_as_it_was() -> None:
    from examples.broadcast.view import HIDE_CURSOR, SHOW_CURSOR, Look, watch

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    async def look() -> Look:
        return Look(time.monotonic(), [])

    out = Terminal()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            await watch(look, out, "title", interval=0.01)
    assert out.getvalue().startswith(HIDE_CURSOR)
    assert out.getvalue().endswith(SHOW_CURSOR)
    assert out.getvalue().count("title") > 2
