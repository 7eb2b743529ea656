"""The stacks that a conformance test runs on: each gives the same API over another arrangement of workers."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

Stack = Callable[[], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def core() -> AsyncIterator[Any]:
    """One core process for each worker, on this machine."""
    from sfu_core import mediasoup

    yield mediasoup


STACKS: dict[str, Stack] = {"core": core}
"""A test that passes on one of them must pass on all."""
