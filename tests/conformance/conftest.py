"""The `mediasoup` fixture (once for each stack) and what most tests need on top of it.

One worker serves all tests; each test has a router of its own, and afterwards nothing of it may be left in the
worker.
"""

import asyncio
from contextlib import AsyncExitStack

import pytest

from .room import CODECS, Room
from .stacks import STACKS, is_ours, own_pid


@pytest.fixture(scope="session")
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def ending():
    return 2.0


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
