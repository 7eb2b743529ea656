"""RTP parsing and header extensions (RFC 3550 section 5.1, RFC 8285)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_core import _rtp
from tests.models import recordings

OK, TOO_SHORT, BAD_VERSION, BAD_CSRC, BAD_EXTENSION, BAD_PADDING, TOO_LONG = range(7)
MID, ABS_SEND_TIME, TWCC, AUDIO_LEVEL, ABS_CAPTURE_TIME = 1, 4, 5, 6, 10
SAME_IDS = bytes(range(13)) + bytes(243)


def packet(
    *,
    pt: int = 96,
    marker: bool = False,
    seq: int = 1,
    timestamp: int = 2,
    ssrc: int = 3,
    csrcs: tuple[int, ...] = (),
    profile: int | None = None,
    elements: bytes = b"",
    payload: bytes = b"payload",
    padding: int = 0,
) -> bytes:
    """A packet; `elements` are filled up to words, `padding` is the value of the last byte."""
    first = 0x80 | (0x20 if padding else 0) | (0x10 if profile is not None else 0) | len(csrcs)
    head = struct.pack("!BBHII", first, (0x80 if marker else 0) | pt, seq, timestamp, ssrc)
    head += b"".join(struct.pack("!I", csrc) for csrc in csrcs)
    if profile is not None:
        elements += bytes(-len(elements) % 4)
        head += struct.pack("!HH", profile, len(elements) // 4) + elements
    tail = bytes(max(padding - 1, 0)) + bytes([padding]) if padding else b""
    return head + payload + tail


def one_byte(*elements: tuple[int, bytes]) -> bytes:
    return b"".join(bytes([number << 4 | len(value) - 1]) + value for number, value in elements)


def two_byte(*elements: tuple[int, bytes]) -> bytes:
    return b"".join(bytes([number, len(value)]) + value for number, value in elements)


@given(
    pt=st.integers(0, 127),
    marker=st.booleans(),
    seq=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    csrcs=st.lists(st.integers(0, 0xFFFFFFFF), max_size=15).map(tuple),
    elements=st.binary(max_size=64),
    profile=st.none() | st.integers(0, 0xFFFF),
    payload=st.binary(max_size=64),
    padding=st.integers(0, 255),
)
def test_fields(
    pt: int,
    marker: bool,
    seq: int,
    timestamp: int,
    ssrc: int,
    csrcs: tuple[int, ...],
    elements: bytes,
    profile: int | None,
    payload: bytes,
    padding: int,
) -> None:
    data = packet(
        pt=pt,
        marker=marker,
        seq=seq,
        timestamp=timestamp,
        ssrc=ssrc,
        csrcs=csrcs,
        elements=elements,
        profile=profile,
        payload=payload,
        padding=padding,
    )
    status, fields = _rtp.parse(data)
    assert status == OK
    expected = {"pt": pt, "marker": marker, "seq": seq, "timestamp": timestamp, "ssrc": ssrc}
    assert {key: fields[key] for key in expected} == expected
    assert data[fields["payload_off"] :][: fields["payload_len"]] == payload
    assert fields["padding_len"] == padding
    assert fields["header_len"] == fields["payload_off"] == len(data) - len(payload) - padding
    assert fields["ext_profile"] == (profile or 0)
    assert data[fields["ext_off"] :][: fields["ext_len"]].startswith(elements if profile is not None else b"")


def test_every_truncation() -> None:
    data = packet(csrcs=(1, 2), profile=0xBEDE, elements=one_byte((3, b"abc")), payload=b"")
    reasons = [_rtp.parse(data[:size])[0] for size in range(len(data) + 1)]
    assert reasons == [TOO_SHORT] * 12 + [BAD_CSRC] * 8 + [BAD_EXTENSION] * 8 + [OK]


@pytest.mark.parametrize("version", [0, 1, 3])
def test_version(version: int) -> None:
    data = packet()
    assert _rtp.parse(bytes([data[0] & 0x3F | version << 6]) + data[1:])[0] == BAD_VERSION


@pytest.mark.parametrize(
    ("payload", "last", "status", "left"),
    [
        (b"", None, BAD_PADDING, 0),  # padding bit on nothing at all
        (b"abc", 0, BAD_PADDING, 0),
        (b"abc", 5, BAD_PADDING, 0),  # one more than there is
        (b"abc", 4, OK, 0),  # nothing but padding
        (b"abc", 1, OK, 3),
    ],
)
def test_padding(payload: bytes, last: int | None, status: int, left: int) -> None:
    data = packet(payload=payload + (b"" if last is None else bytes([last])))
    data = bytes([data[0] | 0x20]) + data[1:]
    assert _rtp.parse(data)[0] == status
    if status == OK:
        assert _rtp.parse(data)[1]["payload_len"] == left


def test_encrypted_packet_is_not_judged_by_its_last_byte() -> None:
    data = packet(payload=b"cipher\x00")
    data = bytes([data[0] | 0x20]) + data[1:]
    assert _rtp.parse(data)[0] == BAD_PADDING
    status, fields = _rtp.parse(data, True)
    assert (status, fields["payload_len"], fields["padded"], fields["padding_len"]) == (OK, 7, 1, 0)


def test_padding_does_not_reach_into_the_extension() -> None:
    data = packet(profile=0xBEDE, elements=one_byte((1, b"x")), payload=b"")
    data = bytes([data[0] | 0x20]) + data[1:-1] + b"\x04"
    assert _rtp.parse(data)[0] == BAD_PADDING


def test_longer_than_a_datagram() -> None:
    assert _rtp.parse(packet(payload=bytes(65535 - 12)))[0] == OK
    assert _rtp.parse(packet(payload=bytes(65536 - 12)))[0] == TOO_LONG


elements_strategy = st.lists(
    st.tuples(st.integers(1, 14), st.binary(min_size=1, max_size=16)), max_size=8, unique_by=lambda e: e[0]
)


@given(elements_strategy, st.integers(0, 0x0F), st.booleans())
def test_both_forms_of_extensions(elements: list[tuple[int, bytes]], appbits: int, wide: bool) -> None:
    form, profile = (two_byte, 0x1000 | appbits) if wide else (one_byte, 0xBEDE)
    data = packet(profile=profile, elements=form(*elements))
    for number, value in elements:
        assert _rtp.extension(data, number) == value
    absent = set(range(1, 15)) - {number for number, _ in elements}
    assert all(_rtp.extension(data, number) is None for number in absent)


def test_padding_between_elements() -> None:
    narrow = b"\0\0" + one_byte((1, b"a")) + b"\0" + one_byte((2, b"bc")) + b"\0\0\0"
    wide = b"\0\0" + two_byte((1, b"a")) + b"\0" + two_byte((20, b"")) + b"\0" + two_byte((2, b"bc"))
    assert _rtp.extension(packet(profile=0xBEDE, elements=narrow), 2) == b"bc"
    assert _rtp.extension(packet(profile=0x1000, elements=wide), 2) == b"bc"
    assert _rtp.extension(packet(profile=0x1000, elements=wide), 20) == b""


@pytest.mark.parametrize("stop", [b"\xf0", b"\xf2", b"\x02", b"\x01"])
def test_id_15_and_lengthy_padding_end_the_one_byte_form(stop: bytes) -> None:
    elements = one_byte((1, b"a")) + stop + b"zzz" + one_byte((2, b"b"))
    data = packet(profile=0xBEDE, elements=elements)
    assert _rtp.extension(data, 1) == b"a"
    assert _rtp.extension(data, 2) is None
    assert _rtp.extension(data, 15) is None


def test_id_15_is_ordinary_in_the_two_byte_form() -> None:
    assert _rtp.extension(packet(profile=0x1000, elements=two_byte((15, b"x"))), 15) == b"x"


@pytest.mark.parametrize("profile", [0x0000, 0x1010, 0xBEDF, 0xABCD])
def test_other_profiles_hold_nothing_for_us(profile: int) -> None:
    data = packet(profile=profile, elements=one_byte((1, b"a")))
    assert _rtp.parse(data)[0] == OK
    assert _rtp.extension(data, 1) is None


@pytest.mark.parametrize("profile", [0xBEDE, 0x1000])
def test_element_that_ends_outside_the_block(profile: int) -> None:
    form = one_byte if profile == 0xBEDE else two_byte
    good = form((1, b"ab"))
    cut = form((2, bytes(16)))[:3]
    data = packet(profile=profile, elements=good + cut + bytes(-len(good + cut) % 4), payload=bytes(40))
    assert _rtp.extension(data, 1) == b"ab"
    assert _rtp.extension(data, 2) is None


def test_scan_maps_ids_to_kinds() -> None:
    table = bytearray(256)
    table[3], table[200], table[9] = ABS_SEND_TIME, MID, 99
    data = packet(profile=0x1000, elements=two_byte((200, b"mid"), (3, b"\1\2\3"), (9, b"?"), (77, b"?")))
    assert _rtp.scan(data, bytes(table)) == {MID: b"mid", ABS_SEND_TIME: b"\1\2\3"}


@pytest.mark.parametrize(
    ("kind", "lengths"),
    [*((kind, {*range(1, 17)}) for kind in (1, 2, 3)), (4, {3}), (5, {2}), (6, {1}), (7, {*range(3, 17)}),
     (8, {1}), (9, {3}), (10, {8, 16}), (11, {3}), (12, {4}), (15, set())],
)  # fmt: skip
def test_scan_takes_only_the_lengths_of_the_kind(kind: int, lengths: set[int]) -> None:
    table = bytearray(256)
    table[5] = kind
    taken = {
        size
        for size in range(17)
        if _rtp.scan(packet(profile=0x1000, elements=two_byte((5, bytes(size)))), bytes(table))
    }
    assert taken == lengths


def test_scan_takes_the_first_of_repeated_ones() -> None:
    data = packet(profile=0xBEDE, elements=one_byte((5, b"ab"), (5, b"cd"), (6, b"x")))
    assert _rtp.scan(data, SAME_IDS) == {TWCC: b"ab", AUDIO_LEVEL: b"x"}


@given(st.binary(max_size=64), st.sampled_from([0xBEDE, 0x1000, 0x100F]))
def test_scan_and_lookup_agree_on_garbage(elements: bytes, profile: int) -> None:
    data = packet(profile=profile, elements=elements)
    found = _rtp.scan(data, SAME_IDS)
    assert found is not None
    for kind, value in found.items():
        assert _rtp.extension(data, kind) is not None
        assert value in elements + bytes(4)


def test_real_one_byte_and_two_byte_headers_in_one_stream() -> None:
    profiles = {_rtp.parse(data)[1]["ext_profile"] for data in recordings.rtp("av1-l3t3")}
    assert profiles == {0xBEDE, 0x1000}
    found = [_rtp.scan(data, recordings.kinds("av1-l3t3")) or {} for data in recordings.rtp("av1-l3t3")]
    assert max(len(value.get(7, b"")) for value in found) > 16


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x00" + bytes(19), 1),
        (b"\x03" + bytes(19), 1),
        (b"\x00" + bytes(18), 0),
        (b"\x04" + bytes(30), 0),
        (b"\x13" + bytes(30), 0),
        (b"\x14" + bytes(12), 2),
        (b"\x3f" + bytes(12), 2),
        (b"\x3f" + bytes(11), 0),
        (b"\x40" + bytes(30), 0),
        (b"\x7f" + bytes(30), 0),
        (b"\x80" + bytes(11), 3),
        (b"\x80" + bytes(10), 0),
        (b"\xbf\xbf" + bytes(10), 3),
        (b"\xbf\xc0" + bytes(6), 4),
        (b"\x80\xdf" + bytes(6), 4),
        (b"\x80\xdf" + bytes(5), 0),
        (b"\x80\xe0" + bytes(10), 3),
        (b"\xc0" + bytes(30), 0),
        (b"", 0),
    ],
)
def test_classification(data: bytes, kind: int) -> None:
    """RFC 7983: 0-3 STUN, 20-63 DTLS, 128-191 RTP and RTCP; RFC 5761: RTCP is 192-223 in the second byte."""
    assert _rtp.kind_of(data) == kind


def test_abs_send_time() -> None:
    assert _rtp.send_time(0) == 0
    assert _rtp.send_time(1_000_000_000) == 1 << 18
    assert _rtp.send_time(500_000_000) == 1 << 17
    assert _rtp.send_time(64_000_000_000) == 0
    assert _rtp.send_time(63_999_999_999) == 0xFFFFFF
    assert _rtp.send_time(2**63 - 1) == ((2**63 - 1) * 2**18 // 10**9) & 0xFFFFFF


@given(st.integers(0, 2**63 - 1))
def test_abs_send_time_is_exact(ns: int) -> None:
    assert _rtp.send_time(ns) == ns * 2**18 // 10**9 & 0xFFFFFF
