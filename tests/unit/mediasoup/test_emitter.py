import asyncio

import pytest

from sfu_core.errors import SfuError
from sfu_core.mediasoup import emitter as module
from sfu_core.mediasoup.emitter import Emitter, once


@pytest.fixture
def emitter():
    return Emitter()


def test_listeners_get_the_arguments_in_order(emitter):
    seen = []
    emitter.on("x", lambda *args: seen.append(("a", args)))
    emitter.on("x", lambda *args: seen.append(("b", args)))
    assert emitter.emit("x", 1, 2) is True
    assert seen == [("a", (1, 2)), ("b", (1, 2))]


def test_nobody_listens(emitter):
    assert emitter.emit("x") is False
    emitter.on("y", print)
    assert emitter.emit("x") is False
    assert emitter.emit("error", ValueError()) is False  # not special here


def test_once_is_called_once(emitter):
    seen = []
    emitter.once("x", seen.append)
    emitter.emit("x", 1)
    emitter.emit("x", 2)
    assert seen == [1]


def test_unlimited_listeners(emitter):
    seen = []
    for number in range(1000):
        emitter.on("x", lambda number=number: seen.append(number))
    emitter.emit("x")
    assert seen == list(range(1000))


def test_a_failing_listener_hurts_nobody(emitter):
    seen, errors = [], []
    fault = ValueError("boom")

    def fail():
        raise fault

    emitter.on("x", fail)
    emitter.on("x", lambda: seen.append("after"))
    emitter.on("listenererror", lambda *args: errors.append(args))
    assert emitter.emit("x") is True
    assert seen == ["after"]
    assert errors == [("x", fault)]


def test_a_failing_listenererror_listener_is_swallowed(emitter):
    def fail(*args):
        raise ValueError("boom")

    emitter.on("x", fail)
    emitter.on("listenererror", fail)
    assert emitter.emit("x") is True


def test_a_listener_removed_during_the_event_is_still_called_once(emitter):
    seen = []

    def second():
        seen.append("second")

    emitter.on("x", lambda: emitter.remove_listener("x", second))
    emitter.on("x", second)
    emitter.emit("x")
    assert seen == ["second"]
    with pytest.raises(KeyError):
        emitter.remove_listener("x", second)


async def test_coroutine_functions_are_run(emitter):
    seen = []

    async def listener(value):
        await asyncio.sleep(0)
        seen.append(value)

    emitter.on("x", listener)
    emitter.once("x", listener)
    emitter.emit("x", 7)
    await asyncio.sleep(0.01)
    assert seen == [7]
    assert not module._running


async def test_a_failing_coroutine_function_is_reported(emitter):
    errors = []
    fault = ValueError("boom")

    async def listener():
        raise fault

    emitter.on("x", listener)
    emitter.on("listenererror", lambda *args: errors.append(args))
    emitter.emit("x")
    await asyncio.sleep(0.01)
    assert errors == [("x", fault)]


async def test_waiting_for_an_event(emitter):
    waiting = asyncio.ensure_future(once(emitter, "x"))
    await asyncio.sleep(0)
    emitter.emit("x", 1, 2)
    emitter.emit("x", 3)
    assert await waiting == (1, 2)
    assert emitter.listeners("x") == []


async def test_waiting_ends_with_an_error_that_comes_first(emitter):
    for told, kind in ((OSError("gone"), OSError), ("gone", SfuError)):
        waiting = asyncio.ensure_future(once(emitter, "x"))
        await asyncio.sleep(0)
        emitter.emit("error", told)
        emitter.emit("x", 1)
        with pytest.raises(kind, match="gone"):
            await waiting
        assert emitter.listeners("x") == emitter.listeners("error") == []
    waiting = asyncio.ensure_future(once(emitter, "error"))
    await asyncio.sleep(0)
    emitter.emit("error", told)
    assert await waiting == (told,)


async def test_waiting_can_be_cancelled(emitter):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await once(emitter, "x")
    assert emitter.listeners("x") == []
    assert emitter.emit("x") is False
