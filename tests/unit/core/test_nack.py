"""The NACK list: what is asked for, when, how often, and what happens when it is too much."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu_core._nack import Missing
from tests.models.numbers import Wanted
from tests.models.streams import lines

NEWER, REPAIRED, UNWANTED = range(3)
NEEDS_KEY_FRAME = 8
MS = 1_000_000
NEVER = 2**63 - 1

wrap_points = pytest.mark.parametrize("first", [65536 + n for n in (0, 1, 127, 32767, 32768, 65534, 65535)])


def seqs(*numbers: int) -> list[int]:
    return [number % 65536 for number in numbers]


@wrap_points
def test_asked_for_after_ten_milliseconds(first: int) -> None:
    missing = Missing()
    assert missing.on_packet(first) == NEWER
    assert missing.deadline == NEVER and missing.due(10**12) == []
    assert missing.on_packet(first + 3, now_ns=5 * MS) == NEWER
    assert missing.deadline == 15 * MS
    assert missing.due(15 * MS - 1) == []
    assert missing.due(15 * MS) == seqs(first + 1, first + 2)


def test_reordering_within_ten_milliseconds_asks_for_nothing() -> None:
    missing = Missing()
    missing.on_packet(100)
    missing.on_packet(102, now_ns=MS)
    assert missing.on_packet(101, now_ns=9 * MS) == REPAIRED
    assert missing.deadline == NEVER and missing.due(50 * MS) == []


@pytest.mark.parametrize("rtt_ms, gap_ms", [(0, 100), (60, 60), (250, 250), (5, 40)])
def test_repeated_every_round_trip_ten_times(rtt_ms: int, gap_ms: int) -> None:
    missing = Missing()
    missing.on_packet(100)
    missing.on_packet(102)
    asked_at = []
    while missing.deadline != NEVER:
        now_ns = missing.deadline
        if missing.due(now_ns, rtt_ms * MS):
            asked_at.append(now_ns // MS)
    assert asked_at == [10 + gap_ms * n for n in range(10)]
    assert missing.missing == [] and missing.on_packet(101) == UNWANTED


def test_a_late_answer_to_the_last_request_still_counts() -> None:
    missing = Missing()
    missing.on_packet(100)
    missing.on_packet(102)
    for _ in range(10):
        assert missing.due(missing.deadline)
    assert missing.on_packet(101, recovered=True) == REPAIRED


def test_a_new_gap_does_not_wait_for_the_timer_of_an_old_one() -> None:
    missing = Missing()
    missing.on_packet(100)
    missing.on_packet(102)
    assert missing.due(10 * MS) == [101]
    missing.on_packet(104, now_ns=15 * MS)
    assert missing.deadline == 25 * MS
    assert missing.due(25 * MS) == [103], "101 was asked for 15 ms ago"
    assert missing.deadline == 110 * MS


def test_recovered_packets() -> None:
    missing = Missing()
    assert missing.on_packet(100, recovered=True) == UNWANTED, "before anything came"
    missing.on_packet(100)
    missing.on_packet(102)
    assert missing.on_packet(101, recovered=True) == REPAIRED
    assert missing.on_packet(101, recovered=True) == UNWANTED
    assert missing.on_packet(99, recovered=True) == UNWANTED
    assert missing.on_packet(104, recovered=True) == NEWER, "probing by RTX"
    assert missing.missing == [103]


def test_more_than_fit_are_asked_for_in_turns() -> None:
    missing = Missing()
    missing.on_packet(100)
    missing.on_packet(151)
    asked = [missing.due(10 * MS, cap=20) for _ in range(4)]
    assert [len(part) for part in asked] == [20, 20, 10, 0]
    assert [seq for part in asked for seq in part] == list(range(101, 151))


def test_ten_thousand_numbers_back_is_too_old() -> None:
    missing = Missing()
    missing.on_packet(100)
    missing.on_packet(102)
    for number in range(103, 102 + 10000):
        missing.on_packet(number)
    assert missing.missing == [101]
    missing.on_packet(102 + 10000)
    assert missing.missing == []


def test_overflow_gives_up_what_precedes_a_key_frame() -> None:
    missing = Missing()
    missing.on_packet(100)
    assert missing.on_packet(701) == NEWER
    assert missing.on_packet(800, is_key=True) == NEWER
    assert missing.on_packet(1200) == NEWER, "no key frame needed: one is there"
    assert missing.missing == list(range(801, 1200))


def test_overflow_without_a_key_frame_needs_one() -> None:
    missing = Missing()
    missing.on_packet(100)
    assert missing.on_packet(1101) == NEWER, "1000 fit"
    assert len(missing.missing) == 1000
    assert missing.on_packet(1103) == NEWER | NEEDS_KEY_FRAME
    assert missing.missing == [] and missing.deadline == NEVER
    assert missing.on_packet(1105) == NEWER and missing.missing == [1104], "and on"
    assert missing.on_packet(1105 + 2999) == NEWER | NEEDS_KEY_FRAME, "one gap alone"


def test_overflow_by_a_key_frame_needs_nothing() -> None:
    missing = Missing()
    missing.on_packet(100)
    missing.on_packet(1000)
    assert missing.on_packet(2500, is_key=True) == NEWER
    assert missing.missing == []


def test_reset() -> None:
    missing = Missing()
    missing.on_packet(100)
    missing.on_packet(102)
    missing.reset()
    assert missing.deadline == NEVER and missing.on_packet(5000) == NEWER and missing.missing == []


def test_full_list_with_repairs_in_the_middle() -> None:
    """The array has room for repaired entries; they are closed up when it has not."""
    missing = Missing()
    missing.on_packet(70000)
    missing.on_packet(70999)
    number = 70999
    for turn in range(300):
        assert missing.on_packet(70500 + turn) == REPAIRED
        number += 2
        assert missing.on_packet(number) == NEWER
    expected = [n for n in range(70001, 70999) if not 70500 <= n < 70800]
    assert missing.missing == expected + list(range(71000, number, 2))


packets = st.lists(
    st.tuples(
        st.one_of(st.integers(1, 4), st.integers(-30, 5), st.integers(-2000, 1400)),
        st.integers(0, 12).map(lambda n: n == 0),
        st.integers(0, 30),
        st.booleans(),
    ),
    max_size=150,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([65536, 65537, 98303, 131070, 131071]), st.sampled_from([0, 20, 70, 300]), packets)
def test_agrees_with_the_model(start: int, rtt_ms: int, walk: list[tuple[int, bool, int, bool]]) -> None:
    """And never asks for a packet that was received, nor for one packet more than ten times or too soon."""
    missing, model = Missing(), Wanted()
    received: set[int] = set()
    asked: dict[int, list[int]] = {}
    now_ns = 0
    for step, is_key, elapsed, ask in [(0, False, 0, False), *walk]:
        number = max(60000, (model.highest or start) + step)
        now_ns += elapsed * MS
        verdict = missing.on_packet(number, is_key, False, now_ns)
        assert bool(verdict & NEEDS_KEY_FRAME) == model.on_packet(number, is_key, now_ns)
        received.add(number)
        assert missing.missing == sorted(model.missing)
        if ask and missing.deadline <= now_ns:
            numbers = model.due(now_ns, rtt_ms * MS)
            assert missing.due(now_ns, rtt_ms * MS) == seqs(*numbers)
            assert not received.intersection(numbers)
            for number in numbers:
                asked.setdefault(number, []).append(now_ns)
    for times in asked.values():
        assert len(times) <= 10
        assert all(b - a >= (rtt_ms or 100) * MS for a, b in pairwise(times))


def test_real_video_with_loss() -> None:
    """Each of the 14 lost packets is asked for, and only these; in the end nothing is missing."""
    missing = Missing()
    highest = 0
    asked: set[int] = set()
    repaired = 0
    seen: set[int] = set()
    for line in lines("vp8-l1t3-loss"):
        asked.update(missing.due(line.now_ns, 5 * MS))
        if line.kind == "sr" or line.is_padding:
            continue
        seq = line.seq if line.kind == "rtp" else int(line.extra)
        highest = highest + (seq - highest + 32768) % 65536 - 32768 if highest else 65536 + seq
        verdict = missing.on_packet(highest, line.extra == "key", line.kind == "rtx", line.now_ns)
        repaired += verdict == REPAIRED
        seen.add(seq) if line.kind == "rtp" else None
    assert repaired == 13 and missing.missing == []
    assert 0 < len(asked) <= 13 and not asked & seen
