"""The recorder of transport-wide arrivals: what is told when, through losses, reordering, wraps and silence."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu_core._twcc import Arrivals

MS = 1_000_000
TICK = 250_000
LOST = -1
NEVER = 2**63 - 1
wrap_points = pytest.mark.parametrize("first", [0, 1, 127, 32767, 32768, 65534, 65535])


def relative(arrivals: list[int]) -> list[int | None]:
    """In ticks after the first arrival; None: lost."""
    first = next(arrival for arrival in arrivals if arrival != LOST)
    return [None if arrival == LOST else arrival - first for arrival in arrivals]


def feedback(recorder: Arrivals, now_ns: int, cap: int = 2048) -> tuple[int, list[int | None]]:
    base, arrivals = recorder.pending(cap)
    recorder.on_feedback(len(arrivals), now_ns)
    return base, relative(arrivals)


@wrap_points
def test_arrivals_and_losses(first: int) -> None:
    recorder = Arrivals()
    assert recorder.deadline == NEVER and recorder.pending() == (0, [])
    for n, at in [(0, 1000), (1, 1001), (4, 1003), (3, 1005)]:
        recorder.on_packet((first + n) % 65536, at * MS)
    assert recorder.deadline == 1100 * MS
    assert feedback(recorder, 1100 * MS) == (first, [0, 4, None, 20, 12])
    assert recorder.deadline == NEVER and recorder.pending() == (0, [])


@wrap_points
def test_what_is_lost_between_two_feedbacks_is_told(first: int) -> None:
    recorder = Arrivals()
    recorder.on_packet(first, 0)
    feedback(recorder, 100 * MS)
    recorder.on_packet((first + 3) % 65536, 130 * MS)
    assert recorder.deadline == 200 * MS
    assert feedback(recorder, 200 * MS) == ((first + 1) % 65536, [None, None, 0])


def test_after_silence_feedback_waits_for_company() -> None:
    recorder = Arrivals()
    recorder.on_packet(1, 0)
    feedback(recorder, 100 * MS)
    recorder.on_packet(2, 900 * MS)
    assert recorder.deadline == 1000 * MS
    recorder.on_packet(3, 950 * MS)
    assert recorder.deadline == 1000 * MS


def test_full_at_512() -> None:
    recorder = Arrivals()
    for n in range(511):
        recorder.on_packet(n, MS + n * TICK)
    assert recorder.deadline == 101 * MS
    recorder.on_packet(511, MS + 511 * TICK)
    assert recorder.deadline == 0
    base, arrivals = recorder.pending()
    assert base == 0 and relative(arrivals) == list(range(512))


def test_partly_written_feedback_goes_on() -> None:
    recorder = Arrivals()
    for n in range(10):
        recorder.on_packet(n, n * MS)
    recorder.on_feedback(4, 100 * MS)
    assert recorder.feedback_count == 1 and recorder.deadline == 100 * MS
    base, arrivals = recorder.pending()
    assert base == 4 and len(arrivals) == 6


@wrap_points
def test_a_late_packet_is_told_with_what_followed_it(first: int) -> None:
    recorder = Arrivals()
    for n in (0, 2, 3):
        recorder.on_packet((first + n) % 65536, n * MS)
    feedback(recorder, 100 * MS)
    recorder.on_packet((first + 1) % 65536, 110 * MS)
    assert feedback(recorder, 200 * MS) == ((first + 1) % 65536, [0, -108 * 4, -107 * 4])


def test_a_late_packet_behind_half_a_second_is_forgotten() -> None:
    recorder = Arrivals()
    for n in (0, 2, 3):
        recorder.on_packet(n, n * MS)
    feedback(recorder, 100 * MS)
    recorder.on_packet(1, 503 * MS)
    assert recorder.deadline == NEVER


def test_the_first_arrival_counts() -> None:
    recorder = Arrivals()
    for at in (1, 5, 90):
        recorder.on_packet(7, at * MS)
        recorder.on_packet(8, (at + 1) * MS)
    assert feedback(recorder, 100 * MS) == (7, [0, 4])
    recorder.on_packet(7, 120 * MS)
    assert recorder.deadline == NEVER


def test_jumps() -> None:
    recorder = Arrivals()
    recorder.on_packet(0, 0)
    recorder.on_packet(2047, MS)
    assert len(recorder.pending()[1]) == 2048
    recorder.on_packet(2048, 2 * MS)
    base, arrivals = recorder.pending()
    assert base == 1 and len(arrivals) == 2048 and arrivals[:-2] == [LOST] * 2046
    recorder.on_packet(2050, 2 * MS)
    base, arrivals = recorder.pending()
    assert base == 3 and relative(arrivals) == [None] * 2044 + [0, 4, None, 4], "2048 back"
    recorder.on_packet(30000, 3 * MS)
    assert recorder.pending()[0] == 30000 and len(recorder.pending()[1]) == 1
    recorder.on_packet(30000 - 2048, 3 * MS)
    assert recorder.pending()[0] == 30000


def test_more_losses_than_fit_in_a_packet() -> None:
    recorder = Arrivals()
    recorder.on_packet(0, 0)
    feedback(recorder, 0)
    recorder.on_packet(500, MS)
    assert recorder.pending(499) == (500, [recorder.pending(499)[1][0]])
    assert recorder.pending(10)[0] == 500


def test_no_arrival_is_lost_at_the_end_of_a_packet() -> None:
    recorder = Arrivals()
    for n in (0, 1, 5):
        recorder.on_packet(n, (n + 1) * MS)
    base, arrivals = recorder.pending(4)
    assert base == 0 and relative(arrivals) == [0, 4]


@pytest.mark.parametrize("start_tick", [1, 2**32 - 6, 2**32 + 1, 2**44 + 7])
def test_times_stay_positive_and_exact(start_tick: int) -> None:
    recorder = Arrivals()
    for n in range(5):
        recorder.on_packet(5 - n, (start_tick + n) * TICK)
    _, arrivals = recorder.pending()
    assert relative(arrivals) == [0, -1, -2, -3, -4]
    assert all(arrival >= 0 for arrival in arrivals)
    assert arrivals[0] % 2**32 == (start_tick + 4) % 2**32, "the reference time, modulo its 24 bits of 64 ms"


def test_the_wrap_of_the_ticks() -> None:
    recorder = Arrivals()
    for n in range(4):
        recorder.on_packet(n, (2**32 - 2 + n) * TICK)
    assert relative(recorder.pending()[1]) == [0, 1, 3, 3], "the tick 0 means absence, 1 stands for it"


moves = st.lists(
    st.tuples(st.one_of(st.just(1), st.integers(-3, 6), st.integers(-1500, 1900)), st.integers(0, 60)), max_size=120
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([0, 1, 32767, 32768, 65534, 65535]), st.sampled_from([7, 100, 512]), moves)
def test_every_status_told_is_true(first: int, cap: int, walk: list[tuple[int, int]]) -> None:
    """A packet told as received came at that time; one told as lost has not come (or too late to matter)."""
    recorder = Arrivals()
    came: dict[int, int] = {}
    told: set[int] = set()
    on_time: set[int] = set()
    number = highest = 65536 + first
    now_ns = 10**9
    for step, elapsed in [(0, 0), *walk]:
        number, now_ns = max(65536 + first, highest + step), now_ns + elapsed * MS
        highest = max(highest, number)
        if number >= highest:
            on_time.add(number)
        recorder.on_packet(number % 65536, now_ns)
        came.setdefault(number, now_ns // TICK)
        while recorder.deadline <= now_ns:
            base, arrivals = recorder.pending(cap)
            assert 0 < len(arrivals) <= cap and arrivals[-1] != LOST
            start = highest - (highest - base) % 65536
            for n, arrival in enumerate(arrivals, start):
                if arrival == LOST:
                    assert n not in came or came[n] - min(t for m, t in came.items() if m > n) > 500 * 4
                else:
                    assert arrival % 2**32 == came[n] % 2**32
                    told.add(n)
            recorder.on_feedback(len(arrivals), now_ns)
    if recorder.deadline != NEVER:
        told.update(range(highest - (highest - recorder.pending(2048)[0]) % 65536, highest + 1))
    horizon = max(came.values()) - 500 * 4
    assert {n for n, tick in came.items() if tick > horizon and n > highest - 2048 and n in on_time} <= told
