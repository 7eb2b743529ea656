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


@asynccontextmanager
async def vertical() -> AsyncIterator[Any]:
    """All workers over the same two cores; transports alternate, so most consumers are not where their producer is."""
    from vertical import MediasoupVertical, spread

    async with MediasoupVertical(max_workers=2, placement=spread) as manager:
        yield manager.mediasoup


STACKS: dict[str, Stack] = {"core": core, "vertical": vertical}
"""A test that passes on one of them must pass on all."""


def processes(worker: Any) -> list[int]:
    """The pids of what carries a worker: one core, or several."""
    members = getattr(worker.channel, "members", None)
    return [worker.pid] if members is None else [member.pid for member in members]
