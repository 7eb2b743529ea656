"""Steps of many handshakes: a few a turn, in order, each on its own."""

from collections.abc import Callable
from typing import Any

import pytest

from sfu_core.worker.handshakes import STEPS_PER_TURN, Handshakes


class Loop:
    """Turns one at a time."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], Any]] = []

    def call_soon(self, callback: Callable[[], Any]) -> None:
        self.soon.append(callback)

    def turn(self) -> None:
        due, self.soon = self.soon, []
        for callback in due:
            callback()


def test_a_few_steps_a_turn_in_order() -> None:
    loop = Loop()
    handshakes, done = Handshakes(loop), []  # type: ignore[arg-type]
    for number in range(2 * STEPS_PER_TURN + 1):
        handshakes.add(lambda number=number: done.append(number))  # type: ignore[misc]
    assert done == []
    for turns in (1, 2, 3):
        loop.turn()
        assert done == list(range(min(turns * STEPS_PER_TURN, 2 * STEPS_PER_TURN + 1)))
    assert len(handshakes) == 0 and loop.soon == []


def test_steps_that_add_steps_do_not_speed_it_up() -> None:
    loop = Loop()
    handshakes, done = Handshakes(loop), []  # type: ignore[arg-type]

    def step() -> None:
        done.append(1)
        handshakes.add(step)
        handshakes.add(step)

    step()
    for turns in range(1, 10):
        loop.turn()
        assert len(done) <= 1 + turns * STEPS_PER_TURN


def test_a_step_that_fails_does_not_stop_the_others() -> None:
    loop = Loop()
    handshakes, done = Handshakes(loop), []  # type: ignore[arg-type]
    handshakes.add(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    handshakes.add(lambda: done.append(1))
    with pytest.raises(ZeroDivisionError):  # asyncio reports it and goes on
        loop.turn()
    loop.turn()
    assert done == [1]
