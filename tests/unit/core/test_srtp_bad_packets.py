"""SRTP and SRTCP packets that were tampered with, cut, or never ours; keys that do not fit."""

import pytest

from sfu_core._srtp import Context
from tests.models import srtp_model as model
from tests.models.srtp_packets import (
    AUTH_FAILED,
    FAILED,
    NOT_ENCRYPTED,
    OK,
    RTCP_HEADER,
    SSRC,
    SUITES,
    TOO_SHORT,
    both_layers,
    context,
    every_suite,
    one_packet,
    rtp_and_rtcp,
    rtp_header,
)


@every_suite
@rtp_and_rtcp
def test_every_tampered_byte_is_noticed(suite: str, rtcp: bool) -> None:
    header, sealed, index = one_packet(suite, rtcp)
    receiver = context(suite, False)
    for position in range(len(header) + len(sealed)):
        packet = bytearray(header + sealed)
        packet[position] ^= 0x04
        status, clear, _ = receiver.unprotect(
            bytes(packet[: len(header)]), bytes(packet[len(header) :]), index, SSRC, rtcp
        )
        assert (status, clear) == (AUTH_FAILED, b""), position
    assert receiver.unprotect(header, sealed, index, SSRC, rtcp)[0] == OK


@every_suite
@rtp_and_rtcp
def test_wrong_ssrc_index_or_key(suite: str, rtcp: bool) -> None:
    header, sealed, index = one_packet(suite, rtcp)
    aead = model.SUITES[suite][-1]
    receiver = context(suite, False, "evp")  # libsrtp goes by the SSRC in the header
    if aead:  # in AES-CM it is authenticated as part of the header only
        assert receiver.unprotect(header, sealed, index, SSRC ^ 1, rtcp)[0] == AUTH_FAILED
    if not rtcp:
        assert receiver.unprotect(header, sealed, index + 65536, SSRC, rtcp)[0] == AUTH_FAILED
    assert context(suite, False, seed=1).unprotect(header, sealed, index, SSRC, rtcp)[0] == AUTH_FAILED


@every_suite
@rtp_and_rtcp
def test_truncated(suite: str, rtcp: bool) -> None:
    header, sealed, index = one_packet(suite, rtcp)
    receiver = context(suite, False)
    overhead = receiver.overhead(rtcp)
    for length in range(len(sealed)):
        status, clear, _ = receiver.unprotect(header, sealed[:length], index, SSRC, rtcp)
        assert clear == b""
        if length < overhead:
            assert status == TOO_SHORT
        else:  # what happens to stand where the trailer is looked for may lack the E flag
            assert status in (AUTH_FAILED, NOT_ENCRYPTED)


@every_suite
def test_rtcp_without_the_e_flag_is_refused(suite: str) -> None:
    header, sealed, _ = one_packet(suite, True)
    receiver = context(suite, False)
    at = len(sealed) - (4 if model.SUITES[suite][-1] else 14)
    clear_flag = sealed[:at] + bytes([sealed[at] & 0x7F]) + sealed[at + 1 :]
    assert receiver.unprotect(header, clear_flag, 0, SSRC, True)[0] == NOT_ENCRYPTED
    assert receiver.rtcp_index(header + clear_flag) == -1
    assert receiver.rtcp_index(header + sealed) == 1
    assert receiver.rtcp_index((header + sealed)[: 7 + receiver.overhead(True)]) == -1


@every_suite
@rtp_and_rtcp
def test_empty_payload(suite: str, rtcp: bool) -> None:
    header, sealed, index = one_packet(suite, rtcp, b"")
    assert context(suite, True).protect(header, b"", index, SSRC, rtcp) == (OK, sealed)
    assert context(suite, False).unprotect(header, sealed, index, SSRC, rtcp) == (OK, b"", index)


@both_layers
@every_suite
def test_a_context_has_one_direction(layer: str, suite: str) -> None:
    header, sealed, index = one_packet(suite, False)
    assert context(suite, False, layer).protect(header, b"x", index, SSRC, False) == (FAILED, b"")
    assert context(suite, True, layer).unprotect(header, sealed, index, SSRC, False) == (FAILED, b"", index)


def test_payload_larger_than_a_datagram() -> None:
    header, suite = rtp_header(1), SUITES[0]
    assert context(suite, True, "evp").protect(header, bytes(65536), 1, SSRC, False)[0] == TOO_SHORT
    assert context(suite, False, "evp").unprotect(header, bytes(65536), 1, SSRC, False)[0] == TOO_SHORT
    assert context(suite, True, "libsrtp").protect(RTCP_HEADER, bytes(3000), 1, SSRC, True)[0] == FAILED
    assert context(suite, False, "libsrtp").unprotect(header, bytes(3000), 1, SSRC, False)[0] == FAILED


@pytest.mark.parametrize("suite, length", [(1, 29), (1, 31), (7, 30), (8, 28), (3, 30), (0, 0), (0x10007, 28)])
def test_keys_that_do_not_fit(suite: int, length: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        Context(suite, bytes(length), True)


def test_overheads() -> None:
    sizes = {suite: (context(suite, True).overhead(False), context(suite, True).overhead(True)) for suite in SUITES}
    assert sizes == {
        "AES_CM_128_HMAC_SHA1_80": (10, 14),
        "AES_CM_128_HMAC_SHA1_32": (4, 14),
        "AEAD_AES_128_GCM": (16, 20),
        "AEAD_AES_256_GCM": (16, 20),
    }
