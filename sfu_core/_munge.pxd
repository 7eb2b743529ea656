"""Outgoing sequence numbers and timestamps: seamless over pause, resume, a change of the source, and dropped packets.

Tier 2. One Munger for each outgoing stream. The outgoing ext_seq is also the SRTP index (48 bits), so that two different
packets never get the same one; a packet that comes twice gets the same number twice.
"""

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t


cdef enum MungeVerdict:
    MUNGE_OK = 0
    MUNGE_OLD = 1                # before the last sync, or too far back to know its number: refuse
    MUNGE_DROPPED = 2            # was dropped when it was newest, its number is given to another: refuse
    MUNGE_NOT_SYNCED = 3

cdef enum:
    MUNGE_WINDOW = 1024          # how far back behind a dropped packet late ones still find their number
    MUNGE_WORDS = 16             # of 64 of them


# The first 64 bytes are what a packet touches.
cdef struct Munger:
    uint64_t in_highest          # newest incoming ext_seq, forwarded or dropped
    uint64_t out_highest         # its outgoing number (of the one before it, if it was dropped)
    uint64_t sync_in             # older incoming packets are refused
    uint64_t last_drop           # newest dropped incoming ext_seq; `dropped` is valid up to here
    uint64_t reserved_until      # see reserve
    int64_t last_ns              # when last_ts was sent
    uint32_t ts_offset           # incoming timestamp - outgoing timestamp
    uint32_t last_ts             # newest outgoing timestamp
    uint32_t clock_rate          # Hz
    uint16_t synced              # 0: no, 1: no packet since, 2: running
    uint16_t sent                # last_ts and last_ns are known
    uint64_t dropped[16]         # a bit for each of MUNGE_WINDOW


# `first_seq`: the number of the first packet, random in 1000..32767 (the caller's).
cdef void munge_init(Munger *m, uint32_t clock_rate, uint16_t first_seq) noexcept nogil
# The packet `in_ext` is the first of a (re)start: it gets the next number. With `same_source` its timestamp keeps the
# offset it had (a pause), unless it contradicts the time elapsed by more than 5 s (the source began anew); else it
# follows the last one by the time elapsed.
cdef void munge_sync(
    Munger *m, uint64_t in_ext, uint32_t in_ts, int64_t now_ns, bint same_source
) noexcept nogil
# The same, with the first outgoing timestamp known to the caller (layers aligned by sender reports).
cdef void munge_sync_at(Munger *m, uint64_t in_ext, uint32_t in_ts, uint32_t out_ts) noexcept nogil
# The number of a packet that is not newer than all before.
cdef int munge_late(Munger *m, uint64_t in_ext, uint64_t *out_ext) noexcept nogil

cdef inline int munge_packet(
    Munger *m, uint64_t in_ext, uint32_t in_ts, int64_t now_ns, uint64_t *out_ext, uint32_t *out_ts
) noexcept nogil:
    """The outgoing number and timestamp of a packet, or why it is refused."""
    cdef int verdict
    if not m.synced:
        return MUNGE_NOT_SYNCED
    if in_ext > m.in_highest:
        m.out_highest += in_ext - m.in_highest
        m.in_highest = in_ext
        out_ext[0] = m.out_highest
    else:
        verdict = munge_late(m, in_ext, out_ext)
        if verdict != MUNGE_OK:
            return verdict
    out_ts[0] = in_ts - m.ts_offset
    if m.synced == 1 or <int32_t>(out_ts[0] - m.last_ts) > 0:
        m.last_ts = out_ts[0]
        m.last_ns = now_ns
        m.synced = 2
        m.sent = 1
    return MUNGE_OK

# The packet will not be forwarded and leaves no gap. A late one leaves its gap: its number cannot be taken back.
cdef void munge_drop(Munger *m, uint64_t in_ext) noexcept nogil
# In a process that carries on for one that died: nothing below `reserved_until` is used again. Needs a sync.
cdef void munge_resume(Munger *m) noexcept nogil

cdef inline uint64_t munge_next(const Munger *m) noexcept nogil:
    """The number that the next packet in order will get."""
    return m.out_highest + 1


cdef inline bint reserve(uint64_t *reserved_until, uint64_t index, uint64_t block) noexcept nogil:
    """Makes sure, before `index` is used, that it lies below the stored end of the reserved block. True if it moved."""
    if index < reserved_until[0]:
        return False
    reserved_until[0] = index + block
    return True
