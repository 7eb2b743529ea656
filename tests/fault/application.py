"""A small application, run as a program of its own. No `__main__` guard: whoever imported it would run it again.

Starts workers with a router and a transport each, prints where they are as one line of JSON, and then does what its
argument says.
"""

import asyncio
import json
import os
import sys
import time

from sfu.bench.engine import Engine
from sfu_core import mediasoup

if "STARTS" in os.environ:
    with open(os.environ["STARTS"], "a") as starts:
        starts.write(f"{os.getpid()}\n")


async def main() -> None:
    workers = [await mediasoup.create_worker() for _ in range(2)]
    rooms = [Engine(worker) for worker in workers]
    addresses = [await room.open_room("audio", None, [("127.0.0.1", 9)]) for room in rooms]
    if what == "fork" and os.fork() == 0:
        os.closerange(0, 3)
        time.sleep(20)
        os._exit(0)
    print(json.dumps({"pids": [worker.pid for worker in workers], "addresses": addresses}), flush=True)
    await ENDINGS[what](workers)


async def wait(_: object) -> None:
    await asyncio.sleep(60)


async def close(workers: list[mediasoup.Worker]) -> None:
    for worker in workers:
        worker.close()


async def forget(_: object) -> None:
    pass


async def leave(_: object) -> None:
    sys.exit(3)


async def fail(_: object) -> None:
    raise RuntimeError("the application has failed")


async def vanish(_: object) -> None:
    os._exit(4)


ENDINGS = {each.__name__: each for each in (wait, close, forget, leave, fail, vanish)} | {"fork": wait}
what = sys.argv[1] if len(sys.argv) > 1 else "wait"
asyncio.run(main())
