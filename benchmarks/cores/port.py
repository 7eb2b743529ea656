"""One public port for all cores: the share of what comes in that reaches another core than its owner.

The kernel spreads addresses over the cores' sockets by a hash, which knows nothing of who owns them. Clients join with
ICE and DTLS; then publishers send packets of a camera's size and rate, the others a report now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import product
from typing import Any

from benchmarks.cores.joiners import Joiners
from benchmarks.cores.stage import LISTEN, Shape, core_pids, cpus, spread
from sfu.bench.engine import CODECS
from vertical import MediasoupVertical
from vertical import spread as evenly

PUBLISHER, LISTENER = 100.0, 2.0  # datagrams per second
_SPARE = 0.5  # s that clients send for longer than it is counted
HEADER = "  room     cores  datagrams/s  handed over (quartiles of rooms)"


async def measure(quick: bool) -> AsyncIterator[dict[str, Any]]:
    """Rows for two cores, and for as many as there are; none where there is but one."""
    rooms, seconds = (2, 0.5) if quick else (12, 1.0)
    for cores, shape in product(sorted({min(2, len(cpus())), len(cpus())} - {1}), (Shape(20), Shape(8, mutual=True))):
        async with MediasoupVertical(max_workers=cores, placement=evenly) as vertical, await Joiners.start() as joiners:
            assert vertical.mediasoup is not None
            worker = await vertical.mediasoup.create_worker()
            await core_pids(vertical, cores)
            server = await worker.create_webrtc_server(listen_infos=[LISTEN])
            turns = [await turn(worker, server, joiners, shape, seconds) for _ in range(rooms)]
        yield {
            "part": "port",
            "room": shape.name,
            "cores": cores,
            "rooms": rooms,
            "datagramsPerSecond": spread([arrived / seconds for arrived, _ in turns], 0),
            "handedOver": spread([handed / arrived for arrived, handed in turns]),
        }


async def turn(worker: Any, server: Any, joiners: Joiners, shape: Shape, seconds: float) -> tuple[int, int]:
    """A room of new clients: datagrams that arrived, and those of them that were handed over."""
    router = await worker.create_router(media_codecs=CODECS)

    async def join(person: int) -> None:
        transport = await router.create_webrtc_transport(webrtc_server=server)
        await transport.connect(dtls_parameters=joiners.dtls_parameters)
        await joiners.join(transport, PUBLISHER if person < shape.publishers else LISTENER, seconds + _SPARE)

    await asyncio.gather(*map(join, range(shape.people)))
    before = await worker.get_core_stats()
    await asyncio.sleep(seconds)
    after = await worker.get_core_stats()
    await asyncio.sleep(2 * _SPARE)  # until they have stopped: datagrams for nobody are nobody's
    router.close()
    arrived, handed = (after[name] - before[name] for name in ("datagramsIn", "handedOut"))
    return max(arrived, 1), handed


def line(row: dict[str, Any]) -> str:
    low, middle, high = row["handedOver"]
    return (
        f"  {row['room']:<8} {row['cores']:>5}  {row['datagramsPerSecond'][1]:>11,.0f}"
        f"  {middle:>10.1%} ({low:.1%} … {high:.1%})"
    )
