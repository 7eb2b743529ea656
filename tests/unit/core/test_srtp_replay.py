"""The replay window and the guess of the roll-over counter, against a model that remembers everything."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from sfu_core._srtp import Window

SIZE = 1024


class Remembers:
    """All indices ever committed."""

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.highest = -1

    def check(self, index: int) -> bool:
        return index not in self.seen and index > self.highest - SIZE

    def commit(self, index: int) -> None:
        self.seen.add(index)
        self.highest = max(self.highest, index)


def test_fresh() -> None:
    window = Window()
    assert window.guess(0) == 0 and window.guess(65535) == 65535
    assert window.check(0) and window.check(1 << 40)


def test_index_zero_counts() -> None:
    window = Window()
    window.commit(0)
    assert not window.check(0)
    assert window.check(1)


def test_edges_of_the_window() -> None:
    window = Window()
    window.commit(5000)
    assert not window.check(5000 - SIZE)
    assert window.check(5000 - SIZE + 1)
    window.commit(5000 - SIZE + 1)
    assert not window.check(5000 - SIZE + 1)
    window.commit(5001)
    assert not window.check(5000 - SIZE + 1)
    assert window.check(5001 - SIZE + 1)


def test_a_jump_forgets_what_it_must() -> None:
    for jump in (1, 63, 64, 65, 1022, 1023, 1024, 1025, 5000):
        window, model = Window(), Remembers()
        for index in range(10_000, 10_000 + SIZE):
            window.commit(index)
            model.commit(index)
        window.commit(model.highest + jump)
        model.commit(model.highest + jump)
        for index in range(model.highest - SIZE - 10, model.highest + 10):
            assert window.check(index) == model.check(index), (jump, index)


@given(start=st.integers(0, 1 << 47), steps=st.lists(st.integers(-1200, 1500), max_size=60))
@settings(max_examples=300, deadline=None)
def test_as_one_that_remembers_everything(start: int, steps: list[int]) -> None:
    window, model = Window(), Remembers()
    index = start
    for step in steps:
        index = max(0, index + step)
        assert window.check(index) == model.check(index)
        if model.check(index):
            window.commit(index)
            model.commit(index)
        assert window.highest == max(model.highest, 0)


def test_what_was_only_checked_is_not_remembered() -> None:
    window = Window()
    window.commit(10)
    assert window.check(1 << 30)
    assert window.check(11) and window.highest == 10


def test_roll_over_with_loss_reorder_and_repeats() -> None:
    """A sender passes the wrap twice; of every ten packets one is lost, and neighbours swap places."""
    rng = random.Random(3711)
    sent = [index for index in range(60_000, 60_000 + 140_000) if rng.random() > 0.1]
    arrival = sorted(sent, key=lambda index: index + rng.random() * 200)
    window = Window()
    for number, index in enumerate(arrival):
        guess = window.guess(index & 0xFFFF)
        assert guess == index
        assert window.check(guess)
        window.commit(guess)
        if number % 7 == 0:
            assert not window.check(window.guess(index & 0xFFFF))


@given(highest=st.integers(0, (1 << 48) - 1), distance=st.integers(-32767, 32767))
@settings(max_examples=300, deadline=None)
def test_the_guess_is_the_nearest_index(highest: int, distance: int) -> None:
    """RFC 3711 §3.3.1, except where the nearest would be before the first or behind the last."""
    index = highest + distance
    window = Window()
    window.commit(highest)
    if 0 <= index < 1 << 48:
        assert window.guess(index & 0xFFFF) == index


def test_no_index_before_the_first() -> None:
    window = Window()
    window.commit(5)
    assert window.guess(65530) == 65530
