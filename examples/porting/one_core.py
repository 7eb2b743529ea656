"""The conference on one core."""

from typing import Any

from examples.porting.conference import run, start
from sfu_core import mediasoup


async def main(**options: Any) -> None:
    await run(mediasoup, **options)


if __name__ == "__main__":
    start(main)
