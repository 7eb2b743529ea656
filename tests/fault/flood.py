"""A flood of datagrams, run as a program of its own: python flood.py KIND IP PORT COUNT [UFRAG]

Prints how many left. Each comes from an address and port of its own out of 127.0.0.0/8 and 64 ports, so that a
million of them are some million tuples.
"""

from __future__ import annotations

import os
import random
import socket
import struct
import sys
from collections.abc import Callable

from sfu.bench.joiner import binding_request

PORTS = 64
POOL = 4096  # datagrams made beforehand
IP_PKTINFO = 8

PACKET_INFO = struct.Struct("=i4s4s")


def anything(rng: random.Random, ufrag: str = "") -> bytes:
    """Any size a datagram can have, most of them small."""
    return rng.randbytes(rng.choice((0, 1, 2, 12, 20, 100, 1200, 1500, 2049, 9000, rng.randrange(65508))))


def stun_strangers(rng: random.Random, ufrag: str = "") -> bytes:
    """Correct requests for a user that there is not."""
    return binding_request(rng.randbytes(8).hex(), "password", rng.randbytes(12))


def stun_guesses(rng: random.Random, ufrag: str = "") -> bytes:
    """Correct requests for a user that there is, with a wrong password."""
    return binding_request(ufrag, rng.randbytes(8).hex(), rng.randbytes(12))


def stun_broken(rng: random.Random, ufrag: str = "") -> bytes:
    """Requests with bytes changed, cut off or added."""
    return spoiled(rng, binding_request(ufrag, "password", rng.randbytes(12)))


def spoiled(rng: random.Random, datagram: bytes) -> bytes:
    data = bytearray(datagram)
    for _ in range(rng.randrange(1, 6)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return (
        bytes(data[: rng.randrange(len(data))]) if rng.random() < 0.3 else bytes(data) + rng.randbytes(rng.randrange(8))
    )


def dtls(rng: random.Random, ufrag: str = "") -> bytes:
    """Records with a correct header, of any type and length."""
    body = rng.randbytes(rng.randrange(1200))
    version = rng.choice((0xFEFD, 0xFEFF, rng.randrange(65536)))
    length = rng.choice((len(body), rng.randrange(65536)))
    return struct.pack("!BHH6sH", rng.randrange(20, 64), version, rng.choice((0, 1)), rng.randbytes(6), length) + body


def rtp(rng: random.Random, ufrag: str = "") -> bytes:
    """RTP and RTCP as far as their first bytes tell."""
    return bytes([rng.randrange(128, 192), rng.randrange(256)]) + rng.randbytes(rng.randrange(1200))


def mixed(rng: random.Random, ufrag: str = "") -> bytes:
    return rng.choice((anything, stun_strangers, stun_guesses, stun_broken, dtls, rtp))(rng, ufrag)


KINDS: dict[str, Callable[..., bytes]] = {
    each.__name__: each for each in (anything, stun_strangers, stun_guesses, stun_broken, dtls, rtp, mixed)
}


def open_sockets(address: tuple[str, int]) -> list[socket.socket]:
    sockets = []
    for _ in range(PORTS):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind(("0.0.0.0", 0))
        sock.connect(address)
        sockets.append(sock)
    return sockets


def flood(kind: str, address: tuple[str, int], count: int, ufrag: str) -> int:
    rng = random.Random(kind)
    pool = [KINDS[kind](rng, ufrag) for _ in range(POOL)]
    sockets = open_sockets(address)
    sent = 0
    for i in range(count):
        source = b"\x7f" + rng.getrandbits(24).to_bytes(3, "big")
        info = [(socket.IPPROTO_IP, IP_PKTINFO, PACKET_INFO.pack(0, source, b""))]
        try:
            sockets[i % PORTS].sendmsg([pool[i % POOL]], info)
        except OSError:  # an error that came back for an earlier one, a broadcast address
            continue
        sent += 1
    return sent


if __name__ == "__main__":
    os.nice(5)
    kind, ip, port, count, *ufrag = sys.argv[1:]
    print(flood(kind, (ip, int(port)), int(count), *(ufrag or [""])))
