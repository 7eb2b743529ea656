"""Logical pids: unique over hosts, never that of a process here, readable back, and small enough for the messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizontal.pids import HOSTS, Pids, join_pid, split_pid

PID_MAX_LIMIT = 2**22  # Linux, include/linux/threads.h


@given(st.integers(HOSTS[0], HOSTS[-1]), st.integers(0, PID_MAX_LIMIT - 1))
def test_there_and_back(host, pid):
    logical = join_pid(host, pid)
    assert split_pid(logical) == (host, pid)
    assert PID_MAX_LIMIT <= logical < 2**32


@pytest.mark.parametrize(("host", "pid"), [(0, 1), (1, 1), (1024, 1), (2, -1), (2, 2**22)])
def test_what_does_not_fit(host, pid):
    with pytest.raises(ValueError, match="no logical pid"):
        join_pid(host, pid)


@pytest.mark.parametrize("pid", [0, 1, 2**22 - 1, 2**22 + 1, 2**23 - 1, 2**32])
def test_no_logical_pid(pid):
    with pytest.raises(ValueError, match="no logical pid"):
        split_pid(pid)


@given(st.lists(st.one_of(st.integers(1, 5), st.integers(2**22, 2**32 - 1)), max_size=30))
def test_workers_may_share_a_pid_or_have_a_logical_one(pids):
    ours = Pids(7)
    given = [ours.give(pid) for pid in pids]
    assert len(set(given)) == len(given)
    assert [ours.own(logical) for logical in given] == pids
    assert all(split_pid(logical)[0] == 7 for logical in given)
    firsts = {pid: logical for pid, logical in reversed([*zip(pids, given, strict=True)]) if pid < 2**22}
    assert all(split_pid(logical)[1] == pid for pid, logical in firsts.items())
    for logical in given:
        ours.release(logical)
    assert all(ours.own(logical) is None for logical in given)


def test_processes_that_are_no_workers_of_ours():
    ours = Pids(2)
    logical = ours.give(2**30)
    assert ours.logical(2**30) == logical
    assert split_pid(ours.logical(99)) == (2, 99)
