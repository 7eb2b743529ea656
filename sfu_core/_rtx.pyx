"""The ring of sent numbers; see _rtx.pxd."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from sfu_core._bytes cimport seq_extend

cdef int64_t MS = 1000000


cdef inline void advance(SentRing *ring, Sent *entries, uint64_t out_ext) noexcept nogil:
    """`out_ext` becomes the newest; numbers passed over have not been sent."""
    cdef uint64_t number = max(ring.newest + 1, out_ext - min(out_ext, <uint64_t>ring.mask))
    if not ring.newest:
        ring.oldest = out_ext
    while number < out_ext:
        entries[number & ring.mask].ast_flags = 0
        number += 1
    ring.newest = out_ext


cdef int sent_place(SentRing *ring, Sent *entries, uint64_t out_ext) noexcept nogil:
    if out_ext > ring.newest:
        advance(ring, entries, out_ext)
    elif out_ext < ring.oldest or ring.newest - out_ext > ring.mask:
        return SENT_NOT_KEPT
    elif entries[out_ext & ring.mask].ast_flags & SENT_VALID:
        return SENT_DUPLICATE
    return SENT_OK


cdef int sent_take(
    SentRing *ring, Sent *entries, uint16_t seq, int64_t now_ns, int64_t rtt_ns, Sent **entry, bint *first_time
) noexcept nogil:
    cdef uint64_t out_ext = seq_extend(ring.newest, seq)
    cdef Sent *found = &entries[out_ext & ring.mask]
    cdef uint16_t now_ms = <uint16_t>(now_ns // MS)
    if out_ext > ring.newest or out_ext < ring.oldest or ring.newest - out_ext > ring.mask:
        return SENT_UNKNOWN
    if not ring.newest or not found.ast_flags & SENT_VALID:
        return SENT_UNKNOWN
    if (<int64_t><uint16_t>(sent_clock(now_ns) - found.sent) << 24) > ring.max_age_ms * MS:
        return SENT_TOO_OLD
    first_time[0] = not found.ast_flags & SENT_RESENT
    if not first_time[0] and <uint16_t>(now_ms - found.resent_ms) * MS < (rtt_ns if rtt_ns > 0 else SENT_DEFAULT_RTT_NS):
        return SENT_TOO_SOON
    found.ast_flags |= SENT_RESENT
    found.resent_ms = now_ms
    entry[0] = found
    return SENT_OK


# --- for tests and fuzzing ---

cdef class SentPackets:
    """A SentRing and its entries."""

    cdef SentRing ring
    cdef Sent *entries

    def __cinit__(self, uint32_t size, uint32_t max_age_ms):
        self.entries = <Sent *>calloc(size, sizeof(Sent))
        sent_init(&self.ring, size, max_age_ms)

    def __dealloc__(self):
        free(self.entries)

    def put(
        self, uint64_t out_ext, uint64_t record=0, uint32_t ts=0, uint32_t abs_send_time=0, uint16_t twcc=0,
        uint32_t flags=0, int64_t now_ns=0
    ):
        return sent_put(&self.ring, self.entries, out_ext, record, ts, abs_send_time, twcc, flags, now_ns)

    def take(self, uint16_t seq, int64_t now_ns=0, int64_t rtt_ns=0):
        cdef Sent *entry = NULL
        cdef bint first = False
        cdef int verdict = sent_take(&self.ring, self.entries, seq, now_ns, rtt_ns, &entry, &first)
        if verdict != SENT_OK:
            return verdict, None
        return verdict, {
            "record": entry.record, "ts": entry.ts, "absSendTime": sent_abs_send_time(entry), "twcc": entry.twcc,
            "flags": sent_flags(entry), "seq": entry.seq, "first": bool(first),
        }

    def clear(self):
        sent_clear(&self.ring)


def unwrap(bytes payload):
    """(verdict, original number)"""
    cdef uint16_t seq = 0
    cdef const uint8_t *data = payload
    cdef int verdict = rtx_unwrap(data, <uint32_t>len(payload), &seq)
    return verdict, seq


def wrap(uint16_t seq, bytes payload):
    cdef uint8_t prefix[2]
    rtx_write_osn(prefix, seq)
    return bytes([prefix[0], prefix[1]]) + payload


def sizes():
    return {"Sent": sizeof(Sent), "SentRing": sizeof(SentRing)}
