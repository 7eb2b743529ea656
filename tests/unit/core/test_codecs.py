"""Facts of payloads: key frames and layers of VP8, VP9, H264 and AV1, and Opus' DTX."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_core import _codecs

OPUS, MULTIOPUS, PCMU, OTHER, VP8, VP9, H264, AV1 = 1, 2, 3, 31, 32, 33, 34, 35
ALL = [*range(12), OTHER, VP8, VP9, H264, AV1]


def facts(codec: int, payload: bytes, marker: bool = False) -> dict[str, int]:
    """What is not 0."""
    info = _codecs.inspect(codec, payload, marker)
    assert info is not None
    return {name: value for name, value in info.items() if value}


@pytest.mark.parametrize("codec", ALL)
def test_nothing_is_no_frame(codec: int) -> None:
    assert _codecs.inspect(codec, b"") is None


# --- audio ---


@pytest.mark.parametrize(
    ("payload", "dtx"),
    [
        (b"\x78", True),  # code 0, no frame behind it
        (b"\x79", True),  # code 1
        (b"\x7a\x00", True),  # code 2, first frame empty
        (b"\x7a", False),  # code 2 without its length: malformed, not silence
        (b"\x7b", False),
        (b"\x7b\x01", False),  # code 3 is never taken as DTX
        (b"\x78\x00", False),
        (b"\x79\x00", False),
        (b"\x7a\x00\x00", False),
    ],
)
def test_opus_dtx(payload: bytes, dtx: bool) -> None:
    assert ("dtx" in facts(OPUS, payload)) == dtx
    assert "dtx" not in facts(MULTIOPUS, payload)


@pytest.mark.parametrize("codec", [OPUS, MULTIOPUS, PCMU, OTHER])
def test_audio_packet_is_a_frame_of_its_own(codec: int) -> None:
    assert facts(codec, b"\xff\xff") == {"key_frame": 1, "start_of_frame": 1, "end_of_frame": 1}


# --- VP8 (RFC 7741) ---


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"\x10\x00", {"start_of_frame": 1, "key_frame": 1}),
        (b"\x10\x01", {"start_of_frame": 1}),
        (b"\x00\x00", {}),  # not the start of a partition
        (b"\x11\x00", {}),  # start of another partition
        (b"\x30\x01", {"start_of_frame": 1, "not_reference": 1}),
        (b"\x90\x00\x00", {"start_of_frame": 1, "key_frame": 1}),
        (
            b"\x90\x80\x7f\x00",
            {"start_of_frame": 1, "key_frame": 1, "picture_id": 127, "picture_id_bits": 7, "picture_id_off": 2},
        ),
        (
            b"\x90\x80\xff\xff\x00",
            {"start_of_frame": 1, "key_frame": 1, "picture_id": 0x7FFF, "picture_id_bits": 15, "picture_id_off": 2},
        ),
        (b"\x80\x40\x05\x00", {"has_tl0picidx": 1, "tl0picidx": 5, "tl0picidx_off": 2}),
        (b"\x80\x20\xbf\x00", {"has_layers": 1, "temporal": 2, "switching_up": 1}),  # T only: KEYIDX not there
        (b"\x80\x10\xff\x00", {"keyidx": 31}),  # K only: TID and Y not there
        (
            b"\x80\xf0\x80\x01\x02\x5f\x00",
            {
                "picture_id": 1,
                "picture_id_bits": 15,
                "picture_id_off": 2,
                "has_tl0picidx": 1,
                "tl0picidx": 2,
                "tl0picidx_off": 4,
                "has_layers": 1,
                "temporal": 1,
                "keyidx": 31,
            },
        ),
    ],
)
def test_vp8(payload: bytes, expected: dict[str, int]) -> None:
    assert facts(VP8, payload) == expected
    assert facts(VP8, payload, True) == expected | {"end_of_frame": 1}


@pytest.mark.parametrize("payload", [b"\x90\xf0\x80\x01\x02\x5f\x00", b"\x90\xf0\x01\x02\x5f\x00", b"\x10\x00"])
def test_vp8_cut(payload: bytes) -> None:
    """A descriptor without at least one byte behind it says nothing."""
    for size in range(len(payload)):
        assert _codecs.inspect(VP8, payload[:size]) is None


# --- VP9 (RFC 9628) ---


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"\x08\x00", {"start_of_frame": 1, "key_frame": 1}),
        (b"\x0c\x00", {"start_of_frame": 1, "end_of_frame": 1, "key_frame": 1}),
        (b"\x00\x00", {}),
        (b"\x48\x00", {"start_of_frame": 1, "inter_picture": 1}),
        (b"\x01\x00", {"not_reference": 1}),
        (b"\x80\x05\x00", {"picture_id": 5, "picture_id_bits": 7, "picture_id_off": 1}),
        (b"\x80\x81\x02\x00", {"picture_id": 0x102, "picture_id_bits": 15, "picture_id_off": 1}),
        # L without F: TID 2, U, SID 1, D, then TL0PICIDX
        (
            b"\x28\x53\x09\x00",
            {
                "start_of_frame": 1,
                "has_layers": 1,
                "temporal": 2,
                "switching_up": 1,
                "spatial": 1,
                "inter_layer": 1,
                "has_tl0picidx": 1,
                "tl0picidx": 9,
                "tl0picidx_off": 2,
            },
        ),
        # a higher spatial layer of a key picture is no key frame; the lowest is
        (b"\x38\x02\x00", {"start_of_frame": 1, "has_layers": 1, "spatial": 1}),
        (b"\x38\x00\x00", {"start_of_frame": 1, "has_layers": 1, "key_frame": 1}),
        # flexible mode with one, two and three references
        (b"\x50\x02\x00", {"inter_picture": 1}),
        (b"\x50\x03\x02\x00", {"inter_picture": 1}),
        (b"\x50\x03\x03\x02\x00", {"inter_picture": 1}),
        # scalability structure: 2 layers with sizes, and a group of 2 pictures with 1 and 0 references
        (
            b"\x0a\x38" + bytes(8) + b"\x02\x04\x01\x00" + b"\x00",
            {"start_of_frame": 1, "key_frame": 1},
        ),
        (b"\x0a\xe0\x00", {"start_of_frame": 1, "key_frame": 1}),
    ],
)
def test_vp9(payload: bytes, expected: dict[str, int]) -> None:
    assert facts(VP9, payload) == expected
    for size in range(len(payload)):
        assert _codecs.inspect(VP9, payload[:size]) is None


def test_vp9_marker_does_not_end_a_layer() -> None:
    assert "end_of_frame" not in facts(VP9, b"\x08\x00", True)


@pytest.mark.parametrize(
    "payload",
    [
        b"\x50\x03\x03\x03\x00\x00",  # four references
        b"\x0a\xf8" + bytes(20),  # sizes end early
        b"\x0a\x08\xff" + bytes(100),  # 255 pictures promised
        b"\x0a\x08\x01\x0c\x00\x00\x00",  # three references promised, nothing behind them
    ],
)
def test_vp9_malformed(payload: bytes) -> None:
    assert _codecs.inspect(VP9, payload) is None


# --- H264 (RFC 6184) ---


def stap_a(*units: bytes) -> bytes:
    return b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"\x67\x42", {"start_of_frame": 1, "key_frame": 1}),
        (b"\x65\x88", {"start_of_frame": 1, "idr": 1}),
        (b"\x61\x88", {"start_of_frame": 1}),
        (b"\x68\x88", {"start_of_frame": 1}),
        (stap_a(b"\x67\x42", b"\x68\xce"), {"start_of_frame": 1, "key_frame": 1}),
        (stap_a(b"\x68", b"\x67", b"\x65\x88"), {"start_of_frame": 1, "key_frame": 1, "idr": 1}),
        (stap_a(b"\x61", b"\x61\x67"), {"start_of_frame": 1}),
        (b"\x7c\x87\x00", {"start_of_frame": 1, "key_frame": 1}),
        (b"\x7c\x85\x00", {"start_of_frame": 1, "idr": 1}),
        (b"\x7c\x05\x00", {}),
        (b"\x7c\x47\x00", {}),
        (b"\x7d\x87\x00", {"start_of_frame": 1, "key_frame": 1}),
    ],
)
def test_h264(payload: bytes, expected: dict[str, int]) -> None:
    assert facts(H264, payload) == expected
    assert facts(H264, payload, True) == expected | {"end_of_frame": 1}


@pytest.mark.parametrize(
    "payload",
    [
        b"\x78",
        b"\x78\x00",
        b"\x78\x00\x01",
        b"\x78\x00\x00\x67",
        b"\x78\x00\x03\x67\x42",
        b"\x78\xff\xff\x67\x42",
        stap_a(b"\x67\x42") + b"\x00",
        stap_a(b"\x67\x42") + b"\x00\x05",
        b"\x7c",
        b"\x7d",
    ],
)
def test_h264_malformed(payload: bytes) -> None:
    assert _codecs.inspect(H264, payload) is None


# --- AV1 ---


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"\x18\x0a", {"start_of_frame": 1, "key_frame": 1}),
        (b"\x10\x0a", {"start_of_frame": 1}),
        (b"\x90\x0a", {}),
        (b"\x98\x0a", {}),  # N and Z at once contradict each other
        (b"\x50\x0a", {"start_of_frame": 1}),
    ],
)
def test_av1(payload: bytes, expected: dict[str, int]) -> None:
    assert facts(AV1, payload) == expected
    assert facts(AV1, payload, True) == expected | {"end_of_frame": 1}


# --- all of them ---


@given(codec=st.sampled_from(ALL), payload=st.binary(max_size=40), marker=st.booleans())
def test_garbage(codec: int, payload: bytes, marker: bool) -> None:
    """Offsets stay inside the payload and point at what was read."""
    info = _codecs.inspect(codec, payload, marker)
    if info is None:
        return
    if info["tl0picidx_off"]:
        assert payload[info["tl0picidx_off"]] == info["tl0picidx"]
    if info["picture_id_off"]:
        at, size = info["picture_id_off"], (info["picture_id_bits"] + 1) // 8
        assert int.from_bytes(payload[at : at + size], "big") & (1 << info["picture_id_bits"]) - 1 == info["picture_id"]
    assert not info["key_frame"] or info["start_of_frame"]
    assert info["has_layers"] or info["spatial"] == info["temporal"] == 0
