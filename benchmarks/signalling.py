"""What objects cost: worker start, transports, consumes and full joins per second, and memory of each.

    python -m benchmarks.signalling [--count 1000] [--json FILE]

Rates are given twice: one call after the other, and 32 at a time. Memory is what the core process grew by (resident,
shared pages included), divided by the number of objects.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from sfu.bench import report
from sfu.bench.cpu import ProcessClock
from sfu.bench.engine import CODECS, published
from sfu.bench.joiner import Client, Identity
from sfu_core import mediasoup

PAGE = os.sysconf("SC_PAGE_SIZE")
LISTEN = [{"protocol": "udp", "ip": "127.0.0.1"}]
PRODUCERS = 10


def resident(pid: int) -> int:
    """Resident bytes of a process, shared mappings included."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


class Meter:
    """Times `count` calls on a worker; remembers the rows it printed."""

    def __init__(self, worker: Any) -> None:
        self._pid = worker.pid
        self.rows: list[dict[str, Any]] = []

    async def many(
        self, name: str, count: int, call: Callable[[int], Awaitable[Any]], parallel: int, *, memory: bool = False
    ) -> list[Any]:
        """Makes `call(0)` … `call(count - 1)`, `parallel` at a time; prints the rate, returns the results."""
        clock, before, start = ProcessClock(self._pid), resident(self._pid), time.perf_counter()
        made: list[Any] = []
        for first in range(0, count, parallel):
            made += await asyncio.gather(*(call(i) for i in range(first, min(first + parallel, count))))
        seconds, cpu = time.perf_counter() - start, clock.lap().process
        row = {
            "what": name,
            "parallel": parallel,
            "perSecond": round(count / seconds),
            "cpuUs": round(cpu / count / 1e3),
        }
        if memory:
            row["bytesEach"] = round((resident(self._pid) - before) / count)
        self.add(row)
        return made

    def add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)


async def start_up(rounds: int = 3) -> dict[str, Any]:
    """Seconds from the call of `create_worker` until it answers, median of some; and CPU of an idle core."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        worker = await mediasoup.create_worker()
        times.append(time.perf_counter() - start)
        if len(times) == rounds:
            idle = await idle_share(worker.pid)
        worker.close()
    return {"what": "worker start", "seconds": round(sorted(times)[rounds // 2], 3), "idleCpu": f"{idle:.2%}"}


async def idle_share(pid: int, seconds: float = 2) -> float:
    """Share of a CPU that a process uses while nothing happens."""
    await asyncio.sleep(0.3)
    clock = ProcessClock(pid)
    await asyncio.sleep(seconds)
    return clock.lap().process / (seconds * 1e9)


async def measure(count: int) -> list[dict[str, Any]]:
    first = await start_up()
    worker = await mediasoup.create_worker()
    meter = Meter(worker)
    meter.add(first)
    router = await worker.create_router(media_codecs=CODECS)
    server = await worker.create_webrtc_server(listen_infos=LISTEN)

    async def transport(_: int) -> Any:
        return await router.create_webrtc_transport(webrtc_server=server)

    one_by_one = await meter.many("WebRtcTransport", count, transport, 1, memory=True)
    for each in one_by_one:
        each.close()
    await asyncio.sleep(0.2)
    transports = await meter.many("WebRtcTransport", count, transport, 32)
    await joins(meter, transports)
    await consumes(meter, router, transports)
    await meter.many("getStats", count, lambda i: transports[i].get_stats(), 32)
    worker.close()
    return meter.rows


async def joins(meter: Meter, transports: list[Any]) -> None:
    """Connects each transport from a client of its own: `connect`, ICE and DTLS, until the server says so."""
    identity = Identity()
    clients = [Client(identity) for _ in transports]

    async def join(i: int) -> None:
        at, candidate = transports[i], transports[i].ice_candidates[0]
        connected = asyncio.Event()
        at.on("dtlsstatechange", lambda state: state == "connected" and connected.set())
        await at.connect(dtls_parameters=identity.dtls_parameters)
        await clients[i].join(at.ice_parameters, (candidate["ip"], candidate["port"]))
        async with asyncio.timeout(5):
            await connected.wait()

    await meter.many("full join (ICE and DTLS)", len(transports), join, 16, memory=True)
    for client in clients:
        client.close()


async def consumes(meter: Meter, router: Any, transports: list[Any]) -> None:
    """Video consumers of ten producers, spread over the transports."""
    producers = []
    for _ in range(PRODUCERS):
        ingress = await router.create_plain_transport(listen_info=LISTEN[0], comedia=True, rtcp_mux=True)
        producers.append(await ingress.produce(kind="video", rtp_parameters=published("video")))

    async def consume(i: int) -> Any:
        producer = producers[i // len(transports) % PRODUCERS]
        at = transports[i % len(transports)]
        return await at.consume(producer_id=producer.id, rtp_capabilities=router.rtp_capabilities)

    made = await meter.many("consume", len(transports), consume, 1, memory=True)
    for consumer in made:
        consumer.close()
    await asyncio.sleep(0.2)
    await meter.many("consume", len(transports) * 2, consume, 32)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=1000, help="objects of each kind (default %(default)s)")
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = asyncio.run(measure(arguments.count))
    if arguments.json:
        report.write(arguments.json, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
