"""What objects cost: worker start, transports, consumes and full joins per second, and memory of each.

    python -m benchmarks.signalling [--count 1000] [--stack core | vertical | switch] [--json FILE]

Rates are given twice: one call after the other, and 32 at a time. Memory is what the core process grew by (resident,
shared pages included), divided by the number of objects. On the stack "vertical" processes are counted together: two
cores and their host process; transports alternate, so half the consumers are not where their producer is. "switch" is
the same without a host process: its difference to "vertical" is the price of one more process on the way.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sfu.bench import report
from sfu.bench.cpu import ProcessClock
from sfu.bench.engine import CODECS, published
from sfu.bench.joiner import Client, Identity
from sfu_core import mediasoup as one_core
from vertical import MediasoupVertical, get_stats_factory, spread

PAGE = os.sysconf("SC_PAGE_SIZE")
LISTEN = [{"protocol": "udp", "ip": "127.0.0.1"}]
PRODUCERS = 10


class Processes:
    """Those that a worker consists of."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._clocks = [ProcessClock(pid) for pid in pids]

    def lap(self) -> int:
        """CPU time in ns since the last one, or since the beginning."""
        return sum(clock.lap().process for clock in self._clocks)

    def resident(self) -> int:
        """Bytes, shared mappings included."""
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE for pid in self._pids)


Start = Callable[[], Awaitable[tuple[Any, Processes]]]
"""A worker, and what it consists of."""


@asynccontextmanager
async def core() -> AsyncIterator[Start]:
    """Each worker is a process."""

    async def start() -> tuple[Any, Processes]:
        worker = await one_core.create_worker()
        return worker, Processes([worker.pid])

    yield start


@asynccontextmanager
async def vertical(**base: Any) -> AsyncIterator[Start]:
    """A worker is two cores and a host process."""
    async with MediasoupVertical(max_workers=2, placement=spread, **base) as manager:

        async def start() -> tuple[Any, Processes]:
            assert manager.mediasoup is not None
            worker = await manager.mediasoup.create_worker()
            above = [] if manager.host_pid is None else [manager.host_pid]
            return worker, Processes([*above, *(each.pid for each in await manager.cores())])

        yield start


@asynccontextmanager
async def switch() -> AsyncIterator[Start]:
    """A worker is two cores, and what makes one of them runs here."""
    async with vertical(mediasoup=one_core, get_stats=get_stats_factory(one_core).get_stats) as start:
        yield start


STACKS = {"core": core, "vertical": vertical, "switch": switch}


class Meter:
    """Times `count` calls on a worker; remembers the rows it printed."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self.rows: list[dict[str, Any]] = []

    async def many(
        self, name: str, count: int, call: Callable[[int], Awaitable[Any]], parallel: int, *, memory: bool = False
    ) -> list[Any]:
        """Makes `call(0)` … `call(count - 1)`, `parallel` at a time; prints the rate, returns the results."""
        self._processes.lap()
        before, start = self._processes.resident(), time.perf_counter()
        made: list[Any] = []
        for first in range(0, count, parallel):
            made += await asyncio.gather(*(call(i) for i in range(first, min(first + parallel, count))))
        seconds, cpu = time.perf_counter() - start, self._processes.lap()
        row = {
            "what": name,
            "parallel": parallel,
            "perSecond": round(count / seconds),
            "cpuUs": round(cpu / count / 1e3),
        }
        if memory:
            row["bytesEach"] = round((self._processes.resident() - before) / count)
        self.add(row)
        return made

    def add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)


async def start_up(start: Start, rounds: int = 3) -> dict[str, Any]:
    """Seconds from the call of `create_worker` until it answers, median of some; and CPU of an idle worker."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        worker, processes = await start()
        times.append(time.perf_counter() - begin)
        if len(times) == rounds:
            idle = await idle_share(processes)
        worker.close()
        await worker.wait_subprocess_closed()
    return {"what": "worker start", "seconds": round(sorted(times)[rounds // 2], 3), "idleCpu": f"{idle:.2%}"}


async def idle_share(processes: Processes, seconds: float = 2) -> float:
    """Share of a CPU that is used while nothing happens."""
    await asyncio.sleep(0.3)
    processes.lap()
    await asyncio.sleep(seconds)
    return processes.lap() / (seconds * 1e9)


async def measure(start: Start, count: int) -> list[dict[str, Any]]:
    first = await start_up(start)
    worker, processes = await start()
    meter = Meter(processes)
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
    await meter.many("getStats", count, lambda i: transports[i].get_stats(), 1)
    await meter.many("getStats", count, lambda i: transports[i].get_stats(), 32)
    worker.close()
    await worker.wait_subprocess_closed()
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


async def run(stack: str, count: int) -> list[dict[str, Any]]:
    async with STACKS[stack]() as start:
        return await measure(start, count)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=1000, help="objects of each kind (default %(default)s)")
    parser.add_argument("--stack", choices=STACKS, default="core", help="what the worker is (default %(default)s)")
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = asyncio.run(run(arguments.stack, arguments.count))
    if arguments.json:
        report.write(arguments.json, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
