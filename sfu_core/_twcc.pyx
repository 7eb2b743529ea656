"""The recorder of arrivals; see _twcc.pxd."""

from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from sfu_core._bytes cimport seq_extend

cdef enum:
    TICK_NS = 250000
    LOST = -1


cdef void twcc_init(TwccRecorder *t) noexcept nogil:
    memset(t, 0, sizeof(TwccRecorder))


cdef inline uint32_t *slot(TwccRecorder *t, uint64_t number) noexcept nogil:
    return &t.arrivals[number & (TWCC_RING - 1)]


cdef inline bint waiting(const TwccRecorder *t) noexcept nogil:
    return t.highest and t.start <= t.highest


cdef void advance(TwccRecorder *t, uint64_t ext) noexcept nogil:
    """`ext` becomes the highest; feedback never reaches further back than the ring."""
    cdef uint64_t number
    if not t.highest or ext - t.highest >= TWCC_RING:
        memset(t.arrivals, 0, sizeof(t.arrivals))
        t.start = ext
    else:
        for number in range(t.highest + 1, ext):
            slot(t, number)[0] = 0
        if ext - t.start >= TWCC_RING and t.start < ext:
            t.start = ext - TWCC_RING + 1
    t.highest = ext


cdef bint too_late(TwccRecorder *t, uint64_t ext, uint32_t tick) noexcept nogil:
    """Whether the next packet behind a late one came so long ago that the sender has drawn its conclusions."""
    cdef uint64_t number = ext + 1
    while not slot(t, number)[0]:
        number += 1                  # ends at the highest, which did come
    return <int32_t>(tick - slot(t, number)[0]) > TWCC_HISTORY_NS // TICK_NS


cdef void twcc_on_packet(TwccRecorder *t, uint16_t seq, int64_t now_ns) noexcept nogil:
    cdef uint64_t ext = seq_extend(t.highest, seq) if t.highest else 0x10000 + <uint64_t>seq
    cdef uint32_t tick = <uint32_t>(<uint64_t>now_ns // TICK_NS)
    cdef bint idle = not waiting(t)
    tick = tick if tick else 1       # 250 us wrong once in 12 days
    if ext > t.highest:
        advance(t, ext)
    elif t.highest - ext >= TWCC_RING or slot(t, ext)[0] or too_late(t, ext, tick):
        return
    slot(t, ext)[0] = tick
    t.start = min(t.start, ext)
    if idle and t.next_ns <= now_ns:
        t.next_ns = now_ns + TWCC_INTERVAL_NS


cdef uint32_t twcc_pending(TwccRecorder *t, uint16_t *base_seq, int64_t *arrivals, uint32_t cap) noexcept nogil:
    cdef uint64_t number = t.start
    cdef uint32_t first, count = 0, last = 0
    if not waiting(t) or not cap:
        return 0
    while not slot(t, number)[0]:
        number += 1
    if number - t.start >= cap:      # more losses than fit: the sender sees the jump of the base
        t.start = number
    first = slot(t, number)[0]
    number = t.start
    base_seq[0] = <uint16_t>number
    while number <= t.highest and count < cap:
        arrivals[count] = LOST
        if slot(t, number)[0]:
            # one turn of 32 bits is one of the reference time, so it can be added to stay positive
            arrivals[count] = (<int64_t>1 << 32) + first + <int32_t>(slot(t, number)[0] - first)
            last = count
        count += 1
        number += 1
    return last + 1


cdef void twcc_on_feedback(TwccRecorder *t, uint32_t written, int64_t now_ns) noexcept nogil:
    t.start = min(t.start + written, t.highest + 1)
    t.feedback_count += 1
    t.next_ns = now_ns if waiting(t) else now_ns + TWCC_INTERVAL_NS


cdef int64_t twcc_next_deadline(const TwccRecorder *t) noexcept nogil:
    if not waiting(t):
        return INT64_MAX
    return 0 if t.highest - t.start + 1 >= TWCC_FULL else t.next_ns


# --- for tests and fuzzing ---

cdef class Arrivals:
    """One TwccRecorder."""

    cdef TwccRecorder recorder

    def __init__(self):
        twcc_init(&self.recorder)

    def on_packet(self, uint16_t seq, int64_t now_ns):
        twcc_on_packet(&self.recorder, seq, now_ns)

    def pending(self, uint32_t cap=TWCC_RING):
        """(number of the first, arrivals)"""
        cdef int64_t arrivals[TWCC_RING]
        cdef uint16_t base = 0
        cdef uint32_t count = twcc_pending(&self.recorder, &base, arrivals, min(cap, <uint32_t>TWCC_RING))
        return base, [arrivals[i] for i in range(count)]

    def on_feedback(self, uint32_t written, int64_t now_ns):
        twcc_on_feedback(&self.recorder, written, now_ns)

    @property
    def deadline(self):
        return twcc_next_deadline(&self.recorder)

    @property
    def feedback_count(self):
        return self.recorder.feedback_count
