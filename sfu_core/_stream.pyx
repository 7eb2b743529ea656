"""Reception and sending state of RTP streams; see _stream.pxd."""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from sfu_core._bytes cimport seq_diff, seq_extend
from sfu_core._rtcp cimport (
    DlrrEntry, ReportBlock, SenderInfo, compact_from_ns, ns_from_ntp, ntp_compact, rtcp_rtt_ns
)

cdef enum:
    NO_SEQ = 0x10000             # no 16-bit number
    DEFAULT_CLOCK_RATE = 90000
    LOST_MAX = 0x7FFFFF
    LOST_MIN = -0x800000

cdef int64_t SECOND = 1000000000
cdef int64_t METER_STALE_NS = 2 * SECOND
cdef int64_t SR_SILENCE_NS = 2 * SECOND      # no sender report when nothing was sent for so long
cdef int64_t CAPTURE_MAX_AGE_NS = 5 * SECOND
cdef int64_t CLOCK_STEP_NS = 5 * SECOND      # the sender's clock was set anew


# --- meter and score ---

cdef void meter_init(Meter *m, int64_t now_ns) noexcept nogil:
    memset(m, 0, sizeof(Meter))
    m.mark_ns = now_ns


cdef inline uint64_t rate_since_mark(const Meter *m, uint64_t bytes, int64_t now_ns) noexcept nogil:
    cdef int64_t elapsed = now_ns - m.mark_ns
    if elapsed <= 0 or bytes <= m.mark_bytes:
        return 0
    return <uint64_t>(<double>(bytes - m.mark_bytes) * 8e9 / <double>elapsed)


cdef void meter_tick(Meter *m, int64_t now_ns) noexcept nogil:
    if now_ns <= m.mark_ns:
        return
    m.rate_bps = rate_since_mark(m, m.bytes, now_ns)
    m.mark_bytes = m.bytes
    m.mark_ns = now_ns


cdef uint64_t meter_rate(const Meter *m, int64_t now_ns) noexcept nogil:
    if now_ns - m.mark_ns <= METER_STALE_NS:
        return m.rate_bps
    return rate_since_mark(m, m.bytes, now_ns)


cdef void score_init(Score *s) noexcept nogil:
    memset(s, 0, sizeof(Score))
    s.value = SCORE_MAX


cdef bint score_add(Score *s, uint32_t sample) noexcept nogil:
    cdef uint32_t i, weight, index, total = 0, weights = 0
    cdef uint8_t before = s.value
    s.samples[s.next] = <uint8_t>(sample if sample < SCORE_MAX else SCORE_MAX)
    s.next = <uint8_t>((s.next + 1) % SCORE_SAMPLES)
    if s.count < SCORE_SAMPLES:
        s.count += 1
    for i in range(s.count):
        weight = s.count - i         # the newest first
        index = (s.next + SCORE_SAMPLES - 1 - i) % SCORE_SAMPLES
        total += weight * s.samples[index]
        weights += weight
    s.value = <uint8_t>((2 * total + weights) // (2 * weights))
    return s.value != before


cdef bint score_set(Score *s, uint32_t value) noexcept nogil:
    cdef uint8_t before = s.value
    s.count = 0
    s.next = 0
    s.value = <uint8_t>(value if value < SCORE_MAX else SCORE_MAX)
    return s.value != before


cdef uint32_t score_sample(uint64_t total, uint64_t lost, uint64_t repaired, uint64_t retransmitted) noexcept nogil:
    cdef double ratio, weight, delivered
    if not total:
        return 0
    lost = min(lost, total)
    if repaired > lost:              # repairs of an earlier interval
        retransmitted -= min(retransmitted, repaired - lost)
        repaired = lost
    if not repaired:
        delivered = <double>(total - lost) / <double>total
    else:
        ratio = 1.0 / (1.0 + <double>repaired / <double>total)
        weight = ratio * ratio * ratio * ratio * <double>repaired / <double>max(repaired, retransmitted)
        delivered = (<double>(total - lost) + <double>repaired * weight) / <double>total
    return <uint32_t>(SCORE_MAX * delivered * delivered * delivered * delivered + 0.5)


# --- receiving ---

cdef void recv_init(RecvState *s, uint32_t clock_rate, int64_t now_ns) noexcept nogil:
    memset(s, 0, sizeof(RecvState))
    s.clock_rate = clock_rate if clock_rate else DEFAULT_CLOCK_RATE
    s.bad_seq = NO_SEQ
    meter_init(&s.meter, now_ns)
    score_init(&s.score)


cdef inline bint test_and_set_seen(RecvState *s, uint64_t ext) noexcept nogil:
    cdef uint64_t bit = <uint64_t>1 << (ext & 63)
    cdef uint64_t *word = &s.seen[(ext & (RECV_WINDOW - 1)) >> 6]
    cdef bint seen = (word[0] & bit) != 0
    word[0] |= bit
    return seen


cdef inline void advance(RecvState *s, uint64_t ext) noexcept nogil:
    cdef uint64_t number
    if ext - s.highest >= RECV_WINDOW:
        memset(s.seen, 0, sizeof(s.seen))
    else:
        for number in range(s.highest + 1, ext + 1):
            s.seen[(number & (RECV_WINDOW - 1)) >> 6] &= ~(<uint64_t>1 << (number & 63))
    s.highest = ext
    test_and_set_seen(s, ext)


cdef void start_run(RecvState *s, uint64_t ext) noexcept nogil:
    """A first packet, or a jump that is now believed: numbers go on from `ext`."""
    if s.started:
        s.expected_before += s.highest - s.base + 1
    s.started = 1
    s.base = s.highest = ext
    s.bad_seq = NO_SEQ
    s.transit_known = 0
    memset(s.seen, 0, sizeof(s.seen))
    test_and_set_seen(s, ext)


cdef int sequence(RecvState *s, uint16_t seq, uint64_t *ext_seq) noexcept nogil:
    """RFC 3550 A.1 without probation, on 64-bit numbers."""
    cdef uint16_t delta = <uint16_t>(seq - <uint16_t>s.highest)
    cdef uint64_t ext
    if not s.started:
        start_run(s, 0x10000 + <uint64_t>seq)
        ext_seq[0] = s.highest
        return RECV_NEW
    if RECV_MAX_DROPOUT <= delta <= 0x10000 - RECV_MAX_MISORDER:
        if seq != s.bad_seq:
            s.bad_seq = <uint16_t>(seq + 1)
            return RECV_DISCARD
        start_run(s, (((s.highest >> 16) + 2) << 16) + seq)
        ext_seq[0] = s.highest
        return RECV_RESYNC
    ext = seq_extend(s.highest, seq)
    ext_seq[0] = ext
    if ext > s.highest:
        advance(s, ext)
        return RECV_NEW
    return RECV_DUPLICATE if test_and_set_seen(s, ext) else RECV_LATE


cdef void update_jitter(RecvState *s, uint32_t rtp_ts, int64_t now_ns) noexcept nogil:
    """RFC 3550 A.8 in integers. Late packets say nothing about the path, nor do jumps of the sender's timestamps."""
    cdef uint64_t arrival = <uint64_t>(now_ns // SECOND) * s.clock_rate
    cdef uint32_t transit, d
    arrival += <uint64_t>(now_ns % SECOND) * s.clock_rate // <uint64_t>SECOND
    transit = <uint32_t>arrival - rtp_ts
    d = transit - s.transit
    if <int32_t>d < 0:
        d = 0 - d
    if s.transit_known and d < s.clock_rate << 3:
        s.jitter_q4 += d - ((s.jitter_q4 + 8) >> 4)
    s.transit = transit
    s.transit_known = 1


cdef int recv_on_packet(
    RecvState *s, uint16_t seq, uint32_t rtp_ts, int64_t now_ns, uint32_t bytes, bint padding_only, uint64_t *ext_seq
) noexcept nogil:
    cdef int verdict = sequence(s, seq, ext_seq)
    if verdict == RECV_DISCARD:
        s.discarded += 1
        return verdict
    s.received += 1
    s.last_ns = now_ns
    if verdict == RECV_LATE:
        s.misordered += 1
    elif verdict == RECV_DUPLICATE:
        s.duplicates += 1
    elif not padding_only:
        update_jitter(s, rtp_ts, now_ns)
    if padding_only:
        s.padding_packets += 1
        s.padding_bytes += bytes
    else:
        meter_add(&s.meter, bytes)
    return verdict


cdef int recv_on_repair(
    RecvState *s, uint16_t seq, uint32_t rtp_ts, int64_t now_ns, uint32_t bytes, uint64_t *ext_seq
) noexcept nogil:
    cdef int32_t ahead = seq_diff(seq, <uint16_t>s.highest)
    cdef int verdict
    s.retransmitted += 1
    if not s.started or ahead >= RECV_MAX_DROPOUT or ahead <= -RECV_WINDOW:
        return RECV_DISCARD
    ext_seq[0] = seq_extend(s.highest, seq)
    if ahead > 0:
        advance(s, ext_seq[0])
        verdict = RECV_NEW
    elif test_and_set_seen(s, ext_seq[0]):
        return RECV_DUPLICATE
    else:
        verdict = RECV_LATE
    s.repaired += 1
    s.last_ns = now_ns
    meter_add(&s.meter, bytes)
    return verdict


cdef void recv_on_sr(
    RecvState *s, SenderClock *clock, uint64_t ntp, uint32_t rtp_ts, int64_t now_ns
) noexcept nogil:
    cdef int64_t offset = now_ns - ns_from_ntp(ntp)
    cdef int64_t change
    s.sr_ntp = ntp
    s.sr_ts = rtp_ts
    s.sr_ns = now_ns
    if clock == NULL:
        return
    change = offset - clock.offset_ns
    # The shortest delay is nearest to the truth; a slow rise follows clocks that drift apart.
    if not clock.known or change < 0 or change > CLOCK_STEP_NS:
        clock.offset_ns = offset
    else:
        clock.offset_ns += change // 16
    clock.known = 1


cdef void recv_on_dlrr(RecvState *s, uint32_t now_compact, uint32_t lrr, uint32_t dlrr) noexcept nogil:
    cdef int64_t rtt = rtcp_rtt_ns(now_compact, lrr, dlrr)
    if rtt > 0:
        s.rtt_ns = rtt


cdef int32_t recv_lost(const RecvState *s) noexcept nogil:
    cdef int64_t lost = <int64_t>(recv_expected(s) - s.received)
    return <int32_t>max(<int64_t>LOST_MIN, min(<int64_t>LOST_MAX, lost))


cdef bint recv_make_report(RecvState *s, uint32_t ssrc, int64_t now_ns, ReportBlock *out) noexcept nogil:
    cdef uint64_t expected = recv_expected(s)
    cdef uint64_t expected_interval = expected - s.report_expected
    cdef int64_t lost_interval = <int64_t>(expected_interval - (s.received - s.report_received))
    if not s.started:
        return False
    s.report_expected = expected
    s.report_received = s.received
    s.fraction_lost = 0
    if expected_interval and lost_interval > 0:
        s.fraction_lost = <uint32_t>min(<uint64_t>255, (<uint64_t>lost_interval << 8) // expected_interval)
    s.lost = recv_lost(s)
    out.ssrc = ssrc
    out.highest_seq = <uint32_t>(s.highest - (s.base & ~<uint64_t>0xFFFF))
    out.jitter = recv_jitter(s)
    out.lsr = ntp_compact(s.sr_ntp)
    out.dlsr = compact_from_ns(now_ns - s.sr_ns) if s.sr_ntp else 0
    out.lost = s.lost
    out.fraction_lost = <uint8_t>s.fraction_lost
    return True


cdef bint recv_update_score(RecvState *s) noexcept nogil:
    cdef uint64_t expected = recv_expected(s) - s.score_expected
    cdef uint64_t received = s.received - s.score_received
    cdef uint64_t repaired = s.repaired - s.score_repaired
    cdef uint64_t retransmitted = s.retransmitted - s.score_retransmitted
    s.score_expected += expected
    s.score_received += received
    s.score_repaired += repaired
    s.score_retransmitted += retransmitted
    if not expected:
        return score_add(&s.score, SCORE_MAX)
    return score_add(
        &s.score, score_sample(received, expected - min(received, expected), repaired, retransmitted)
    )


cdef int64_t recv_capture_ns(
    const RecvState *s, SenderClock *clock, uint32_t rtp_ts, int64_t now_ns
) noexcept nogil:
    cdef int64_t capture
    if not s.sr_ntp or not clock.known:
        return now_ns
    capture = ns_from_ntp(s.sr_ntp) + clock.offset_ns
    capture += <int64_t><int32_t>(rtp_ts - s.sr_ts) * SECOND // <int64_t>s.clock_rate
    if capture > now_ns and capture < now_ns + CLOCK_STEP_NS:
        clock.offset_ns -= capture - now_ns      # it came faster than any report so far
    return capture if now_ns - CAPTURE_MAX_AGE_NS <= capture <= now_ns else now_ns


# --- sending ---

cdef void send_init(SendState *s, uint32_t clock_rate, int64_t now_ns) noexcept nogil:
    memset(s, 0, sizeof(SendState))
    s.clock_rate = clock_rate if clock_rate else DEFAULT_CLOCK_RATE
    meter_init(&s.meter, now_ns)
    score_init(&s.score)


cdef void send_on_repeat(
    SendState *s, uint32_t bytes, uint32_t payload_bytes, bint first_time, bint same_ssrc
) noexcept nogil:
    s.repeats += 1
    if first_time:
        s.repaired += 1
    if same_ssrc:
        meter_add(&s.meter, bytes)
        s.octets += payload_bytes


cdef void send_on_nack(SendState *s, uint32_t packets) noexcept nogil:
    s.nacks += 1
    s.nacked += packets


cdef bint send_make_sr(const SendState *s, uint64_t ntp_now, int64_t now_ns, SenderInfo *out) noexcept nogil:
    if not s.started or now_ns - s.last_ns > SR_SILENCE_NS:
        return False
    out.ntp = ntp_now
    out.rtp_timestamp = s.ts + <uint32_t>((now_ns - s.ts_ns) * <int64_t>s.clock_rate // SECOND)
    out.packets = <uint32_t>s.meter.packets
    out.octets = <uint32_t>s.octets
    return True


cdef bint send_on_report(SendState *s, const ReportBlock *block, uint32_t now_compact) noexcept nogil:
    cdef int64_t rtt = rtcp_rtt_ns(now_compact, block.lsr, block.dlsr)
    cdef int32_t lost = block.lost - s.score_lost
    cdef uint64_t sent = s.meter.packets - s.score_sent
    cdef uint64_t repeats = s.repeats - s.score_repeats
    cdef uint64_t repaired = s.repaired - s.score_repaired
    if rtt > 0:
        s.rtt_ns = rtt
    s.lost = block.lost
    s.fraction_lost = block.fraction_lost
    s.jitter = block.jitter
    s.score_lost = block.lost
    s.score_sent += sent
    s.score_repeats += repeats
    s.score_repaired += repaired
    if not sent:
        return score_add(&s.score, SCORE_MAX)
    return score_add(&s.score, score_sample(sent, <uint64_t>lost if lost > 0 else 0, repaired, repeats))


cdef bint peer_make_dlrr(const PeerTime *p, int64_t now_ns, DlrrEntry *out) noexcept nogil:
    if not p.ssrc:
        return False
    out.ssrc = p.ssrc
    out.lrr = p.lrr
    out.dlrr = compact_from_ns(now_ns - p.at_ns)
    return True


# --- for tests and fuzzing ---

cdef class Receiver:
    """One RecvState with a clock of its own."""

    cdef RecvState state
    cdef SenderClock clock

    def __init__(self, uint32_t clock_rate, int64_t now_ns=0):
        recv_init(&self.state, clock_rate, now_ns)

    def on_packet(self, uint16_t seq, uint32_t rtp_ts=0, int64_t now_ns=0, uint32_t size=100, bint padding_only=False):
        cdef uint64_t ext = 0
        return recv_on_packet(&self.state, seq, rtp_ts, now_ns, size, padding_only, &ext), ext

    def on_repair(self, uint16_t seq, uint32_t rtp_ts=0, int64_t now_ns=0, uint32_t size=100):
        cdef uint64_t ext = 0
        return recv_on_repair(&self.state, seq, rtp_ts, now_ns, size, &ext), ext

    def on_sr(self, uint64_t ntp, uint32_t rtp_ts, int64_t now_ns):
        recv_on_sr(&self.state, &self.clock, ntp, rtp_ts, now_ns)

    def on_dlrr(self, uint32_t now_compact, uint32_t lrr, uint32_t dlrr):
        recv_on_dlrr(&self.state, now_compact, lrr, dlrr)

    def report(self, int64_t now_ns=0):
        cdef ReportBlock block
        return <object>block if recv_make_report(&self.state, 1, now_ns, &block) else None

    def update_score(self):
        return bool(recv_update_score(&self.state))

    def capture_ns(self, uint32_t rtp_ts, int64_t now_ns):
        return recv_capture_ns(&self.state, &self.clock, rtp_ts, now_ns)

    def tick(self, int64_t now_ns):
        meter_tick(&self.state.meter, now_ns)

    def rate(self, int64_t now_ns):
        return meter_rate(&self.state.meter, now_ns)

    def stats(self):
        return {
            "packets": recv_packets(&self.state), "bytes": recv_bytes(&self.state),
            "expected": recv_expected(&self.state), "received": self.state.received,
            "lost": recv_lost(&self.state), "jitter": recv_jitter(&self.state),
            "duplicates": self.state.duplicates, "misordered": self.state.misordered,
            "discarded": self.state.discarded, "repaired": self.state.repaired,
            "retransmitted": self.state.retransmitted, "paddingPackets": self.state.padding_packets,
            "rttNs": self.state.rtt_ns, "score": self.state.score.value, "highest": self.state.highest,
        }


cdef class Sender:
    """One SendState."""

    cdef SendState state

    def __init__(self, uint32_t clock_rate, int64_t now_ns=0):
        send_init(&self.state, clock_rate, now_ns)

    def on_packet(self, uint32_t ts, uint32_t size, uint32_t payload, int64_t capture_ns, int64_t now_ns):
        send_on_packet(&self.state, ts, size, payload, capture_ns, now_ns)

    def on_sync(self):
        send_on_sync(&self.state)

    def on_repeat(self, uint32_t size, uint32_t payload, bint first_time=True, bint same_ssrc=False):
        send_on_repeat(&self.state, size, payload, first_time, same_ssrc)

    def on_nack(self, uint32_t packets):
        send_on_nack(&self.state, packets)

    def sr(self, uint64_t ntp_now, int64_t now_ns):
        cdef SenderInfo info
        return <object>info if send_make_sr(&self.state, ntp_now, now_ns, &info) else None

    def on_report(self, dict block, uint32_t now_compact=0):
        cdef ReportBlock b = block
        return bool(send_on_report(&self.state, &b, now_compact))

    def tick(self, int64_t now_ns):
        meter_tick(&self.state.meter, now_ns)

    def rate(self, int64_t now_ns):
        return meter_rate(&self.state.meter, now_ns)

    def stats(self):
        return {
            "packets": self.state.meter.packets, "bytes": self.state.meter.bytes, "octets": self.state.octets,
            "repeats": self.state.repeats, "repaired": self.state.repaired, "nacks": self.state.nacks,
            "nacked": self.state.nacked, "rttNs": self.state.rtt_ns, "lost": self.state.lost,
            "fractionLost": self.state.fraction_lost, "jitter": self.state.jitter, "score": self.state.score.value,
        }


cdef class Quality:
    """One Score."""

    cdef Score score

    def __init__(self):
        score_init(&self.score)

    def add(self, uint32_t sample):
        return bool(score_add(&self.score, sample))

    def set(self, uint32_t value):
        return bool(score_set(&self.score, value))

    @property
    def value(self):
        return self.score.value


def quality_sample(uint64_t total, uint64_t lost, uint64_t repaired, uint64_t retransmitted):
    return score_sample(total, lost, repaired, retransmitted)


def echo_of_rrtr(uint32_t ssrc, uint64_t ntp, int64_t at_ns, int64_t now_ns):
    cdef PeerTime peer
    cdef DlrrEntry entry
    memset(&peer, 0, sizeof(peer))
    if ssrc:
        peer_on_rrtr(&peer, ssrc, ntp, at_ns)
    return <object>entry if peer_make_dlrr(&peer, now_ns, &entry) else None


def sizes():
    """Bytes of the structs, for the budgets of tests/rules; `hot` is where the second cache line begins."""
    cdef SendState s
    return {
        "RecvState": sizeof(RecvState), "SendState": sizeof(SendState),
        "hot": <size_t>&s.meter.mark_bytes - <size_t>&s,
    }
