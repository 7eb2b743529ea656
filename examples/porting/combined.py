"""The conference on all cores of several hosts, as if they were one core."""

from typing import Any

from examples.porting.conference import URLS, run, start
from horizontal import MediasoupHorizontal, RemoteMediasoupClient
from vertical import MediasoupVertical


async def main(**options: Any) -> None:
    clients = [RemoteMediasoupClient(url, listen_worker_died=False) for url in URLS]
    hosts = MediasoupHorizontal(clients, own=True, listen_worker_died=False)
    async with hosts, MediasoupVertical(hosts) as manager:
        manager.on("error", print)
        await hosts.ready()
        await run(manager.mediasoup, **options)


if __name__ == "__main__":
    start(main)
