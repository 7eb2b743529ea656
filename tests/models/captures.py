"""Reads the recorded datagrams under tests/data."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data"
WIRE = ("cm80", "gcm128", "gcm256")


def packets(path: Path) -> Iterator[tuple[float, bool, bytes]]:
    """(seconds since the first, from the browser, datagram) of a raw-IPv4 pcap file."""
    with path.open("rb") as file:
        file.read(24)
        while head := file.read(16):
            seconds, micros, size, _ = struct.unpack("<IIII", head)
            ip = file.read(size)
            header = (ip[0] & 15) * 4 + (8 if ip[9] == 17 else 0)
            yield seconds - 1000 + micros / 1e6, ip[12:16] == b"\x0a\0\0\1", ip[header:]


def wire(name: str) -> tuple[dict[str, Any], list[tuple[float, bool, bytes]]]:
    """Keys and datagrams of one recorded session."""
    keys = json.loads((DATA / "wire" / "keys.json").read_text())[name]
    return keys, list(packets(DATA / "wire" / f"{name}.pcap"))
