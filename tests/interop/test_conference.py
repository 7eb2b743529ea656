"""The conference example as people use it: pages of Chromium in a room, by its own server and its own page."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import socket
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from .call import until
from .plain import free_port
from .visitors import free_tcp_port, running, visitors


@pytest.fixture(scope="module")
def server(examples: Path) -> ModuleType:
    """The example's server.py."""
    spec = importlib.util.spec_from_file_location("conference_server", examples / "conference/server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def conference(server: ModuleType, mediasoup: Any, port: int | None = None) -> AbstractAsyncContextManager[str]:
    """The server, as ``python server.py`` runs it; gives its address."""
    port = port or free_tcp_port()
    return running(server.run(mediasoup, port=port, rtc_port=free_port()), port)


async def test_people_come_and_go(browser: Any, server: ModuleType, mediasoup: Any) -> None:
    async with (
        conference(server, mediasoup) as address,
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
        conference(server, mediasoup) as address,
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
        conference(server, mediasoup) as address,
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
        conference(server, mediasoup) as address,
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
        async with conference(server, mediasoup, port) as address:
            await ada.join(address)
            await ben.join(address)
            await ada.sees("Ben")
        async with conference(server, mediasoup, port):
            await ada.sees("Ben")
            await ben.sees("Ada")


async def test_bad_requests_are_answered(server: ModuleType, mediasoup: Any, caplog: pytest.LogCaptureFixture) -> None:
    import aiohttp

    caplog.set_level(logging.CRITICAL, "conference")
    token = "x" * 16
    async with conference(server, mediasoup) as address, aiohttp.ClientSession() as client:
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


@pytest.mark.parametrize("name", ["conference.server", "broadcast"])
async def test_what_is_wrong_at_the_start_is_said(examples: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", f"examples.{name}", "--rtc-port", str(taken.getsockname()[1])]
        process = await asyncio.create_subprocess_exec(
            *command, "--port", str(free_tcp_port()), cwd=examples.parent, stderr=asyncio.subprocess.PIPE
        )
        _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert errors.startswith(b"SfuError: bind failed: address already in use") and errors.count(b"\n") == 1, errors


async def test_sigterm_is_a_clean_end(examples: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "examples.conference.server", "--rtc-port", "0", "--port", str(free_tcp_port())),
        cwd=examples.parent,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    assert b"open http" in await asyncio.wait_for(process.stderr.readline(), 20)
    process.terminate()
    _, errors = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, errors) == (0, b"")
