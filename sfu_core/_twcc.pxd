"""When packets with a transport-wide sequence number came (draft-holmer-rmcat-transport-wide-cc-extensions-01).

Tier 2. One TwccRecorder for each receiving transport; `_rtcp` writes what it hands out.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef enum:
    TWCC_RING = 2048
    TWCC_FULL = 512              # this many numbers are fed back without waiting for the interval
    TWCC_INTERVAL_NS = 100000000
    TWCC_HISTORY_NS = 500000000  # a packet that comes later than its followers by more is forgotten


cdef struct TwccRecorder:
    uint64_t highest             # extended; 0: nothing came
    uint64_t start               # first number of the next feedback
    int64_t next_ns              # end of the running interval
    uint32_t feedback_count      # low 8 bits go on the wire
    uint32_t reserved
    uint32_t arrivals[TWCC_RING] # low bits of the time in 250 us; 0: did not come


cdef void twcc_init(TwccRecorder *t) noexcept nogil
cdef void twcc_on_packet(TwccRecorder *t, uint16_t seq, int64_t now_ns) noexcept nogil
# The statuses waiting, at most `cap`: the number of the first and `arrivals` as rtcp_write_twcc wants them (250 us, -1: lost).
# The last one is an arrival. 0: nothing to tell.
cdef uint32_t twcc_pending(TwccRecorder *t, uint16_t *base_seq, int64_t *arrivals, uint32_t cap) noexcept nogil
# `written` of them went into a feedback packet with the number `feedback_count` (what rtcp_write_twcc returned; >= 1).
cdef void twcc_on_feedback(TwccRecorder *t, uint32_t written, int64_t now_ns) noexcept nogil
# When feedback is due: INT64_MAX if nothing waits, 0 if the recorder is full.
cdef int64_t twcc_next_deadline(const TwccRecorder *t) noexcept nogil
