"""The recorded sessions under tests/data/captures, and the full ones where they lie beside the checkout."""

from __future__ import annotations

import gzip
import json
import os
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from sfu_core import _rtp

FOLDER = Path(__file__).parents[1] / "data" / "captures"
FULL = Path(os.environ.get("SFU_CAPTURES", FOLDER.parents[3] / "shared" / "captures"))

CODECS = {"opus": 1, "multiopus": 2, "telephone-event": 10, "red": 11, "vp8": 32, "vp9": 33, "h264": 34, "av1": 35}


class Packet(NamedTuple):
    seconds: float
    from_browser: bool
    data: bytes

    @property
    def is_rtcp(self) -> bool:
        return _rtp.kind_of(self.data) == 4


@cache
def index() -> dict[str, Any]:
    """What is known about each session: extension kinds, payload types, counts."""
    sessions: dict[str, Any] = json.loads((FOLDER / "index.json").read_text())
    return sessions


def records(raw: bytes) -> Iterator[Packet]:
    at = 24
    while at < len(raw):
        seconds, micros, size, original = struct.unpack_from("<IIII", raw, at)
        ip = raw[at + 16 : at + 16 + size]
        at += 16 + size
        header = (ip[0] & 15) * 4 + 8
        payload = ip[header:] + bytes(original - size)
        yield Packet(seconds - 1000 + micros / 1e6, ip[12:16] == b"\x0a\0\0\1", payload)


@cache
def recording(name: str) -> tuple[Packet, ...]:
    """All packets of one session, payloads filled up with zeros to their length."""
    return tuple(records(gzip.decompress((FOLDER / f"{name}.pcap.gz").read_bytes())))


def rtp(name: str) -> list[bytes]:
    return [packet.data for packet in recording(name) if not packet.is_rtcp]


def rtcp(name: str) -> list[bytes]:
    return [packet.data for packet in recording(name) if packet.is_rtcp]


def kinds(name: str) -> bytes:
    """Table of 256: header extension id -> kind."""
    table = bytearray(256)
    for number, kind in index()[name]["extensionKinds"].items():
        table[int(number)] = kind
    return bytes(table)
