"""A client in JavaScript, written from the protocol's pages alone, with our server; a relay breaks its network."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from horizontal import RemoteMediasoupServer
from tests.network.tcp_relay import TcpRelay

from .call import LOOPBACK, until
from .conftest import missing

FOLDER = Path(__file__).parent
PACKAGES = [FOLDER / "node_modules" / name for name in ("ws", "@msgpack/msgpack")]
SCENARIO = FOLDER / "remote" / "scenario.mjs"
TOKEN = "let-me-in"
NEWS = 20


@dataclass
class Operator:
    """What the server's operator has added: methods that note what is carried out, and break the network."""

    relay: TcpRelay
    added: list[int] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def methods(self, tell: Callable[..., None]) -> dict[str, Callable[..., Any]]:
        loop = asyncio.get_running_loop()

        def add(number: int) -> int:
            self.added.append(number)
            return number * 10

        def cut(seconds: float) -> str:
            self.done.append("cut")
            self.relay.cut()
            for n in range(NEWS):
                loop.call_later(seconds * n / NEWS, tell, "news", n)
            loop.call_later(seconds, self.relay.mend)
            return "cut"

        def freeze(seconds: float) -> str:
            self.done.append("freeze")
            self.relay.freeze()
            loop.call_later(seconds, self.relay.mend)
            return "frozen"

        return {"add": add, "cut": cut, "freeze": freeze}


@asynccontextmanager
async def served() -> AsyncIterator[tuple[RemoteMediasoupServer, Operator, str]]:
    """A server, its operator, and the address of the relay before it."""
    async with TcpRelay(0) as relay:
        operator = Operator(relay)
        server = RemoteMediasoupServer(
            host=LOOPBACK, port=0, tokens=[TOKEN], extra_methods_factory=operator.methods, grace=20
        )
        async with server:
            relay.aim(server.port)
            yield server, operator, f"ws://{LOOPBACK}:{relay.port}"


async def node(*arguments: str) -> dict[str, Any]:
    """What the scenario reports."""
    process = await asyncio.create_subprocess_exec("node", str(SCENARIO), *arguments, stdout=-1, stderr=-1)
    try:
        async with asyncio.timeout(40):
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert not errors, errors.decode()
    assert process.returncode == 0
    report = json.loads(out)
    assert isinstance(report, dict)
    return report


@pytest.fixture(scope="module")
def run(runner: asyncio.Runner) -> Iterator[tuple[dict[str, Any], Operator]]:
    """What the client reports, and the operator; the server has nothing left of the client when it is done."""
    if shutil.which("node") is None or not all(folder.exists() for folder in PACKAGES):
        missing("node, or its packages for the remote protocol")

    async def whole() -> tuple[dict[str, Any], Operator]:
        async with served() as (server, operator, url):
            report = await node(url, TOKEN)

            async def left() -> tuple[int, int]:
                return server.sessions, len(server.workers)

            await until(left, lambda counts: counts == (0, 0))
        return report, operator

    yield runner.run(whole())


@pytest.fixture
def report(run: tuple[dict[str, Any], Operator]) -> dict[str, Any]:
    return run[0]


@pytest.fixture
def operator(run: tuple[dict[str, Any], Operator]) -> Operator:
    return run[1]


@pytest.mark.parametrize(
    ("what", "status", "word"),
    [
        ("wrongToken", 401, "token is wrong"),
        ("noToken", 401, "token is needed"),
        ("unknownVersion", 400, "sfu.1"),
    ],
)
def test_nobody_gets_in_without_a_token_and_the_subprotocol(
    report: dict[str, Any], what: str, status: int, word: str
) -> None:
    assert report["rules"][what]["status"] == status
    assert word in report["rules"][what]["text"]


@pytest.mark.parametrize(
    ("what", "code", "word"),
    [
        ("text", 1002, "text"),
        ("gap", 1002, "2 after 0"),
        ("tooMuchReceived", 1002, "has not been sent"),
        ("badResume", 1002, "resume"),
        ("takenOver", 4001, "newer connection"),
        ("closed", 1000, ""),
    ],
)
def test_connections_end_as_the_page_says(report: dict[str, Any], what: str, code: int, word: str) -> None:
    assert report["rules"][what]["code"] == code
    assert word in report["rules"][what]["reason"]


def test_a_session_goes_on_until_its_client_is_done(report: dict[str, Any]) -> None:
    """The first greeting resumed one that another connection had; the last one asked for one that was over."""
    assert report["rules"]["resumed"] == [True, False, False]


def test_greeting(report: dict[str, Any]) -> None:
    greeting = report["greeting"]
    assert greeting.keys() >= {"session", "instance", "resumed", "received", "grace", "silence", "version", "extra"}
    assert (greeting["grace"], greeting["silence"], greeting["received"]) == (20, 1, 0)


def test_room_asked_in_one_go(report: dict[str, Any]) -> None:
    """Worker, router, four transports, producers and consumers, without waiting for any of them."""
    room = report["room"]
    assert room["envelopes"] == 1
    assert room["place"]["announcedAddresses"] == [LOOPBACK]
    assert room["place"]["protocolVersion"] == 1
    assert room["produced"] == {"type": 0}
    assert room["consumed"]["producerPaused"] is False
    assert room["connected"]["tuple"]["remotePort"] == room["port"]


def test_rtp_both_ways(report: dict[str, Any]) -> None:
    """Binary through direct transports, UDP through plain ones: with the numbers that the requests have named."""
    media = report["media"]
    assert media["payloadsKept"]
    assert media["consecutive"]
    assert media["direct"] == {"ssrc": 33333333, "payloadType": 100, "count": 50}
    assert media["plain"] == {"ssrc": 44444444, "payloadType": 100}
    assert media["packetsCounted"] == 50


def test_news_of_media(report: dict[str, Any]) -> None:
    assert report["media"]["score"] == [{"encodingIdx": 0, "ssrc": 11111111, "score": 10}]
    assert report["media"]["tuple"]["remotePort"] == report["room"]["port"]


def test_pipeline(report: dict[str, Any]) -> None:
    """A hundred requests in one envelope, carried out in their order; refusals name the class of the error."""
    pipeline = report["pipeline"]
    assert pipeline["envelopes"] == 1
    assert pipeline["inOrder"]
    assert pipeline["left"] == ["room"]
    assert pipeline["refused"] == ["NotFoundError", "TypeError", "TypeError", "NotFoundError", "TypeError"]


def test_cut_under_requests(report: dict[str, Any]) -> None:
    """What was carried out is answered, what was missed comes in order, media has gone on."""
    cut = report["cut"]
    assert cut["answers"] == [10, None, None, None, "cut", 20, 30, 40, 50]
    assert cut["news"] == [["news", n] for n in range(NEWS)]
    assert cut["events"] == [17, 18, 19]  # the producer paused, resumed, closed
    assert cut["throughTheCut"] > 5


def test_network_gone_without_a_word(report: dict[str, Any]) -> None:
    assert report["freeze"]["answers"] == ["frozen", 60, 70, 80]
    assert report["freeze"]["resumed"] >= 1


def test_nothing_is_carried_out_twice(report: dict[str, Any], operator: Operator) -> None:
    """Envelopes were sent again, and every request was carried out once, in its order."""
    assert report["counts"]["repeated"] >= 2
    assert report["counts"]["resumed"] >= 2
    assert operator.added == [1, 2, 3, 4, 5, 6, 7, 8]
    assert operator.done == ["cut", "freeze"]
    assert report["after"] == {"transports": ["ear", "in", "mouth", "out"], "producers": ["phone"]}


def test_end(report: dict[str, Any]) -> None:
    """The worker was closed on purpose, and then the session; the fixture has looked at what is left."""
    assert report["workerEnded"] is None
    assert report["closed"] == 1000
    assert set(report["stats"]) >= {"os", "process", "pidusages"}


def test_a_session_for_two(report: dict[str, Any]) -> None:
    """One makes things and knows of no peers; the other is told of them, late and as they change, and uses them."""
    sharing = report["sharing"]
    assert sharing["announced"] == [260, 261, 262]
    assert sharing["late"] == [[4, ""], [261, ""], [13, "room"], [25, "mouth"], [39, "microphone"]]
    assert sharing["done"] == [[40, "microphone"], [30, "mouth"]]
    assert sharing["ssrc"] == 55555555
    assert sharing["routerIds"] == ["room"], "what one has made stays when it goes"
