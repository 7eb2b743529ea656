"""A video publisher and a subscriber in plain Python: RTP with RTX and transport-cc numbers in, frames out.

They follow the RFCs, remember everything and check what they get; they know nothing of the code under test but bytes.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from sfu_core import _rtcp
from sfu_core._rtcp_write import Writer
from tests.media.simulation import MS, SECOND, Simulation

MEDIA_SSRC, RTX_SSRC = 0x1111_1111, 0x2222_2222
OUT_SSRC, OUT_RTX_SSRC = 0x3333_3333, 0x4444_4444
MEDIA_PT, RTX_PT = 96, 97
TWCC_ID = 5
CLOCK = 90000
FRAME_NS = SECOND // 30
NTP_OFFSET_S = 3_900_000_000  # the publisher's clock is another one


@dataclass(frozen=True)
class Rtp:
    """A parsed packet: no padding, at most one header extension element."""

    pt: int
    marker: bool
    seq: int
    ts: int
    ssrc: int
    payload: bytes
    twcc: int | None = None

    @classmethod
    def parse(cls, data: bytes) -> Rtp:
        first, second, seq, ts, ssrc = struct.unpack_from("!BBHII", data)
        at, twcc = 12, None
        if first & 0x10:
            words = struct.unpack_from("!H", data, 14)[0]
            assert data[16] == TWCC_ID << 4 | 1
            twcc = struct.unpack_from("!H", data, 17)[0]
            at = 16 + 4 * words
        return cls(second & 127, bool(second & 128), seq, ts, ssrc, data[at:], twcc)

    def build(self) -> bytes:
        has_twcc = self.twcc is not None
        head = struct.pack(
            "!BBHII", 0x90 if has_twcc else 0x80, self.marker << 7 | self.pt, self.seq, self.ts, self.ssrc
        )
        extension = struct.pack("!HHBHx", 0xBEDE, 1, TWCC_ID << 4 | 1, self.twcc) if has_twcc else b""
        return head + extension + self.payload


def is_rtcp(data: bytes) -> bool:
    return 192 <= data[1] <= 223


@dataclass(frozen=True)
class Piece:
    """What a payload says: this is part `index` of `count` of frame `frame`."""

    frame: int
    index: int
    count: int
    is_key: bool

    @classmethod
    def parse(cls, payload: bytes) -> Piece:
        frame, index, count, key = struct.unpack_from("!IBBB", payload)
        assert payload[7:] == bytes([frame & 255]) * (len(payload) - 7), "the payload was changed on the way"
        return cls(frame, index, count, bool(key))

    def build(self, size: int) -> bytes:
        return struct.pack("!IBBB", self.frame, self.index, self.count, self.is_key) + bytes([self.frame & 255]) * size


@dataclass
class Publisher:
    """30 frames a second; repeats what is asked for by RTX, a key frame after PLI, sender reports each second."""

    simulation: Simulation
    send: Callable[[bytes], None]
    first_seq: int = 65500
    seed: int = 0
    sent: dict[int, Rtp] = field(default_factory=dict)
    sent_twcc: list[int] = field(default_factory=list)  # times, by transport-wide number
    heard_twcc: dict[int, int] = field(default_factory=dict)  # number: arrival, 250 us, as fed back
    lost_twcc: set[int] = field(default_factory=set)
    nacks: list[int] = field(default_factory=list)
    reports: list[dict[str, int]] = field(default_factory=list)
    plis: int = 0
    frame: int = 0
    packets: int = 0
    octets: int = 0
    repeats: int = 0
    active: bool = True

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._next = self.first_seq
        self._next_rtx = 40000
        self._key_due = True
        self._epoch_ns = self.simulation.now_ns
        self._ts_offset = 2**32 - 5 * CLOCK
        self.simulation.every(FRAME_NS, self._send_frame)
        self.simulation.every(SECOND, self._send_report)

    def ts_at(self, now_ns: int) -> int:
        return (self._ts_offset + (now_ns - self._epoch_ns) * CLOCK // SECOND) % 2**32

    def _send_frame(self) -> None:
        if not self.active:
            return
        count = self._random.randint(8, 12) if self._key_due else self._random.randint(1, 5)
        ts = self.ts_at(self.simulation.now_ns)
        for index in range(count):
            payload = Piece(self.frame, index, count, self._key_due).build(self._random.randint(500, 1100))
            packet = Rtp(MEDIA_PT, index == count - 1, self._next % 65536, ts, MEDIA_SSRC, payload)
            self.sent[packet.seq] = packet
            self._next += 1
            self.packets += 1
            self.octets += len(payload)
            self._emit(packet)
        self._key_due = False
        self.frame += 1

    def _emit(self, packet: Rtp) -> None:
        number = len(self.sent_twcc)
        self.sent_twcc.append(self.simulation.now_ns)
        self.send(Rtp(**{**packet.__dict__, "twcc": number % 65536}).build())

    def _send_report(self) -> None:
        writer = Writer()
        now_ns = self.simulation.now_ns
        ntp = ((now_ns // SECOND + NTP_OFFSET_S) << 32) + ((now_ns % SECOND) << 32) // SECOND
        info = {"ntp": ntp, "rtp_timestamp": self.ts_at(now_ns), "packets": self.packets, "octets": self.octets}
        writer.sr(MEDIA_SSRC, info, [])
        self.send(writer.data())

    def receive(self, data: bytes) -> None:
        packets, malformed = _rtcp.parse(data)
        assert not malformed
        for packet in packets:
            for seq in packet.get("nack", []):
                self._repeat(seq)
            for report in packet.get("reports", []):
                self.reports.append(report)
            if packet.get("pli"):
                self.plis += 1
                self._key_due = True
            if "twcc" in packet:
                self._hear(packet["twcc"])

    def _repeat(self, seq: int) -> None:
        self.nacks.append(seq)
        original = self.sent[seq]
        payload = struct.pack("!H", seq) + original.payload
        self._emit(Rtp(RTX_PT, original.marker, self._next_rtx % 65536, original.ts, RTX_SSRC, payload))
        self._next_rtx += 1
        self.repeats += 1

    def _hear(self, feedback: dict[str, object]) -> None:
        arrival = int(feedback["reference_time"]) * 256  # type: ignore[call-overload]
        for seq, received, delta in feedback["statuses"]:  # type: ignore[attr-defined]
            newest = len(self.sent_twcc)
            number = newest - (newest - seq) % 65536
            if received:
                arrival += delta
                self.heard_twcc[number] = arrival
                self.lost_twcc.discard(number)
            else:
                self.lost_twcc.add(number)


@dataclass
class Subscriber:
    """Puts frames together, asks for what is missing (at most every 50 ms), for a key frame if that does not help."""

    simulation: Simulation
    send: Callable[[bytes], None]
    packets: dict[int, bytes] = field(default_factory=dict)  # extended number: payload
    originals: dict[int, bytes] = field(default_factory=dict)  # as it came on the media SSRC
    frames: dict[int, set[int]] = field(default_factory=dict)
    complete: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    sender_reports: list[dict[str, int]] = field(default_factory=list)
    repeats: dict[int, bytes] = field(default_factory=dict)  # by number on the RTX SSRC
    highest: int = 0
    first: int = 0
    repaired: int = 0
    duplicates: int = 0
    asks: bool = True

    def __post_init__(self) -> None:
        self._pli_ns = 0
        self._asked: dict[int, tuple[int, int]] = {}
        self.timestamps: dict[int, int] = {}  # extended number: RTP timestamp
        self.arrivals: dict[int, int] = {}
        self.simulation.every(20 * MS, self._ask)
        self.simulation.every(SECOND, self._report)

    def receive(self, data: bytes) -> None:
        if is_rtcp(data):
            packets, malformed = _rtcp.parse(data)
            assert not malformed
            self.sender_reports += [packet["info"] | {"at": self.simulation.now_ns} for packet in packets]
            return
        packet = Rtp.parse(data)
        if packet.ssrc == OUT_RTX_SSRC:
            assert packet.pt == RTX_PT
            assert self.repeats.setdefault(packet.seq, data) == data, "RTX uses fresh numbers"
            self._take(struct.unpack_from("!H", packet.payload)[0], packet, packet.payload[2:], repaired=True)
        else:
            assert (packet.ssrc, packet.pt) == (OUT_SSRC, MEDIA_PT)
            number = self._extended(packet.seq)
            assert self.originals.setdefault(number, data) == data, "two different packets under one number"
            self._take(packet.seq, packet, packet.payload, repaired=False)

    def _extended(self, seq: int) -> int:
        if not self.first:
            self.first = self.highest = 65536 + seq
        return self.highest + (seq - self.highest + 32768) % 65536 - 32768

    def _take(self, seq: int, packet: Rtp, payload: bytes, repaired: bool) -> None:
        number = self._extended(seq)
        self.highest = max(self.highest, number)
        if number in self.packets:
            assert self.packets[number] == payload and self.timestamps[number] == packet.ts
            self.duplicates += 1
            return
        self.packets[number], self.timestamps[number] = payload, packet.ts
        self.arrivals[number] = self.simulation.now_ns
        self.repaired += repaired
        piece = Piece.parse(payload)
        pieces = self.frames.setdefault(piece.frame, set())
        pieces.add(piece.index)
        if len(pieces) == piece.count:
            self.complete.append(piece.frame)
            if piece.is_key:
                self.keys.append(piece.frame)

    @property
    def missing(self) -> list[int]:
        return [number for number in range(self.first or self.highest, self.highest) if number not in self.packets]

    def _ask(self) -> None:
        due = []
        for number in self.missing:
            tries, at_ns = self._asked.get(number, (0, -SECOND))
            if tries < 10 and self.simulation.now_ns - at_ns >= 120 * MS:
                self._asked[number] = tries + 1, self.simulation.now_ns
                due.append(number % 65536)
            if tries == 5:
                self.request_key_frame()
        if self.first and not self.keys and self.simulation.now_ns - self.arrivals[min(self.arrivals)] > SECOND // 3:
            self.request_key_frame()
        if due and self.asks:
            writer = Writer()
            writer.nack(1, OUT_SSRC, due)
            self.send(writer.data())

    def _report(self) -> None:
        if not self.first:
            return
        block = dict.fromkeys(["ssrc", "highest_seq", "jitter", "lsr", "dlsr", "lost", "fraction_lost"], 0)
        lost = self.highest - self.first + 1 - len(self.originals)
        writer = Writer()
        writer.rr(1, [block | {"ssrc": OUT_SSRC, "highest_seq": self.highest % 2**32, "lost": lost}])
        self.send(writer.data())

    def request_key_frame(self) -> None:
        """At most once a second."""
        if self.simulation.now_ns - self._pli_ns < SECOND:
            return
        self._pli_ns = self.simulation.now_ns
        writer = Writer()
        writer.pli(1, OUT_SSRC)
        self.send(writer.data())

    def check_numbers(self) -> None:
        """Frames, timestamps and numbers grow together."""
        order = [(Piece.parse(self.packets[n]).frame, Piece.parse(self.packets[n]).index) for n in sorted(self.packets)]
        assert order == sorted(order), "packets and their numbers are in different orders"
