"""What there is to tell of a server that runs: whether it takes workers, and its figures.

Belongs to the server's event loop. Asks managers and workers, none of which is waited for long.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from horizontal import RemoteMediasoupServer
from horizontal.connection import shown
from sfu.serve.metrics import CONTENT_TYPE, Figures
from sfu.serve.stack import Front, Stack, patiently
from sfu.serve.status import Answer
from sfu_core.channel import messages as m
from sfu_core.version import VERSION


class Observer:
    """Of one server."""

    def __init__(self, stack: Stack, front: Front, server: RemoteMediasoupServer) -> None:
        self._stack = stack
        self._front = front
        self._server = server

    async def health(self) -> Answer:
        """200 while it takes new workers."""
        if self._front.draining:
            return Answer("draining\n", HTTPStatus.SERVICE_UNAVAILABLE)
        if not self._front.ready:
            return Answer("no workers to offer\n", HTTPStatus.SERVICE_UNAVAILABLE)
        return Answer("ok\n")

    async def metrics(self) -> Answer:
        """For Prometheus."""
        figures = Figures()
        figures.gauge("sfu_info", "What runs here.", 1, version=VERSION, stack=self._stack.name)
        figures.gauge("sfu_ready", "Whether it takes new workers.", self._front.ready)
        figures.gauge("sfu_draining", "Whether it is about to end.", self._front.draining)
        figures.gauge("sfu_sessions", "Clients, with those that are cut and may come back.", self._server.sessions)
        figures.gauge("sfu_workers", "Workers that clients have.", len(self._server.workers))
        self._add_hosts(figures)
        await asyncio.gather(self._add_cores(figures), self._add_processes(figures))
        return Answer(figures.text(), content_type=CONTENT_TYPE)

    async def _add_processes(self, figures: Figures) -> None:
        async with patiently():
            figures.processes(await self._front.get_stats() or {})

    async def _add_cores(self, figures: Figures) -> None:
        if self._stack.vertical is None:
            await asyncio.gather(*(self._add_worker(figures, worker) for worker in self._server.workers))
            return
        async with patiently():
            for core in await self._stack.vertical.cores():
                labels = {"core": core.index, "pid": core.pid}
                figures.gauge("sfu_core_load_percent", "Of one processor.", core.load, **labels)
                figures.gauge("sfu_core_transports", "Transports on the core.", core.transports, **labels)
                figures.gauge("sfu_core_producers", "Producers that send to it.", core.producers, **labels)
                figures.gauge("sfu_core_consumers", "Consumers that receive from it.", core.consumers, **labels)
                figures.gauge("sfu_core_pipes", "Producers of other cores piped to it.", core.pipes, **labels)
                figures.counters(core.counters, **labels)

    async def _add_worker(self, figures: Figures, worker: Any) -> None:
        if m.WorkerGetCoreStats.METHOD in worker.channel.place.extensions:
            async with patiently():
                answer = await worker.channel.request(m.WorkerGetCoreStats())
                figures.counters(answer.counters, pid=worker.pid)

    def _add_hosts(self, figures: Figures) -> None:
        if self._stack.horizontal is None:
            return
        for host in self._stack.horizontal.hosts:
            labels = {"host": shown(host.manager.url)}
            figures.gauge("sfu_host_open", "Whether it gets new workers.", host.open, **labels)
            figures.gauge("sfu_host_draining", "Whether it is to become empty.", host.draining, **labels)
            figures.gauge("sfu_host_load_percent", "Of all its processors.", host.load, **labels)
            figures.gauge("sfu_host_workers", "Workers that we have there.", len(host.workers), **labels)
