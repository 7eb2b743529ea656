"""What operators see: the Prometheus text, and the small HTTP server that serves it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import pytest

from sfu.serve import status
from sfu.serve.metrics import Figures, Metric, text
from sfu.serve.status import Answer, serving


def test_the_text_format() -> None:
    loads, bare = Metric("load", "gauge", "How much."), Metric("up", "gauge", "Whether.")
    loads.add(12.5, core=0, name='a"b\\c\nd')
    loads.add(3, core=1)
    bare.add(True)
    assert text([loads, Metric("none", "counter", "Nothing."), bare]) == (
        "# HELP load How much.\n"
        "# TYPE load gauge\n"
        'load{core="0",name="a\\"b\\\\c\\nd"} 12.5\n'
        'load{core="1"} 3\n'
        "# HELP up Whether.\n"
        "# TYPE up gauge\n"
        "up 1\n"
    )


def test_counters_of_cores() -> None:
    figures = Figures()
    for core in (0, 1):
        counters = {"busyNs": 1_500_000_000, "datagramsIn": 7, "bytesOut": 10**15, "drop.replay": 2, "drop.other": 3}
        figures.counters(counters, core=core)
    lines = figures.text().splitlines()
    assert lines.count("# TYPE sfu_core_datagrams_total counter") == 1
    assert 'sfu_core_busy_seconds_total{core="1"} 1.5' in lines
    assert 'sfu_core_datagrams_total{core="0",direction="in"} 7' in lines
    assert 'sfu_core_bytes_total{core="0",direction="out"} 1000000000000000' in lines
    assert 'sfu_core_drops_total{core="1",reason="replay"} 2' in lines
    groups = [line.split()[2] for line in lines if line.startswith("# HELP")]
    assert len(groups) == len(set(groups)), "all samples of a name stand together"


async def ok() -> Answer:
    return Answer("well\n")


async def broken() -> Answer:
    raise RuntimeError("secret")


async def away() -> Answer:
    return Answer("away\n", HTTPStatus.SERVICE_UNAVAILABLE)


PAGES = {"/health": ok, "/broken": broken, "/away": away}


async def ask(port: int, request: bytes) -> tuple[str, bytes]:
    """The head and the body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return head.decode(), body


def with_server(test: Callable[[int], Awaitable[None]]) -> None:
    async def run() -> None:
        async with serving("127.0.0.1", 0, PAGES) as port:
            await test(port)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


@pytest.mark.parametrize(
    ("request_line", "code", "body"),
    [
        ("GET /health HTTP/1.1", 200, b"well\n"),
        ("GET /health?verbose HTTP/1.0", 200, b"well\n"),
        ("HEAD /health HTTP/1.1", 200, b""),
        ("GET /away HTTP/1.1", 503, b"away\n"),
        ("GET / HTTP/1.1", 404, b"/health\n/broken\n/away\n"),
        ("POST /health HTTP/1.1", 405, b"only GET\n"),
        ("GET /broken HTTP/1.1", 500, b"RuntimeError\n"),
        ("\x16\x03\x01", 400, b"not HTTP/1.1\n"),
    ],
)
def test_answers(request_line: str, code: int, body: bytes) -> None:
    async def test(port: int) -> None:
        head, found = await ask(port, f"{request_line}\r\nHost: me\r\n\r\n".encode("latin-1"))
        assert head.startswith(f"HTTP/1.1 {code} ")
        assert found == body
        length = next(line for line in head.splitlines() if line.startswith("Content-Length: "))
        assert int(length.split()[1]) == len(body) or request_line.startswith("HEAD")

    with_server(test)


def test_a_request_without_end_is_refused() -> None:
    async def test(port: int) -> None:
        head, _ = await ask(port, b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 5000)
        assert head.startswith("HTTP/1.1 431 ")

    with_server(test)


def test_slow_ones_and_too_many_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "TIMEOUT", 0.2)
    monkeypatch.setattr(status, "CONNECTIONS", 3)

    async def test(port: int) -> None:
        waiting = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        async with asyncio.timeout(5):
            assert [await reader.read() for reader, _ in waiting] == [b""] * 4
        for _, writer in waiting:
            writer.close()
            await writer.wait_closed()
        head, _ = await ask(port, b"GET /health HTTP/1.1\r\n\r\n")
        assert "200" in head

    with_server(test)


def test_whoever_hangs_up_leaves_nothing() -> None:
    async def test(port: int) -> None:
        for _ in range(5):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /hea")
            writer.transport.abort()
        head, _ = await ask(port, b"GET /health HTTP/1.1\r\n\r\n")
        assert "200" in head

    with_server(test)
