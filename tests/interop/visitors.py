"""The examples as people use them: their programs while a test runs, and people at the conference's page."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from .call import LOOPBACK, until


def free_tcp_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def running(program: Coroutine[Any, Any, None], port: int) -> AsyncIterator[str]:
    """An example's ``run(..., port=port)`` while the block runs; gives the address of its page."""
    task = asyncio.create_task(program)

    async def accepts() -> bool:
        assert not task.done(), task.result()
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, port)
        except ConnectionRefusedError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    try:
        await until(accepts, bool)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Visitor:
    """A person at the example's page."""

    def __init__(self, page: Any, name: str) -> None:
        self.page = page
        self.name = name
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    async def join(self, address: str) -> None:
        await self.page.goto(f"{address}/?room=test&name={self.name}")
        await self.page.click("text=Join")

    async def sees(self, *names: str) -> None:
        """Waits until there are tiles of these people and of nobody else, all with a running picture."""
        await until(self._running, lambda running: running == dict.fromkeys([*names, f"{self.name} (you)"], True))

    async def _running(self) -> dict[str, bool]:
        """Of every tile: whether its picture went on within the last half second."""
        shown: dict[str, bool] = await self.page.evaluate(
            """async () => {
                const tiles = () => [...document.querySelectorAll(".tile")];
                const frames = (tile) => tile.querySelector("video").getVideoPlaybackQuality().totalVideoFrames;
                const before = new Map(tiles().map((tile) => [tile, frames(tile)]));
                await new Promise((resolve) => setTimeout(resolve, 500));
                return Object.fromEntries(
                    tiles().map((tile) => [tile.dataset.name, frames(tile) > (before.get(tile) ?? 0)])
                );
            }"""
        )
        return shown

    async def marks(self, name: str) -> set[str]:
        """The marks on somebody's tile: muted, paused."""
        classes = await self.page.get_attribute(f'.tile[data-name="{name}"]', "class")
        return set(classes.split()) - {"tile"}


@contextlib.asynccontextmanager
async def visitors(browser: Any, *names: str) -> AsyncIterator[list[Visitor]]:
    people = [Visitor(await browser.new_page(), name) for name in names]
    yield people
    for person in people:
        await person.page.close()
        assert not person.errors
