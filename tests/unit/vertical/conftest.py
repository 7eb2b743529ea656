"""Coroutine tests run on a loop of their own, with logical workers over cores that are no processes."""

import asyncio
import inspect
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))  # the worker's tests have a fake engine

from fake_core import House
from msgspec.structs import replace

from sfu_core.channel import messages as m
from sfu_core.channel.place import local_place
from vertical.links import UdpLink
from vertical.rings import best_link


@pytest.fixture
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def house(runner):
    """Two cores and one logical worker, on which transports alternate."""
    house = runner.run(House.open(2))
    yield house
    runner.run(bounded(house.close()))


@pytest.fixture
def lonely(runner):
    """The same, but the cores cannot share ports."""
    place = local_place()
    place = replace(place, extensions=place.extensions - {m.WorkerShareWebRtcServer.METHOD})
    house = runner.run(House.open(2, places=[place, place]))
    yield house
    runner.run(bounded(house.close()))


@pytest.fixture(params=[best_link, UdpLink], ids=["ring", "udp"])
def linked(runner, request):
    """The same; pipes of either kind."""
    house = runner.run(House.open(2, make_link=request.param))
    yield house
    runner.run(bounded(house.close()))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    runner = pyfuncitem.funcargs.get("runner")
    test = bounded(pyfuncitem.obj(**arguments))
    if runner is not None:
        runner.run(test)
    else:
        asyncio.run(test)
    return True


async def bounded(test):
    """A test that waits for what never comes fails; so does one that loses an exception."""
    unseen = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unseen.append(context))
    async with asyncio.timeout(10):
        await test
    assert not unseen, unseen
