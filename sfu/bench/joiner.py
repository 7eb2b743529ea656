"""Clients that join as a browser does: ICE (RFC 8445, controlling), then a DTLS 1.2 handshake with SRTP (RFC 5764).

As little as a server accepts, so that the clients are not what is measured. One event loop, one socket a client.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import hmac
import os
import socket
import struct
import zlib
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

MAGIC = 0x2112A442
MTU = 1200
RETRY = 0.5
_PROFILES = b"SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80"


class Identity:
    """A key and self-signed certificate, and the DTLS context that all clients share."""

    def __init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .sign(key, hashes.SHA256())
        )
        self.fingerprint = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
        self.context = SSL.Context(SSL.DTLS_METHOD)
        self.context.use_certificate(certificate)
        self.context.use_privatekey(key)
        self.context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        self.context.set_tlsext_use_srtp(_PROFILES)
        self.context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET)

    @property
    def dtls_parameters(self) -> dict[str, Any]:
        """What the server is told with `connect`."""
        return {"role": "client", "fingerprints": [{"algorithm": "sha-256", "value": self.fingerprint}]}


def binding_request(ufrag: str, password: str, transaction: bytes) -> bytes:
    """A nominating STUN binding request (RFC 8489 §5, RFC 8445 §7.1) to the owner of `ufrag`."""
    attributes = (
        _attribute(0x0006, f"{ufrag}:bench".encode())
        + _attribute(0x802A, bytes(8))
        + _attribute(0x0025, b"")
        + _attribute(0x0024, struct.pack("!I", 0x6E7F1EFF))
    )
    signed = _message(attributes, transaction, extra=24)
    attributes += _attribute(0x0008, hmac.digest(password.encode(), signed, hashlib.sha1))
    checked = _message(attributes, transaction, extra=8)
    attributes += _attribute(0x8028, struct.pack("!I", zlib.crc32(checked) ^ 0x5354554E))
    return _message(attributes, transaction)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def _message(attributes: bytes, transaction: bytes, extra: int = 0) -> bytes:
    return struct.pack("!HHI", 0x0001, len(attributes) + extra, MAGIC) + transaction + attributes


class Client:
    """One joining client; `join` returns when it has the server's keys."""

    def __init__(self, identity: Identity, family: socket.AddressFamily = socket.AF_INET) -> None:
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._tls = SSL.Connection(identity.context, None)
        self._tls.set_ciphertext_mtu(MTU)
        self._tls.set_connect_state()

    async def join(self, ice: dict[str, Any], address: tuple[str, int]) -> None:
        """ICE until answered, then DTLS until finished; sends again what is lost. Raises TimeoutError after 10 s."""
        self._socket.connect(address)
        async with asyncio.timeout(10):
            await self._check(ice)
            await self._handshake()

    async def _check(self, ice: dict[str, Any]) -> None:
        transaction = os.urandom(12)
        while True:
            self._socket.send(binding_request(ice["usernameFragment"], ice["password"], transaction))
            answer = await self._receive()
            if answer and answer[:2] == b"\x01\x01" and answer[8:20] == transaction:
                return

    async def _handshake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except SSL.WantReadError:
                self._flush()
            else:
                self._flush()
                return
            datagram = await self._receive()
            if datagram is None:
                self._tls.DTLSv1_handle_timeout()
            elif 20 <= datagram[0] <= 63:
                self._tls.bio_write(datagram)

    async def _receive(self) -> bytes | None:
        try:
            return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self._socket, 2048), RETRY)
        except TimeoutError:
            return None

    def _flush(self) -> None:
        """Sends a flight; it is cut at record headers so that datagrams stay below the MTU."""
        try:
            flight = self._tls.bio_read(65536)
        except SSL.WantReadError:
            return
        datagram = b""
        while flight:
            size = 13 + int.from_bytes(flight[11:13], "big")
            if datagram and len(datagram) + size > MTU:
                self._socket.send(datagram)
                datagram = b""
            datagram, flight = datagram + flight[:size], flight[size:]
        self._socket.send(datagram)

    def send(self, datagram: bytes) -> None:
        """Sends it as it is."""
        self._socket.send(datagram)

    def close(self) -> None:
        self._socket.close()
