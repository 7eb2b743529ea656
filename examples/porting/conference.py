"""What all mains here share: the conference of examples/conference, and where its media servers are.

The conference is given its media server (``run(mediasoup, ...)``), so it is the same on every stack.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from examples.conference import server
from examples.conference.server import run

__all__ = ["URL", "URLS", "run", "start"]

#: Where media servers are (``sfu serve``): all of them, and the first.
URLS = os.environ.get("MEDIA_SERVERS", "ws://127.0.0.1:4443").split()
URL = URLS[0]


def start(main: Callable[..., Awaitable[None]]) -> None:
    """Runs ``main`` with the options of the command line, which are those of ``run``."""
    options = server.parser("A small video conference, on any stack.", rtc_port=44444)
    server.start(main, server.read(options, server.STATIC))
