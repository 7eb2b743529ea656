"""Coroutine tests run on a loop of their own, with hosts whose cores are no processes."""

import asyncio
import inspect
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[1]
sys.path += [str(UNIT), str(UNIT / "vertical")]  # cores without processes, and the engine they use


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(bounded(pyfuncitem.obj(**arguments)))
    return True


async def bounded(test):
    """A test that waits for what never comes fails; so does one that loses an exception."""
    unseen = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unseen.append(context))
    async with asyncio.timeout(20):
        await test
    assert not unseen, unseen
