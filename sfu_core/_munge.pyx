"""Outgoing sequence numbers and timestamps; see _munge.pxd.

A new packet keeps its distance to the newest one, so gaps of the source stay gaps (the receiver may ask for them);
a dropped packet closes up. A late packet gets the number it would have had: its distance to the newest one, less
the packets dropped between. Only those are remembered, as bits, and only a drop touches them.
"""

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

cdef extern from *:
    int popcount "__builtin_popcountll"(unsigned long long) noexcept nogil

cdef enum:
    SAME_SOURCE_SECONDS = 5      # a timestamp further off the time elapsed is another source's


cdef void munge_init(Munger *m, uint32_t clock_rate, uint16_t first_seq) noexcept nogil:
    memset(m, 0, sizeof(Munger))
    m.clock_rate = clock_rate
    m.out_highest = <uint64_t>first_seq - 1


cdef inline void restart(Munger *m, uint64_t in_ext) noexcept nogil:
    m.sync_in = in_ext
    m.in_highest = in_ext - 1
    m.last_drop = in_ext - 1
    m.synced = 1


cdef void munge_sync(
    Munger *m, uint64_t in_ext, uint32_t in_ts, int64_t now_ns, bint same_source
) noexcept nogil:
    cdef int64_t elapsed, tolerance
    cdef int32_t error
    restart(m, in_ext)
    if not m.sent:
        return
    elapsed = (now_ns - m.last_ns) // 1000 * <int64_t>m.clock_rate // 1000000
    if elapsed <= 0:
        elapsed = 1
    error = <int32_t>(in_ts - m.ts_offset - m.last_ts - <uint32_t>elapsed)
    tolerance = SAME_SOURCE_SECONDS * <int64_t>m.clock_rate
    if not same_source or not -tolerance <= error <= tolerance:
        m.ts_offset += <uint32_t>error


cdef void munge_sync_at(Munger *m, uint64_t in_ext, uint32_t in_ts, uint32_t out_ts) noexcept nogil:
    restart(m, in_ext)
    m.ts_offset = in_ts - out_ts


cdef inline uint64_t word_mask(uint64_t first, uint64_t last) noexcept nogil:
    """Bits first..last of one 64-bit word."""
    return (~<uint64_t>0 << (first & 63)) & (~<uint64_t>0 >> (63 - (last & 63)))


cdef inline uint64_t *word_of(Munger *m, uint64_t number) noexcept nogil:
    return &m.dropped[(number & (MUNGE_WINDOW - 1)) >> 6]


cdef uint64_t dropped_between(Munger *m, uint64_t first, uint64_t last) noexcept nogil:
    """How many of first..last (at most a window of numbers) were dropped."""
    cdef uint64_t end, count = 0
    while first <= last:
        end = min(last, first | 63)
        count += popcount(word_of(m, first)[0] & word_mask(first, end))
        first = end + 1
    return count


cdef void mark_dropped(Munger *m, uint64_t in_ext) noexcept nogil:
    cdef uint64_t end, number = m.last_drop + 1
    if in_ext - number >= MUNGE_WINDOW:
        memset(m.dropped, 0, sizeof(m.dropped))
    else:
        while number <= in_ext:
            end = min(in_ext, number | 63)
            word_of(m, number)[0] &= ~word_mask(number, end)
            number = end + 1
    word_of(m, in_ext)[0] |= word_mask(in_ext, in_ext)
    m.last_drop = in_ext


cdef int munge_late(Munger *m, uint64_t in_ext, uint64_t *out_ext) noexcept nogil:
    if in_ext < m.sync_in:
        return MUNGE_OLD
    out_ext[0] = m.out_highest - (m.in_highest - in_ext)
    if in_ext > m.last_drop:
        return MUNGE_OK
    if m.last_drop - in_ext >= MUNGE_WINDOW:
        return MUNGE_OLD
    if word_of(m, in_ext)[0] & word_mask(in_ext, in_ext):
        return MUNGE_DROPPED
    out_ext[0] += dropped_between(m, in_ext + 1, m.last_drop)
    return MUNGE_OK


cdef void munge_drop(Munger *m, uint64_t in_ext) noexcept nogil:
    if not m.synced or in_ext <= m.in_highest:
        return
    mark_dropped(m, in_ext)
    m.out_highest += in_ext - m.in_highest - 1
    m.in_highest = in_ext


cdef void munge_resume(Munger *m) noexcept nogil:
    if m.reserved_until > m.out_highest:
        m.out_highest = m.reserved_until - 1
    m.synced = 0


# --- for tests and fuzzing ---

cdef class Numbers:
    """One Munger."""

    cdef Munger munger

    def __init__(self, uint32_t clock_rate, uint16_t first_seq):
        munge_init(&self.munger, clock_rate, first_seq)

    def sync(self, uint64_t in_ext, uint32_t in_ts=0, int64_t now_ns=0, bint same_source=True):
        munge_sync(&self.munger, in_ext, in_ts, now_ns, same_source)

    def sync_at(self, uint64_t in_ext, uint32_t in_ts, uint32_t out_ts):
        munge_sync_at(&self.munger, in_ext, in_ts, out_ts)

    def packet(self, uint64_t in_ext, uint32_t in_ts=0, int64_t now_ns=0):
        cdef uint64_t out_ext = 0
        cdef uint32_t out_ts = 0
        cdef int verdict = munge_packet(&self.munger, in_ext, in_ts, now_ns, &out_ext, &out_ts)
        return verdict, out_ext, out_ts

    def drop(self, uint64_t in_ext):
        munge_drop(&self.munger, in_ext)

    def reserve(self, uint64_t index, uint64_t block):
        return bool(reserve(&self.munger.reserved_until, index, block))

    def resume(self):
        munge_resume(&self.munger)

    @property
    def next(self):
        return munge_next(&self.munger)

    @property
    def reserved_until(self):
        return self.munger.reserved_until


def sizes():
    """Bytes of the struct and where its second part, which only drops touch, begins."""
    cdef Munger m
    return {"Munger": sizeof(Munger), "hot": <size_t>&m.dropped[0] - <size_t>&m}
