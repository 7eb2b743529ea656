"""For all tests: coroutine tests run here, and no other application of this host takes cores away from them."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

os.environ.setdefault("SFU_LEASES", "off")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell; what tests interrupt inherits it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """The loop of a coroutine test, and of the fixtures that need one."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def patience() -> float | None:
    """Seconds for one coroutine test."""
    return 20.0


@pytest.fixture
def ending() -> float | None:
    """Seconds that tasks of a coroutine test may take to end after it; None where their end is the fixtures' affair."""
    return None


@pytest.fixture
def checked(runner: asyncio.Runner, patience: float | None, ending: float | None) -> Callable[[Awaitable[Any]], None]:
    """Runs a coroutine. It fails if it waits for what never comes, loses an exception, or leaves a task behind."""
    return lambda test: runner.run(check(test, patience, ending))


async def check(test: Awaitable[Any], patience: float | None, ending: float | None) -> None:
    loop = asyncio.get_running_loop()
    unseen: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unseen.append(context))
    before = asyncio.all_tasks()
    left: set[asyncio.Task[Any]] = set()
    try:
        async with asyncio.timeout(patience):
            await test
        await asyncio.sleep(0)
        if ending is not None and (left := asyncio.all_tasks() - before):
            _, left = await asyncio.wait(left, timeout=ending)
    finally:
        gc.collect(0)  # what nobody waits for any more tells of its exception
        loop.set_exception_handler(None)
    assert not left, left
    assert not unseen, unseen


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    pyfuncitem._request.getfixturevalue("checked")(pyfuncitem.obj(**arguments))
    return True
