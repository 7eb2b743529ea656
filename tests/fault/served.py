"""`sfu serve` as operators run it: a process of its own, asked by HTTP how it is, ended by signals."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from waiting import until

from .processes import children, is_alive

ROOT = Path(__file__).parents[2]
SAMPLE = re.compile(r'([a-z_]+)(\{[a-z]+="(?:[^"\\]|\\["n\\])*"(?:,[a-z]+="(?:[^"\\]|\\["n\\])*")*\})? (\S+)')
READY = re.compile(r"^([\w ]+) server at (\S+), status at (\S+)$")


class Served:
    """One server that runs; what it has said so far is in `lines`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.stack = self.url = self.status = ""

    @classmethod
    async def start(cls, *flags: str, port: int = 0, **environment: str) -> Self:
        """Returns when it can be reached."""
        command = [sys.executable, "-m", "sfu", "serve", "--port", str(port), "--status", "127.0.0.1:0", *flags]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=-1, stderr=-1, env={**os.environ, **environment}
        )
        self = cls(process)
        line = await self.line()
        match = READY.match(line)
        if match is None:
            raise AssertionError(line + (await process.communicate())[1].decode())
        self.stack, self.url, self.status = match.groups()
        return self

    async def line(self) -> str:
        """What it says next."""
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            self.lines.append((await self.process.stdout.readline()).decode().rstrip("\n"))
        return self.lines[-1]

    async def ask(self, path: str) -> tuple[str, str]:
        """Head and body of a page for operators."""
        place = urlsplit(self.status)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        return head, body

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page for operators."""
        head, body = await self.ask(path)
        return int(head.split()[1]), body

    async def figures(self) -> dict[str, float]:
        """Its metrics, by name and labels; all of it as Prometheus wants it."""
        head, body = await self.ask("/metrics")
        assert head.startswith("HTTP/1.1 200 ")
        assert "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n" in head
        return exposed(body)

    async def healthy(self) -> bool:
        """Whether it takes workers."""
        return (await self.get("/health"))[0] == 200

    def family(self) -> set[int]:
        """The server and all processes below it."""
        found, new = {self.process.pid}, {self.process.pid}
        while new:
            new = {child for pid in new if is_alive(pid) for child in children(pid)} - found
            found |= new
        return found

    async def end(self, number: signal.Signals = signal.SIGTERM, within: float = 10.0) -> tuple[int | None, str]:
        """Its exit status, and what it has written to standard error. Nothing it has started lives on."""
        family = self.family()
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(within):
            _, errors = await self.process.communicate()
        await until(lambda: not any(map(is_alive, family)), 5.0)
        return self.process.returncode, errors.decode()


def exposed(text: str) -> dict[str, float]:
    """Samples of the text exposition format 0.0.4: each family once, its kind before its samples, no sample twice."""
    found: dict[str, float] = {}
    families: list[str] = []
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            families.append(line.split(" ")[2])
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2:] in ([families[-1], "gauge"], [families[-1], "counter"]), line
        else:
            match = SAMPLE.fullmatch(line)
            assert match is not None and match[1] == families[-1], line
            assert match[1].endswith("_total") == (f"# TYPE {match[1]} counter" in text), line
            assert found.setdefault(match[1] + (match[2] or ""), value := float(match[3])) is value, line
    assert text.endswith("\n") and len(set(families)) == len(families)
    return found


@asynccontextmanager
async def served(*flags: str, quiet: bool = True, **environment: str) -> AsyncIterator[Served]:
    """A server while the block runs; it must end as it should, and have said nothing bad if `quiet`."""
    server = await Served.start(*flags, **environment)
    try:
        yield server
    except BaseException:
        await server.end(signal.SIGKILL)
        raise
    status, errors = await server.end()
    assert status == 0, errors
    assert not (quiet and errors), errors
