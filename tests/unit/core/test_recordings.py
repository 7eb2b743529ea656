"""A browser's packets through the parsers: the counts must be those of an independent parser."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from sfu_core import _codecs, _rtcp, _rtp
from tests.models import recordings
from tests.models.recordings import CODECS, FULL, Packet

DEPENDENCY_DESCRIPTOR = 7
RTCP_NAMES = {
    (200, None): "SR",
    (201, None): "RR",
    (202, None): "SDES",
    (203, None): "BYE",
    (205, 1): "NACK",
    (205, 15): "transport-cc",
    (206, 1): "PLI",
    (206, 4): "FIR",
    (206, 15): "REMB",
    (207, None): "XR(bt4)",
}
SHARED_FULL = sorted(path.stem for path in FULL.glob("*.pcap") if not path.stem.startswith(("wire", "sctp")))


@dataclass
class Stream:
    """What is counted for one SSRC."""

    codec: str
    packets: int = 0
    octets: int = 0
    padding_only: int = 0
    two_byte: int = 0
    frames: set[int] = field(default_factory=set)
    keys: set[int] = field(default_factory=set)
    layers: set[tuple[int, int, int]] = field(default_factory=set)
    layer_packets: Counter[str] = field(default_factory=Counter)
    extensions: Counter[str] = field(default_factory=Counter)
    descriptor: _codecs.Descriptor = field(default_factory=_codecs.Descriptor)

    def take(self, data: bytes, packet: dict[str, int], found: dict[int, bytes]) -> None:
        self.packets += 1
        self.octets += len(data)
        self.two_byte += packet["ext_profile"] == 0x1000
        self.extensions.update(str(kind) for kind in found)
        start = packet["payload_off"]
        payload = data[start : start + packet["payload_len"]]
        if not payload:
            self.padding_only += 1
            return
        self.frames.add(packet["timestamp"])
        if self.codec != "rtx":
            self.take_payload(payload, packet, found)

    def take_payload(self, payload: bytes, packet: dict[str, int], found: dict[int, bytes]) -> None:
        own = _codecs.inspect(CODECS[self.codec], payload, bool(packet["marker"]))
        assert own is not None, payload[:16].hex()
        info = own
        if DEPENDENCY_DESCRIPTOR in found:
            status, _ = self.descriptor.parse(found[DEPENDENCY_DESCRIPTOR])
            assert status == 0
            info = self.descriptor.apply(own)
            assert info["key_frame"] == own["key_frame"], "payload and descriptor disagree"
            if own["has_layers"]:
                assert (info["spatial"], info["temporal"]) == (own["spatial"], own["temporal"])
        if info["key_frame"] and CODECS[self.codec] >= CODECS["vp8"]:
            self.keys.add(packet["timestamp"])
        if info["has_layers"]:
            self.layers.add((packet["timestamp"], info["spatial"], info["temporal"]))
            self.layer_packets[f"S{info['spatial']}T{info['temporal']}"] += 1

    def counts(self) -> dict[str, Any]:
        return {
            "codec": self.codec,
            "packets": self.packets,
            "bytes": self.octets,
            "frames": len(self.frames),
            "keyFrames": len(self.keys),
            "paddingOnly": self.padding_only,
            "twoByteHeaders": self.two_byte,
            "layersFrames": dict(Counter(f"S{s}T{t}" for _, s, t in self.layers)),
            "layersPackets": dict(self.layer_packets),
            "headerExtensions": dict(self.extensions),
        }


def count_streams(packets: list[Packet], kinds: bytes, codecs: dict[str, str]) -> dict[int, Stream]:
    streams: dict[int, Stream] = {}
    for packet in packets:
        if packet.is_rtcp or not packet.from_browser:
            continue
        status, fields = _rtp.parse(packet.data)
        assert status == 0
        found = _rtp.scan(packet.data, kinds)
        assert found is not None
        codec = codecs[str(fields["pt"])].lower()
        streams.setdefault(fields["ssrc"], Stream(codec)).take(packet.data, fields, found)
    return streams


def count_rtcp(packets: list[Packet], from_browser: bool) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for packet in packets:
        if not packet.is_rtcp or packet.from_browser != from_browser:
            continue
        compound, malformed = _rtcp.parse(packet.data)
        assert not malformed
        for entry in compound:
            form = entry["count"] if entry["type"] in (205, 206) else None
            counted[RTCP_NAMES[entry["type"], form]] += 1
            assert entry["type"] != 205 or "twcc" in entry or "nack" in entry
    return dict(counted)


@pytest.mark.parametrize("name", sorted(recordings.index()))
def test_streams(name: str) -> None:
    known = recordings.index()[name]
    streams = count_streams(list(recordings.recording(name)), recordings.kinds(name), known["payloadTypes"])
    for expected in known["streams"]:
        assert {"ssrc": expected["ssrc"], **streams[expected["ssrc"]].counts()} == expected


@pytest.mark.parametrize("name", sorted(recordings.index()))
def test_rtcp(name: str) -> None:
    known = recordings.index()[name]
    assert count_rtcp(list(recordings.recording(name)), True) == known["rtcpIn"]
    assert count_rtcp(list(recordings.recording(name)), False) == known["rtcpOut"]


def test_recordings_hold_something() -> None:
    """The counts above would also agree on nothing."""
    kept = [stream for session in recordings.index().values() for stream in session["streams"]]
    assert {"vp8", "vp9", "h264", "av1", "opus", "red", "rtx"} <= {stream["codec"] for stream in kept}
    assert sum(stream["keyFrames"] for stream in kept) >= 10
    assert sum(stream["twoByteHeaders"] for stream in kept) > 100


_ABSENT = pytest.param("", marks=pytest.mark.skip(reason="the whole recordings do not lie beside the checkout"))


@pytest.mark.parametrize("name", SHARED_FULL or [_ABSENT])
def test_full_recording(name: str) -> None:
    """The whole recording, where it lies beside the checkout: every packet parses and RTCP agrees."""
    packets = list(recordings.records((FULL / f"{name}.pcap").read_bytes()))
    summary = json.loads((FULL / "summary.json").read_text())[name]
    media = json.loads((FULL / f"{name}.json").read_text())["media"]
    codecs = {
        str(codec["payloadType"]): codec["mimeType"].split("/")[1].lower()
        for section in media
        for codec in section["rtpParameters"]["codecs"]
    }
    assert count_rtcp(packets, True) == summary["rtcpIn"]
    assert count_rtcp(packets, False) == summary["rtcpOut"]
    streams = count_streams(packets, full_kinds(media), codecs)
    for expected in summary["streams"]:
        counted = streams[expected["ssrc"]].counts()
        assert (counted["packets"], counted["bytes"]) == (expected["packets"], expected["bytes"])
        for key in ("keyFrames", "paddingOnly", "twoByteHeaders", "layersFrames", "layersPackets"):
            assert counted[key] == expected.get(key, type(counted[key])()), key


def full_kinds(media: list[dict[str, Any]]) -> bytes:
    """Only the descriptor is needed to count layers."""
    table = bytearray(256)
    for section in media:
        for extension in section["rtpParameters"]["headerExtensions"]:
            if extension["uri"].endswith("#dependency-descriptor-rtp-header-extension"):
                table[extension["id"]] = DEPENDENCY_DESCRIPTOR
    return bytes(table)
