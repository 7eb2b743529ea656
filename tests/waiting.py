"""Waiting for what happens elsewhere and tells nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], object], seconds: float = 10.0) -> float:
    """Waits for it and returns how long that took; TimeoutError says that it did not come true."""
    begun = time.monotonic()
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)
    return time.monotonic() - begun
