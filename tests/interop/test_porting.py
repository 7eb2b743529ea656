"""examples/porting: the same conference on every stack, as its commands run it, with a call between two pages."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
import sys
from collections import ChainMap, OrderedDict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any

import pytest

from tests.fault.served import Served

from .call import LOOPBACK, until
from .visitors import free_tcp_port, visitors

ROOT = Path(__file__).parents[2]
MAINS = ("one_core", "mock", "vertical", "remote", "horizontal", "combined", "cluster")
CODECS = [{"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2}]
TONE = {
    "codecs": [{"mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2}],
    "encodings": [{"ssrc": 1111}],
}

needs_page = pytest.mark.usefixtures("examples")


@pytest.fixture(scope="module")
def servers(runner: asyncio.Runner) -> Iterator[dict[str, str]]:
    """What MEDIA_SERVERS is for each main: two servers, and a cluster over them."""
    started: list[Served] = []

    async def start() -> dict[str, str]:
        started.extend(await asyncio.gather(Served.start(), Served.start()))
        urls = [each.url for each in started]
        started.append(await Served.start("--cluster", *urls))
        await until(started[-1].healthy, bool)
        both = " ".join(urls)
        return {"remote": urls[0], "horizontal": both, "combined": both, "cluster": started[-1].url}

    async def stop() -> None:
        for each in reversed(started):
            status, errors = await each.end(signal.SIGINT)
            assert (status, errors) == (0, "")

    yield runner.run(start())
    runner.run(stop())


@contextlib.asynccontextmanager
async def running(name: str, urls: str) -> AsyncIterator[str]:
    """The program; gives the address of its page. It must end by SIGTERM, without a word."""
    port = free_tcp_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"examples.porting.{name}", "--port", str(port), "--rtc-port", "0"),
        cwd=ROOT,
        env={**os.environ, "MEDIA_SERVERS": urls},
        stderr=-1,
    )
    assert process.stderr is not None

    async def is_open() -> bool:
        assert process.stderr is not None
        line = (await process.stderr.readline()).decode()
        assert line.startswith("INFO"), line + (await process.stderr.read()).decode()
        return "open http" in line

    try:
        await until(is_open, bool)
        yield f"http://{LOOPBACK}:{port}"
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            said = (await process.stderr.read()).decode()
            assert await process.wait() == 0, said
        assert "Traceback" not in said, said
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@needs_page
@pytest.mark.parametrize("name", MAINS)
async def test_the_conference_runs_unchanged(browser: Any, servers: dict[str, str], name: str) -> None:
    async with (
        running(name, servers.get(name, "ws://127.0.0.1:1")) as address,
        visitors(browser, "Ada", "Ben") as (ada, ben),
    ):
        await ada.join(address)
        await ben.join(address)
        await asyncio.gather(ada.sees("Ben"), ben.sees("Ada"))


@pytest.mark.parametrize("name", MAINS)
async def test_app_data_is_anything(servers: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each main hands its media server to a `run` that puts into `app_data` what applications do."""
    main = importlib.import_module(f"examples.porting.{name}")
    urls = servers.get(name, "ws://127.0.0.1:1").split()
    seen: list[Any] = []

    async def run(mediasoup: Any) -> None:
        seen.append(mediasoup)
        await _use_app_data(mediasoup)

    for attribute, value in {"run": run, "URL": urls[0], "URLS": urls}.items():
        monkeypatch.setattr(main, attribute, value, raising=False)
    await main.main()
    assert len(seen) == 1


async def _use_app_data(mediasoup: Any) -> None:
    data: dict[Any, Any] = {
        "map": OrderedDict([(1, "one"), ((2, "two"), 2)]),
        "views": ChainMap({}, MappingProxyType({"a": 1})),
        "peers": {},
        "lock": Lock(),
        "call": lambda: data["router"],
    }
    data["self"] = data
    worker = await mediasoup.create_worker(app_data=data)
    router = data["router"] = await worker.create_router(media_codecs=CODECS, app_data={"room": data})
    options = {"listen_info": {"protocol": "udp", "ip": LOOPBACK}}
    transport = await router.create_plain_transport(**options, app_data={"router": router, "data": data})
    producer = await transport.produce(kind="audio", rtp_parameters=TONE, app_data={"transport": transport})
    other = await router.create_webrtc_transport(listen_infos=[options["listen_info"]], app_data=data)
    consumer = await other.consume(
        producer_id=producer.id, rtp_capabilities=router.rtp_capabilities, app_data={producer: other}
    )
    data["peers"][consumer] = producer

    assert worker.app_data is other.app_data is data is data["self"]
    assert router.app_data["room"] is data and data["call"]() is router
    assert transport.app_data["router"] is router and transport.app_data["data"] is data
    assert producer.app_data["transport"] is transport
    assert consumer.app_data[data["peers"][consumer]] is other
    consumer.app_data = {"new": consumer}
    assert consumer.app_data["new"] is consumer
    assert (await router.dump())["transportIds"] == [transport.id, other.id]
    worker.close()
