"""A storm of joins during running traffic: how much later packets arrive at the slowest hundredth.

A join is everything a browser makes a server do: a transport, ICE, and a DTLS handshake. Turns with and without joins
take turns. A delay is from the send of the publisher until the kernel has the packet for the subscriber.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from benchmarks.cores.joiners import Joiners
from benchmarks.cores.stage import LISTEN, Shape, Side, cpus, one_room, rooms_alone, spread
from sfu.bench.engine import CODECS
from sfu_core.errors import SfuError

JOINS_PER_SECOND = 200
SHAPE = Shape(20)
DELIVERED_PER_SECOND = 2000
HEADER = "  cores     joins/s  failed   delay p50/p99 quiet   in the storm    added at p99 (quartiles)"


class Storm:
    """Joins at an even pace to transports of their own, each closed a second after it was connected."""

    def __init__(self, router: Any, server: Any, joiners: Joiners) -> None:
        self._router, self._server, self._joiners = router, server, joiners
        self.joined = self.failed = 0

    async def blow(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        start, tasks = loop.time(), []
        for number in range(round(JOINS_PER_SECOND * seconds)):
            await asyncio.sleep(start + number / JOINS_PER_SECOND - loop.time())
            tasks.append(loop.create_task(self._join()))
        await asyncio.gather(*tasks)

    async def _join(self) -> None:
        transport = await self._router.create_webrtc_transport(webrtc_server=self._server)
        connected = asyncio.Event()
        transport.on("dtlsstatechange", lambda state: connected.set() if state == "connected" else None)
        try:
            async with asyncio.timeout(10):
                await transport.connect(dtls_parameters=self._joiners.dtls_parameters)
                await self._joiners.join(transport)
                await connected.wait()
            self.joined += 1
        except (TimeoutError, SfuError):
            self.failed += 1
        asyncio.get_running_loop().call_later(1, transport.close)


def percentile(delays: list[tuple[int, int]], share: float) -> int:
    """The delay (µs) that `share` of the packets do not exceed, to the width of a step."""
    left = share * sum(packets for _, packets in delays)
    for delay, packets in delays:
        left -= packets
        if left <= 0:
            return delay
    return 0


async def measure(quick: bool) -> AsyncIterator[dict[str, Any]]:
    """Rows for one core and for two."""
    rounds, seconds = (1, 0.5) if quick else (8, 3.0)
    for cores in sorted({1, min(2, len(cpus()))}):
        make = rooms_alone if cores == 1 else one_room
        async with (
            make(SHAPE, cores, DELIVERED_PER_SECOND, "plain", timed=True) as side,
            await Joiners.start() as child,
        ):
            yield await compare(side, child, cores, rounds, seconds)


async def compare(side: Side, joiners: Joiners, cores: int, rounds: int, seconds: float) -> dict[str, Any]:
    """A row of the table."""
    worker = side.workers[0]
    router = await worker.create_router(media_codecs=CODECS)
    storm = Storm(router, await worker.create_webrtc_server(listen_infos=[LISTEN]), joiners)
    await storm.blow(0.2)  # certificates, code that is loaded late
    storm.joined = storm.failed = 0
    quiet: list[list[tuple[int, int]]] = []
    stormy: list[list[tuple[int, int]]] = []
    for _ in range(rounds):
        await side.load.run(seconds, tick=0.002)
        quiet.append(await side.load.delays())
        await asyncio.gather(side.load.run(seconds, tick=0.002), storm.blow(seconds))
        stormy.append(await side.load.delays())
        await asyncio.sleep(1.2)  # until its transports are gone
    before, during = ([percentile(turn, 0.99) for turn in turns] for turns in (quiet, stormy))
    return {
        "part": "storm",
        "cores": cores,
        "room": SHAPE.name,
        "rounds": rounds,
        "seconds": seconds,
        "joinsPerSecond": round(storm.joined / (rounds * seconds)),
        "failed": storm.failed,
        "quietP50Us": spread([percentile(turn, 0.5) for turn in quiet], 0),
        "quietP99Us": spread(before, 0),
        "stormP50Us": spread([percentile(turn, 0.5) for turn in stormy], 0),
        "stormP99Us": spread(during, 0),
        "addedUs": spread([late - usual for usual, late in zip(before, during, strict=True)], 0),
    }


def line(row: dict[str, Any]) -> str:
    low, middle, high = row["addedUs"]
    return (
        f"  {row['cores']:>5}  {row['joinsPerSecond']:>10}  {row['failed']:>6}"
        f"   {row['quietP50Us'][1]:>8.0f} {row['quietP99Us'][1]:>6.0f} µs"
        f"  {row['stormP50Us'][1]:>8.0f} {row['stormP99Us'][1]:>6.0f} µs   {middle:>6.0f} µs ({low:.0f} … {high:.0f})"
    )
