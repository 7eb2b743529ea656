"""A broadcast: one on stage, an audience spread over all cores, and the cores live in the terminal.

    python -m examples.broadcast --viewers 200
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from examples.broadcast.server import Hall
from examples.broadcast.sources import best_source, playing
from examples.broadcast.view import Look, watch
from examples.broadcast.viewers import Viewers
from examples.conference.server import MEDIA_CODECS, listen, pages, parser, read, start
from sfu.bench.load import LoadProcess
from vertical import MediasoupVertical, spread

STATIC = Path(__file__).parent / "static"
PLACEMENTS = {"spread": spread, "fill": None}  # None: as in production


async def run(
    manager: Any,
    *,
    source: str = "camera",
    viewers: int = 0,
    per_second: float = 20,
    out: TextIO = sys.stdout,
    host: str = "127.0.0.1",
    port: int = 8080,
    rtc_ip: str = "127.0.0.1",
    rtc_port: int = 44444,
    announced_address: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Broadcasts until cancelled.

    Args:
        manager: a MediasoupVertical.
        source: who is on stage: ``camera`` (a page), ``test`` (a test picture), ``load`` (a recorded stream of
            packets) or a file that FFmpeg can play.
        viewers: how many this program brings itself, beside the pages that come.
        per_second: how fast they arrive.
        out: where the cores are shown.
        host, port, rtc_ip, rtc_port, announced_address, tls: as for the conference.
    """
    worker = await manager.mediasoup.create_worker()
    router = await worker.create_router(media_codecs=MEDIA_CODECS)
    hall = Hall(router, await listen(worker, rtc_ip, rtc_port, announced_address))
    async with (
        await LoadProcess.start(os.sched_getaffinity(0)) as process,
        pages(STATIC, hall.serve, host, port, tls) as address,
        playing(source, router) as film,
    ):
        audience = Viewers(hall, process)
        if film:
            hall.show_film(film)

        async def look() -> Look:
            received = await audience.received() if len(audience) else (0, 0)
            return Look(time.monotonic(), await manager.cores(), len(audience), *received)

        title = f"watch at {address}/ · go on stage at {address}/?stage"
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(watch(look, out, title))
                group.create_task(audience.arrive(viewers, per_second))
        finally:
            await hall.close()
            worker.close()


def options() -> dict[str, Any]:
    """Of the command line."""
    given = parser("One on stage, an audience over all cores.", rtc_port=44444)
    given.add_argument(
        "--source",
        default=best_source(),
        help="who is on stage: camera (a page), test (a test picture), load (a recorded stream of packets, nothing "
        "to see) or a file that FFmpeg can play (default here: %(default)s)",
    )
    given.add_argument("--viewers", type=int, default=0, help="how many the program brings itself (default none)")
    given.add_argument("--per-second", type=float, default=20, help="how fast these arrive (default %(default)s)")
    given.add_argument("--cores", type=int, help="how many to use (default all)")
    given.add_argument(
        "--placement",
        choices=PLACEMENTS,
        default="spread",
        help="spread: over all cores from the first viewer on; fill: the next core when one passes the watermark "
        "(default %(default)s)",
    )
    given.add_argument("--watermark", type=float, default=60, help="percent of a core (default %(default)s)")
    return read(given, STATIC)


async def main(cores: int | None, placement: str, watermark: float, **options: Any) -> None:
    """With a manager of its own."""
    policy = PLACEMENTS[placement]
    async with MediasoupVertical(max_workers=cores, placement=policy, watermark_worker=watermark) as manager:
        await run(manager, **options)


if __name__ == "__main__":
    start(main, options())
