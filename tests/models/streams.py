"""Reads tests/data/streams and models in plain Python what RFC 3550 says about a received stream."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

DATA = Path(__file__).parents[1] / "data" / "streams"


@dataclass(frozen=True)
class Line:
    """One packet (or sender report) as it arrived."""

    kind: str
    now_ns: int
    ssrc: int
    seq: int = 0
    ts: int = 0
    size: int = 0
    payload: int = 0
    extra: str = ""
    ntp: int = 0

    @property
    def is_padding(self) -> bool:
        return self.extra == "padding"


def lines(name: str) -> Iterator[Line]:
    """What arrived, in order; times start at 10 s."""
    for text in (DATA / f"{name}.txt").read_text().splitlines():
        kind, micros, ssrc, *rest = text.split()
        now_ns = 10_000_000_000 + int(micros) * 1000
        if kind == "sr":
            yield Line(kind, now_ns, int(ssrc), ntp=int(rest[0]), ts=int(rest[1]))
        else:
            seq, ts, size, payload = (int(word) for word in rest[:4])
            yield Line(kind, now_ns, int(ssrc), seq, ts, size, payload, "".join(rest[4:]))


@dataclass
class Rfc3550:
    """Appendix A.1 (without probation), A.3 and A.8, with unbounded numbers and memory."""

    clock_rate: int
    started: bool = False
    max_seq: int = 0
    cycles: int = 0
    base_seq: int = 0
    bad_seq: int = 1 << 16
    received: int = 0
    expected_before: int = 0
    expected_prior: int = 0
    received_prior: int = 0
    jitter: int = 0
    transit: int | None = None
    seen: set[int] = field(default_factory=set)

    def on_packet(self, seq: int, ts: int, now_ns: int) -> str:
        verdict = self._update_seq(seq)
        if verdict == "discard":
            return verdict
        self.received += 1
        if verdict in ("new", "resync"):
            self._update_jitter(ts, now_ns)
        return verdict

    def _init_seq(self, seq: int) -> None:
        if self.started:
            self.expected_before = self.expected
        self.started = True
        self.base_seq = self.max_seq = seq
        self.cycles = 0
        self.bad_seq = 1 << 16
        self.transit = None
        self.seen = {seq}

    def _update_seq(self, seq: int) -> str:
        if not self.started:
            self._init_seq(seq)
            return "new"
        ahead = (seq - self.max_seq) % 65536
        if 0 < ahead < 3000:
            if seq < self.max_seq:
                self.cycles += 65536
            self.max_seq = seq
            self.seen.add(self.cycles + seq)
            return "new"
        if 0 < ahead <= 65536 - 1500:
            if seq != self.bad_seq:
                self.bad_seq = (seq + 1) % 65536
                return "discard"
            self._init_seq(seq)
            return "resync"
        number = self.cycles + self.max_seq - (65536 - ahead if ahead else 0)
        verdict = "duplicate" if number in self.seen else "late"
        self.seen.add(number)
        return verdict

    def _update_jitter(self, ts: int, now_ns: int) -> None:
        arrival = now_ns * self.clock_rate // 1_000_000_000
        transit = (arrival - ts) % 2**32
        if self.transit is not None:
            d = (transit - self.transit) % 2**32
            d = min(d, 2**32 - d)
            if d < 8 * self.clock_rate:
                self.jitter += d - ((self.jitter + 8) >> 4)
        self.transit = transit

    @property
    def expected(self) -> int:
        return self.expected_before + self.cycles + self.max_seq - self.base_seq + 1

    @property
    def highest(self) -> int:
        return (self.cycles + self.max_seq) % 2**32

    def report(self) -> dict[str, int]:
        expected_interval = self.expected - self.expected_prior
        lost_interval = expected_interval - (self.received - self.received_prior)
        self.expected_prior, self.received_prior = self.expected, self.received
        fraction = (lost_interval << 8) // expected_interval if expected_interval and lost_interval > 0 else 0
        lost = max(-0x800000, min(0x7FFFFF, self.expected - self.received))
        return {
            "fraction_lost": min(fraction, 255), "lost": lost, "highest_seq": self.highest, "jitter": self.jitter >> 4,
        }
