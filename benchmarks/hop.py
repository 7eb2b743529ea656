"""What a hop to another host adds: the same packets, to a consumer on the publisher's host and to one on another host.

    python -m benchmarks.hop [--rounds 7] [--seconds 4] [--json FILE]

Two servers (`sfu serve`), each in a network name space of its own, joined by a veth pair and nothing else. One router
on each, joined by `pipe_to_router` of a horizontal: encrypted, with RTX. A delay is from before a packet is sent until
the kernel has it for the subscriber (its receive timestamp), so nobody has to wake for it. Needs root: name spaces.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.cores.stage import Clocks
from benchmarks.cores.stage import spread as quartiles
from horizontal import MediasoupHorizontal, RemoteMediasoupClient
from sfu.bench import report, traffic
from sfu.bench.engine import CODECS, published
from sfu.bench.load import SO_RCVBUFFORCE
from tests.network import spaces

ROOT = Path(__file__).parents[1]
GAPS = (5000, 1000, 200)
"""µs between packets: cores sleep for each, now and then, or work in ticks."""

SIZE = 1200
NET = "198.18.78"
PORT = 4443
NEAR, FAR = 1, 2
BUFFER = 256 * 2**20
SETTLE = 0.3
HEADER = "  a packet every    here p50/p99   there p50/p99      added p50       added p99 (quartiles; worst)   lost"
_SO_TIMESTAMPNS = 35
_TAIL = struct.Struct("=qq")  # number, and when it was sent (ns)
_START = traffic.steady(SIZE, 1).steps[0][2]  # a key frame: whoever consumes can begin with any packet


def address(number: int) -> str:
    """Of a host."""
    return f"{NET}.{number}"


@contextmanager
def two_hosts() -> Iterator[dict[int, str]]:
    """Their names; the calling thread is on the near one from then on."""
    names = {number: f"sfu{os.getpid()}n{number}" for number in (NEAR, FAR)}
    try:
        for name in names.values():
            spaces.make(name)
        ends = {number: ("netns", name) for number, name in names.items()}
        spaces.run("ip", "link", "add", "hop", *ends[NEAR], "type", "veth", "peer", "name", "hop", *ends[FAR])
        for number, name in names.items():
            spaces.run("ip", "-n", name, "addr", "add", f"{address(number)}/24", "dev", "hop")
            spaces.run("ip", "-n", name, "link", "set", "hop", "up")
        spaces.enter(names[NEAR])
        yield names
    finally:
        for name in names.values():
            spaces.remove(name)


@contextmanager
def servers(names: dict[int, str], token: str) -> Iterator[None]:
    """One on each host, until they are not needed any more."""
    running = []
    try:
        for number, name in names.items():
            own = address(number)
            flags = ["--host", own, "--port", str(PORT), "--announced-address", own, "--drain", "0"]
            command = spaces.command(name, sys.executable, "-m", "sfu", "serve", *flags)
            environment = {**os.environ, "SFU_TOKEN": token}
            running.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL))
        yield
    finally:
        for server in running:
            server.terminate()
        for server in running:
            server.wait(20)


class Room:
    """A publisher on the near host, and a subscriber on each."""

    def __init__(self, target: tuple[str, int], sinks: dict[int, socket.socket], cores: Sequence[int]) -> None:
        self.cores = cores
        self._target = target
        self._sinks = sinks
        self._source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sent = 0

    def turn(self, gap: float, count: int) -> list[tuple[int, int]]:
        """Send so many packets, one every `gap` s; the delays (ns) of those that both subscribers got."""
        before = self._sent
        self._publish(gap, count)
        time.sleep(SETTLE)
        near, far = (arrived(self._sinks[number], before) for number in (NEAR, FAR))
        return [(near[number], far[number]) for number in near if number in far]

    def _publish(self, gap: float, count: int) -> None:
        packet = bytearray(_START)
        start = time.monotonic()
        for step in range(count):
            if (wait := start + step * gap - time.monotonic()) > 0:
                time.sleep(wait)
            struct.pack_into("!HII", packet, 2, self._sent & 0xFFFF, self._sent * 90 & 0xFFFFFFFF, traffic.SSRC)
            _TAIL.pack_into(packet, len(packet) - _TAIL.size, self._sent, time.clock_gettime_ns(time.CLOCK_REALTIME))
            self._source.sendto(packet, self._target)
            self._sent += 1

    def close(self) -> None:
        for sock in (self._source, *self._sinks.values()):
            sock.close()


def sink(number: int) -> socket.socket:
    """A subscriber's socket on the host that the calling thread is on."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    sock.bind((address(number), 0))
    sock.setblocking(False)
    return sock


def arrived(sock: socket.socket, first: int) -> dict[int, int]:
    """What has come, from that number on: how long each packet took, in ns. RTCP does not count."""
    took = {}
    while True:
        try:
            data, notes, _, _ = sock.recvmsg(2048, 64)
        except BlockingIOError:
            return took
        if 192 <= data[1] <= 223:
            continue
        number, sent = _TAIL.unpack(data[-_TAIL.size :])
        seconds, nanoseconds = struct.unpack("qq", notes[0][2])
        if number >= first:
            took[number] = seconds * 10**9 + nanoseconds - sent


@asynccontextmanager
async def one_room(names: dict[int, str]) -> AsyncIterator[Room]:
    """Over both hosts."""
    token = secrets.token_hex()
    with servers(names, token):
        clients = [
            RemoteMediasoupClient(f"ws://{address(number)}:{PORT}", token=token, listen_worker_died=False)
            for number in names
        ]
        async with MediasoupHorizontal(clients, own=True, min_members=len(clients)) as horizontal:
            mediasoup = await horizontal.ready()
            workers = [await mediasoup.create_worker() for _ in clients]
            found = [(horizontal.locate(worker.pid), worker) for worker in workers]
            on = {clients.index(member) + 1: worker for (member, _), worker in found}
            room = await opened(names, on, [pid for (_, pid), _ in found])
            try:
                yield room
            finally:
                room.close()


async def opened(names: dict[int, str], workers: dict[int, Any], pids: Sequence[int]) -> Room:
    """Its transports, and the pipe between its two routers."""
    routers = {number: await worker.create_router(media_codecs=CODECS) for number, worker in workers.items()}
    listen = {number: {"protocol": "udp", "ip": address(number)} for number in names}
    ingress = await routers[NEAR].create_plain_transport(listen_info=listen[NEAR], rtcp_mux=True, comedia=True)
    producer = await ingress.produce(kind="video", rtp_parameters=published("video"))
    piped = await routers[NEAR].pipe_to_router(producer_id=producer.id, router=routers[FAR])
    assert piped.pipe_consumer is not None
    assert piped.pipe_consumer.rtp_parameters["codecs"][1]["mimeType"] == "video/rtx"  # as between strangers
    sinks = {number: spaces.inside(name, lambda number=number: sink(number)) for number, name in names.items()}
    for number, sock in sinks.items():
        egress = await routers[number].create_plain_transport(listen_info=listen[number], rtcp_mux=True)
        ip, port = sock.getsockname()
        await egress.connect(ip=ip, port=port)
        await egress.consume(producer_id=producer.id, rtp_capabilities=routers[number].rtp_capabilities)
    return Room((address(NEAR), int(ingress.tuple["localPort"])), sinks, pids)


def percentiles(delays: Sequence[int]) -> tuple[float, float]:
    """p50 and p99, in µs."""
    ordered = sorted(delays)
    return statistics.median(ordered) / 1e3, ordered[len(ordered) * 99 // 100] / 1e3


async def measure(rounds: int, seconds: float) -> list[dict[str, Any]]:
    """A row for each gap; gaps take turns."""
    turns: dict[int, list[dict[str, float]]] = {gap: [] for gap in GAPS}
    sent = {gap: round(seconds * 1e6 / gap) for gap in GAPS}
    with two_hosts() as names:
        async with one_room(names) as room:
            clocks = Clocks(room.cores)
            room.turn(1e-3, 500)  # what is slow the first time
            for _ in range(rounds):
                for gap in GAPS:
                    clocks.lap()
                    pairs = await asyncio.to_thread(room.turn, gap / 1e6, sent[gap])
                    waited = clocks.lap().waited / 1e9 / (seconds + SETTLE)
                    turns[gap].append(figures(pairs) | {"lost": sent[gap] - len(pairs), "waited": waited})
    return [row(gap, sent[gap], each) for gap, each in turns.items()]


def figures(pairs: Sequence[tuple[int, int]]) -> dict[str, float]:
    """Of one turn. What was added is told from the two delays of each packet."""
    here, there = percentiles([near for near, _ in pairs]), percentiles([far for _, far in pairs])
    added = percentiles([far - near for near, far in pairs])
    names = ("hereP50Us", "hereP99Us", "thereP50Us", "thereP99Us", "addedP50Us", "addedP99Us")
    return dict(zip(names, (*here, *there, *added), strict=True))


def row(gap: int, sent: int, turns: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Medians of turns, with quartiles."""
    found: dict[str, Any] = {"gapUs": gap, "rounds": len(turns), "packets": sent, "size": SIZE}
    for name in turns[0]:
        if name.endswith("Us"):
            found[name] = quartiles([turn[name] for turn in turns], 0)
    return found | {
        "addedP99WorstUs": round(max(turn["addedP99Us"] for turn in turns)),
        "lost": round(sum(turn["lost"] for turn in turns)),
        "waited": round(statistics.median(turn["waited"] for turn in turns), 3),
    }


def line(row: dict[str, Any]) -> str:
    here, there = (f"{row[f'{side}P50Us'][1]:>7.0f} {row[f'{side}P99Us'][1]:>5.0f} µs" for side in ("here", "there"))
    low, middle, high = row["addedP99Us"]
    added = f"{row['addedP50Us'][1]:>9.0f} µs   {middle:>7.0f} µs ({low:.0f} … {high:.0f}; {row['addedP99WorstUs']})"
    return f"  {row['gapUs']:>11} µs   {here}  {there}   {added}   {row['lost']:>5}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if reason := spaces.why_not():
        sys.exit(f"this cannot be measured here: {reason}")
    rows = asyncio.run(measure(options.rounds, options.seconds))
    print(HEADER, *map(line, rows), sep="\n")
    if (warning := report.warning(rows)) is not None:
        print(warning)
    if options.json is not None:
        report.write(str(options.json), rows)


if __name__ == "__main__":
    main()
