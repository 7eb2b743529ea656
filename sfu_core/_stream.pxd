"""What is known of one RTP stream on each side: sequence, jitter, loss, clock, rates and score (RFC 3550 §6.4, A.1, A.3, A.8).

Tier 2: plain structs without pointers in a slab, valid after their `*_init`; time is an argument. It does not know
packets, sockets or who the stream belongs to. Numbers of packets: `ext_seq` is the 64-bit extended sequence number;
a received stream starts at 65536 + seq, so that packets older than the first one still have a number.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from sfu_core._rtcp cimport DlrrEntry, ReportBlock, SenderInfo


cdef enum RecvVerdict:
    RECV_NEW = 0                 # newer than everything before
    RECV_LATE = 1                # misordered or repaired, not seen before
    RECV_DUPLICATE = 2           # counted as received (RFC 3550 A.3), of no further use
    RECV_DISCARD = 3             # a jump that is not believed (yet)
    RECV_RESYNC = 4              # the jump was believed: numbers go on above all earlier ones; reset NACK, sync mungers

cdef enum:
    RECV_MAX_DROPOUT = 3000      # forward jumps from here on are not believed
    RECV_MAX_MISORDER = 1500     # nor backward jumps from here on
    RECV_WINDOW = 2048           # numbers whose arrival is remembered
    RECV_WORDS = 32              # of 64 of them
    SCORE_SAMPLES = 24
    SCORE_MAX = 10


# Bytes and packets, and their rate over the last second: written by the media thread, read by the control thread.
cdef struct Meter:
    uint64_t packets
    uint64_t bytes
    uint64_t mark_bytes          # at mark_ns
    int64_t mark_ns
    uint64_t rate_bps


# Delivery quality 0..10, the weighted mean of the last samples; recent ones weigh more.
cdef struct Score:
    uint8_t samples[SCORE_SAMPLES]
    uint8_t count
    uint8_t next
    uint8_t value
    uint8_t reserved


# The offset of a sender's NTP clock to ours; one for all streams of one sender, so that they stay in step.
cdef struct SenderClock:
    int64_t offset_ns            # our clock - the sender's (plus the shortest delay seen)
    uint32_t known


# What a peer told in XR RRTR, to be echoed in DLRR (RFC 3611 §4.4, 4.5).
cdef struct PeerTime:
    int64_t at_ns
    uint32_t ssrc                # 0: nothing known
    uint32_t lrr


cdef struct RecvState:
    uint64_t highest             # ext_seq
    uint64_t base                # first ext_seq of the current run (A.1 base_seq)
    uint64_t expected_before     # packets expected in runs before a re-synchronisation
    uint64_t received            # packets that count against `expected`: no repairs, duplicates included
    uint64_t report_expected     # at the last report (A.3 *_prior)
    uint64_t report_received
    uint32_t clock_rate          # Hz
    uint32_t bad_seq             # the number that would make a refused jump believable
    uint32_t started
    uint32_t transit             # arrival - timestamp of the newest packet, in clock units
    uint32_t transit_known
    uint32_t jitter_q4           # jitter * 16
    int64_t last_ns              # arrival of the last accepted packet
    Meter meter                  # accepted packets without padding-only ones: packets, bytes, rate
    uint64_t padding_packets     # padding only
    uint64_t padding_bytes
    uint64_t discarded
    uint64_t duplicates
    uint64_t misordered
    uint64_t repaired            # arrived by RTX and had not been seen
    uint64_t retransmitted       # all that arrived by RTX
    uint64_t sr_ntp              # last sender report; 0: none
    int64_t sr_ns                # its arrival
    uint32_t sr_ts
    int32_t lost                 # as last reported: cumulative, 24 bits signed
    uint32_t fraction_lost       # 0..255, as last reported
    uint32_t reserved
    int64_t rtt_ns               # 0: unknown
    uint64_t score_expected      # at the last score
    uint64_t score_received
    uint64_t score_repaired
    uint64_t score_retransmitted
    Score score
    uint64_t seen[32]            # a bit for each of RECV_WINDOW


# The first 64 bytes are what a packet touches.
cdef struct SendState:
    uint64_t octets              # payload bytes (RFC 3550 §6.4.1)
    int64_t last_ns              # when the last packet left
    int64_t ts_ns                # when `ts` was captured (or arrived here, while unknown), on our clock
    uint32_t ts                  # newest RTP timestamp sent
    uint32_t clock_rate          # Hz
    uint32_t started
    uint32_t reserved
    Meter meter                  # packets and bytes; from here in the first line, the marks in the second
    uint64_t repeats             # packets sent again
    uint64_t repaired            # different packets sent again
    uint64_t nacks               # NACK messages received
    uint64_t nacked              # packets they asked for
    int64_t rtt_ns               # 0: unknown
    uint32_t jitter              # as last reported by the receiver, clock units
    uint32_t fraction_lost       # 0..255
    int32_t lost                 # cumulative
    int32_t score_lost
    uint64_t score_sent          # at the last score
    uint64_t score_repeats
    uint64_t score_repaired
    Score score


cdef inline void meter_add(Meter *m, uint32_t bytes) noexcept nogil:
    m.packets += 1
    m.bytes += bytes


cdef void meter_init(Meter *m, int64_t now_ns) noexcept nogil
# Once a second (the spacing may vary): the rate over the time since the last tick.
cdef void meter_tick(Meter *m, int64_t now_ns) noexcept nogil
# Bits per second: of the last full window or, when no tick came for 2 s, since then. For any thread.
cdef uint64_t meter_rate(const Meter *m, int64_t now_ns) noexcept nogil

cdef void score_init(Score *s) noexcept nogil
# One sample 0..10; True if the published value changed.
cdef bint score_add(Score *s, uint32_t sample) noexcept nogil
# Forget the samples and publish `value` at once (inactivity and its end); True if that is a change.
cdef bint score_set(Score *s, uint32_t value) noexcept nogil
# One interval as a sample 0..10: `lost` of `total` packets, `repaired` of them by `retransmitted` extra packets.
cdef uint32_t score_sample(uint64_t total, uint64_t lost, uint64_t repaired, uint64_t retransmitted) noexcept nogil

cdef void recv_init(RecvState *s, uint32_t clock_rate, int64_t now_ns) noexcept nogil
# A packet of the stream itself (also of an RTX stream, for its own reports). `bytes`: the whole RTP packet.
# `ext_seq` is set unless the verdict is RECV_DISCARD.
cdef int recv_on_packet(
    RecvState *s, uint16_t seq, uint32_t rtp_ts, int64_t now_ns, uint32_t bytes, bint padding_only, uint64_t *ext_seq
) noexcept nogil
# A packet unwrapped from RTX (`seq` is the original number): RECV_NEW, _LATE, _DUPLICATE or _DISCARD; never a resync.
# It does not count as received in reports, nor towards jitter. A stream that has not started discards it.
cdef int recv_on_repair(
    RecvState *s, uint16_t seq, uint32_t rtp_ts, int64_t now_ns, uint32_t bytes, uint64_t *ext_seq
) noexcept nogil
# `clock` may be shared among the streams of one sender, or NULL (an RTX stream).
cdef void recv_on_sr(
    RecvState *s, SenderClock *clock, uint64_t ntp, uint32_t rtp_ts, int64_t now_ns
) noexcept nogil
cdef void recv_on_dlrr(RecvState *s, uint32_t now_compact, uint32_t lrr, uint32_t dlrr) noexcept nogil
# One report block; ends the interval that `fraction_lost` is about. False before the first packet.
cdef bint recv_make_report(RecvState *s, uint32_t ssrc, int64_t now_ns, ReportBlock *out) noexcept nogil
# On each received SR, after `recv_on_sr`: True if the published score changed.
cdef bint recv_update_score(RecvState *s) noexcept nogil
# When the sample with `rtp_ts`, arriving now, was captured, on our clock; `now_ns` while unknown or if the result is
# implausible. A packet that was faster than the reports corrects the clock.
cdef int64_t recv_capture_ns(
    const RecvState *s, SenderClock *clock, uint32_t rtp_ts, int64_t now_ns
) noexcept nogil

cdef inline uint64_t recv_expected(const RecvState *s) noexcept nogil:
    """Packets that should have come so far."""
    return s.expected_before + s.highest - s.base + 1 if s.started else 0

cdef inline uint64_t recv_packets(const RecvState *s) noexcept nogil:
    """All accepted packets: media, repairs and padding (packetCount of the statistics)."""
    return s.meter.packets + s.padding_packets

cdef inline uint64_t recv_bytes(const RecvState *s) noexcept nogil:
    return s.meter.bytes + s.padding_bytes

cdef inline uint32_t recv_jitter(const RecvState *s) noexcept nogil:
    """RFC 3550 A.8, RTP clock units."""
    return s.jitter_q4 >> 4

cdef int32_t recv_lost(const RecvState *s) noexcept nogil

cdef void send_init(SendState *s, uint32_t clock_rate, int64_t now_ns) noexcept nogil

cdef inline void send_on_packet(
    SendState *s, uint32_t ts, uint32_t bytes, uint32_t payload_bytes, int64_t capture_ns, int64_t now_ns
) noexcept nogil:
    """A packet leaves for the first time. `capture_ns`: see `recv_capture_ns` (computed once for all consumers)."""
    meter_add(&s.meter, bytes)
    s.octets += payload_bytes
    s.last_ns = now_ns
    if not s.started or <int32_t>(ts - s.ts) > 0:
        s.started = 1
        s.ts = ts
        s.ts_ns = capture_ns

# The source of the timestamps changed, so that the newest one may be lower than before.
cdef inline void send_on_sync(SendState *s) noexcept nogil:
    s.started = 0

# A packet leaves again, by RTX (`same_ssrc` 0: bytes are counted by the RTX stream's own SendState) or as it was.
cdef void send_on_repeat(
    SendState *s, uint32_t bytes, uint32_t payload_bytes, bint first_time, bint same_ssrc
) noexcept nogil
cdef void send_on_nack(SendState *s, uint32_t packets) noexcept nogil
# `ntp_now` is what this process calls the time `now_ns`. False: nothing was sent, or nothing for 2000 ms.
cdef bint send_make_sr(const SendState *s, uint64_t ntp_now, int64_t now_ns, SenderInfo *out) noexcept nogil
# A report block about this stream. True if the published score changed.
cdef bint send_on_report(SendState *s, const ReportBlock *block, uint32_t now_compact) noexcept nogil

cdef inline void peer_on_rrtr(PeerTime *p, uint32_t ssrc, uint64_t ntp, int64_t now_ns) noexcept nogil:
    p.ssrc = ssrc
    p.lrr = <uint32_t>(ntp >> 16)
    p.at_ns = now_ns

cdef bint peer_make_dlrr(const PeerTime *p, int64_t now_ns, DlrrEntry *out) noexcept nogil
