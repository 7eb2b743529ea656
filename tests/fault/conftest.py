"""Coroutine tests on a loop of their own, and the check that no test leaves anything of this process behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from .processes import children, descriptors, shared_mappings


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(checked(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted})))
    return True


async def checked(test: Any) -> None:
    """Fails the test also for an exception that nobody saw, and for a task that it leaves."""
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    await test
    await asyncio.sleep(0)
    gc.collect()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left and not unseen, (left, unseen)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No process, descriptor, mapping or thread."""
    before = belongings()
    yield
    gc.collect()
    assert belongings() == before


def belongings() -> list[Any]:
    return [children(), descriptors(), shared_mappings(), set(threading.enumerate())]
