"""Reception and sending state: against a model of RFC 3550, on real streams, and at every wrap."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu_core import _stream
from sfu_core._stream import Receiver, Sender
from tests.models.streams import Rfc3550, lines

NEW, LATE, DUPLICATE, DISCARD, RESYNC = range(5)
VERDICT = {"new": NEW, "late": LATE, "duplicate": DUPLICATE, "discard": DISCARD, "resync": RESYNC}
MS = 1_000_000
SECOND = 1000 * MS

wrap_points = pytest.mark.parametrize("first", [0, 1, 127, 32767, 32768, 65534, 65535])


def verdicts(receiver: Receiver, first: int, offsets: list[int]) -> list[int]:
    return [receiver.on_packet((first + offset) % 65536)[0] for offset in offsets]


# --- sequence ---


@wrap_points
def test_in_order(first: int) -> None:
    receiver = Receiver(90000)
    for n in range(5):
        assert receiver.on_packet((first + n) % 65536) == (NEW, 65536 + first + n)
    report = receiver.report()
    assert report is not None and report["highest_seq"] == first + 4 and report["lost"] == 0


@wrap_points
def test_late_and_duplicate(first: int) -> None:
    receiver = Receiver(90000)
    assert verdicts(receiver, first, [0, 3, 1, 1, 3, 2]) == [NEW, NEW, LATE, DUPLICATE, DUPLICATE, LATE]
    stats = receiver.stats()
    assert (stats["misordered"], stats["duplicates"], stats["received"], stats["lost"]) == (2, 2, 6, -2)


@wrap_points
def test_packet_before_the_first_has_a_number(first: int) -> None:
    receiver = Receiver(90000)
    receiver.on_packet(first)
    assert receiver.on_packet((first - 1) % 65536) == (LATE, 65535 + first)


@wrap_points
@pytest.mark.parametrize(
    "jump, verdict", [(2999, NEW), (3000, DISCARD), (-1499, LATE), (-1500, DISCARD), (32768, DISCARD)]
)
def test_how_far_is_believed(first: int, jump: int, verdict: int) -> None:
    receiver = Receiver(90000)
    assert verdicts(receiver, first, [0, jump]) == [NEW, verdict]
    assert receiver.stats()["discarded"] == (verdict == DISCARD)


@wrap_points
def test_a_jump_is_believed_when_it_goes_on(first: int) -> None:
    receiver = Receiver(90000)
    assert verdicts(receiver, first, [0, 2, 20000, 5000, 20000, 20001]) == [NEW, NEW, *[DISCARD] * 3, RESYNC]
    verdict, ext = receiver.on_packet((first + 20002) % 65536)
    assert verdict == NEW
    assert ext > 65536 + first + 2 + 65535, "numbers of a new run are above all earlier ones, late ones included"
    stats = receiver.stats()
    assert stats["expected"] == 3 + 2 and stats["lost"] == 1, "the loss before the jump is not forgotten"


def test_duplicates_are_known_across_the_window() -> None:
    receiver = Receiver(90000)
    for n in range(5000):
        receiver.on_packet(n)
    assert verdicts(receiver, 4999, [0, -1, -700, -1499]) == [DUPLICATE] * 4
    receiver.on_packet(4999 + 2900)
    assert verdicts(receiver, 4999, [2899, 1402, 2899]) == [LATE, LATE, DUPLICATE], "the gap was not seen"


steps = st.lists(
    st.tuples(
        st.one_of(st.integers(-3, 4), st.integers(-1600, 3100), st.integers(-32768, 32767)),
        st.integers(0, 200_000_000),
        st.integers(-3000, 9000),
        st.booleans(),
    ),
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([0, 1, 127, 32767, 32768, 65534, 65535]), st.sampled_from([8000, 48000, 90000]), steps)
def test_agrees_with_rfc3550(first: int, clock_rate: int, walk: list[tuple[int, int, int, bool]]) -> None:
    receiver, model = Receiver(clock_rate), Rfc3550(clock_rate)
    seq, now_ns, ts = first, 123_456_789_012_345, 2**32 - 5000
    for move, elapsed, ts_step, report in [(0, 0, 0, False), *walk]:
        seq, now_ns, ts = (seq + move) % 65536, now_ns + elapsed, (ts + ts_step) % 2**32
        assert receiver.on_packet(seq, ts, now_ns)[0] == VERDICT[model.on_packet(seq, ts, now_ns)]
        if report:
            block = receiver.report(now_ns)
            assert block is not None
            assert block.items() >= model.report().items()
    stats = receiver.stats()
    assert (stats["expected"], stats["received"]) == (model.expected, model.received)
    assert stats["jitter"] == model.jitter >> 4


# --- real streams ---


def test_real_video_with_loss() -> None:
    """14 packets never came and were repaired, one before the gap was known; the report still tells of them."""
    media, repairs = Receiver(90000), Receiver(90000)
    model = Rfc3550(90000)
    numbers: set[int] = set()
    for line in lines("vp8-l1t3-loss"):
        if line.kind == "rtp":
            _, ext = media.on_packet(line.seq, line.ts, line.now_ns, line.size, line.is_padding)
            model.on_packet(line.seq, line.ts, line.now_ns)
            numbers.add(ext)
        elif line.kind == "rtx":
            repairs.on_packet(line.seq, line.ts, line.now_ns, line.size, line.is_padding)
            if not line.is_padding:
                verdict, ext = media.on_repair(int(line.extra), line.ts, line.now_ns, line.size - 2)
                assert (verdict == DUPLICATE) == (ext in numbers)
                numbers.add(ext)
    stats, report = media.stats(), media.report()
    assert report is not None
    assert (stats["received"], stats["lost"], report["lost"]) == (532, 14, 14)
    assert report["fraction_lost"] == (14 << 8) // 546
    assert stats["repaired"] == 14 and len(numbers) == 546 == max(numbers) - min(numbers) + 1
    assert stats["retransmitted"] == 68 and stats["packets"] == 546
    assert stats["jitter"] == model.jitter >> 4
    assert repairs.stats()["lost"] == 0 and repairs.stats()["paddingPackets"] == 8


def test_real_audio_repeated_on_its_own_ssrc() -> None:
    receiver = Receiver(48000)
    rtp = [line for line in lines("opus-mono-loss") if line.kind == "rtp"]
    late = 0
    for line in rtp:
        late += receiver.on_packet(line.seq, line.ts, line.now_ns, line.size, line.is_padding)[0] == LATE
    stats = receiver.stats()
    assert (stats["received"], stats["lost"], stats["paddingPackets"]) == (505, 0, 3)
    assert late == stats["misordered"] > 5, "2 % were lost at first"
    assert stats["bytes"] == sum(line.size for line in rtp)
    assert stats["jitter"] < 48000 // 100, "a quiet path: below 10 ms"


@pytest.mark.parametrize("name, clock_rate", [("vp8-l1t3-loss", 90000), ("opus-mono-loss", 48000)])
def test_real_capture_times(name: str, clock_rate: int) -> None:
    """By the sender's reports a packet was captured shortly before it came, and in the order of its timestamps."""
    receiver = Receiver(clock_rate)
    reports, last = 0, (0, 0)
    for line in lines(name):
        if line.kind == "sr":
            receiver.on_sr(line.ntp, line.ts, line.now_ns)
            reports += 1
        elif line.kind == "rtp" and reports:
            captured = receiver.capture_ns(line.ts, line.now_ns)
            assert line.now_ns - 200 * MS < captured <= line.now_ns
            if captured < line.now_ns and 0 < last[1] < line.ts:
                assert captured - last[0] == pytest.approx((line.ts - last[1]) * SECOND / clock_rate, abs=5 * MS)
            if captured < line.now_ns:
                last = captured, line.ts
    assert reports >= 2 and last[0]


# --- repairs ---


def test_repairs_do_not_count_as_received() -> None:
    receiver = Receiver(90000)
    assert receiver.on_repair(7) == (DISCARD, 0), "nothing to repair yet"
    verdicts(receiver, 0, [0, 3])
    assert receiver.on_repair(1) == (LATE, 65537)
    assert receiver.on_repair(1) == (DUPLICATE, 65537)
    assert receiver.on_packet(1) == (DUPLICATE, 65537), "the original, after all"
    assert receiver.on_repair(5) == (NEW, 65541), "probing by RTX"
    assert receiver.on_repair(5 + 3000) == (DISCARD, 0)
    assert receiver.on_repair((5 - 2048) % 65536) == (DISCARD, 0)
    stats = receiver.stats()
    assert (stats["expected"], stats["received"], stats["repaired"], stats["retransmitted"]) == (6, 3, 2, 6)


# --- report blocks, round trips, clocks ---


def test_no_report_before_the_first_packet() -> None:
    assert Receiver(90000).report() is None


def test_fraction_is_about_the_interval() -> None:
    receiver = Receiver(90000)
    verdicts(receiver, 0, [0, 1, 2, 5])
    assert receiver.report()["fraction_lost"] == 2 * 256 // 6  # type: ignore[index]
    verdicts(receiver, 0, [6, 7])
    block = receiver.report()
    assert block is not None and (block["fraction_lost"], block["lost"]) == (0, 2)
    block = receiver.report()
    assert block is not None and (block["fraction_lost"], block["lost"]) == (0, 2), "nothing expected"


def test_cumulative_loss_is_clamped_to_24_bits() -> None:
    receiver = Receiver(90000)
    for n in range(0, 2999 * 2900, 2999):
        receiver.on_packet(n % 65536)
    assert receiver.stats()["lost"] == 0x7FFFFF
    report = receiver.report()
    assert report is not None and (report["lost"], report["fraction_lost"]) == (0x7FFFFF, 255)


def test_lsr_and_dlsr() -> None:
    receiver = Receiver(90000)
    receiver.on_packet(1, 0, SECOND)
    receiver.on_sr(0x1234_5678_9ABC_DEF0, 0, 2 * SECOND)
    block = receiver.report(2 * SECOND + SECOND // 4)
    assert block is not None and (block["lsr"], block["dlsr"]) == (0x5678_9ABC, 0x4000)


def test_round_trip_of_a_receiver() -> None:
    receiver = Receiver(90000)
    receiver.on_dlrr(0x0003_0000, 0, 0)
    assert receiver.stats()["rttNs"] == 0, "the peer has not heard of us"
    receiver.on_dlrr(0x0003_0000, 0x0001_0000, 0x0001_8000)
    assert receiver.stats()["rttNs"] == SECOND // 2


def test_capture_time() -> None:
    receiver = Receiver(90000)
    assert receiver.capture_ns(0, 5 * SECOND) == 5 * SECOND, "unknown: the arrival"
    ntp = 1000 << 32
    receiver.on_sr(ntp, 90000, 10 * SECOND)
    assert receiver.capture_ns(90000 + 9000, 11 * SECOND) == 10 * SECOND + 100 * MS
    assert receiver.capture_ns(90000 - 9000, 11 * SECOND) == 10 * SECOND - 100 * MS
    assert receiver.capture_ns(90000, 16 * SECOND) == 16 * SECOND, "not so long ago"
    assert receiver.capture_ns(90000 * 8, 11 * SECOND) == 11 * SECOND, "nor in the future"
    assert receiver.capture_ns(90000, 11 * SECOND) == 10 * SECOND
    assert receiver.capture_ns(90000 + 45000, 10 * SECOND + 450 * MS) == 10 * SECOND + 450 * MS
    assert receiver.capture_ns(90000, 11 * SECOND) == 10 * SECOND - 50 * MS, "a packet was faster than the report"


def test_the_clock_of_the_sender_follows_the_shortest_delay() -> None:
    receiver = Receiver(90000)
    for n, delay in enumerate([30, 80, 12, 60, 40]):
        sent = (20 + n) * SECOND
        receiver.on_sr((1000 + n) << 32, 90000 * n, sent + delay * MS)
    late = receiver.capture_ns(90000 * 4, 25 * SECOND) - 24 * SECOND
    assert 12 * MS <= late < 20 * MS
    receiver.on_sr(5000 << 32, 90000 * 5, 25 * SECOND)
    assert receiver.capture_ns(90000 * 5, 26 * SECOND) == 25 * SECOND, "its clock was set forward"
    receiver.on_sr(50 << 32, 90000 * 6, 26 * SECOND)
    assert receiver.capture_ns(90000 * 6, 27 * SECOND) == 26 * SECOND, "and back"


# --- sending ---


def block(**values: int) -> dict[str, int]:
    zero = dict.fromkeys(["ssrc", "highest_seq", "jitter", "lsr", "dlsr", "lost", "fraction_lost"], 0)
    return zero | values


def test_sender_report_is_extrapolated_from_the_newest_capture() -> None:
    sender = Sender(90000)
    assert sender.sr(1, SECOND) is None
    sender.on_packet(2**32 - 9000, 1000, 950, SECOND - 40 * MS, SECOND)
    sender.on_packet(2**32 - 18000, 500, 450, SECOND - 140 * MS, SECOND)
    assert sender.sr(77, SECOND + 160 * MS) == {"ntp": 77, "rtp_timestamp": 9000, "packets": 2, "octets": 1400}
    assert sender.sr(77, 3 * SECOND) is not None
    assert sender.sr(77, 3 * SECOND + 1) is None, "silent for 2 s"


def test_sender_report_after_a_change_of_the_source() -> None:
    sender = Sender(90000)
    sender.on_packet(900_000, 1000, 950, SECOND, SECOND)
    sender.on_sync()
    sender.on_packet(100, 1000, 950, 2 * SECOND, 2 * SECOND)
    report = sender.sr(0, 2 * SECOND)
    assert report is not None and report["rtp_timestamp"] == 100


def test_report_about_a_sender() -> None:
    sender = Sender(90000)
    sender.on_packet(0, 100, 80, 0, 0)
    sender.on_report(block(lost=-3, fraction_lost=7, jitter=11, lsr=0x0001_0000, dlsr=0x8000), 0x0002_0000)
    stats = sender.stats()
    assert (stats["lost"], stats["fractionLost"], stats["jitter"], stats["rttNs"]) == (-3, 7, 11, SECOND // 2)
    sender.on_report(block(lost=-3), 0x0002_0000)
    assert sender.stats()["rttNs"] == SECOND // 2, "kept while a report has none"


def test_repeats_and_nacks() -> None:
    sender = Sender(90000)
    sender.on_packet(0, 100, 80, 0, 0)
    sender.on_nack(3)
    sender.on_repeat(102, 82)
    sender.on_repeat(100, 80, first_time=False, same_ssrc=True)
    stats = sender.stats()
    assert (stats["nacks"], stats["nacked"], stats["repeats"], stats["repaired"]) == (1, 3, 2, 1)
    assert (stats["packets"], stats["bytes"], stats["octets"]) == (2, 200, 160), "RTX is another stream"


def test_echo_of_receiver_reference_time() -> None:
    assert _stream.echo_of_rrtr(0, 0, 0, 0) is None
    echo = _stream.echo_of_rrtr(7, 0x1234_5678_9ABC_DEF0, SECOND, 3 * SECOND)
    assert echo == {"ssrc": 7, "lrr": 0x5678_9ABC, "dlrr": 0x2_0000}


def test_what_a_packet_touches() -> None:
    sizes = _stream.sizes()
    assert sizes["hot"] <= 64 and sizes["SendState"] <= 192 and sizes["RecvState"] <= 576


# --- rates ---


@pytest.mark.parametrize("kind", [Receiver, Sender])
def test_rate_over_about_a_second(kind: type[Any]) -> None:
    stream = kind(90000, 5 * SECOND)

    def packets(begin_ms: int, count: int) -> None:
        for n in range(count):
            now_ns = 5 * SECOND + (begin_ms + n * 10) * MS
            if kind is Receiver:
                stream.on_packet(n % 65536, 0, now_ns, 1250)
            else:
                stream.on_packet(0, 1250, 1200, now_ns, now_ns)

    packets(0, 100)
    stream.tick(6 * SECOND)
    assert stream.rate(6 * SECOND) == stream.rate(8 * SECOND) == 1_000_000
    packets(1000, 150)
    stream.tick(7 * SECOND + 500 * MS)
    assert stream.rate(8 * SECOND) == 1_000_000, "whatever the spacing of the ticks"
    stream.tick(8 * SECOND + 500 * MS)
    assert stream.rate(8 * SECOND + 500 * MS) == 0
    packets(3500, 1)
    assert stream.rate(10 * SECOND + 501 * MS) == 1250 * 8 * SECOND // (2 * SECOND + 1 * MS), "no tick came"
    stream.tick(8 * SECOND), stream.tick(8 * SECOND + 500 * MS)
    assert stream.rate(8 * SECOND + 500 * MS) == 0, "a tick that does not advance changes nothing"


def test_padding_is_counted_but_has_no_rate() -> None:
    receiver = Receiver(90000)
    receiver.on_packet(1, 0, 0, 200, padding_only=True)
    receiver.tick(SECOND)
    assert receiver.rate(SECOND) == 0
    assert receiver.stats()["packets"] == 1 and receiver.stats()["bytes"] == 200
