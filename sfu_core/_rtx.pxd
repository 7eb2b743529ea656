"""What was sent under which number, so that it can be sent again (RFC 4588), and the RTX payload format.

Tier 2. A consumer keeps no packets: a Sent entry refers to the history of the producer stream and records every value
that was particular to this consumer, so that a repeat without RTX is byte for byte the first sending.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from sfu_core._bytes cimport load16, store16


cdef enum:
    SENT_VIDEO = 1024            # entries for a video stream: 2 s at 512 packets per second
    SENT_AUDIO = 64              # for an audio stream: 1 s at 64 packets per second
    SENT_VIDEO_AGE_MS = 2000
    SENT_AUDIO_AGE_MS = 1000
    SENT_DEFAULT_RTT_NS = 100000000
    SENT_MAX_FLAGS = 0x3F        # the caller's six bits (for example the padding added)
    SENT_VALID = 0x40000000      # of Sent.ast_flags
    SENT_RESENT = 0x80000000

cdef enum SentVerdict:
    SENT_OK = 0
    SENT_UNKNOWN = 1             # never sent, overwritten or forgotten
    SENT_TOO_OLD = 2
    SENT_TOO_SOON = 3            # sent again less than a round trip ago
    SENT_DUPLICATE = 4           # sent_put: already there, do not send
    SENT_NOT_KEPT = 5            # sent_put: too far behind the newest to be kept; send


# 24 bytes.
cdef struct Sent:
    uint64_t record              # reference into the history, the caller's; validated by the caller
    uint32_t ts                  # RTP timestamp as sent
    uint32_t ast_flags           # abs-send-time (24 bits) | the caller's 6 bits << 24 | state << 30
    uint16_t seq                 # low bits of the outgoing number
    uint16_t twcc
    uint16_t sent                # time of the first sending, units of 2**24 ns (16.8 ms)
    uint16_t resent_ms           # time of the last repeat


# The entries lie in an array beside it, whose size (a power of two) is given once: SENT_VIDEO or SENT_AUDIO, or other.
cdef struct SentRing:
    uint64_t newest              # outgoing ext_seq; 0: nothing yet
    uint64_t oldest              # smaller ones are forgotten
    uint32_t mask                # entries - 1
    uint32_t max_age_ms


# Outgoing numbers of an RTX stream.
cdef struct RtxState:
    uint64_t next_ext
    uint64_t reserved_until      # see _munge: reserve


cdef enum RtxVerdict:
    RTX_OK = 0
    RTX_EMPTY = 1                # no payload at all: padding or a probe, nothing to repair
    RTX_SHORT = 2


# The array needs no clearing: only numbers from `oldest` on are looked at, and each of these has been written.
cdef inline void sent_init(SentRing *ring, uint32_t size, uint32_t max_age_ms) noexcept nogil:
    ring.newest = ring.oldest = 0
    ring.mask = size - 1
    ring.max_age_ms = max_age_ms

# Pause, disconnection, change of the source.
cdef inline void sent_clear(SentRing *ring) noexcept nogil:
    ring.oldest = ring.newest + 1

# A number that does not follow the newest: SENT_OK if there is now an entry for it, SENT_DUPLICATE or SENT_NOT_KEPT.
cdef int sent_place(SentRing *ring, Sent *entries, uint64_t out_ext) noexcept nogil

cdef inline uint16_t sent_clock(int64_t now_ns) noexcept nogil:
    """Wraps after 18 minutes; an entry that old is only found again by a stream of a packet per second."""
    return <uint16_t>(<uint64_t>now_ns >> 24)

cdef inline int sent_put(
    SentRing *ring, Sent *entries, uint64_t out_ext, uint64_t record, uint32_t ts, uint32_t abs_send_time,
    uint16_t twcc, uint32_t flags, int64_t now_ns
) noexcept nogil:
    """Before a packet is protected for the first time: SENT_OK (kept), SENT_DUPLICATE or SENT_NOT_KEPT."""
    cdef Sent *entry = &entries[out_ext & ring.mask]
    cdef int verdict
    if ring.newest and out_ext == ring.newest + 1:
        ring.newest = out_ext
    else:
        verdict = sent_place(ring, entries, out_ext)
        if verdict != SENT_OK:
            return verdict
    entry.record = record
    entry.ts = ts
    entry.ast_flags = (abs_send_time & 0xFFFFFF) | (flags & SENT_MAX_FLAGS) << 24 | SENT_VALID
    entry.seq = <uint16_t>out_ext
    entry.twcc = twcc
    entry.sent = sent_clock(now_ns)
    return SENT_OK

# A receiver asks for `seq`: SENT_OK with the entry, which is then marked as sent again now; `first_time` tells whether
# it is its first repeat.
cdef int sent_take(
    SentRing *ring, Sent *entries, uint16_t seq, int64_t now_ns, int64_t rtt_ns, Sent **entry, bint *first_time
) noexcept nogil

cdef inline uint32_t sent_abs_send_time(const Sent *entry) noexcept nogil:
    return entry.ast_flags & 0xFFFFFF

cdef inline uint32_t sent_flags(const Sent *entry) noexcept nogil:
    return (entry.ast_flags >> 24) & SENT_MAX_FLAGS


cdef inline void rtx_init(RtxState *r, uint16_t first_seq) noexcept nogil:
    r.next_ext = first_seq
    r.reserved_until = 0

cdef inline void rtx_write_osn(uint8_t *payload, uint16_t original_seq) noexcept nogil:
    """The two bytes before the original payload (RFC 4588 §4)."""
    store16(payload, original_seq)

cdef inline int rtx_unwrap(const uint8_t *payload, uint32_t size, uint16_t *original_seq) noexcept nogil:
    """The original number; the original payload (perhaps empty) starts at payload + 2."""
    if size < 2:
        return RTX_SHORT if size else RTX_EMPTY
    original_seq[0] = load16(payload)
    return RTX_OK
