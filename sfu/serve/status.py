"""`/health` and `/metrics` over HTTP/1.1, for whoever watches the server: GET, one request a connection.

Belongs to the server's event loop. Knows no figures: it is given functions that make the answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

LIMIT: Final = 8192
"""Bytes that a request may have."""

TIMEOUT: Final = 5.0
"""Seconds for a request and its answer."""

CONNECTIONS: Final = 32
"""At once; further ones are closed."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What a page says."""

    body: str
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = "text/plain; charset=utf-8"


Pages = Mapping[str, Callable[[], Awaitable[Answer]]]


@contextlib.asynccontextmanager
async def serving(host: str, port: int, pages: Pages) -> AsyncIterator[int]:
    """Serves the pages by path while the block runs; gives the port. OSError if it cannot listen there."""
    open_now: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(open_now) >= CONNECTIONS:
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(_talk(reader, writer, pages))
        open_now.add(task)
        task.add_done_callback(open_now.discard)

    server = await asyncio.start_server(accept, host, port, limit=LIMIT)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in open_now:
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pages: Pages) -> None:
    try:
        async with asyncio.timeout(TIMEOUT):
            answer, head = await _answer(reader, pages)
            writer.write(_bytes(answer, head))
            await writer.drain()
    except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader, pages: Pages) -> tuple[Answer, bool]:
    """The answer, and whether only its head is wanted."""
    try:
        request = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return Answer("too long\n", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE), False
    words = request.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return Answer("not HTTP/1.1\n", HTTPStatus.BAD_REQUEST), False
    method, target, _ = words
    head = method == "HEAD"
    page = pages.get(target.partition("?")[0])
    if page is None:
        return Answer("".join(f"{path}\n" for path in pages), HTTPStatus.NOT_FOUND), head
    if method not in ("GET", "HEAD"):
        return Answer("only GET\n", HTTPStatus.METHOD_NOT_ALLOWED), False
    try:
        return await page(), head
    except Exception as error:
        _log.warning("%s: %s", target, error)
        return Answer(f"{type(error).__name__}\n", HTTPStatus.INTERNAL_SERVER_ERROR), head


def _bytes(answer: Answer, head: bool) -> bytes:
    body = answer.body.encode()
    lines = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1") + (b"" if head else body)
