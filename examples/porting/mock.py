"""The conference with what looks like another host, but is a process here: for development and tests."""

from typing import Any

from examples.porting.conference import URL, run, start
from horizontal import RemoteMediasoupClientMock


async def main(**options: Any) -> None:
    async with RemoteMediasoupClientMock(URL) as client:
        await run(client.mediasoup, **options)


if __name__ == "__main__":
    start(main)
