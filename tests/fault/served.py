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

from .processes import children, is_alive, until

ROOT = Path(__file__).parents[2]
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

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page for operators."""
        host, _, port = self.status.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        return int(head.split()[1]), body

    async def figures(self) -> dict[str, float]:
        """Its metrics, by name and labels."""
        status, body = await self.get("/metrics")
        assert status == 200
        lines = [line for line in body.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

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


@asynccontextmanager
async def served(*flags: str, quiet: bool = True, **environment: str) -> AsyncIterator[Served]:
    """A server while the block runs; it must end as it should, and have said nothing bad if `quiet`."""
    server = await Served.start(*flags, **environment)
    try:
        yield server
    except BaseException:
        server.process.kill()
        await server.process.communicate()
        raise
    status, errors = await server.end()
    assert status == 0, errors
    assert not (quiet and errors), errors
