"""What a publisher without transport-cc may send (draft-alvestrand-rmcat-remb), and limits for one that has it.

Tier 2. A plain loss-based estimate: it grows slowly above what really arrives and backs off on loss. It sees no queueing delay;
a delay-based estimator can take its place behind the same functions.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef enum RembMode:
    REMB_OFF = 0
    REMB_ESTIMATE = 1            # goog-remb negotiated without transport-cc
    REMB_LIMIT = 2               # transport-cc negotiated: only limits are announced

cdef enum:
    REMB_INTERVAL_NS = 1000000000
    REMB_LIMIT_INTERVAL_NS = 1500000000
    REMB_MIN_BPS = 30000
    REMB_LIMIT_REMOVED = 4       # messages with bitrate 0 after a limit was removed


cdef struct RembState:
    uint64_t bytes               # in the running window
    int64_t window_ns            # its begin
    uint64_t incoming_bps        # of the last full window
    uint64_t estimate_bps        # 0: unknown
    uint64_t max_bps             # 0: no limit
    uint64_t expected            # packets in the running window, over all streams
    uint64_t lost
    int64_t next_ns              # limits: not before
    uint32_t mode
    uint32_t farewells           # messages with bitrate 0 still to send
    uint32_t lossy               # there has been loss: grow slowly
    uint32_t reserved


cdef void remb_init(RembState *r, uint32_t mode) noexcept nogil
# maxIncomingBitrate; 0 removes the limit.
cdef void remb_set_limit(RembState *r, uint64_t max_bps) noexcept nogil
cdef inline void remb_on_packet(RembState *r, uint32_t bytes) noexcept nogil:
    r.bytes += bytes
# Loss of one stream since the last call for it (as in its receiver report).
cdef inline void remb_on_loss(RembState *r, uint32_t expected, uint32_t lost) noexcept nogil:
    r.expected += expected
    r.lost += lost
# True if a REMB with `bitrate` is to be sent now. Cheap: may be called at each tick or packet.
cdef bint remb_take(RembState *r, int64_t now_ns, uint64_t *bitrate) noexcept nogil
