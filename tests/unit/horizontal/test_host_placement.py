"""Where workers go: a table, and what follows from it when many are made."""

import pytest

from horizontal.placement import Candidate, least_loaded, passed


@pytest.mark.parametrize(
    ("hosts", "chosen"),
    [
        ([Candidate(0)], 0),
        ([Candidate(0), Candidate(0)], 0),
        ([Candidate(0, workers=1), Candidate(0)], 1),
        ([Candidate(50), Candidate(20)], 1),
        ([Candidate(25, workers=1), Candidate(20, workers=2)], 0),  # about the same load
        ([Candidate(31, workers=1), Candidate(20, workers=2)], 1),
        ([Candidate(0, workers=2, capacity=8), Candidate(0, workers=1, capacity=2)], 0),  # fewer per core
        ([Candidate(0, workers=0, capacity=2), Candidate(0, workers=0, capacity=8)], 1),
        ([Candidate(0, workers=2, capacity=2), Candidate(40, workers=1, capacity=2)], 1),  # has room for one
        ([Candidate(0, workers=2, capacity=2), Candidate(95, capacity=2, full=True)], 0),
        ([Candidate(0, full=True), Candidate(60)], 1),
        ([Candidate(95, full=True), Candidate(99, full=True, capacity=4)], 1),  # all are: as if none was
        ([Candidate(95, full=True), Candidate(120, full=True)], 0),
        ([Candidate(0, capacity=0), Candidate(0, workers=1)], 0),
    ],
)
def test_least_loaded(hosts, chosen):
    assert least_loaded(hosts) == chosen


@pytest.mark.parametrize("cores", [(2, 2, 2), (1, 4, 8), (16, 1)])
def test_workers_spread_as_there_are_cores(cores):
    """Made at once, when no sample knows of them: each host gets as many as it has cores."""
    workers = [0] * len(cores)
    for _ in range(sum(cores)):
        index = least_loaded([Candidate(0, workers=w, capacity=c) for w, c in zip(workers, cores, strict=True)])
        workers[index] += 1
    assert tuple(workers) == cores


def test_a_mark_does_not_flutter():
    states, past = [], False
    for load in (80, 89, 91, 85, 81, 89, 80, 85, 90):
        past = passed(past, load, 90)
        states.append(past)
    assert states == [False, False, True, True, True, True, False, False, True]
