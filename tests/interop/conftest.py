"""Fixtures of the interoperability tests: one event loop and one browser a session, a worker a test.

A peer that is not installed skips the tests that need it and says so; with ``REQUIRE_PEERS=1`` in the
environment it fails them instead. ``tests/interop/setup.sh`` installs all peers.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from .call import OPUS, VIDEO_CODECS

EXAMPLES = Path(__file__).parents[2] / "examples"


def missing(what: str) -> NoReturn:
    """Skips the test (or fails it, where all peers are required) because ``what`` is not there."""
    reason = f"{what} is missing: run tests/interop/setup.sh"
    if os.environ.get("REQUIRE_PEERS"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def runner() -> Iterator[asyncio.Runner]:
    """The event loop that all tests and their peers live on."""
    with asyncio.Runner() as made:
        yield made


@pytest.fixture
def patience() -> None:
    """What a test waits for has its own limit."""


@pytest.fixture(scope="session")
def browser(runner: asyncio.Runner) -> Iterator[Any]:
    """A headless Chromium."""
    if importlib.util.find_spec("playwright") is None:
        missing("playwright (PyPI)")
    from .browser import BUNDLE, CHROMIUM, Chromium

    if CHROMIUM is None:
        missing("Chromium (Debian package chromium)")
    if not BUNDLE.exists():
        missing("the bundled test page (npm: mediasoup-client, esbuild)")
    chromium = runner.run(Chromium.launch())
    yield chromium
    runner.run(chromium.close())


@pytest.fixture
def mediasoup() -> Any:
    """The API under test."""
    from sfu_core import mediasoup as api

    return api


@pytest.fixture(scope="module")
def vertical(runner: asyncio.Runner) -> Iterator[Any]:
    """Two cores that take transports in turn: what one sends and the next receives are on different ones."""
    from vertical import MediasoupVertical, spread

    async def start() -> MediasoupVertical:
        return MediasoupVertical(max_workers=2, placement=spread)

    manager = runner.run(start())
    yield manager
    manager.destroy()
    runner.run(manager.wait_destroyed())


@pytest.fixture
def worker(runner: asyncio.Runner, mediasoup: Any) -> Iterator[Any]:
    """A core process for one test; it must still be alive at the end."""
    made = runner.run(mediasoup.create_worker())
    yield made
    assert not made.died
    made.close()
    runner.run(made.wait_subprocess_closed())


@pytest.fixture
def router(runner: asyncio.Runner, worker: Any, request: pytest.FixtureRequest) -> Any:
    """A router for Opus and one video codec: VP8, or what ``indirect`` parametrization names."""
    codec = getattr(request, "param", "VP8")
    return runner.run(worker.create_router(media_codecs=[OPUS, VIDEO_CODECS[codec]]))


@pytest.fixture(scope="session")
def aiortc() -> Any:
    """The aiortc participant's module."""
    if importlib.util.find_spec("aiortc") is None:
        missing("aiortc (PyPI)")
    from . import aiortc_client

    return aiortc_client


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of examples, with all that their pages need."""
    if importlib.util.find_spec("aiohttp") is None:
        missing("aiohttp (PyPI)")
    if not all((EXAMPLES / name / "static" / "main.js").exists() for name in ("conference", "broadcast")):
        missing("the examples' pages (npm: mediasoup-client, esbuild)")
    return EXAMPLES


@pytest.fixture(scope="session")
def gstreamer() -> str:
    """Path of gst-launch-1.0."""
    return shutil.which("gst-launch-1.0") or missing("GStreamer (Debian package gstreamer1.0-tools)")


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """Path of ffmpeg."""
    return shutil.which("ffmpeg") or missing("FFmpeg (Debian package ffmpeg)")
