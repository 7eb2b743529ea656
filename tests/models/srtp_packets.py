"""Contexts, headers and protected packets for tests of SRTP."""

import struct

import pytest

from sfu_core._srtp import Context
from tests.models import srtp_model as model

OK, TOO_SHORT, AUTH_FAILED, NOT_ENCRYPTED, REPLAYED, FAILED = range(6)
LAYERS = ("evp", "libsrtp")
SUITES = tuple(model.SUITES)
NUMBER = {name: values[0] for name, values in model.SUITES.items()}
PROFILE = {
    "SRTP_AES128_CM_SHA1_80": "AES_CM_128_HMAC_SHA1_80",
    "SRTP_AEAD_AES_128_GCM": "AEAD_AES_128_GCM",
    "SRTP_AEAD_AES_256_GCM": "AEAD_AES_256_GCM",
}
SSRC = 0xCAFEBABE
RTCP_HEADER = struct.pack("!BBHI", 0x80, 200, 6, SSRC)

both_layers = pytest.mark.parametrize("layer", LAYERS)
every_suite = pytest.mark.parametrize("suite", SUITES)
rtp_and_rtcp = pytest.mark.parametrize("rtcp", [False, True], ids=["rtp", "rtcp"])


def material(suite: str, seed: int = 0) -> bytes:
    _, key, salt, *_ = model.SUITES[suite]
    return bytes((seed + 7 * i) & 0xFF for i in range(key + salt))


def context(suite: str, outbound: bool, layer: str | None = None, seed: int = 0) -> Context:
    return Context(NUMBER[suite], material(suite, seed), outbound, layer=layer)


def rtp_header(index: int, ssrc: int = SSRC, extension: bytes = b"") -> bytes:
    """`extension`: whole words."""
    head = struct.pack("!BBHII", 0x90 if extension else 0x80, 96, index & 0xFFFF, 12345, ssrc)
    return head + (struct.pack("!HH", 0xBEDE, len(extension) // 4) + extension if extension else b"")


def expected(suite: str, header: bytes, payload: bytes, index: int, rtcp: bool, seed: int = 0) -> bytes:
    keys = model.SessionKeys.derived(suite, material(suite, seed), rtcp)
    protect = model.protect_rtcp if rtcp else model.protect_rtp
    return protect(suite, keys, header, payload, SSRC, index)


def one_packet(suite: str, rtcp: bool, payload: bytes = b"some media, 31 bytes of it here") -> tuple[bytes, bytes, int]:
    """Header, what follows it, index."""
    header, index = (RTCP_HEADER, 1) if rtcp else (rtp_header(77), 77)
    return header, expected(suite, header, payload, index, rtcp), index
