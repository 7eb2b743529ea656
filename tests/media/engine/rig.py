"""The engine under a clock of the test: real loopback sockets, virtual time, a seeded bad network.

A test builds a `Rig`, adds publishers and subscribers and runs milliseconds. One turn of the media thread is made for
every millisecond, at that time; datagrams between an endpoint and the engine may be lost or delayed by a `Network`.
The endpoints write and read RTP with a few lines of their own, independent of the engine's parsers.
"""

from __future__ import annotations

import mmap
import os
import random
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pylibsrtp import Policy, Session

from sfu_core._engine import Engine

MS = 1_000_000
OPUS, VP8 = 1, 32
VP8_KEY = b"\x10\x00\x9d\x01\x2a\x80\x02\x68\x01"  # S=1, P=0: first packet of a key frame
VP8_DELTA = b"\x10\x01\x00\x00\x00"
GCM_128, CM_80 = 1, 2
PROFILES = {
    0: (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 44),
    1: (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    2: (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
    3: (Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 30),
}
# What the engine asks of a producer and of a stream that it sends, where a test asks for nothing.
PRODUCER: dict[str, Any] = {
    "mid": "",
    "extensions": {},
    "nack": False,
    "pli": False,
    "fir": False,
    "feedback": 0,
    "paused": False,
    "key_frame_request_delay_ms": 0,
    "packet_id": False,
}
SEND_STREAM: dict[str, Any] = {
    "rtx_ssrc": 0,
    "rtx_payload_type": -1,
    "payload_types": [100],
    "mid": "",
    "cname": "publisher",
    "extensions": [],
    "nack": False,
    "pipe": False,
    "ignore_dtx": False,
    "paused": False,
}


@dataclass
class Rtp:
    """A packet as an endpoint sees it."""

    pt: int
    seq: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False
    extensions: dict[int, bytes] = field(default_factory=dict)
    raw: bytes = b""

    def pack(self) -> bytes:
        first = 0x90 if self.extensions else 0x80
        head = struct.pack(
            "!BBHII",
            first,
            self.pt | (0x80 if self.marker else 0),
            self.seq & 0xFFFF,
            self.timestamp,
            self.ssrc,
        )
        return head + pack_extensions(self.extensions) + self.payload


def pack_extensions(extensions: dict[int, bytes]) -> bytes:
    if not extensions:
        return b""
    body = b"".join(bytes([ident << 4 | (len(value) - 1)]) + value for ident, value in extensions.items())
    body += bytes(-len(body) % 4)
    return struct.pack("!HH", 0xBEDE, len(body) // 4) + body


def parse_rtp(data: bytes) -> Rtp:
    first, second, seq, timestamp, ssrc = struct.unpack("!BBHII", data[:12])
    at, extensions = 12 + 4 * (first & 15), {}
    if first & 0x10:
        words = struct.unpack("!HH", data[at : at + 4])[1]
        extensions = parse_extensions(data[at + 4 : at + 4 + 4 * words])
        at += 4 + 4 * words
    return Rtp(second & 127, seq, timestamp, ssrc, data[at:], bool(second & 128), extensions, data)


def parse_extensions(body: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at < len(body):
        if body[at] == 0:
            at += 1
            continue
        ident, length = body[at] >> 4, (body[at] & 15) + 1
        found[ident] = body[at + 1 : at + 1 + length]
        at += 1 + length
    return found


def parse_rtcp(data: bytes) -> list[tuple[int, int, bytes]]:
    """(type, count or format, body) of each packet of a compound."""
    found, at = [], 0
    while at < len(data):
        first, kind, words = struct.unpack("!BBH", data[at : at + 4])
        found.append((kind, first & 31, data[at + 4 : at + 4 + 4 * words]))
        at += 4 + 4 * words
    return found


def is_rtcp(data: bytes) -> bool:
    return 192 <= data[1] <= 223


class Network:
    """One direction between an endpoint and the engine."""

    def __init__(self, seed: int = 1, loss: float = 0.0, delay_ms: int = 0, jitter_ms: int = 0) -> None:
        self._random = random.Random(seed)
        self.loss, self.delay_ms, self.jitter_ms = loss, delay_ms, jitter_ms
        self.drop: Callable[[bytes], bool] = lambda data: False
        self.dropped = 0
        self._waiting: list[tuple[int, int, bytes]] = []
        self._order = 0

    def send(self, now: int, data: bytes) -> None:
        if self._random.random() < self.loss or self.drop(data):
            self.dropped += 1
            return
        late = self.delay_ms + (self._random.randint(0, self.jitter_ms) if self.jitter_ms else 0)
        self._order += 1
        self._waiting.append((now + late * MS, self._order, data))

    def due(self, now: int) -> list[bytes]:
        ready = sorted(entry for entry in self._waiting if entry[0] <= now)
        self._waiting = [entry for entry in self._waiting if entry[0] > now]
        return [data for _, _, data in ready]


class Endpoint:
    """A plain RTP peer of one transport of the engine."""

    def __init__(self, rig: Rig, suite: int | None = None) -> None:
        self.rig = rig
        self.sock = bound_socket()
        self.out, self.back = Network(), Network()
        inside = bound_socket()
        self.address = inside.getsockname()
        self.engine_socket = rig.engine.add_socket(inside.detach(), 1, 0)
        self.transport = rig.engine.add_plain_transport(
            self.engine_socket, 0, comedia=False, srtp=suite is not None, pipe=False
        )
        self.protect: Session | None = None
        self.unprotect: Session | None = None
        if suite is not None:
            self._set_keys(suite)
        rig.engine.connect_plain(self.transport, "127.0.0.1", self.sock.getsockname()[1], 0)
        self.rtp: list[Rtp] = []
        self.rtcp: list[tuple[int, int, bytes]] = []
        self.wire: list[bytes] = []
        rig.endpoints.append(self)

    def _set_keys(self, suite: int) -> None:
        profile, length = PROFILES[suite]
        ours, theirs = os.urandom(length), os.urandom(length)
        self.rig.engine.set_srtp(self.transport, suite, theirs, ours)
        self.protect = Session(Policy(ours, Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
        self.unprotect = Session(Policy(theirs, Policy.SSRC_ANY_INBOUND, srtp_profile=profile))

    def send(self, data: bytes) -> None:
        if self.protect:
            data = self.protect.protect_rtcp(data) if is_rtcp(data) else self.protect.protect(data)
        self.out.send(self.rig.now, data)

    def send_raw(self, data: bytes) -> None:
        self.out.send(self.rig.now, data)

    def deliver(self) -> None:
        for data in self.out.due(self.rig.now):
            self.sock.sendto(data, self.address)

    def collect(self) -> None:
        while True:
            try:
                self.back.send(self.rig.now, self.sock.recv(4096))
            except BlockingIOError:
                break
        for data in self.back.due(self.rig.now):
            self.wire.append(data)
            self.take(data)

    def take(self, data: bytes) -> None:
        if is_rtcp(data):
            self.rtcp += parse_rtcp(self.unprotect.unprotect_rtcp(data) if self.unprotect else data)
        else:
            self.rtp.append(parse_rtp(self.unprotect.unprotect(data) if self.unprotect else data))

    def rtcp_of(self, kind: int, count: int | None = None) -> list[bytes]:
        return [body for k, c, body in self.rtcp if k == kind and count in (None, c)]

    def close(self) -> None:
        self.sock.close()


class Publisher(Endpoint):
    """Sends one stream; counts what it is asked for."""

    SSRC, RTX_SSRC = 1111, 2222

    def __init__(self, rig: Rig, kind: str = "video", suite: int | None = None, **options: Any) -> None:
        super().__init__(rig, suite)
        self.video = kind == "video"
        self.clock_rate = 90000 if self.video else 48000
        self.seq, self.timestamp, self.sent = options.pop("seq", 65530), 4294960000, 0
        codecs = [(96, 101, VP8, 90000, -1), (97, 102, VP8, 90000, 96)] if self.video else [(111, 100, OPUS, 48000, -1)]
        self.pt = codecs[0][0]
        defaults = PRODUCER | {"mid": "0", "extensions": {1: 1, 5: 5}, "nack": self.video, "pli": self.video}
        rtx = (self.RTX_SSRC, 97) if self.video else (0, -1)
        self.producer, self.streams = rig.engine.add_producer(
            self.transport,
            int(self.video),
            codecs,
            [(self.SSRC, rtx[0], "", self.pt)],
            **(defaults | options),
        )

    def packet(self, key: bool = False, payload: bytes | None = None, marker: bool = True) -> Rtp:
        if payload is None:
            head = (VP8_KEY if key else VP8_DELTA) if self.video else b"\x78"
            payload = head + self.sent.to_bytes(4, "big") + bytes(100)
        packet = Rtp(self.pt, self.seq, self.timestamp & 0xFFFFFFFF, self.SSRC, payload, marker)
        self.seq = (self.seq + 1) & 0xFFFF
        self.timestamp += self.clock_rate // 50
        self.sent += 1
        return packet

    def publish(self, key: bool = False, **options: Any) -> Rtp:
        packet = self.packet(key, **options)
        self.send(packet.pack())
        return packet


class Subscriber(Endpoint):
    """Receives one stream."""

    def __init__(self, rig: Rig, publisher: Publisher, suite: int | None = None, **options: Any) -> None:
        super().__init__(rig, suite)
        video = publisher.video
        self.ssrc, self.rtx_ssrc = 5000 + len(rig.endpoints), 6000 + len(rig.endpoints)
        defaults = SEND_STREAM | {"mid": "a", "extensions": [1, 4, 5], "nack": video}
        if video:
            defaults["payload_types"] = [101]
        if options.pop("rtx", video):
            defaults |= {"rtx_ssrc": self.rtx_ssrc, "rtx_payload_type": 102}
        self.stream = rig.engine.add_send_stream(
            self.transport, publisher.streams[0], ssrc=self.ssrc, **(defaults | options)
        )

    @property
    def media(self) -> list[Rtp]:
        return [packet for packet in self.rtp if packet.ssrc == self.ssrc]

    @property
    def repairs(self) -> list[Rtp]:
        return [packet for packet in self.rtp if packet.ssrc == self.rtx_ssrc]

    def nack(self, *seqs: int) -> None:
        fci = b"".join(struct.pack("!HH", seq & 0xFFFF, 0) for seq in seqs)
        self.send(struct.pack("!BBHII", 0x81, 205, 2 + len(seqs), 1, self.ssrc) + fci)

    def pli(self) -> None:
        self.send(struct.pack("!BBHII", 0x81, 206, 2, 1, self.ssrc))


class Rig:
    """An engine, its clock and its peers."""

    def __init__(self, **settings: Any) -> None:
        self.engine = Engine(**({"history_bytes": 4194304} | settings))
        self.now = time.monotonic_ns()
        self.start = self.now
        self.endpoints: list[Endpoint] = []
        self.events: list[tuple[Any, ...]] = []
        self.sockets: list[socket.socket] = []

    def run(self, milliseconds: int, each: Callable[[int], None] | None = None) -> None:
        """Let time pass; `each` is called with every millisecond since the start of this run."""
        for elapsed in range(milliseconds):
            self.now += MS
            if each:
                each(elapsed)
            for endpoint in self.endpoints:
                endpoint.deliver()
            self.engine.step(self.now)
            self.events += self.engine.poll()
            for endpoint in self.endpoints:
                endpoint.collect()

    def close(self) -> None:
        for endpoint in self.endpoints:
            endpoint.close()
        for sock in self.sockets:
            sock.close()
        self.engine.close()


def add_opus_producer(engine: Engine, transport: int, ssrc: int = 1111, **options: Any) -> tuple[int, list[int]]:
    """Its handle, and those of its streams; without an SSRC it is found by the `mid`."""
    codecs = [(111, 100, OPUS, 48000, -1)]
    return engine.add_producer(transport, 0, codecs, [(ssrc, 0, "", 111)], **(PRODUCER | options))


def link(one: Engine, other: Engine, capacity: int) -> tuple[mmap.mmap, int, int]:
    """Rings between two cores: their memory, and the handle of each end."""
    memfd = os.memfd_create("link")
    os.ftruncate(memfd, 2 * (capacity + 4096))
    memory = mmap.mmap(memfd, 2 * capacity)
    ours, theirs = (os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2))
    near = one.add_link(memfd, capacity, 0, ours, theirs)
    far = other.add_link(memfd, capacity, 1, os.dup(theirs), os.dup(ours))
    os.close(memfd)
    return memory, near, far


def bound_socket(ip: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((ip, 0))
    sock.setblocking(False)
    return sock
