"""The list of missing packets; see _nack.pxd.

Missing packets are found in order, so the list is a ring in ascending order: a gap appends, a repair is found by
bisection and marked, marked entries go when the head passes them (or, if the ring is full, by moving up).
"""

from libc.stdint cimport INT64_MAX, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset


cdef void nack_init(NackList *n) noexcept nogil:
    n.highest = 0
    n.key_seq = 0
    n.next_ns = INT64_MAX
    n.head = n.count = n.missing = 0


cdef inline NackEntry *entry_at(NackList *n, uint32_t index) noexcept nogil:
    return &n.slots[(n.head + index) & (NACK_SLOTS - 1)]


cdef inline void drop_head(NackList *n) noexcept nogil:
    n.missing -= n.slots[n.head].missing
    n.head = (n.head + 1) & (NACK_SLOTS - 1)
    n.count -= 1


cdef void trim(NackList *n, uint64_t oldest) noexcept nogil:
    """Entries at the head that are repaired or older than `oldest` go."""
    while n.count and (not n.slots[n.head].missing or n.slots[n.head].ext_seq < oldest):
        drop_head(n)
    if not n.missing:
        n.next_ns = INT64_MAX


cdef void move_up(NackList *n) noexcept nogil:
    """Closes the ranks of entries still missing."""
    cdef uint32_t i, kept = 0
    for i in range(n.count):
        if entry_at(n, i).missing:
            entry_at(n, kept)[0] = entry_at(n, i)[0]
            kept += 1
    n.count = kept


cdef bint repair(NackList *n, uint64_t ext_seq) noexcept nogil:
    """Whether `ext_seq` was missing; it no longer is."""
    cdef uint32_t low = 0, middle, high = n.count
    cdef NackEntry *entry
    while low < high:
        middle = (low + high) >> 1
        if entry_at(n, middle).ext_seq < ext_seq:
            low = middle + 1
        else:
            high = middle
    if low == n.count:
        return False
    entry = entry_at(n, low)
    if entry.ext_seq != ext_seq or not entry.missing:
        return False
    entry.missing = 0
    n.missing -= 1
    trim(n, 0)
    return True


cdef bint make_room(NackList *n, uint64_t wanted, uint64_t *first) noexcept nogil:
    """Room for `wanted` entries from `first` on. What lies before the newest key frame is not worth asking for, if
    that helps; else all is given up (False)."""
    if n.missing + wanted > NACK_LIMIT:
        trim(n, n.key_seq)
        if first[0] < n.key_seq:
            wanted -= min(wanted, n.key_seq - first[0])
            first[0] = n.key_seq
    if n.missing + wanted > NACK_LIMIT:
        n.head = n.count = n.missing = 0
        n.next_ns = INT64_MAX
        return False
    if n.count + wanted > NACK_SLOTS:
        move_up(n)
    return True


cdef bint add_gap(NackList *n, uint64_t first, uint64_t end, int64_t now_ns) noexcept nogil:
    """Numbers first..end-1 are missing. False if the list overflowed and was cleared."""
    cdef NackEntry *entry
    if not make_room(n, end - first, &first):
        return False
    while first < end:
        entry = entry_at(n, n.count)
        entry.ext_seq = first
        entry.due_ns = now_ns + NACK_FIRST_DELAY_NS
        entry.tries = 0
        entry.missing = 1
        n.count += 1
        n.missing += 1
        first += 1
    if n.missing:
        n.next_ns = min(n.next_ns, now_ns + NACK_FIRST_DELAY_NS)
    return True


cdef int nack_on_packet(NackList *n, uint64_t ext_seq, bint is_key, bint recovered, int64_t now_ns) noexcept nogil:
    cdef uint64_t first = n.highest + 1
    if is_key and ext_seq > n.key_seq:
        n.key_seq = ext_seq
    if not n.highest:
        if recovered:
            return NACK_UNWANTED
        n.highest = ext_seq
        return NACK_NEWER
    if ext_seq <= n.highest:
        return NACK_REPAIRED if n.missing and repair(n, ext_seq) else NACK_UNWANTED
    n.highest = ext_seq
    if n.count and ext_seq > NACK_MAX_AGE:
        trim(n, ext_seq - NACK_MAX_AGE)
    if first == ext_seq or add_gap(n, first, ext_seq, now_ns):
        return NACK_NEWER
    return NACK_NEWER | NACK_NEEDS_KEY_FRAME


cdef uint32_t nack_due(NackList *n, int64_t now_ns, int64_t rtt_ns, uint16_t *seqs, uint32_t cap) noexcept nogil:
    cdef int64_t gap = rtt_ns if rtt_ns > 0 else NACK_DEFAULT_RTT_NS
    cdef int64_t deadline
    cdef uint32_t i, written = 0
    cdef NackEntry *entry
    if now_ns < n.next_ns:
        return 0
    n.next_ns = INT64_MAX
    for i in range(n.count):
        entry = entry_at(n, i)
        if not entry.missing:
            continue
        if entry.due_ns <= now_ns:
            if entry.tries >= NACK_MAX_TRIES:
                entry.missing = 0
                n.missing -= 1
                continue
            if written == cap:
                n.next_ns = now_ns
                return written
            seqs[written] = <uint16_t>entry.ext_seq
            written += 1
            entry.tries += 1
            entry.due_ns = now_ns + gap
        deadline = entry.due_ns
        if entry.tries:
            deadline = max(deadline, now_ns + NACK_INTERVAL_NS)
        n.next_ns = min(n.next_ns, deadline)
    trim(n, 0)
    return written


# --- for tests and fuzzing ---

cdef class Missing:
    """One NackList."""

    cdef NackList list

    def __init__(self):
        memset(&self.list, 0, sizeof(NackList))
        nack_init(&self.list)

    def on_packet(self, uint64_t ext_seq, bint is_key=False, bint recovered=False, int64_t now_ns=0):
        return nack_on_packet(&self.list, ext_seq, is_key, recovered, now_ns)

    def due(self, int64_t now_ns, int64_t rtt_ns=0, uint32_t cap=1000):
        cdef uint16_t seqs[NACK_LIMIT]
        cdef uint32_t count = nack_due(&self.list, now_ns, rtt_ns, seqs, min(cap, <uint32_t>NACK_LIMIT))
        return [seqs[i] for i in range(count)]

    def reset(self):
        nack_init(&self.list)

    @property
    def deadline(self):
        return nack_next_deadline(&self.list)

    @property
    def missing(self):
        return [
            entry_at(&self.list, i).ext_seq for i in range(self.list.count) if entry_at(&self.list, i).missing
        ]
