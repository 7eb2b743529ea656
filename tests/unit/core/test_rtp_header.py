"""The header for consumers: extensions rebuilt with the router's ids, places kept for values per consumer."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_core import _rtp
from tests.models import recordings

WANT_MID, WANT_ABS_SEND_TIME, WANT_TWCC, WANT_PACKET_ID, KEEP_DD = 1, 2, 4, 8, 16
WANT_ALL = WANT_MID | WANT_ABS_SEND_TIME | WANT_TWCC
IDS = bytes(range(13)) + bytes(243)

MID, RID, ABS_SEND_TIME, TWCC, AUDIO_LEVEL, DD, ORIENTATION = 1, 2, 4, 5, 6, 7, 8
TOFFSET, CAPTURE_TIME, PLAYOUT_DELAY, PACKET_ID = 9, 10, 11, 12
VALUES = {
    MID: b"in",
    RID: b"hi",
    ABS_SEND_TIME: b"AST",
    TWCC: b"TW",
    AUDIO_LEVEL: b"\x85",
    DD: bytes(range(20)),
    ORIENTATION: b"\x01",
    TOFFSET: b"\1\2\3",
    CAPTURE_TIME: b"captured",
    PLAYOUT_DELAY: b"PLD",
    PACKET_ID: b"PKID",
}


def source(*kinds: int, payload: bytes = b"media", marker: bool = True) -> bytes:
    """A packet with two CSRCs, padding, and these extensions under the same ids in the two-byte form."""
    elements = b"".join(bytes([kind, len(VALUES[kind])]) + VALUES[kind] for kind in kinds)
    elements += bytes(-len(elements) % 4)
    head = struct.pack("!BBHII", 0xB2, (0x80 if marker else 0) | 96, 7, 8, 9) + b"CSRCcsrc"
    return head + struct.pack("!HH", 0x1000, len(elements) // 4) + elements + payload + b"\0\2"


def written(data: bytes, video: bool, flags: int, **patches: object) -> tuple[bytes, dict[str, int]]:
    result = _rtp.write_header(data, IDS, video, flags, **patches)  # type: ignore[arg-type]
    assert result is not None
    return result


def read(header: bytes) -> dict[int, bytes]:
    status, fields = _rtp.parse(header)
    assert (status, fields["payload_len"], fields["padding_len"]) == (0, 0, 0)
    found = _rtp.scan(header, IDS)
    assert found is not None
    return found


def test_lean_header() -> None:
    header, template = written(source(RID, TWCC), True, 0)
    assert header == struct.pack("!BBHII", 0x80, 0xE0, 7, 8, 9)
    assert template == {key: 0 for key in template} | {"len": 12}


def test_what_video_takes_along() -> None:
    header, template = written(source(*VALUES), True, 0)
    assert read(header) == {
        ORIENTATION: b"\x01",
        TOFFSET: b"\1\2\3",
        CAPTURE_TIME: b"captured" + bytes(8),
        PLAYOUT_DELAY: b"PLD",
        PACKET_ID: b"PKID",
    }
    assert template["two_byte"] == 0
    assert header[template["packet_id_off"] :][:4] == b"PKID"


def test_what_audio_takes_along() -> None:
    header, _ = written(source(*VALUES), False, 0)
    assert set(read(header)) == {AUDIO_LEVEL, CAPTURE_TIME, PLAYOUT_DELAY, PACKET_ID}


def test_long_descriptor_needs_the_two_byte_form() -> None:
    header, template = written(source(*VALUES), True, KEEP_DD | WANT_ALL, mid=b"3")
    assert template["two_byte"] == 1
    assert header[12:14] == b"\x10\x00"
    assert read(header) == {
        MID: b"3",
        ABS_SEND_TIME: bytes(3),
        TWCC: bytes(2),
        DD: VALUES[DD],
        ORIENTATION: b"\x01",
        TOFFSET: b"\1\2\3",
        CAPTURE_TIME: b"captured" + bytes(8),
        PLAYOUT_DELAY: b"PLD",
        PACKET_ID: b"PKID",
    }


def test_placeholders_are_valid_before_they_are_filled() -> None:
    header, _ = written(source(), True, WANT_ALL)
    assert read(header) == {ABS_SEND_TIME: bytes(3), TWCC: bytes(2)}


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("size", range(1, 9))
def test_mid_of_any_length_keeps_the_size(size: int, wide: bool) -> None:
    kinds, flags = ((DD,), WANT_ALL | KEEP_DD) if wide else ((), WANT_ALL)
    mid = b"abcdefgh"[:size]
    empty, _ = written(source(*kinds), True, flags)
    header, template = written(source(*kinds), True, flags, mid=mid, send_time=0x010203, twcc=0xFFFF)
    assert template["two_byte"] == wide
    assert len(header) == len(empty)
    assert read(header) == {MID: mid, ABS_SEND_TIME: b"\1\2\3", TWCC: b"\xff\xff"} | ({DD: VALUES[DD]} if wide else {})


@pytest.mark.parametrize(("mid", "flags"), [(b"abcdefghi", WANT_ALL), (b"", WANT_ALL), (b"a", 0)])
def test_mid_too_long_or_without_a_place(mid: bytes, flags: int) -> None:
    with pytest.raises(ValueError):
        written(source(), True, flags, mid=mid)


def test_what_has_no_place_is_not_written() -> None:
    assert written(source(), True, 0, send_time=1, twcc=1, packet_id=1) == written(source(), True, 0)


def test_packet_id() -> None:
    fresh, template = written(source(), True, WANT_PACKET_ID, packet_id=0x01020304)
    assert read(fresh) == {PACKET_ID: b"\1\2\3\4"}
    assert template["packet_id_off"] == 17
    kept, _ = written(source(PACKET_ID), True, WANT_PACKET_ID)
    assert read(kept) == {PACKET_ID: b"PKID"}
    assert len(kept) == len(fresh)


def test_capture_time_keeps_the_time_and_changes_the_offset() -> None:
    header, _ = written(source(CAPTURE_TIME), True, 0, capture_offset=-(1 << 32))
    assert read(header) == {CAPTURE_TIME: b"captured" + b"\xff\xff\xff\xff\0\0\0\0"}


def test_capacity() -> None:
    header, _ = written(source(*VALUES), True, WANT_ALL | KEEP_DD)
    assert _rtp.write_header(source(*VALUES), IDS, True, WANT_ALL | KEEP_DD, cap=len(header)) is not None
    for cap in range(len(header)):
        assert _rtp.write_header(source(*VALUES), IDS, True, WANT_ALL | KEEP_DD, cap=cap) is None


def test_largest_descriptor_does_not_fit() -> None:
    """255 bytes of descriptor and everything else would exceed a template: refused, whatever the capacity."""
    elements = bytes([DD, 255]) + bytes(255) + bytes(3)
    data = struct.pack("!BBHIIHH", 0x90, 96, 1, 2, 3, 0x1000, len(elements) // 4) + elements
    assert _rtp.parse(data)[0] == 0
    assert _rtp.write_header(data, IDS, True, KEEP_DD, cap=2000) is None
    assert _rtp.write_header(data, IDS, True, 0, cap=2000) is not None


def test_patch() -> None:
    header, _ = written(source(ORIENTATION), True, 0)
    patched = _rtp.patch(header, 101, False, 0xFFFF, 0x01020304, 0xDEADBEEF)
    assert patched[1:12] == b"\x65\xff\xff\1\2\3\4\xde\xad\xbe\xef"
    assert patched[:1] + patched[12:] == header[:1] + header[12:]
    assert _rtp.patch(header, 0x7F, True, 0, 0, 0)[1] == 0xFF


@given(
    kinds=st.lists(st.sampled_from(sorted(VALUES)), unique=True),
    sizes=st.tuples(st.integers(3, 90), st.sampled_from([8, 16])),
    video=st.booleans(),
    flags=st.integers(0, 31),
    mid=st.binary(min_size=1, max_size=8),
)
def test_any_mix_reads_back(kinds: list[int], sizes: tuple[int, int], video: bool, flags: int, mid: bytes) -> None:
    values = VALUES | {DD: bytes(range(sizes[0])), CAPTURE_TIME: bytes(range(sizes[1]))}
    elements = b"".join(bytes([kind, len(values[kind])]) + values[kind] for kind in kinds)
    elements += bytes(-len(elements) % 4)
    data = struct.pack("!BBHIIHH", 0x90, 96, 1, 2, 3, 0x1000, len(elements) // 4) + elements
    header, template = written(data, video, flags, **({"mid": mid} if flags & WANT_MID else {}))
    kept = {CAPTURE_TIME, PLAYOUT_DELAY, PACKET_ID} | ({ORIENTATION, TOFFSET} if video else {AUDIO_LEVEL})
    kept |= {DD} if flags & KEEP_DD else set()
    expected = {kind: values[kind] for kind in kinds if kind in kept}
    if CAPTURE_TIME in expected:
        expected[CAPTURE_TIME] = expected[CAPTURE_TIME].ljust(16, b"\0")
    expected |= {MID: mid} if flags & WANT_MID else {}
    expected |= {ABS_SEND_TIME: bytes(3)} if flags & WANT_ABS_SEND_TIME else {}
    expected |= {TWCC: bytes(2)} if flags & WANT_TWCC else {}
    if flags & WANT_PACKET_ID:
        expected.setdefault(PACKET_ID, bytes(4))
    assert read(header) == expected
    assert len(header) == template["len"]
    assert len(header) % 4 == 0


@pytest.mark.parametrize("name", sorted(recordings.index()))
def test_real_packets(name: str) -> None:
    """Every recorded packet gets a header that reads back, with values for all three places."""
    video = not name.startswith("opus")
    table = recordings.kinds(name)
    for data in recordings.rtp(name):
        result = _rtp.write_header(data, table, video, WANT_ALL, mid=b"12", send_time=1, twcc=2)
        before = _rtp.scan(data, table)
        assert result is not None and before is not None
        after = read(result[0])
        assert (after[MID], after[ABS_SEND_TIME], after[TWCC]) == (b"12", b"\0\0\1", b"\0\2")
        assert DD not in after
        for kind in (ORIENTATION,) if video else (AUDIO_LEVEL,):
            assert after.get(kind) == before.get(kind)
        assert _rtp.parse(result[0])[1]["marker"] == _rtp.parse(data)[1]["marker"]
