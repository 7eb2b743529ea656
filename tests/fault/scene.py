"""The scene of a flood: a worker that logs all it can, a plain call and a WebRTC publisher; and what they must show
afterwards."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sfu.bench.engine import CODECS
from sfu_core.channel.settings import LOG_TAGS
from sfu_core.mediasoup import Worker, set_log_event_listeners

from .call import Call
from .peer import TCP, UDP, Peer, publish
from .processes import create_worker, resident

MAX_ANSWER = 5.0  # seconds for a request while it rains, on a machine that others use too
MAX_LINES = 50  # of log, whatever comes from outside
MAX_GROWTH = 24 << 20  # bytes: the rings and tables of the slab that are touched for the first time


class Scene:
    """What is there while it rains."""

    def __init__(self, call: Call, worker: Worker, server: Any, transport: Any, producer: Any, peer: Peer) -> None:
        self.call = call
        self.worker = worker
        self.server = server
        self.transport = transport
        self.producer = producer
        self.peer = peer
        self.lines: list[str] = []

    async def drops(self) -> dict[str, int]:
        """Of the whole core, by reason."""
        stats = await self.worker.get_core_stats()
        return {name.removeprefix("drop."): count for name, count in stats.items() if name.startswith("drop.")}

    async def open_transport(self) -> Any:
        """Another WebRtcTransport on the same ports."""
        router = await self.worker.create_router()
        return await router.create_webrtc_transport(webrtc_server=self.server)

    async def flood(self, kind: str, address: tuple[str, int], count: int) -> int:
        """Datagrams from everywhere; how many left."""
        program = Path(__file__).with_name("flood.py")
        ufrag = self.transport.ice_parameters["usernameFragment"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        arguments = [kind, address[0], str(address[1]), str(count), ufrag]
        process = await asyncio.create_subprocess_exec(sys.executable, program, *arguments, stdout=-1, env=environment)
        said, _ = await process.communicate()
        assert process.returncode == 0
        return int(said)

    async def publishes(self, packets: int = 50) -> bool:
        """Whether all of so many packets of the peer are accepted."""
        before = await self._received()
        for _ in range(packets):
            self.peer.send()
            await asyncio.sleep(0.001)
        deadline = time.monotonic() + 5
        while await self._received() < before + packets and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        return await self._received() == before + packets

    async def _received(self) -> int:
        stats = await self.producer.get_stats()
        return sum(int(each["packetCount"]) for each in stats)

    async def assert_unharmed(self) -> None:
        assert self.transport.ice_state == "completed" and self.transport.dtls_state == "connected"
        assert await self.peer.is_answered()
        assert await self.publishes()


@asynccontextmanager
async def scene(max_lines: int = MAX_LINES, max_answer: float = MAX_ANSWER, **call: Any) -> AsyncIterator[Scene]:
    """The body makes the flood; before it ends, all must be as if nothing had been."""
    async with await create_worker(log_level="debug", log_tags=LOG_TAGS) as worker, Call(worker, **call) as plain:
        server = await worker.create_webrtc_server(listen_infos=[UDP, TCP])
        router = await worker.create_router(media_codecs=CODECS)
        transport = await router.create_webrtc_transport(webrtc_server=server)
        peer = Peer()
        try:
            await peer.connect(transport)
            each = Scene(plain, worker, server, transport, await publish(transport), peer)
            assert await each.publishes()
            listen_to_log(each.lines)
            memory = resident(worker.pid)
            await plain.begin()
            over = asyncio.get_running_loop().create_future()
            answering = asyncio.create_task(answer_times(worker, over))
            try:
                yield each
            finally:
                over.set_result(None)
                slowest = max(await answering)
            count = await plain.end()
            assert count.complete, count
            await each.assert_unharmed()
            assert len(each.lines) <= max_lines, each.lines
            assert slowest < max_answer
            assert resident(worker.pid) - memory < MAX_GROWTH
        finally:
            set_log_event_listeners()
            peer.close()


def listen_to_log(lines: list[str]) -> None:
    def hear(_: str, line: str, *__: object) -> None:
        lines.append(line)

    set_log_event_listeners(ondebug=hear, onwarn=hear, onerror=hear)


async def answer_times(worker: Worker, until: asyncio.Future[Any], pause: float = 0.02) -> list[float]:
    """How long the worker takes to answer, asked again and again; in seconds."""
    times = []
    while not until.done():
        begun = time.monotonic()
        await worker.dump()
        times.append(time.monotonic() - begun)
        await asyncio.sleep(pause)
    return times
