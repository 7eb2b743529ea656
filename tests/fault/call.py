"""A running plain call beside which things go wrong: a source and counting sinks, each in a process of its own."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from sfu.bench.engine import Engine
from sfu.bench.load import LoadProcess
from sfu.bench.traffic import steady
from sfu_core.mediasoup import Worker

SLICE = 0.5  # seconds that the source sends before it looks whether it should stop
PATIENCE = 5.0  # seconds after the last packet in which it may still arrive: a busy machine is no loss


@dataclass(frozen=True)
class Count:
    """What was sent and what arrived, in packets; `missing` are holes in the sinks' sequence numbers."""

    sent: int
    fan_out: int
    received: int
    missing: int

    @property
    def lost(self) -> int:
        return self.sent * self.fan_out - self.received

    @property
    def complete(self) -> bool:
        return self.sent > 0 and self.lost == 0 and self.missing == 0


class Call:
    """`async with` opens it; it sends between `begin` and `end`."""

    def __init__(
        self,
        worker: Worker,
        *,
        fan_out: int = 4,
        rate: int = 500,
        burst: int = 1,
        size: int = 160,
        suite: str | None = None,
        slice_seconds: float = SLICE,
    ) -> None:
        self._engine = Engine(worker)
        self._fan_out = fan_out
        self._suite = suite
        self._slice = slice_seconds
        self._cycle = steady(size, rate, burst)
        self._sent = 0
        self._sending: asyncio.Task[None] | None = None
        self._over = False

    async def __aenter__(self) -> Self:
        cpus = os.sched_getaffinity(0)
        self._source, self._sinks = await LoadProcess.start(cpus), await LoadProcess.start(cpus)
        sinks = await self._sinks.open_sinks(self._fan_out)
        destination = await self._engine.open_room(self._cycle.kind, self._suite, sinks)
        await self._source.load(self._cycle, [destination])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        if self._sending is not None:
            await asyncio.gather(self._sending, return_exceptions=True)
        await self._source.close()
        await self._sinks.close()
        if not self._engine._worker.closed:
            await self._engine.close_room()

    @property
    def router(self) -> Any:
        """Its router, with one producer."""
        return self._engine._router

    @property
    def pids(self) -> list[int]:
        """Of the processes that send and count."""
        return [self._source.pid, self._sinks.pid]

    async def begin(self) -> None:
        """Packets flow."""
        self._sent, self._over = 0, False
        await self._sinks.begin_count()
        self._sending = asyncio.create_task(self._send())

    async def delivered(self) -> int:
        """Packets that have arrived so far."""
        return (await self._sinks.counted())["packets"]

    async def end(self, patience: float = PATIENCE) -> Count:
        """No more packets; what came of them. Where some are lost, all of `patience` is waited."""
        assert self._sending is not None
        self._over = True
        await self._sending
        deadline = time.monotonic() + patience
        while await self.delivered() < self._sent * self._fan_out and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        received = await self._sinks.end_count()
        return Count(self._sent, self._fan_out, received["packets"], received["missing"])

    async def run(self, seconds: float) -> Count:
        """`begin`, `end`, and so long between."""
        await self.begin()
        await asyncio.sleep(seconds)
        return await self.end()

    async def _send(self) -> None:
        while not self._over:
            sent = (await self._source.run(self._slice))["sent"]
            assert sent is not None and sent["failed"] == 0
            self._sent += sent["packets"]
