"""How fast a channel answers: request round trips between two processes over a socket pair.

    python -m benchmarks.channel [REQUESTS]
"""

import argparse
import asyncio
import os
import socket
import time
from typing import Any

from sfu_core.channel import messages as m
from sfu_core.channel.channel import StreamChannel
from sfu_core.channel.server import ChannelServer


def answer(request: m.Request[Any], handler_id: str) -> m.Response | None:
    assert isinstance(request, m.ConsumerSetPriority)
    return m.ConsumerSetPriorityResponse(priority=request.priority)


async def serve(sock: socket.socket) -> None:
    await ChannelServer(answer, lambda notification, handler_id: None).serve(sock)


async def measure(sock: socket.socket, total: int) -> None:
    channel = await StreamChannel.connect(sock)
    print(f"{'at once':>8} {'requests/s':>11} {'µs each':>8}")
    for parallel in (1, 10, 100):

        async def ask(count: int = total // parallel) -> None:
            for _ in range(count):
                await channel.request(m.ConsumerSetPriority(priority=1), "7b1f0a52-0b6e-4b8e-9f3a-3f0f8a3a1c11")

        started = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(parallel)))
        seconds = time.perf_counter() - started
        print(f"{parallel:>8} {total / seconds:>11,.0f} {seconds / total * 1e6:>8.1f}", flush=True)
    channel.close()
    await channel.ended()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("requests", type=int, nargs="?", default=20_000, help="default: %(default)s")
    total = parser.parse_args().requests
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        asyncio.run(serve(theirs))
        os._exit(0)
    theirs.close()
    asyncio.run(measure(ours, total))
    os.wait()


if __name__ == "__main__":
    main()
