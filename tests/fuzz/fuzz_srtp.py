"""SRTP and SRTCP packets of a browser, changed; opened by both layers and by the plain-Python model.

An input is one byte (recorded session, direction, layer, in place) and a datagram.
"""

from __future__ import annotations

from sfu_core import _srtp
from sfu_core._srtp import Context
from tests.models import srtp_model as model
from tests.models.captures import WIRE, wire
from tests.models.srtp_packets import AUTH_FAILED, NOT_ENCRYPTED, OK, PROFILE, TOO_SHORT

KEYS = [wire(name)[0] for name in WIRE]
SIDES = ("receiverKey", "browserKey")


def rtp_header_length(packet: bytes) -> int:
    """Of a packet that may be anything; 0: there is no whole header."""
    length = 12 + 4 * (packet[0] & 15) if len(packet) >= 12 else 0
    if length and packet[0] & 0x10 and len(packet) >= length + 4:
        length += 4 + 4 * int.from_bytes(packet[length + 2 : length + 4], "big")
    return length if length <= len(packet) else 0


def inputs() -> list[bytes]:
    found = []
    for session, name in enumerate(WIRE):
        media = [item for item in wire(name)[1] if 128 <= item[2][0] < 192]
        for _, from_browser, datagram in [*media[:20], *[item for item in media if 192 <= item[2][1] < 224][:20]]:
            found.append(bytes([session | from_browser << 2]) + datagram[:300])
            found.append(bytes([session | from_browser << 2]) + datagram)
    return found


SEEDS = inputs()


def fuzz_one(data: bytes) -> None:
    if len(data) < 9:
        return
    choice, packet = data[0], data[1:]
    keys = KEYS[choice % 4 % 3]
    suite, material = PROFILE[keys["profile"]], bytes.fromhex(keys[SIDES[choice >> 2 & 1]])
    rtcp = 192 <= packet[1] < 224
    cut = 8 if rtcp else rtp_header_length(packet)
    if not cut:
        return
    header, sealed = packet[:cut], packet[cut:]
    ssrc = int.from_bytes(header[4:8] if rtcp else header[8:12], "big")
    seq = int.from_bytes(header[2:4], "big")
    receiver = Context(
        model.SUITES[suite][0], material, False, layer="libsrtp" if choice & 8 and len(packet) < 1500 else "evp"
    )
    job = (receiver, header, sealed, seq, ssrc, rtcp)
    ((status, clear, index),) = _srtp.unprotect([job], in_place=bool(choice & 16))
    assert status == OK or clear == b""
    assert (status == TOO_SHORT) == (len(sealed) < receiver.overhead(rtcp))
    if rtcp:
        assert (receiver.rtcp_index(packet) < 0) == (status in (TOO_SHORT, NOT_ENCRYPTED))
    if status not in (OK, AUTH_FAILED):
        return
    expected = open_with_model(suite, model.SessionKeys.derived(suite, material, rtcp), job)
    assert (clear if status == OK else None) == expected
    if status == OK:
        protect_again(suite, material, job, clear, index)


def open_with_model(
    suite: str, keys: model.SessionKeys, job: tuple[Context, bytes, bytes, int, int, bool]
) -> bytes | None:
    _, header, sealed, index, ssrc, rtcp = job
    try:
        if rtcp:
            return model.unprotect_rtcp(suite, keys, header, sealed, ssrc)
        return model.unprotect_rtp(suite, keys, header, sealed, ssrc, index)
    except model.AuthenticationError:
        return None


def protect_again(
    suite: str, material: bytes, job: tuple[Context, bytes, bytes, int, int, bool], clear: bytes, index: int
) -> None:
    """What was opened, protected again, is what was received."""
    _, header, sealed, _, ssrc, rtcp = job
    sender = Context(model.SUITES[suite][0], material, True, layer="evp")
    assert sender.protect(header, clear, index, ssrc, rtcp) == (OK, sealed)
