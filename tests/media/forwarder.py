"""The stream state put together as the engine does it, between a publisher and one subscriber: bytes in, bytes out."""

from __future__ import annotations

import struct
from collections.abc import Callable

from sfu_core import _rtcp
from sfu_core._munge import Numbers
from sfu_core._nack import Missing
from sfu_core._rtcp_write import Writer
from sfu_core._rtx import SentPackets, unwrap
from sfu_core._stream import Receiver, Sender
from sfu_core._twcc import Arrivals
from tests.media.endpoints import (
    CLOCK,
    MEDIA_PT,
    MEDIA_SSRC,
    OUT_RTX_SSRC,
    OUT_SSRC,
    RTX_PT,
    Piece,
    Rtp,
    is_rtcp,
)
from tests.media.simulation import SECOND, Alarm, Simulation

NEW, LATE, DUPLICATE, DISCARD, RESYNC = range(5)
NACK_UNWANTED, NEEDS_KEY_FRAME = 2, 8
NEVER = 2**63 - 1


class Forwarder:
    """One producer, one consumer. With `rtx` false it repeats on the media SSRC."""

    def __init__(
        self,
        simulation: Simulation,
        to_publisher: Callable[[bytes], None],
        to_subscriber: Callable[[bytes], None],
        *,
        rtx: bool = True,
        wants: Callable[[Piece], bool] = lambda piece: True,
    ) -> None:
        self.simulation = simulation
        self.to_publisher = to_publisher
        self.to_subscriber = to_subscriber
        self.rtx = rtx
        self.wants = wants
        now_ns = simulation.now_ns
        self.receiver, self.rtx_receiver = Receiver(CLOCK, now_ns), Receiver(CLOCK, now_ns)
        self.missing, self.arrivals = Missing(), Arrivals()
        self.numbers, self.sent, self.sender = Numbers(CLOCK, 32700), SentPackets(1024, 2000), Sender(CLOCK, now_ns)
        self.history: list[tuple[Rtp, int]] = []
        self.paused = False
        self.syncing = True
        self.next_rtx = 65530
        self.scores: list[int] = []
        self.key_frame_asked = 0
        self._alarm = Alarm(simulation, self.tick)
        simulation.every(SECOND, self._report)

    # --- from the publisher ---

    def from_publisher(self, data: bytes) -> None:
        now_ns = self.simulation.now_ns
        if is_rtcp(data):
            for packet in _rtcp.parse(data)[0]:
                self.receiver.on_sr(packet["info"]["ntp"], packet["info"]["rtp_timestamp"], now_ns)
                self.receiver.update_score()
            return
        packet = Rtp.parse(data)
        assert packet.twcc is not None
        self.arrivals.on_packet(packet.twcc, now_ns)
        if packet.ssrc == MEDIA_SSRC:
            self._accept(packet, *self.receiver.on_packet(packet.seq, packet.ts, now_ns, len(data)), False)
        else:
            self.rtx_receiver.on_packet(packet.seq, packet.ts, now_ns, len(data))
            verdict, seq = unwrap(packet.payload)
            assert verdict == 0
            original = Rtp(MEDIA_PT, packet.marker, seq, packet.ts, MEDIA_SSRC, packet.payload[2:])
            self._accept(original, *self.receiver.on_repair(seq, packet.ts, now_ns, len(data) - 2), True)
        self._alarm.want(min(self.missing.deadline, self.arrivals.deadline))

    def _accept(self, packet: Rtp, verdict: int, ext_seq: int, repaired: bool) -> None:
        if verdict in (DUPLICATE, DISCARD):
            return
        if verdict == RESYNC:
            self.missing.reset()
            self.syncing = True
        piece = Piece.parse(packet.payload)
        starts_key = piece.is_key and piece.index == 0
        wanted = self.missing.on_packet(ext_seq, starts_key, repaired, self.simulation.now_ns)
        if wanted & NEEDS_KEY_FRAME:
            self.request_key_frame()
        if repaired and wanted & 7 == NACK_UNWANTED:
            return
        if not self.paused:
            self._forward(packet, ext_seq, piece, starts_key)

    def _forward(self, packet: Rtp, ext_seq: int, piece: Piece, starts_key: bool) -> None:
        now_ns = self.simulation.now_ns
        if self.syncing:
            if not starts_key:
                return
            self.numbers.sync(ext_seq, packet.ts, now_ns)
            self.syncing = False
        if not self.wants(piece):
            self.numbers.drop(ext_seq)
            return
        verdict, out, ts = self.numbers.packet(ext_seq, packet.ts, now_ns)
        if verdict != 0:
            return
        assert self.sent.put(out, len(self.history), ts, now_ns=now_ns) == 0
        self.history.append((packet, out))
        data = Rtp(MEDIA_PT, packet.marker, out % 65536, ts, OUT_SSRC, packet.payload).build()
        self.sender.on_packet(ts, len(data), len(packet.payload), self.receiver.capture_ns(packet.ts, now_ns), now_ns)
        self.to_subscriber(data)

    def tick(self) -> None:
        now_ns = self.simulation.now_ns
        seqs = self.missing.due(now_ns, self.receiver.stats()["rttNs"])
        if seqs:
            writer = Writer(4000)
            assert writer.nack(0, MEDIA_SSRC, seqs) == len(seqs)
            self.to_publisher(writer.data())
        while self.arrivals.deadline <= now_ns:
            base, arrivals = self.arrivals.pending(512)
            writer = Writer()
            written = writer.twcc(0, MEDIA_SSRC, self.arrivals.feedback_count & 255, base, arrivals)
            self.to_publisher(writer.data())
            self.arrivals.on_feedback(written, now_ns)
        deadline = min(self.missing.deadline, self.arrivals.deadline)
        if deadline != NEVER:
            self._alarm.want(deadline)

    def request_key_frame(self) -> None:
        self.key_frame_asked += 1
        writer = Writer()
        writer.pli(0, MEDIA_SSRC)
        self.to_publisher(writer.data())

    # --- from the subscriber, and by time ---

    def from_subscriber(self, data: bytes) -> None:
        for packet in _rtcp.parse(data)[0]:
            for seq in packet.get("nack", []):
                self._repeat(seq)
            for block in packet.get("reports", []):
                self.sender.on_report(block)
                self.scores.append(self.sender.stats()["score"])
            if packet.get("pli"):
                self.request_key_frame()

    def _repeat(self, seq: int) -> None:
        verdict, entry = self.sent.take(seq, self.simulation.now_ns, 0)
        if entry is None:
            assert verdict != 0
            return
        packet, out = self.history[entry["record"]]
        assert out % 65536 == seq
        if self.rtx:
            payload = struct.pack("!H", seq) + packet.payload
            repeat = Rtp(RTX_PT, packet.marker, self.next_rtx % 65536, entry["ts"], OUT_RTX_SSRC, payload)
            self.next_rtx += 1
        else:
            repeat = Rtp(MEDIA_PT, packet.marker, seq, entry["ts"], OUT_SSRC, packet.payload)
        data = repeat.build()
        self.sender.on_repeat(len(data), len(repeat.payload), bool(entry["first"]), not self.rtx)
        self.to_subscriber(data)

    def pause(self) -> None:
        self.paused = True
        self.sent.clear()

    def resume(self) -> None:
        self.paused, self.syncing = False, True
        self.request_key_frame()

    def _report(self) -> None:
        now_ns = self.simulation.now_ns
        writer = Writer()
        block = self.receiver.report(now_ns)
        if block is not None:
            writer.rr(0, [block | {"ssrc": MEDIA_SSRC}])
            self.to_publisher(writer.data())
        info = self.sender.sr(now_ns * 2**32 // SECOND, now_ns)
        if info is not None:
            writer = Writer()
            writer.sr(OUT_SSRC, info, [])
            self.to_subscriber(writer.data())
