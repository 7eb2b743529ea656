"""The conference here, its media on the least loaded of several hosts."""

from typing import Any

from examples.porting.conference import URLS, run, start
from horizontal import MediasoupHorizontal, RemoteMediasoupClient


async def main(**options: Any) -> None:
    clients = [RemoteMediasoupClient(url, listen_worker_died=False) for url in URLS]
    async with MediasoupHorizontal(clients, own=True) as manager:
        manager.on("error", print)
        await run(await manager.ready(), **options)


if __name__ == "__main__":
    start(main)
