"""The STUN parser, its integrity check beside Python's HMAC, and the answers."""

from __future__ import annotations

import hashlib
import hmac
import zlib

from sfu_core import _stun
from tests.models.captures import WIRE, wire

PASSWORD = b"password"
SEEDS = [data for name in WIRE for _, _, data in wire(name)[1] if data[0] < 4]


def with_crc(data: bytes) -> bytes:
    """The message with its last eight bytes made a fitting FINGERPRINT, so that mutations get past it."""
    if len(data) < 28:
        return data
    head = data[:2] + (len(data) - 20).to_bytes(2, "big") + data[4:-8]
    return head + b"\x80\x28\x00\x04" + (zlib.crc32(head) ^ 0x5354554E).to_bytes(4, "big")


def fuzz_one(data: bytes) -> None:
    judge(data)
    judge(with_crc(data))


def judge(data: bytes) -> None:
    status, fields = _stun.parse(data)
    if status:
        assert not _stun.verify(data, PASSWORD)
        return
    assert len(data) % 4 == 0 and len(data) >= 20
    if fields["fingerprint"]:
        assert int.from_bytes(data[-4:], "big") == zlib.crc32(data[:-8]) ^ 0x5354554E
    at = fields["integrity_off"]
    if at:
        covered = data[:2] + (at + 4).to_bytes(2, "big") + data[4:at]
        digest = hmac.digest(PASSWORD, covered, hashlib.sha1)
        assert _stun.verify(data, PASSWORD) == (digest == data[at + 4 : at + 24])
    assert fields["username"] is None or fields["username"] in data
    answer(data)


def answer(data: bytes) -> None:
    for ip in (bytes(4), b"\xff" * 16):
        response = _stun.write_success(data, ip, 0xFFFF, PASSWORD)
        assert response is not None and _stun.verify(response, PASSWORD)
    error = _stun.write_error(data, 400)
    assert error is not None and _stun.parse(error)[1]["transaction"] == data[8:20]
