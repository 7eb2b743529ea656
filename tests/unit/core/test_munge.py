"""Outgoing numbers: continuous, in order, one for each packet, whatever is dropped, late, paused or replaced."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu_core import _munge
from sfu_core._munge import Numbers
from tests.models.numbers import DROPPED, NOT_SYNCED, OK, OLD, WINDOW, Munged

SECOND = 1_000_000_000
wrap_points = pytest.mark.parametrize("first", [1, 127, 32767, 32768, 65534, 65535, 65536, 2**32 - 2])


def number(numbers: Numbers, incoming: int) -> int | None:
    """The outgoing number, or None."""
    verdict, out, _ = numbers.packet(incoming)
    return out if verdict == OK else None


@wrap_points
@pytest.mark.parametrize("out", [0, 1000, 32767])
def test_continuous(first: int, out: int) -> None:
    numbers = Numbers(90000, out)
    assert numbers.packet(first)[0] == NOT_SYNCED
    numbers.sync(first)
    assert [number(numbers, first + n) for n in range(200)] == list(range(out, out + 200))


@wrap_points
def test_drops_leave_no_gap_and_losses_do(first: int) -> None:
    numbers = Numbers(90000, 1000)
    numbers.sync(first)
    assert number(numbers, first) == 1000
    numbers.drop(first + 1)
    assert number(numbers, first + 2) == 1001
    assert number(numbers, first + 5) == 1004, "3 and 4 may still come"
    numbers.drop(first + 8)
    assert number(numbers, first + 9) == 1007
    late = [(3, 1002), (4, 1003), (6, 1005), (7, 1006), (0, 1000), (2, 1001), (9, 1007)]
    assert [(n, number(numbers, first + n)) for n, _ in late] == late
    assert [numbers.packet(first + n)[0] for n in (1, 8)] == [DROPPED] * 2


@wrap_points
def test_a_pause_is_not_a_gap(first: int) -> None:
    numbers = Numbers(90000, 1000)
    numbers.sync(first)
    assert number(numbers, first + 3) == 1003
    numbers.sync(first + 500)
    assert number(numbers, first + 500) == 1004
    assert [numbers.packet(first + n)[0] for n in (499, 4, 3)] == [OLD] * 3, "its number may have gone to another"
    numbers.sync(7)
    assert number(numbers, 7) == 1005, "another source"


def test_a_late_drop_keeps_its_gap() -> None:
    numbers = Numbers(90000, 1000)
    numbers.sync(10)
    assert [number(numbers, n) for n in (10, 13)] == [1000, 1003]
    numbers.drop(11)
    assert [number(numbers, n) for n in (12, 14)] == [1002, 1004]


def test_how_far_back_numbers_are_known() -> None:
    numbers = Numbers(90000, 1000)
    numbers.sync(1)
    numbers.packet(1)
    numbers.drop(3)
    numbers.packet(3000)
    assert number(numbers, 4) == 1002, "no drop between"
    assert number(numbers, 2) == 1001
    numbers.drop(3001)
    assert [numbers.packet(n)[0] for n in (2, 4, 3001 - WINDOW)] == [OLD] * 3
    assert number(numbers, 3002 - WINDOW) == 1000 + (3002 - WINDOW - 1) - 1, "the last in the window"


@wrap_points
@pytest.mark.parametrize("drift_s", [0, 4.9, -4.9])
def test_timestamps_of_the_same_source_keep_their_offset(first: int, drift_s: float) -> None:
    numbers = Numbers(90000, 1000)
    numbers.sync(first, 2**32 - 10, SECOND)
    assert numbers.packet(first, 2**32 - 10, SECOND)[2] == 2**32 - 10
    resumed = 8 * 90000 - 10 + round(drift_s * 90000)
    numbers.sync(first + 9, resumed, 9 * SECOND)
    assert numbers.packet(first + 9, resumed, 9 * SECOND)[2] == resumed


@pytest.mark.parametrize("jump_s", [5.1, -5.1, -8, 20000])
def test_a_source_that_began_anew_is_another_source(jump_s: float) -> None:
    numbers = Numbers(90000, 1000)
    numbers.sync(5, 700_000, SECOND)
    numbers.packet(5, 700_000, SECOND)
    restarted = (700_000 + round((8 + jump_s) * 90000)) % 2**32
    numbers.sync(9, restarted, 9 * SECOND)
    assert numbers.packet(9, restarted, 9 * SECOND)[2] == 700_000 + 8 * 90000


def test_timestamps_of_another_source_follow_by_the_time_elapsed() -> None:
    numbers = Numbers(90000, 1000)
    numbers.sync(10, 2**32 - 45000, SECOND)
    numbers.packet(10, 2**32 - 45000, SECOND)
    numbers.packet(9, 2**32 - 48000, SECOND)
    numbers.sync(1, 777, SECOND * 5 // 2, same_source=False)
    assert numbers.packet(1, 777, SECOND * 5 // 2)[2] == 90000
    assert numbers.packet(3, 777 + 3000, 3 * SECOND)[2] == 93000
    numbers.sync(100, 5, 3 * SECOND, same_source=False)
    assert numbers.packet(100, 5, 3 * SECOND)[2] == 93001, "never the same twice"
    numbers.sync(200, 90065, 4 * SECOND)
    assert numbers.packet(200, 90065, 4 * SECOND)[2] == 183061, "a pause keeps the offset of the change"
    numbers.sync_at(300, 9, 50)
    assert numbers.packet(300, 9, 4 * SECOND)[2] == 50
    numbers.sync(400, 0, 5 * SECOND, same_source=False)
    assert numbers.packet(400, 0, 5 * SECOND)[2] == 90050, "from the newest of this source, not the highest ever"


def test_the_first_source_keeps_its_timestamps() -> None:
    numbers = Numbers(90000, 1000)
    numbers.sync(5, 1234, SECOND, same_source=False)
    assert numbers.packet(5, 1234, SECOND)[2] == 1234


def test_a_long_pause_does_not_overflow() -> None:
    numbers = Numbers(90000, 1000)
    numbers.sync(1, 0, 1)
    numbers.packet(1, 0, 1)
    days = 30 * 86400
    numbers.sync(1, 0, 1 + days * SECOND, same_source=False)
    assert numbers.packet(1, 0, 1 + days * SECOND)[2] == days * 90000 % 2**32


def test_reserved_blocks() -> None:
    numbers = Numbers(90000, 1000)
    numbers.sync(1)
    used = []
    for n in range(1, 300):
        assert numbers.next == 999 + n
        assert numbers.reserve(numbers.next, 64) == ((n - 1) % 64 == 0)
        used.append(number(numbers, n))
        assert numbers.reserved_until > used[-1]  # type: ignore[operator]
    reserved = numbers.reserved_until
    numbers.resume()
    assert numbers.packet(300)[0] == NOT_SYNCED
    numbers.sync(300)
    assert number(numbers, 300) == reserved > max(used)  # type: ignore[type-var]


def test_what_a_packet_touches() -> None:
    assert _munge.sizes() == {"Munger": 192, "hot": 64}


actions = st.lists(
    st.one_of(
        st.tuples(st.just("packet"), st.integers(1, 3)),
        st.tuples(st.just("drop"), st.integers(1, 3)),
        st.tuples(st.sampled_from(["packet", "drop"]), st.integers(-40, 40)),
        st.tuples(st.sampled_from(["packet", "drop"]), st.integers(-2100, 2900)),
        st.tuples(st.just("sync"), st.integers(1, 5)),
        st.tuples(st.just("sync"), st.integers(-100, 100000)),
    ),
    max_size=120,
)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from([65536, 65537, 65536 + 32767, 131070, 2**32 - 3]), st.integers(0, 32767), actions)
def test_one_number_for_each_packet_in_order(start: int, out: int, walk: list[tuple[str, int]]) -> None:
    numbers, model = Numbers(90000, out), Munged(out)
    run, highest = 0, start
    given_out: dict[int, tuple[int, int]] = {}  # outgoing number: (run, incoming number)
    for action, step in [("sync", 0), *walk]:
        incoming = max(1, highest + step)
        if action == "sync":
            numbers.sync(incoming)
            model.sync(incoming)
            run, highest = run + 1, incoming - 1
        elif action == "drop":
            numbers.drop(incoming)
            model.drop(incoming)
            highest = max(highest, incoming)
        else:
            verdict, result, _ = numbers.packet(incoming)
            assert (verdict, result if verdict == OK else 0) == model.packet(incoming)
            highest = max(highest, incoming)
            if verdict == OK:
                assert given_out.setdefault(result, (run, incoming)) == (run, incoming), "two packets, one number"
    assert [given_out[n] for n in sorted(given_out)] == sorted(given_out.values()), "order of arrival numbers is kept"
    assert all(n >= out for n in given_out)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=300))
def test_reordering_changes_no_number(plan: list[tuple[bool, int]]) -> None:
    """If the packets kept come late, they get the numbers they would have had in order."""
    in_order, reordered = Numbers(90000, 1000), Numbers(90000, 1000)
    in_order.sync(70000), reordered.sync(70000)
    expected = {}
    held: list[tuple[int, int]] = []
    for n, (dropped, delay) in enumerate(plan):
        incoming = 70000 + n
        if dropped:
            in_order.drop(incoming), reordered.drop(incoming)
        else:
            expected[incoming] = number(in_order, incoming)
            held.append((n + delay, incoming))
        for _, ready in sorted(entry for entry in held if entry[0] <= n):
            assert number(reordered, ready) == expected[ready]
        held = [entry for entry in held if entry[0] > n]
    assert sorted(expected.values()) == list(range(1000, 1000 + len(expected)))  # type: ignore[type-var]
