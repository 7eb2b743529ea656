"""Clients that join, in a process of the lowest priority: what they cost is not the server's affair.

`Joiners` here in the benchmark, `main` in the child, JSON lines between them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any, Self

from sfu.bench.joiner import Client, Identity

PACKET = bytes([0x80, 96]) + bytes(1200)
"""Looks like SRTP until it is unprotected."""


class Joiners:
    """The child; clients join at the same time."""

    def __init__(self, process: asyncio.subprocess.Process, dtls_parameters: dict[str, Any]) -> None:
        """`dtls_parameters`: of all its clients, for `connect`."""
        assert process.stdout
        self.dtls_parameters = dtls_parameters
        self._process = process
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._reading = asyncio.create_task(self._read(process.stdout))

    @classmethod
    async def start(cls) -> Self:
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, stdin=-1, stdout=-1)
        assert process.stdout
        return cls(process, json.loads(await process.stdout.readline()))

    async def join(self, transport: Any, rate: float = 0, stay: float = 1) -> None:
        """ICE and DTLS with the transport; TimeoutError if it takes 10 s. Then `rate` packets a second for `stay` s."""
        number, candidate = len(self._waiting), transport.ice_candidates[0]
        self._waiting[number] = asyncio.get_running_loop().create_future()
        ice = {name: transport.ice_parameters[name] for name in ("usernameFragment", "password")}
        assert self._process.stdin
        self._process.stdin.write(
            json.dumps([number, ice, [candidate["ip"], candidate["port"]], rate, stay]).encode() + b"\n"
        )
        await self._waiting[number]

    async def _read(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            number, joined = json.loads(line)
            if joined:
                self._waiting[number].set_result(None)
            else:
                self._waiting[number].set_exception(TimeoutError("a client could not join"))

    async def close(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._reading.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _serve() -> None:
    identity = Identity()
    print(json.dumps(identity.dtls_parameters), flush=True)
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    tasks = set()
    async for line in lines:
        tasks.add(task := loop.create_task(_join(identity, *json.loads(line))))
        task.add_done_callback(tasks.discard)


async def _join(
    identity: Identity, number: int, ice: dict[str, Any], address: list[Any], rate: float, stay: float
) -> None:
    client = Client(identity)
    try:
        await client.join(ice, (address[0], address[1]))
    except (TimeoutError, OSError):
        print(json.dumps([number, False]), flush=True)
    else:
        print(json.dumps([number, True]), flush=True)
        for _ in range(round(rate * stay)):
            client.send(PACKET)
            await asyncio.sleep(1 / rate)
        await asyncio.sleep(0 if rate else stay)
    finally:
        client.close()


def main() -> None:
    """Joins until standard input ends."""
    os.nice(19)
    asyncio.run(_serve())


if __name__ == "__main__":
    main()
