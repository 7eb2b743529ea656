"""The conference here, its media on a cluster: `sfu serve --cluster URL URL`, a server like any other."""

from typing import Any

from examples.porting.conference import URL, run, start
from horizontal import RemoteMediasoupClient


async def main(**options: Any) -> None:
    async with RemoteMediasoupClient(URL) as client:
        await run(client.mediasoup, **options)


if __name__ == "__main__":
    start(main)
