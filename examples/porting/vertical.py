"""The conference on all cores of this host."""

from typing import Any

from examples.porting.conference import run, start
from vertical import MediasoupVertical


async def main(**options: Any) -> None:
    async with MediasoupVertical() as manager:
        await run(manager.mediasoup, **options)


if __name__ == "__main__":
    start(main)
