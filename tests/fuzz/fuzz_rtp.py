"""RTP parsing, header extensions and the header for consumers. The first byte of an input chooses the options."""

from __future__ import annotations

from sfu_core import _rtp
from tests.models import recordings

NAMES = ("av1-l3t3", "vp8-all-extensions", "opus-dtx")
SAME_IDS = bytes(range(13)) + bytes(243)
TABLES = (SAME_IDS, *(recordings.kinds(name) for name in NAMES))
SEEDS = [bytes([at % 256]) + data for name in NAMES for at, data in enumerate(recordings.rtp(name)[:40])]


def fuzz_one(data: bytes) -> None:
    options, packet = (data[0], data[1:]) if data else (0, b"")
    _rtp.kind_of(packet)
    status, fields = _rtp.parse(packet)
    early, header = _rtp.parse(packet, True)
    if status:
        assert early in (status, 0)  # only the padding may look wrong before decryption
        assert _rtp.scan(packet, SAME_IDS) is None
        return
    assert early == 0 and header["header_len"] == fields["header_len"]
    assert fields["header_len"] + fields["payload_len"] + fields["padding_len"] == len(packet)
    assert not fields["ext_len"] or fields["ext_off"] + fields["ext_len"] == fields["header_len"]
    rewrite(packet, TABLES[options % len(TABLES)], options)


def rewrite(packet: bytes, table: bytes, options: int) -> None:
    found = _rtp.scan(packet, table)
    assert found is not None
    for number in range(1, 16):
        value = _rtp.extension(packet, number)
        assert value is None or value in packet
    flags = options & 31
    for cap in (256, 12 + options % 64):
        result = _rtp.write_header(packet, table, bool(options & 32), flags, cap, b"mid" if flags & 1 else None)
        assert result is not None or len(found.get(7, b"")) > 150 or cap < 110
        if result:
            check(result[0], cap, found, flags)


def check(header: bytes, cap: int, found: dict[int, bytes], flags: int) -> None:
    written = _rtp.scan(header, SAME_IDS)
    assert written is not None and len(header) <= cap
    assert _rtp.parse(header)[1]["payload_len"] == 0
    assert (1 in written, 4 in written, 5 in written) == (bool(flags & 1), bool(flags & 2), bool(flags & 4))
    for kind, value in written.items():
        if kind in (6, 7, 8, 9, 11):
            assert value == found[kind]
