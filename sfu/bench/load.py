"""The load as processes: `LoadProcess` here in the benchmark, `main` in the child, JSON lines between them.

A child owns sink sockets or a sender's socket and runs `sfu._load`; the benchmark says what to do and reads
the counts.
"""

from __future__ import annotations

import asyncio
import json
import select
import signal
import socket
import sys
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any, Self

from sfu import _load
from sfu.bench.cpu import pin
from sfu.bench.traffic import SSRC, Cycle

HOST = "127.0.0.1"
BUFFER = 8 * 1024 * 1024
SO_RCVBUFFORCE = 33
FOREVER = 1e9  # seconds
_LINE_LIMIT = 64 * 1024 * 1024

Address = tuple[str, int]


class LoadProcess:
    """A child that sends and counts. One request at a time; a request that fails raises RuntimeError."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, cpus: set[int]) -> Self:
        """Starts a child pinned to `cpus`."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sfu.bench.load", stdin=-1, stdout=-1, limit=_LINE_LIMIT
        )
        self = cls(process)
        await self._ask("hello")
        pin(process.pid, cpus)
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    async def open_sinks(self, count: int, *, timed: bool = False) -> list[Address]:
        """Binds `count` counting sockets in place of those it had; `timed` ones note what stamps say."""
        return [(HOST, port) for port in await self._ask("open_sinks", count=count, timed=timed)]

    async def open_source(self) -> Address:
        """The address from which it will send."""
        return HOST, await self._ask("open_source")

    async def load(
        self,
        cycle: Cycle,
        destinations: list[Address],
        *,
        gso: bool = False,
        stamped: bool = False,
        staggered: bool = False,
    ) -> None:
        """Says what `run` sends, and where to: everywhere at once, or `staggered` over the time between two steps."""
        steps = [
            (at, ticks, b64encode(packet).decode(), *to)
            for at, ticks, packet, *to in (cycle.staggered(len(destinations)) if staggered else cycle.steps)
        ]
        await self._ask(
            "load",
            steps=steps,
            period=cycle.period,
            rtp_period=cycle.rtp_period,
            destinations=destinations,
            gso=gso,
            stamped=stamped,
        )

    async def run(self, seconds: float, *, polling: bool = False, settle: float = 0.2, tick: float = 0) -> _load.Run:
        """Sends for `seconds`; counts what arrives until nothing came for `settle` seconds. See `_load.run`."""
        result: _load.Run = await self._ask("run", seconds=seconds, polling=polling, settle=settle, tick=tick)
        return result

    async def delays(self) -> list[tuple[int, int]]:
        """Of the last run, with timed sinks and stamped packets: [(µs, packets), …]."""
        return [(delay, packets) for delay, packets in await self._ask("delays")]

    async def begin_count(self, *, polling: bool = False, settle: float = 0.2) -> None:
        """Counts what arrives until `end_count`, and then until nothing came for `settle` seconds."""
        await self._ask("begin_count", polling=polling, settle=settle)

    async def counted(self) -> _load.Received:
        """What arrived since `begin_count`; it goes on counting."""
        result: _load.Received = await self._ask("counted")
        return result

    async def end_count(self) -> _load.Received:
        """What arrived since `begin_count`."""
        result: _load.Received = await self._ask("end_count")
        return result

    async def relay(self, destinations: list[Address]) -> Address:
        """Turns the child into a plain relay until it is closed; returns the address it listens on."""
        return HOST, await self._ask("relay", destinations=destinations)

    async def close(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ask(self, method: str, **arguments: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([method, arguments]).encode() + b"\n")
        await self._process.stdin.drain()
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"load process ended during {method}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]


class Child:
    """The child's side: one method a request."""

    def __init__(self) -> None:
        self._sinks: list[socket.socket] = []
        self._epoll = select.epoll()
        self._sink: _load.Sink | None = None
        self._source: _load.Source | None = None
        self._counting: threading.Thread | None = None
        self._out = udp_socket()

    def hello(self) -> None:
        pass

    def open_sinks(self, count: int, timed: bool) -> list[int]:
        for sock in self._sinks:
            sock.close()
        self._epoll.close()
        self._epoll = select.epoll()
        self._sinks = [udp_socket() for _ in range(count)]
        for sock in self._sinks:
            self._epoll.register(sock, select.EPOLLIN)
        self._sink = _load.Sink(self._sinks, self._epoll.fileno(), timed)
        return [sock.getsockname()[1] for sock in self._sinks]

    def open_source(self) -> int:
        self._out.close()
        self._out = udp_socket()
        return int(self._out.getsockname()[1])

    def load(
        self, steps: list[Any], period: int, rtp_period: int, destinations: list[list[Any]], gso: bool, stamped: bool
    ) -> None:
        packets: list[Any] = [(at, ticks, b64decode(packet), *to) for at, ticks, packet, *to in steps]
        addresses = [(ip, port) for ip, port in destinations]
        self._source = _load.Source(
            packets, period, rtp_period, [self._out], addresses, ssrc=SSRC, gso=gso, stamped=stamped
        )

    def run(self, seconds: float, polling: bool, settle: float, tick: float) -> _load.Run:
        return _load.run(self._source, self._sink, seconds, settle, polling, tick)

    def delays(self) -> list[tuple[int, int]]:
        assert self._sink
        return self._sink.delays()

    def begin_count(self, polling: bool, settle: float) -> None:
        what = (None, self._sink, FOREVER, settle, polling)
        self._counting = threading.Thread(target=_load.run, args=what, daemon=True)  # ends with whoever started us
        self._counting.start()

    def counted(self) -> _load.Received:
        assert self._sink
        return self._sink.counters()

    def end_count(self) -> _load.Received:
        assert self._sink and self._counting
        self._sink.finish()
        self._counting.join()
        return self._sink.counters()

    def relay(self, destinations: list[list[Any]]) -> Callable[[], object]:
        return lambda: _load.relay(self._out, [(ip, port) for ip, port in destinations])

    def port(self) -> int:
        return int(self._out.getsockname()[1])


def udp_socket() -> socket.socket:
    """A bound loopback socket with as large a receive buffer as the system grants."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    sock.bind((HOST, 0))
    return sock


def main() -> None:
    """Answers requests until standard input ends. Ctrl-C is for whoever started us, and ends that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = Child()
    for line in sys.stdin:
        method, arguments = json.loads(line)
        then: Callable[[], object] | None = None
        try:
            result = getattr(child, method)(**arguments)
            if callable(result):
                then, result = result, child.port()
            answer = {"result": result}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
        if then:
            then()


if __name__ == "__main__":
    main()
