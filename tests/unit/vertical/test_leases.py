"""Leases of processors: nobody gets one that another has, and what is given back can be had."""

import os
import signal

import pytest

from vertical.leases import VARIABLE, Leases

CPUS = [0, 1, 2, 3]


@pytest.fixture(autouse=True)
def group(monkeypatch):
    monkeypatch.setenv(VARIABLE, f"test {os.getpid()}")


@pytest.fixture
def leases():
    every = [Leases() for _ in range(3)]
    yield every
    for each in every:
        each.give_back()


def test_they_are_divided(leases):
    first, second, third = leases
    assert first.take(CPUS, 3) == [0, 1, 2]
    assert second.take(CPUS, 3) == [3]
    assert third.take(CPUS, 3) == []
    first.give_back()
    first.give_back()
    assert third.take(CPUS, 2) == [0, 1]
    assert second.take(CPUS, 3) == [2, 3]


def test_what_is_held_counts(leases):
    first, second, _ = leases
    assert first.take([2], 1) == [2]
    assert first.take(CPUS, 2) == [0, 2] == first.take(CPUS, 2)
    assert second.take(CPUS, 4) == [1, 3]


def test_groups_do_not_see_each_other(leases, monkeypatch):
    first, second, third = leases
    assert first.take(CPUS, 4) == CPUS
    monkeypatch.setenv(VARIABLE, f"other {os.getpid()}")
    assert second.take(CPUS, 4) == CPUS
    monkeypatch.setenv(VARIABLE, "off")
    assert third.take(CPUS, 2) == [0, 1]


def test_a_fork_does_not_hold_them(leases):
    first, second, _ = leases
    first.take(CPUS, 4)
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready[1], b"!")
        os.read(done[0], 1)
        os._exit(0)
    try:
        os.read(ready[0], 1)
        assert second.take(CPUS, 4) == []
        first.give_back()
        assert second.take(CPUS, 4) == CPUS
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for end in (*ready, *done):
            os.close(end)


def test_they_end_with_their_holder(leases):
    held = Leases()
    held.take(CPUS, 4)
    del held
    assert leases[0].take(CPUS, 4) == CPUS
