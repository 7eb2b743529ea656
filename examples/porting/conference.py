"""What all mains here share: the conference of examples/conference, its options, and how it starts and ends.

The conference is given its media server (``run(mediasoup, ...)``), so it is the same on every stack.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

from examples.conference.server import STATIC, parser, read, run
from sfu_core.errors import SfuError

__all__ = ["URL", "URLS", "run", "start"]

#: Where media servers are (``sfu serve``): all of them, and the first.
URLS = os.environ.get("MEDIA_SERVERS", "ws://127.0.0.1:4443").split()
URL = URLS[0]


def start(main: Callable[..., Awaitable[None]]) -> None:
    """Runs ``main`` with the options of the command line, which are those of ``run``.

    Until it fails, or SIGINT or SIGTERM cancels it: what it has opened is closed then.
    """
    options = read(parser("A small video conference, on any stack.", rtc_port=44444), STATIC)

    async def until_told() -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await main(**options)

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        with suppress(KeyboardInterrupt, asyncio.CancelledError):
            asyncio.run(until_told())
    except (OSError, SfuError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
