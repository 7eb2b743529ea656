"""Payloads of every codec (the first byte of an input chooses it) and, as codec 0, runs of dependency descriptors."""

from __future__ import annotations

from sfu_core import _codecs, _rtp
from tests.models import recordings
from tests.models.recordings import CODECS

DESCRIPTORS = 0
TARGETS = [(spatial, temporal) for spatial in range(4) for temporal in range(8)]


def payloads(name: str, codec: str) -> list[bytes]:
    found = []
    for data in recordings.rtp(name)[:400:5]:
        fields = _rtp.parse(data)[1]
        start = fields["payload_off"]
        found.append(bytes([CODECS[codec]]) + data[start : start + min(fields["payload_len"], 60)])
    return found


def descriptor_runs() -> list[bytes]:
    """Pieces (length, value) of descriptors in order, so that frames follow their structure."""
    values = [(_rtp.scan(data, recordings.kinds("av1-l3t3")) or {}).get(7, b"") for data in recordings.rtp("av1-l3t3")]
    pieces = [bytes([len(value)]) + value for value in values if value]
    return [bytes([DESCRIPTORS]) + pieces[0] + b"".join(pieces[at : at + 6]) for at in range(0, len(pieces), 30)]


SEEDS = [
    *payloads("vp8-simulcast-ssrc", "vp8"),
    *payloads("vp9-l3t3-nodd", "vp9"),
    *payloads("h264-simple", "h264"),
    *payloads("av1-l3t3", "av1"),
    *payloads("opus-dtx", "opus"),
    *descriptor_runs(),
]


def fuzz_one(data: bytes) -> None:
    if data and data[0] == DESCRIPTORS:
        run(data[1:])
    elif data:
        inspect(data[0], data[1:])


def inspect(codec: int, payload: bytes) -> None:
    info = _codecs.inspect(codec, payload, True)
    if info is None:
        return
    assert payload
    assert max(info["picture_id_off"], info["tl0picidx_off"]) < len(payload)
    assert not info["tl0picidx_off"] or payload[info["tl0picidx_off"]] == info["tl0picidx"]
    assert not info["key_frame"] or info["start_of_frame"]


def run(data: bytes) -> None:
    state = _codecs.Descriptor()
    payload = _codecs.inspect(CODECS["av1"], b"\x10")
    assert payload is not None
    while data:
        value, data = data[1 : 1 + data[0]], data[1 + data[0] :]
        before = state.structure()
        status, info = state.parse(value)
        if status:
            assert state.structure() == before
            continue
        after = state.structure()
        layers = (info["spatial"], info["temporal"])
        assert layers in [(spatial, temporal) for spatial, temporal, _ in after["templates"]]
        assert info["switch_targets"] < 1 << len(after["targets"])
        assert after["active"] < 1 << len(after["targets"])
        assert all(chain < after["chains"] for chain in after["protected_by"]) or not after["chains"]
        assert state.apply(payload)["key_frame"] == (info["structure"] and info["start_of_frame"])
        possible = [target for target in TARGETS if state.can_switch(*target)]
        assert set(possible) <= set(after["targets"])
