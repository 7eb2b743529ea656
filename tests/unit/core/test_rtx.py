"""What was sent can be sent again: with the same values, not too often, not too late; and the RTX format."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu_core import _rtx
from sfu_core._rtx import SentPackets

OK, UNKNOWN, TOO_OLD, TOO_SOON, DUPLICATE, NOT_KEPT = range(6)
MS = 1_000_000
wrap_points = pytest.mark.parametrize("first", [1000, 32767, 65534, 65535, 65536 + 32768, 2**32 - 1, 2**48 - 300])


@wrap_points
def test_everything_particular_to_a_consumer_is_kept(first: int) -> None:
    sent = SentPackets(64, 1000)
    for n in range(100):
        values = {"record": 2**63 + n, "ts": 2**32 - 1 - n, "abs_send_time": 0xFFFFF0 - n, "twcc": 65535 - n}
        assert sent.put(first + n, **values, flags=n % 64) == OK
    for n in (36, 70, 99):
        assert sent.take((first + n) % 65536) == (
            OK,
            {
                "record": 2**63 + n, "ts": 2**32 - 1 - n, "absSendTime": 0xFFFFF0 - n, "twcc": 65535 - n,
                "flags": n % 64, "seq": (first + n) % 65536, "first": True,
            },
        )
    assert [sent.take((first + n) % 65536)[0] for n in (35, 0, -1, 100)] == [UNKNOWN] * 4


def test_nothing_was_sent() -> None:
    sent = SentPackets(64, 1000)
    assert [sent.take(seq)[0] for seq in (0, 1, 65535)] == [UNKNOWN] * 3


@wrap_points
def test_gaps_and_late_packets(first: int) -> None:
    sent = SentPackets(64, 1000)
    assert [sent.put(first + n) for n in (0, 3, 3, 1, 1)] == [OK, OK, DUPLICATE, OK, DUPLICATE]
    assert sent.take((first + 2) % 65536)[0] == UNKNOWN
    assert sent.put(first + 66) == OK
    assert [sent.put(first + n) for n in (2, 3, 4)] == [NOT_KEPT, DUPLICATE, OK]
    assert sent.put(first + 500) == OK
    assert [n for n in range(437, 501) if sent.take((first + n) % 65536)[0] == OK] == [500], "no old entry"


@wrap_points
def test_a_number_passed_over_does_not_find_the_one_a_lap_before(first: int) -> None:
    sent = SentPackets(64, 1000)
    for n in range(64):
        sent.put(first + n)
    assert sent.put(first + 66) == OK
    assert [sent.take((first + n) % 65536)[0] for n in (63, 64, 65, 66)] == [OK, UNKNOWN, UNKNOWN, OK]
    assert [sent.put(first + n) for n in (65, 64)] == [OK, OK]


@pytest.mark.parametrize("rtt_ms, gap_ms", [(0, 100), (30, 30), (700, 700)])
def test_not_again_within_a_round_trip(rtt_ms: int, gap_ms: int) -> None:
    sent = SentPackets(64, 2000)
    now_ns = 65_000 * MS  # the 16-bit milliseconds wrap on the way
    sent.put(1000, now_ns=now_ns)
    verdict, entry = sent.take(1000, now_ns, rtt_ms * MS)
    assert verdict == OK and entry is not None and entry["first"]
    assert sent.take(1000, now_ns + (gap_ms - 1) * MS, rtt_ms * MS)[0] == TOO_SOON
    verdict, entry = sent.take(1000, now_ns + gap_ms * MS, rtt_ms * MS)
    assert verdict == OK and entry is not None and not entry["first"]
    assert sent.take(1000, now_ns + (2 * gap_ms - 1) * MS, rtt_ms * MS)[0] == TOO_SOON


@pytest.mark.parametrize("age_ms", [1000, 2000])
@pytest.mark.parametrize("start_ms", [5, 1_099_000, 10**9])
def test_not_after_its_time(age_ms: int, start_ms: int) -> None:
    """To the 16.8 ms of the clock; `start_ms` lies before a wrap of it."""
    sent = SentPackets(64, age_ms)
    sent.put(1000, now_ns=start_ms * MS)
    assert sent.take(1000, (start_ms + age_ms - 17) * MS)[0] == OK
    assert sent.take(1000, (start_ms + age_ms + 34) * MS)[0] == TOO_OLD


def test_clear() -> None:
    sent = SentPackets(64, 1000)
    sent.put(1000), sent.put(1002)
    sent.clear()
    assert [sent.take(seq)[0] for seq in (1000, 1001, 1002, 1003)] == [UNKNOWN] * 4
    assert sent.put(1001) == NOT_KEPT
    assert sent.put(1004) == OK
    assert [sent.take(seq)[0] for seq in (1002, 1003, 1004)] == [UNKNOWN, UNKNOWN, OK]


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1000, 70000),
    st.lists(st.tuples(st.sampled_from(["put", "put", "put", "take", "clear"]), st.integers(-40, 40)), max_size=200),
)
def test_agrees_with_a_dictionary(first: int, walk: list[tuple[str, int]]) -> None:
    sent = SentPackets(32, 2000)
    model: dict[int, int] = {}
    newest, oldest = 0, 0
    for turn, (action, step) in enumerate([("put", 0), *walk]):
        number = max(1000, (newest or first) + step)
        if action == "put":
            known = number > newest or oldest <= number > newest - 32
            expected = DUPLICATE if number in model else OK if known else NOT_KEPT
            assert sent.put(number, turn) == expected
            if expected == OK:
                newest, oldest = max(newest, number), oldest or number
                model[number] = turn
                model = {n: value for n, value in model.items() if n > newest - 32}
        elif action == "take":
            verdict, entry = sent.take(number % 65536, turn * 200 * MS)
            assert verdict in ((OK, TOO_OLD) if number in model else (UNKNOWN,))
            assert entry is None or entry["record"] == model[number]
        else:
            sent.clear()
            model.clear()
            oldest = newest + 1


@pytest.mark.parametrize("seq", [0, 1, 127, 32767, 32768, 65534, 65535])
@pytest.mark.parametrize("payload", [b"", b"x", bytes(1200)])
def test_format(seq: int, payload: bytes) -> None:
    wrapped = _rtx.wrap(seq, payload)
    assert wrapped == seq.to_bytes(2, "big") + payload
    assert _rtx.unwrap(wrapped) == (0, seq)


def test_what_is_no_repair() -> None:
    assert _rtx.unwrap(b"") == (1, 0), "padding or a probe"
    assert _rtx.unwrap(b"\x01") == (2, 0)


def test_size() -> None:
    assert _rtx.sizes() == {"Sent": 24, "SentRing": 24}
