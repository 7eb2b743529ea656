"""A WebRTC client: ICE, DTLS, then SRTP of one audio stream; over UDP or TCP (RFC 4571)."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from contextlib import suppress
from typing import Any

from OpenSSL import SSL
from pylibsrtp import Policy, Session

from sfu.bench.engine import published
from sfu.bench.joiner import Client, Identity, binding_request
from sfu.bench.traffic import PAYLOAD_TYPE, SSRC

IDENTITY = Identity()
UDP = {"protocol": "udp", "ip": "127.0.0.1"}
TCP = {"protocol": "tcp", "ip": "127.0.0.1"}
KEY, SALT = 16, 12  # of AEAD_AES_128_GCM


class Peer(Client):
    """`connect` to a transport, then `send`."""

    protocol = "udp"

    def __init__(self, family: socket.AddressFamily = socket.AF_INET) -> None:
        super().__init__(IDENTITY, family)
        self._seq = 0

    @property
    def port(self) -> int:
        """Its own."""
        return int(self._socket.getsockname()[1])

    async def check(self, transport: Any) -> None:
        """ICE only."""
        self._ice = transport.ice_parameters
        self._socket.connect(address_of(transport, self.protocol))
        async with asyncio.timeout(10):
            await self._check(self._ice)

    async def connect(self, transport: Any) -> None:
        """ICE and DTLS to the end."""
        self._ice = transport.ice_parameters
        await asyncio.gather(
            transport.connect(dtls_parameters=IDENTITY.dtls_parameters),
            self.join(self._ice, address_of(transport, self.protocol)),
        )
        async with asyncio.timeout(10):
            while transport.dtls_state != "connected":
                await asyncio.sleep(0.005)
        secret = self._tls.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (KEY + SALT))
        key = secret[:KEY] + secret[2 * KEY : 2 * KEY + SALT]
        policy = Policy(key, Policy.SSRC_ANY_OUTBOUND, srtp_profile=Policy.SRTP_PROFILE_AEAD_AES_128_GCM)
        self._srtp = Session(policy)

    def move(self) -> None:
        """To another address, of which nothing has been proved yet."""
        address, family = self._socket.getpeername(), self._socket.family
        self._socket.close()
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect(address)

    def rename(self, ice_parameters: Any) -> None:
        """Those of an ICE restart."""
        self._ice = ice_parameters

    def hello(self) -> bytes:
        """A first flight of its own, in one datagram; it ends the use of this peer."""
        with suppress(SSL.WantReadError):
            self._tls.do_handshake()
        self.close()
        return self._tls.bio_read(65536)

    async def is_answered(self) -> bool:
        """One STUN check, as for consent."""
        transaction = os.urandom(12)
        self.send_raw(binding_request(self._ice["usernameFragment"], self._ice["password"], transaction))
        while answer := await self._receive():
            if answer[:2] == b"\x01\x01" and answer[8:20] == transaction:
                return True
        return False

    def packet(self, ssrc: int = SSRC) -> bytes:
        """The next packet, encrypted."""
        self._seq += 1
        header = struct.pack("!BBHII", 0x80, PAYLOAD_TYPE["audio"], self._seq, 960 * self._seq, ssrc)
        return self._srtp.protect(header + bytes(60))

    def protect_rtcp(self, data: bytes) -> bytes:
        """Encrypted, under the next index of its sender."""
        return self._srtp.protect_rtcp(data)

    def send(self) -> None:
        """The next packet of the stream."""
        self.send_raw(self.packet())

    def send_raw(self, data: bytes) -> None:
        """Anything, from the address that ICE has verified."""
        self._socket.send(data)


def address_of(transport: Any, protocol: str = "udp") -> tuple[str, int]:
    """Of the first candidate of that protocol."""
    candidate = next(each for each in transport.ice_candidates if each["protocol"] == protocol)
    return candidate["ip"], candidate["port"]


async def publish(transport: Any) -> Any:
    """A producer of what `Peer.send` sends."""
    return await transport.produce(kind="audio", rtp_parameters=published("audio"))
