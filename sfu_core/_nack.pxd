"""Which packets of a received stream are missing and when to ask for them (RFC 4585 §6.2.1).

Tier 2. One NackList for each stream whose codec has plain `nack` feedback. Numbers are those of `_stream`.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef enum:
    NACK_LIMIT = 1000            # missing packets on the list
    NACK_SLOTS = 1024            # of the array, a power of two: room for entries already repaired
    NACK_MAX_TRIES = 10
    NACK_MAX_AGE = 10000         # sequence numbers
    NACK_FIRST_DELAY_NS = 10000000
    NACK_INTERVAL_NS = 40000000
    NACK_DEFAULT_RTT_NS = 100000000

cdef enum NackVerdict:
    NACK_NEWER = 0               # newest so far
    NACK_REPAIRED = 1            # was on the list
    NACK_UNWANTED = 2            # neither: seen before, given up or never missed
    # or-ed to NACK_NEWER: the list overflowed and was cleared, so ask for a key frame
    NACK_NEEDS_KEY_FRAME = 8


cdef struct NackEntry:
    uint64_t ext_seq
    int64_t due_ns               # not asked for before
    uint32_t tries
    uint32_t missing             # 0: repaired, the slot waits to be passed


# A ring of entries in ascending order of ext_seq: slots[head .. head + count), `missing` of them still wanted.
cdef struct NackList:
    uint64_t highest             # 0: nothing received
    uint64_t key_seq             # start of the newest key frame; 0: none
    int64_t next_ns              # see nack_next_deadline
    uint32_t head
    uint32_t count
    uint32_t missing
    uint32_t reserved
    NackEntry slots[NACK_SLOTS]


# Also the way to forget everything: pause, re-synchronisation.
cdef void nack_init(NackList *n) noexcept nogil
# Every accepted packet. `is_key`: it starts a key frame; `recovered`: it came by RTX (NACK_UNWANTED: it is of no use).
cdef int nack_on_packet(NackList *n, uint64_t ext_seq, bint is_key, bint recovered, int64_t now_ns) noexcept nogil
# The packets to ask for now, ascending, at most `cap`. If `cap` are returned, call again.
cdef uint32_t nack_due(NackList *n, int64_t now_ns, int64_t rtt_ns, uint16_t *seqs, uint32_t cap) noexcept nogil

cdef inline int64_t nack_next_deadline(const NackList *n) noexcept nogil:
    """When `nack_due` may have something; INT64_MAX: nothing is missing."""
    return n.next_ns
