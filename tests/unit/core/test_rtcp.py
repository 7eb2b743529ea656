"""Reading RTCP: compound packets, reports, feedback, extended reports; lengths that do not add up."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_core import _rtcp
from tests.models import recordings

SR, RR, SDES, BYE, APP, RTPFB, PSFB, XR = range(200, 208)


def packet(kind: int, count: int, body: bytes, padding: int = 0) -> bytes:
    """One RTCP packet; `padding`: bytes of it, the last telling their number."""
    if padding:
        body += bytes(padding - 1) + bytes([padding])
    first = 0x80 | (0x20 if padding else 0) | count
    return struct.pack("!BBH", first, kind, len(body) // 4) + body


def only(data: bytes) -> dict[str, Any]:
    packets, malformed = _rtcp.parse(data)
    assert (len(packets), malformed) == (1, False)
    return packets[0]


def report(ssrc: int = 1, lost: int = 0) -> bytes:
    return (
        struct.pack("!IBxHIIII", ssrc, 7, 0, 0x00010002, 3, 4, 5)[:5]
        + (lost & 0xFFFFFF).to_bytes(3, "big")
        + struct.pack("!IIII", 0x00010002, 3, 4, 5)
    )


def words(*values: int) -> bytes:
    return struct.pack(f"!{len(values)}I", *values)


# --- compound packets ---


def test_nothing_is_an_empty_compound() -> None:
    assert _rtcp.parse(b"") == ([], False)


def test_compound_in_order() -> None:
    data = packet(RR, 0, words(1)) + packet(BYE, 1, words(2)) + packet(APP, 0, words(3, 4))
    packets, malformed = _rtcp.parse(data)
    assert ([entry["type"] for entry in packets], malformed) == ([RR, BYE, APP], False)
    assert [entry["ssrc"] for entry in packets] == [1, 2, 3]


def test_every_truncation_is_noticed() -> None:
    parts = [packet(RR, 1, words(1) + report()), packet(SDES, 1, words(1) + b"\1\2ab"), packet(PSFB, 1, words(1, 2))]
    data = b"".join(parts)
    borders = {0, len(parts[0]), len(parts[0] + parts[1]), len(data)}
    for size in range(len(data) + 1):
        packets, malformed = _rtcp.parse(data[:size])
        assert malformed == (size not in borders)
        assert len(packets) == sum(border <= size for border in borders) - 1


@pytest.mark.parametrize("version", [0, 1, 3])
def test_version(version: int) -> None:
    data = packet(RR, 0, words(1))
    assert _rtcp.parse(bytes([data[0] & 0x3F | version << 6]) + data[1:]) == ([], True)


def test_packets_before_a_bad_one_count() -> None:
    packets, malformed = _rtcp.parse(packet(RR, 0, words(1)) + b"\x80\xc9\xff\xff")
    assert (len(packets), malformed) == (1, True)


@pytest.mark.parametrize(("last", "left"), [(1, 7), (4, 4), (8, 0), (0, None), (9, None), (255, None)])
def test_padding(last: int, left: int | None) -> None:
    """Any number from 1 to all of the body: Chromium pads with single bytes."""
    data = struct.pack("!BBH", 0xA0, RR, 2) + bytes(7) + bytes([last])
    packets, malformed = _rtcp.parse(data)
    assert malformed == (left is None)
    assert [entry["len"] for entry in packets] == ([] if left is None else [left])


def test_packet_without_a_body() -> None:
    for kind in range(SR, XR + 1):
        entry = only(packet(kind, 1, b""))
        assert (entry["ssrc"], entry["len"]) == (0, 0)
        assert not entry.get("reports") and not entry.get("items") and not entry.get("sources")


# --- reports ---


def test_sender_report() -> None:
    info = struct.pack("!QIII", 0x0102030405060708, 9, 10, 11)
    entry = only(packet(SR, 2, words(42) + info + report(1) + report(2, -1)))
    assert entry["info"] == {"ntp": 0x0102030405060708, "rtp_timestamp": 9, "packets": 10, "octets": 11}
    assert entry["reports"][0] == {
        "ssrc": 1,
        "fraction_lost": 7,
        "lost": 0,
        "highest_seq": 0x00010002,
        "jitter": 3,
        "lsr": 4,
        "dlsr": 5,
    }
    assert entry["reports"][1]["lost"] == -1


def test_sender_report_without_blocks() -> None:
    entry = only(packet(SR, 0, words(42) + struct.pack("!QIII", 1, 2, 3, 4)))
    assert (entry["info"]["octets"], entry["reports"]) == (4, [])


@pytest.mark.parametrize(("lost", "read"), [(0x7FFFFF, 0x7FFFFF), (0x800000, -0x800000), (0xFFFFFF, -1)])
def test_cumulative_loss_is_signed(lost: int, read: int) -> None:
    assert only(packet(RR, 1, words(1) + report(1, lost)))["reports"][0]["lost"] == read


def test_more_reports_promised_than_there_are() -> None:
    assert only(packet(RR, 2, words(1) + report()))["reports"] == []
    assert only(packet(SR, 1, words(1) + bytes(20)))["reports"] == []
    assert "info" not in only(packet(SR, 0, words(1) + bytes(16)))


def test_profile_specific_extension_is_passed_over() -> None:
    assert len(only(packet(RR, 1, words(1) + report() + bytes(8)))["reports"]) == 1


# --- feedback ---


def test_nack() -> None:
    entry = only(packet(RTPFB, 1, words(1, 2) + struct.pack("!HHHH", 65534, 0b1000_0000_0000_0101, 100, 0)))
    assert entry["entries"] == [(65534, 0x8005), (100, 0)]
    assert entry["nack"] == [65534, 65535, 1, 14, 100]
    assert entry["media_ssrc"] == 2


def test_nack_fills_no_more_than_its_array() -> None:
    """The door's array has 512 places; 40 full entries ask for 680 packets."""
    entry = only(packet(RTPFB, 1, words(1, 2) + struct.pack("!HH", 0, 0xFFFF) * 40))
    assert len(entry["nack"]) == 512


def test_pli_and_fir() -> None:
    assert only(packet(PSFB, 1, words(1, 2)))["pli"]
    entry = only(packet(PSFB, 4, words(1, 0) + words(7, 8 << 24) + words(9, 255 << 24)))
    assert entry["fir"] == [(7, 8), (9, 255)]
    assert "pli" not in only(packet(PSFB, 1, words(1)))


@pytest.mark.parametrize("format_", [1, 4, 15])
def test_feedback_without_media_ssrc(format_: int) -> None:
    for kind in (RTPFB, PSFB):
        entry = only(packet(kind, format_, words(1)))
        assert entry["media_ssrc"] == 0
        assert not {"nack", "twcc", "pli", "fir", "remb"} & set(entry)


def remb(exponent: int, mantissa: int, ssrcs: tuple[int, ...], count: int | None = None) -> bytes:
    head = b"REMB" + bytes([len(ssrcs) if count is None else count])
    return packet(PSFB, 15, words(1, 0) + head + (exponent << 18 | mantissa).to_bytes(3, "big") + words(*ssrcs))


def test_remb() -> None:
    entry = only(remb(3, 0x3FFFF, (5, 6)))
    assert (entry["remb"], entry["ssrcs"]) == (0x3FFFF << 3, [5, 6])
    assert only(remb(46, 0x3FFFF, ()))["remb"] == 0x3FFFF << 46
    assert only(remb(63, 2, ()))["remb"] == 2**64 - 1
    assert only(remb(63, 0, ()))["remb"] == 0


def test_remb_malformed() -> None:
    assert "remb" not in only(remb(0, 1, (1,), count=2))
    assert "remb" not in only(packet(PSFB, 15, words(1, 0) + b"BMER" + bytes(4)))
    assert "remb" not in only(packet(PSFB, 15, words(1, 0) + b"REMB"))


# --- transport-cc ---


def twcc(base: int, count: int, chunks: tuple[int, ...], deltas: bytes, reference: int = 1) -> bytes:
    fci = struct.pack("!HH", base, count) + reference.to_bytes(3, "big") + b"\x09"
    fci += struct.pack(f"!{len(chunks)}H", *chunks) + deltas
    return packet(RTPFB, 15, words(1, 2) + fci + bytes(-len(fci) % 4))


def test_run_length_chunks() -> None:
    entry = only(twcc(65535, 5, (0x2002, 0x0001, 0x4002), b"\x01\x02" + b"\xff\xfe\x01\x00"))["twcc"]
    assert (entry["base_seq"], entry["reference_time"], entry["feedback_count"]) == (65535, 1, 9)
    assert entry["statuses"] == [
        (65535, True, 1),
        (0, True, 2),
        (1, False, 0),
        (2, True, -2),
        (3, True, 256),
    ]


def test_vector_chunks() -> None:
    one_bit = 0x8000 | 0b10_0000_0000_0001
    two_bits = 0xC000 | 0b01_10_00_00_00_00_01
    entry = only(twcc(0, 21, (one_bit, two_bits), b"\x05\x06\x07\x80\x00\x08"))["twcc"]
    came = [(seq, delta) for seq, received, delta in entry["statuses"] if received]
    assert came == [(0, 5), (13, 6), (14, 7), (15, -32768), (20, 8)]
    assert len(entry["statuses"]) == 21


def test_chunk_beyond_the_last_status() -> None:
    """Symbols after the last status cost no delta, whatever they say."""
    assert len(only(twcc(0, 3, (0xBFFF,), b"\1\2\3"))["twcc"]["statuses"]) == 3
    assert len(only(twcc(0, 3, (0x3FFF,), b"\1\2\3"))["twcc"]["statuses"]) == 3


@pytest.mark.parametrize(
    ("count", "chunks", "deltas"),
    [
        (0, (0x2001,), b"\1"),  # nothing told
        (1, (), b""),  # no chunk
        (15, (0x8000,), b""),  # chunks for 14 only
        (2, (0x0001, 0x0000), b""),  # an empty run
        (1, (0x6001,), b"\1\1"),  # reserved symbol
        (1, (0xF000,), b"\1\1"),  # reserved symbol in a vector
        (8, (0x4008,), bytes(14)),  # deltas end early
        (65535, (0x3FFF,) * 8, bytes(200)),
    ],
)
def test_transport_cc_malformed(count: int, chunks: tuple[int, ...], deltas: bytes) -> None:
    assert "twcc" not in only(twcc(0, count, chunks, deltas))


def test_transport_cc_every_word_missing() -> None:
    whole = twcc(0, 20, (0x2006, 0x400E), bytes(34))
    for size in range(12, len(whole), 4):
        cut = whole[:2] + struct.pack("!H", size // 4 - 1) + whole[4:size]
        assert "twcc" not in only(cut)
    assert len(only(whole)["twcc"]["statuses"]) == 20


def test_largest_transport_cc() -> None:
    statuses = only(twcc(1, 65535, (0x1FFF,) * 9, b""))["twcc"]["statuses"]
    assert len(statuses) == 65535
    assert statuses[-1] == (65535, False, 0)


# --- extended reports, descriptions, goodbyes ---


def block(kind: int, body: bytes) -> bytes:
    return struct.pack("!BBH", kind, 0, len(body) // 4) + body


def test_extended_reports() -> None:
    blocks = block(4, words(1, 2)) + block(99, words(0)) + block(5, words(3, 4, 5, 6, 7, 8)) + block(1, b"")
    assert only(packet(XR, 0, words(1) + blocks))["blocks"] == [
        ("rrtr", 1 << 32 | 2),
        (99, 4),
        ("dlrr", [(3, 4, 5), (6, 7, 8)]),
        (1, 0),
    ]


def test_extended_report_block_too_long() -> None:
    blocks = block(4, words(1, 2)) + struct.pack("!BBH", 5, 0, 3) + words(1, 2)
    assert only(packet(XR, 0, words(1) + blocks))["blocks"] == [("rrtr", 1 << 32 | 2)]
    assert only(packet(XR, 0, words(1) + block(4, words(1))))["blocks"] == [(4, 4)]


def test_source_description() -> None:
    first = words(1) + b"\x01\x03abc" + b"\x02\x00" + b"\x00"
    second = words(2) + b"\x01\x01z" + b"\x00"
    third = words(3) + bytes(4)
    assert len(first) % 4 == len(second) % 4 == 0
    assert only(packet(SDES, 3, first + second + third))["items"] == [(1, 1, b"abc"), (1, 2, b""), (2, 1, b"z")]


def test_no_more_sources_than_counted() -> None:
    chunk = b"\x01\x01z\x00"
    assert only(packet(SDES, 1, words(1) + chunk + words(2) + chunk))["items"] == [(1, 1, b"z")]
    assert only(packet(SDES, 0, words(1) + chunk))["items"] == []


@pytest.mark.parametrize("body", [b"\x01\xff" + bytes(6), b"\x01\x03ab", b"\x01\x02ab", b"\x01\x00ab"])
def test_source_description_never_leaves_the_packet(body: bytes) -> None:
    for entry in only(packet(SDES, 31, words(1) + body))["items"]:
        assert entry[2] in body


def test_goodbye() -> None:
    assert only(packet(BYE, 2, words(1, 2)))["sources"] == [1, 2]
    assert only(packet(BYE, 2, words(1, 2) + b"\x03bye"))["sources"] == [1, 2]
    assert only(packet(BYE, 3, words(1, 2)))["sources"] == []


# --- time ---


def test_times() -> None:
    unix, ntp, back, compact, compact_back = _rtcp.times(1_500_000_000)
    assert unix == (2208988800 + 1) << 32 | 1 << 31
    assert ntp == 1 << 32 | 1 << 31
    assert (back, compact, compact_back) == (1_500_000_000, 3 << 15, 1_500_000_000)


@given(st.integers(0, 2**62))
def test_times_round_trip(ns: int) -> None:
    _, ntp, back, compact, compact_back = _rtcp.times(ns)
    assert ntp == (ns << 32) // 10**9 % 2**64
    assert 0 <= ns % (2**32 * 10**9) - back <= 1
    assert compact == min((ns << 16) // 10**9, 0xFFFFFFFF)
    assert compact == 0xFFFFFFFF or 0 <= ns - compact_back <= 15259


@pytest.mark.parametrize(
    ("now", "last", "delay", "units"),
    [(100, 40, 50, 10), (5, 0xFFFFFFF0, 1, 20), (100, 90, 10, 1), (100, 90, 50, 1)],
)
def test_round_trip_time(now: int, last: int, delay: int, units: int) -> None:
    assert _rtcp.rtt(now, last, delay) == units * 10**9 // 65536


def test_no_round_trip_without_a_report() -> None:
    assert _rtcp.rtt(1, 0, 0) == -1


# --- garbage ---


@given(st.binary(max_size=200))
def test_garbage(data: bytes) -> None:
    packets, malformed = _rtcp.parse(data)
    assert sum(entry["len"] + 4 for entry in packets) <= len(data)
    assert malformed or packets or not data


@given(kind=st.integers(SR, XR), count=st.integers(0, 31), body=st.binary(max_size=120))
def test_garbage_bodies(kind: int, count: int, body: bytes) -> None:
    body += bytes(-len(body) % 4)
    entry = only(packet(kind, count, body))
    assert (entry["type"], entry["count"], entry["len"]) == (kind, count, len(body))


def test_real_transport_cc_follows_the_media() -> None:
    """Browser feedback: consecutive numbers, every packet sent before is received, and arrival times increase."""
    seen: dict[int, int] = {}
    for packet_ in recordings.recording("consumer-vp8-twcc"):
        if not packet_.is_rtcp or not packet_.from_browser:
            continue
        for entry in _rtcp.parse(packet_.data)[0]:
            if "twcc" not in entry:
                continue
            time = entry["twcc"]["reference_time"] * 256
            for seq, received, delta in entry["twcc"]["statuses"]:
                time += delta
                if received:
                    seen[seq] = time
    assert len(seen) > 400
    assert list(seen) == sorted(seen)
    assert all(before <= after for before, after in zip(seen.values(), list(seen.values())[1:], strict=False))
