"""Coroutine tests run on the loop of the `runner` fixture, as do the fixtures that need one."""

import asyncio
import inspect

import pytest

from .fakes import FakeChannel, Room


@pytest.fixture
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def channel(runner):
    channel = FakeChannel(runner.get_loop())
    yield channel
    assert channel.unanswered == []


@pytest.fixture
def room(runner, channel):
    """A worker with a router, over a fake channel."""
    return runner.run(Room.open(channel))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    runner = pyfuncitem.funcargs.get("runner")
    if runner is not None:
        runner.run(pyfuncitem.obj(**arguments))
    else:
        asyncio.run(pyfuncitem.obj(**arguments))
    return True
