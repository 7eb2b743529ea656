"""The record layer of DTLS 1.2 after the handshake: AES-GCM records of epoch 1 (RFC 6347 §4.1, RFC 5288).

Control thread. A connection of OpenSSL keeps some 90 KB for as long as it lives, nearly all of it for handshakes; what
a connected transport still needs (SCTP's packets, the alert that says goodbye) is two keys and two counters. So the
handshake's secrets are taken over and the connection is let go. Pure: bytes in, bytes out.
"""

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from OpenSSL import SSL

ALERT, HANDSHAKE, APPLICATION_DATA = 21, 22, 23
HEADER = 13
OVERHEAD = HEADER + 8 + 16  # header, explicit nonce, tag
VERSION = b"\xfe\xfd"
EPOCH = 1 << 48
MAX_PLAINTEXT = 1 << 14
WINDOW = 64

# OpenSSL's name: (key bytes, hash of the pseudo-random function)
CIPHERS = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": (16, "sha256"),
    "ECDHE-RSA-AES128-GCM-SHA256": (16, "sha256"),
    "ECDHE-ECDSA-AES256-GCM-SHA384": (32, "sha384"),
    "ECDHE-RSA-AES256-GCM-SHA384": (32, "sha384"),
}
SALT = 4


def prf(digest: str, secret: bytes, label: bytes, seed: bytes, length: int) -> bytes:
    """The pseudo-random function of TLS 1.2 (RFC 5246 §5)."""
    a = seed = label + seed
    out = b""
    while len(out) < length:
        a = hmac.digest(secret, a, digest)
        out += hmac.digest(secret, a + seed, digest)
    return out[:length]


class Records:
    """Both directions of one association."""

    __slots__ = ("_bits", "_highest", "_next", "_opener", "_read_salt", "_sealer", "_write_salt")

    def __init__(self, connection: SSL.Connection, is_client: bool, first: int) -> None:
        """From a connection whose handshake is over; `first`: the next unused record number of epoch 1."""
        key, digest = CIPHERS[connection.get_cipher_name() or ""]
        master, seed = connection.master_key(), connection.server_random() or b""
        seed += connection.client_random() or b""
        block = prf(digest, master or b"", b"key expansion", seed, 2 * (key + SALT))
        keys = (block[:key], block[key : 2 * key])
        salts = (block[2 * key : 2 * key + SALT], block[2 * key + SALT :])
        own = 0 if is_client else 1
        self._sealer, self._write_salt = AESGCM(keys[own]), salts[own]
        self._opener, self._read_salt = AESGCM(keys[1 - own]), salts[1 - own]
        self._next = EPOCH | first
        self._highest = -1  # of the authenticated record numbers, and which of the WINDOW below it were seen
        self._bits = 0

    def seal(self, kind: int, data: bytes) -> bytes:
        """One record."""
        number = self._next.to_bytes(8, "big")
        self._next += 1
        head = bytes((kind,)) + VERSION
        sealed = self._sealer.encrypt(self._write_salt + number, data, number + head + len(data).to_bytes(2, "big"))
        return head + number + (len(sealed) + 8).to_bytes(2, "big") + number + sealed

    def open(self, record: bytes) -> tuple[int, bytes] | None:
        """(content type, data) of one whole record; None: not of this epoch, replayed, or not authentic."""
        number = int.from_bytes(record[3:11], "big")
        length = len(record) - OVERHEAD
        if number >> 48 != 1 or not 0 <= length <= MAX_PLAINTEXT or not self._is_new(number):
            return None
        aad = record[3:11] + record[:3] + length.to_bytes(2, "big")
        try:
            data = self._opener.decrypt(self._read_salt + record[HEADER : HEADER + 8], record[HEADER + 8 :], aad)
        except InvalidTag:
            return None
        self._remember(number)
        return record[0], data

    def _is_new(self, number: int) -> bool:
        behind = self._highest - number
        return behind < 0 or (behind < WINDOW and not self._bits >> behind & 1)

    def _remember(self, number: int) -> None:
        ahead = number - self._highest
        if ahead > 0:
            self._bits = (self._bits << min(ahead, WINDOW) | 1) & ((1 << WINDOW) - 1)
            self._highest = number
        else:
            self._bits |= 1 << -ahead


def close_notify() -> bytes:
    """The alert that ends an association, and hurts nobody."""
    return b"\x01\x00"


def ends_association(alert: bytes) -> bool:
    """Whether an alert is close_notify or fatal (RFC 5246 §7.2)."""
    return len(alert) == 2 and (alert[1] == 0 or alert[0] == 2)
