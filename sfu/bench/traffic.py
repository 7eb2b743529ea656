"""What is sent: cycles of RTP packets as (ns after the start, RTP ticks after it, packet). Pure data."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from importlib.resources import files

SECOND = 1_000_000_000
PAYLOAD_TYPE = {"audio": 111, "video": 96}
CLOCK_RATE = {"audio": 48_000, "video": 90_000}
SSRC = 0x5F0B_0001

_RECORD = struct.Struct("!IIBH8s")
_VP8_START = 0x10  # payload descriptor: start of a partition, no extensions
_VP8_KEY = bytes([_VP8_START, 0x10, 0x00, 0x00, 0x9D, 0x01, 0x2A, 0x80, 0x02, 0xE0, 0x01])
_VP8_INTER = bytes([_VP8_START, 0x11, 0x00, 0x00])


@dataclass(frozen=True)
class Cycle:
    """Packets that are sent over and over; `period` in ns, `rtp_period` in ticks of the codec's clock."""

    kind: str
    steps: list[tuple[int, int, bytes]]
    period: int
    rtp_period: int

    @property
    def rate(self) -> float:
        """Packets per second."""
        return len(self.steps) * SECOND / self.period

    def staggered(self, count: int) -> list[tuple[int, int, bytes, int]]:
        """The steps for each of `count` destinations, which take turns in the time between two steps."""
        gap = self.period // len(self.steps) // count
        steps = [(at + to * gap, ticks, packet, to) for at, ticks, packet in self.steps for to in range(count)]
        return sorted(steps, key=lambda step: step[0])

    def grown(self, octets: int) -> Cycle:
        """The same packets, each longer by `octets` (what encryption or rewritten extensions add)."""
        padding = bytes(max(octets, 0))
        steps = [(at, ticks, (packet + padding)[: len(packet) + octets]) for at, ticks, packet in self.steps]
        return Cycle(self.kind, steps, self.period, self.rtp_period)


def rtp(kind: str, payload: bytes, *, marker: bool = False) -> bytes:
    """An RTP packet whose sequence number, timestamp and SSRC are still to be written."""
    return bytes([0x80, PAYLOAD_TYPE[kind] | marker << 7]) + bytes(10) + payload


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def steady(size: int, rate: float, burst: int = 1) -> Cycle:
    """`rate` packets a second with `size` bytes of payload, `burst` at a time; Opus if small, else VP8.

    A VP8 burst is a frame, the first of each cycle a key frame, so that every consumer can begin at once.
    """
    kind = "audio" if size <= 400 and burst == 1 else "video"
    groups = max(2, 16 // burst)
    interval = SECOND * burst / rate
    steps = []
    for group in range(groups):
        at = round(group * interval)
        ticks = at * CLOCK_RATE[kind] // SECOND
        for i in range(burst):
            start = _vp8_start(group, i) if kind == "video" else b""
            body = start + noise(size - len(start), seed=group * burst + i)
            steps.append((at, ticks, rtp(kind, body, marker=kind == "video" and i == burst - 1)))
    period = round(groups * interval)
    return Cycle(kind, steps, period, period * CLOCK_RATE[kind] // SECOND)


def _vp8_start(frame: int, packet: int) -> bytes:
    if packet:
        return b"\x00"
    return _VP8_INTER if frame else _VP8_KEY


def captured() -> Cycle:
    """A browser's camera: 1280x720 VP8 with temporal layers, its own bursts and sizes, in a loop."""
    raw = files(__package__).joinpath("video.replay").read_bytes()
    steps = []
    for i, (micros, ticks, marker, size, head) in enumerate(_RECORD.iter_unpack(raw)):
        body = (head + noise(max(size - len(head), 0), seed=i))[:size]
        steps.append((micros * 1000, ticks, rtp("video", body, marker=bool(marker))))
    steps.sort(key=lambda step: step[0])
    frame = 33_000_000
    last_at, last_ticks = steps[-1][0], max(step[1] for step in steps)
    return Cycle("video", steps, last_at + frame, last_ticks + frame * CLOCK_RATE["video"] // SECOND)
