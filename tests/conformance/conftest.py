"""The `mediasoup` fixture (once for each stack) and what most tests need on top of it.

One worker serves all tests; each test has a router of its own, and afterwards nothing of it may be left in the
worker. Coroutine tests run on the loop of the `runner` fixture.
"""

import asyncio
import gc
import inspect
from contextlib import AsyncExitStack

import pytest

from .room import CODECS, Room
from .stacks import STACKS, is_ours, own_pid

TIMEOUT = 20.0
"""Seconds for one test."""

ENDING = 2.0
"""Seconds that a task may take to end after its test."""


@pytest.fixture(scope="session")
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session", params=STACKS)
def mediasoup(request, runner):
    stack = AsyncExitStack()
    yield runner.run(stack.enter_async_context(STACKS[request.param]()))
    runner.run(stack.aclose())


@pytest.fixture(scope="session")
def shared_worker(runner, mediasoup):
    worker = runner.run(mediasoup.create_worker())
    yield worker
    runner.run(worker.__aexit__(None, None, None))


@pytest.fixture
def worker(runner, shared_worker):
    yield shared_worker
    runner.run(assert_empty(shared_worker))


async def assert_empty(worker):
    dump = await worker.dump()
    assert dump["routerIds"] == dump["webRtcServerIds"] == []
    handlers = dump["channelMessageHandlers"]
    assert handlers == {"channelRequestHandlers": [], "channelNotificationHandlers": []}


@pytest.fixture
def own_process(request, runner, mediasoup):
    """A worker and the pid of its process, which a test may end: nothing else is in it."""
    stack = AsyncExitStack()
    own = runner.run(stack.enter_async_context(STACKS[request.node.callspec.params["mediasoup"]]()))
    worker = runner.run(own.create_worker())
    pid = own_pid(worker.pid)
    try:
        if not is_ours(pid):
            pytest.skip("a worker that is no process")
        yield worker, pid
    finally:
        runner.run(stack.aclose())


@pytest.fixture
def router(runner, worker):
    router = runner.run(worker.create_router(media_codecs=CODECS))
    yield router
    router.close()


@pytest.fixture
def room(runner, router):
    """The router with shorthands for what tests put into it."""
    return Room(router)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    pyfuncitem._request.getfixturevalue("runner").run(checked(pyfuncitem.obj(**arguments)))
    return True


async def checked(test):
    """Runs a test and fails it for what happens unseen: a lost exception, a task left behind."""
    loop, unseen = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda loop, context: unseen.append(context))
    before = asyncio.all_tasks()
    try:
        async with asyncio.timeout(TIMEOUT):
            await test
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - before
        if left:
            _, left = await asyncio.wait(left, timeout=ENDING)
    finally:
        gc.collect(0)
        loop.set_exception_handler(None)
    assert not left, left
    assert not unseen, unseen
