"""The conference example as people use it: pages of Chromium in a room, by its own server and its own page."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from .call import LOOPBACK, until
from .plain import free_port


@pytest.fixture(scope="module")
def server(examples: Path) -> ModuleType:
    """The example's server.py."""
    spec = importlib.util.spec_from_file_location("conference_server", examples / "conference/server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def free_tcp_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def running(server: ModuleType, mediasoup: Any, port: int) -> AsyncIterator[str]:
    """The server, as ``python server.py`` runs it; gives its address."""
    task = asyncio.create_task(server.run(mediasoup, port=port, rtc_port=free_port()))

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


async def test_people_come_and_go(browser: Any, server: ModuleType, mediasoup: Any) -> None:
    async with (
        running(server, mediasoup, free_tcp_port()) as address,
        visitors(browser, "Ada", "Ben", "Cleo") as (ada, ben, cleo),
    ):
        await ada.join(address)
        await ben.join(address)
        await ada.sees("Ben")
        await ben.sees("Ada")

        await cleo.join(address)
        for person, others in ((ada, ["Ben", "Cleo"]), (ben, ["Ada", "Cleo"]), (cleo, ["Ada", "Ben"])):
            await person.sees(*others)

        await cleo.page.click("text=Leave")
        await ada.sees("Ben")
        await ben.sees("Ada")


async def test_mute_and_camera_off(browser: Any, server: ModuleType, mediasoup: Any) -> None:
    async with (
        running(server, mediasoup, free_tcp_port()) as address,
        visitors(browser, "Ada", "Ben") as (ada, ben),
    ):
        await ada.join(address)
        await ben.join(address)
        await ben.sees("Ada")
        for button, mark in (("#microphone", "muted"), ("#camera", "paused")):
            await ada.page.click(button)
            await until(lambda: ben.marks("Ada"), {mark}.__eq__)
            await ada.page.click(button)
            await until(lambda: ben.marks("Ada"), lambda marks: not marks)
        await ben.sees("Ada")


async def test_whoever_comes_late_is_told_who_is_muted(browser: Any, server: ModuleType, mediasoup: Any) -> None:
    async with (
        running(server, mediasoup, free_tcp_port()) as address,
        visitors(browser, "Ada", "Ben") as (ada, ben),
    ):
        await ada.join(address)
        await ada.sees()
        await ada.page.click("#microphone")
        await ben.join(address)
        await ben.sees("Ada")
        await until(lambda: ben.marks("Ada"), lambda marks: marks == {"muted"})


async def test_a_reloaded_page_replaces_itself(browser: Any, server: ModuleType, mediasoup: Any) -> None:
    async with (
        running(server, mediasoup, free_tcp_port()) as address,
        visitors(browser, "Ada", "Ben") as (ada, ben),
    ):
        await ada.join(address)
        await ben.join(address)
        await ada.sees("Ben")
        await ben.join(address)  # loads the page again
        await ada.sees("Ben")
        await ben.sees("Ada")


async def test_pages_come_back_after_a_restart_of_the_server(browser: Any, server: ModuleType, mediasoup: Any) -> None:
    port = free_tcp_port()
    async with visitors(browser, "Ada", "Ben") as (ada, ben):
        async with running(server, mediasoup, port) as address:
            await ada.join(address)
            await ben.join(address)
            await ada.sees("Ben")
        async with running(server, mediasoup, port):
            await ada.sees("Ben")
            await ben.sees("Ada")


async def test_bad_requests_are_answered(server: ModuleType, mediasoup: Any, caplog: pytest.LogCaptureFixture) -> None:
    import aiohttp

    caplog.set_level(logging.CRITICAL, "conference")
    token = "x" * 16
    async with running(server, mediasoup, free_tcp_port()) as address, aiohttp.ClientSession() as client:
        for query in ("", "?room=test", "?room=test&token=short"):
            with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
                await client.ws_connect(f"{address}/ws{query}")

        async with client.ws_connect(f"{address}/ws?room=test&token={token}") as page:
            for request in (
                {"id": 1, "method": "noSuchMethod"},
                {"id": 1, "method": "connectTransport", "data": {"transportId": "somebody else's"}},
                {"id": 1, "method": "produce", "data": {"kind": "video"}},
                {"id": 1, "method": "join", "data": ["no", "name"]},
                {"id": 1},
            ):
                await page.send_json(request)
                answer = await page.receive_json(timeout=10)
                assert answer["id"] == 1
                assert answer["error"]
            await page.send_json("nothing of the kind")
            assert (await page.receive_json(timeout=10))["error"]
            await page.send_json({"id": 2, "method": "getRouterRtpCapabilities"})
            assert (await page.receive_json(timeout=10))["data"]["codecs"]
            await page.send_str("not JSON")
            assert (await page.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE

        url = f"{address}/ws?room=test&token={token}"
        async with client.ws_connect(url) as first, client.ws_connect(url):
            assert (await first.receive(timeout=10)).extra == "replaced"
