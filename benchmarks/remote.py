"""What the way to a worker on another host costs, over loopback: client, server and core are processes of their own.

    python -m benchmarks.remote [--requests 20000] [--consumers 10000] [--json FILE]

Each figure stands beside that of the same requests to a core of this process, without a server between. Times are
wall time, CPU is µs for a request.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from horizontal import RemoteMediasoupClient, RemoteMediasoupServer
from sfu.bench import report
from sfu.bench.cpu import ProcessClock
from sfu.bench.engine import CODECS, published
from sfu_core import mediasoup
from tests.network.tcp_relay import TcpRelay

PARALLEL = (1, 10, 100, 300)
CUTS = 5
CUT = 1.0


def serve(port_out: int) -> None:
    """The process of the server: one that clients of this machine may use, until it is told to end."""

    async def run() -> None:
        ending = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
        async with RemoteMediasoupServer() as server:
            os.write(port_out, f"{server.port}\n".encode())
            await ending.wait()

    asyncio.run(run())


def started() -> tuple[int, int]:
    """A server; its pid and port."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        serve(theirs)
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as lines:
        return pid, int(lines.readline())


async def requests(name: str, worker: Any, total: int, server: ProcessClock | None) -> list[dict[str, Any]]:
    """Round trips of a small request, one after the other and many at once."""
    rows = []
    for parallel in PARALLEL:
        took: list[float] = []

        async def ask(count: int = total // parallel, took: list[float] = took) -> None:
            for _ in range(count):
                began = time.perf_counter()
                await worker.update_settings()
                took.append(time.perf_counter() - began)

        if server is not None:
            server.lap()
        cpu, began = time.process_time(), time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(parallel)))
        seconds = time.perf_counter() - began
        took.sort()
        row = {
            "part": "requests",
            "worker": name,
            "parallel": parallel,
            "perSecond": round(len(took) / seconds),
            "p50Us": round(statistics.median(took) * 1e6),
            "p99Us": round(took[len(took) * 99 // 100] * 1e6),
            "clientCpuUs": round((time.process_time() - cpu) / len(took) * 1e6, 1),
        }
        if server is not None:
            row["serverCpuUs"] = round(server.lap().process / len(took) / 1e3, 1)
        show(row)
        rows.append(row)
    return rows


def show(row: dict[str, Any]) -> None:
    print("  ".join(f"{key} {value}" for key, value in row.items() if key != "part"), flush=True)


async def consumers(name: str, worker: Any, total: int) -> dict[str, Any]:
    """So many consumers of one producer, 100 at a time; each must come to be."""
    router = await worker.create_router(media_codecs=CODECS)
    source = await router.create_direct_transport()
    producer = await source.produce(kind="audio", rtp_parameters=published("audio"))
    transports = [await router.create_direct_transport() for _ in range(100)]
    failed = 0
    began = time.perf_counter()

    async def consume(transport: Any) -> None:
        nonlocal failed
        for _ in range(total // len(transports)):
            try:
                await transport.consume(
                    producer_id=producer.id, rtp_capabilities=router.rtp_capabilities, ignore_dtx=False
                )
            except Exception as error:
                failed += 1
                print(error, file=sys.stderr)

    await asyncio.gather(*map(consume, transports))
    seconds = time.perf_counter() - began
    there = sum([len((await transport.dump())["consumerIds"]) for transport in transports])
    router.close()
    return {
        "part": "consumers",
        "worker": name,
        "asked": total,
        "failed": failed,
        "there": there,
        "perSecond": round(total / seconds),
    }


async def reconnects(port: int) -> list[float]:
    """Seconds from the moment the network is back until the client goes on, each time."""
    seconds = []
    async with TcpRelay(port) as relay:
        client = RemoteMediasoupClient(f"ws://127.0.0.1:{relay.port}")
        async with client:
            for _ in range(CUTS):
                relay.cut()
                await asyncio.sleep(CUT)
                again = asyncio.ensure_future(mediasoup.extras.enhanced_once(client, "connected"))
                relay.mend()
                began = time.perf_counter()
                await again
                seconds.append(time.perf_counter() - began)
    return seconds


@asynccontextmanager
async def both(port: int) -> AsyncIterator[dict[str, Any]]:
    """A worker of each kind."""
    async with RemoteMediasoupClient(f"ws://127.0.0.1:{port}") as client, await mediasoup.create_worker() as local:
        yield {"local": local, "remote": await client.mediasoup.create_worker()}


async def measure(pid: int, port: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    async with both(port) as workers:
        for name, worker in workers.items():
            server = ProcessClock(pid) if name == "remote" else None
            rows += await requests(name, worker, options.requests, server)
        for name, worker in workers.items():
            rows.append(await consumers(name, worker, options.consumers))
            show(rows[-1])
    mended = await reconnects(port)
    rows.append({"part": "reconnect", "cuts": CUTS, "cutSeconds": CUT, "seconds": [round(each, 3) for each in mended]})
    show(rows[-1])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--consumers", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    pid, port = started()
    try:
        rows = asyncio.run(measure(pid, port, options))
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
    if options.json is not None:
        report.write(str(options.json), rows)


if __name__ == "__main__":
    main()
