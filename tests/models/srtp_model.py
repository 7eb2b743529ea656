"""SRTP and SRTCP in plain Python on `cryptography`: slow, obvious, and written from the RFCs alone.

The second opinion for `sfu_core._srtp`; shares no code with it and none with libsrtp.
"""

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

# name: (number of the DTLS-SRTP profile, key bytes, salt bytes, RTP tag bytes, RTCP tag bytes, AEAD)
SUITES = {
    "AES_CM_128_HMAC_SHA1_80": (1, 16, 14, 10, 10, False),
    "AES_CM_128_HMAC_SHA1_32": (2, 16, 14, 4, 10, False),
    "AEAD_AES_128_GCM": (7, 16, 12, 16, 16, True),
    "AEAD_AES_256_GCM": (8, 32, 12, 16, 16, True),
}


class AuthenticationError(Exception):
    """The tag does not match."""


def aes_ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor().update(data)


def derive(master_key: bytes, master_salt: bytes, label: int, length: int) -> bytes:
    """RFC 3711 §4.3.1 and §4.3.3, rate 0; a 96-bit salt is padded on the right (RFC 7714 §11)."""
    x = int.from_bytes(master_salt.ljust(14, b"\0"), "big") ^ (label << 48)
    return aes_ctr(master_key, (x << 16).to_bytes(16, "big"), bytes(length))


@dataclass
class SessionKeys:
    """What protects one of RTP and RTCP."""

    key: bytes
    salt: bytes
    auth: bytes = b""

    @classmethod
    def derived(cls, suite: str, material: bytes, rtcp: bool) -> "SessionKeys":
        _, key_len, salt_len, _, _, _ = SUITES[suite]
        key, salt = material[:key_len], material[key_len:]
        first = 3 if rtcp else 0
        return cls(
            derive(key, salt, first, key_len), derive(key, salt, first + 2, salt_len), derive(key, salt, first + 1, 20)
        )


def gcm_iv(keys: SessionKeys, ssrc: int, index: int) -> bytes:
    """RFC 7714 §8.1 (ROC and sequence number) and §9.1 (zeros and SRTCP index) are one formula."""
    return ((ssrc << 48 | index) ^ int.from_bytes(keys.salt, "big")).to_bytes(12, "big")


def cm_iv(keys: SessionKeys, ssrc: int, index: int) -> bytes:
    """RFC 3711 §4.1.1."""
    return ((int.from_bytes(keys.salt, "big") << 16) ^ (ssrc << 64) ^ (index << 16)).to_bytes(16, "big")


def protect_rtp(suite: str, keys: SessionKeys, header: bytes, payload: bytes, ssrc: int, index: int) -> bytes:
    """What follows the header on the wire."""
    _, _, _, tag_len, _, aead = SUITES[suite]
    if aead:
        return AESGCM(keys.key).encrypt(gcm_iv(keys, ssrc, index), payload, header)
    cipher = aes_ctr(keys.key, cm_iv(keys, ssrc, index), payload)
    roc = (index >> 16).to_bytes(4, "big")
    return cipher + hmac.digest(keys.auth, header + cipher + roc, hashlib.sha1)[:tag_len]


def protect_rtcp(suite: str, keys: SessionKeys, header: bytes, payload: bytes, ssrc: int, index: int) -> bytes:
    _, _, _, _, tag_len, aead = SUITES[suite]
    trailer = (0x80000000 | index).to_bytes(4, "big")
    if aead:
        return AESGCM(keys.key).encrypt(gcm_iv(keys, ssrc, index), payload, header + trailer) + trailer
    cipher = aes_ctr(keys.key, cm_iv(keys, ssrc, index), payload)
    return cipher + trailer + hmac.digest(keys.auth, header + cipher + trailer, hashlib.sha1)[:tag_len]


def unprotect_rtp(suite: str, keys: SessionKeys, header: bytes, protected: bytes, ssrc: int, index: int) -> bytes:
    _, _, _, tag_len, _, aead = SUITES[suite]
    if aead:
        return _open_gcm(keys, gcm_iv(keys, ssrc, index), protected, header)
    cipher, tag = protected[:-tag_len], protected[-tag_len:]
    roc = (index >> 16).to_bytes(4, "big")
    _compare(hmac.digest(keys.auth, header + cipher + roc, hashlib.sha1)[:tag_len], tag)
    return aes_ctr(keys.key, cm_iv(keys, ssrc, index), cipher)


def unprotect_rtcp(suite: str, keys: SessionKeys, header: bytes, protected: bytes, ssrc: int) -> bytes:
    _, _, _, _, tag_len, aead = SUITES[suite]
    if aead:
        sealed, trailer = protected[:-4], protected[-4:]
        index = int.from_bytes(trailer, "big") & 0x7FFFFFFF
        return _open_gcm(keys, gcm_iv(keys, ssrc, index), sealed, header + trailer)
    cipher, trailer, tag = protected[: -tag_len - 4], protected[-tag_len - 4 : -tag_len], protected[-tag_len:]
    _compare(hmac.digest(keys.auth, header + cipher + trailer, hashlib.sha1)[:tag_len], tag)
    return aes_ctr(keys.key, cm_iv(keys, ssrc, int.from_bytes(trailer, "big") & 0x7FFFFFFF), cipher)


def _open_gcm(keys: SessionKeys, iv: bytes, sealed: bytes, aad: bytes) -> bytes:
    try:
        return AESGCM(keys.key).decrypt(iv, sealed, aad)
    except InvalidTag:
        raise AuthenticationError from None


def _compare(expected: bytes, tag: bytes) -> None:
    if not hmac.compare_digest(expected, tag):
        raise AuthenticationError
