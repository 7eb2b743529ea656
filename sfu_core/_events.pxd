"""What the media thread tells the control thread, and when it wants to be called again. Tier 3."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from sfu_core._core cimport Core
from sfu_core._records cimport Path, RecvStream, SendStream, Transport
from sfu_core._slab cimport Head
from sfu_core._types cimport Address


cdef enum EventCode:
    # The numbers of `sfu_core.worker.events.EngineEvent`.
    EVENT_ICE_STATE = 2
    EVENT_ICE_TUPLE = 3
    EVENT_DATAGRAM = 4
    EVENT_TUPLE = 5
    EVENT_RTCP_TUPLE = 6
    EVENT_NEW_STREAM = 7
    EVENT_RECV_SCORE = 8
    EVENT_SEND_SCORE = 9
    EVENT_RTP = 10
    EVENT_RTCP = 11
    EVENT_ORIENTATION = 12
    EVENT_PRODUCER_TRACE = 13
    EVENT_CONSUMER_TRACE = 14
    EVENT_NEW_RTX_STREAM = 15
    EVENT_CONNECTION = 16

cdef enum TraceType:
    # mediasoup's numbers; a bit each in the masks.
    TRACE_KEYFRAME = 0
    TRACE_FIR = 1
    TRACE_NACK = 2
    TRACE_PLI = 3
    TRACE_RTP = 4
    TRACE_SR = 5

cdef struct Event:
    uint64_t handle
    int64_t a
    int64_t b
    Address local
    Address remote

cdef struct TraceInfo:
    # The tail of a trace event; which fields count depends on the type.
    int64_t unix_ms
    uint64_t ntp
    uint32_t ssrc
    uint32_t timestamp
    uint32_t size                # or packets, of a sender report
    uint32_t payload_size        # or octets
    uint16_t seq
    uint16_t direction           # 0 in, 1 out
    int32_t wide_seq
    uint8_t is_rtx
    uint8_t pt
    uint8_t marker
    uint8_t key_frame
    uint8_t mid_length
    uint8_t rid_length
    uint8_t mid[32]
    uint8_t rid[32]

cdef inline uint64_t handle_of(const Head *head, uint32_t index) noexcept nogil:
    return (<uint64_t>head.generation << 32) | index

# A change of state: small, kept as long as there is any room.
cdef void event_value(Core *core, uint32_t code, uint64_t handle, int64_t a, int64_t b) noexcept nogil
cdef void event_path(Core *core, uint32_t code, uint32_t transport, const Path *path) noexcept nogil
# A packet: refused once three quarters of the queue are full, so that changes of state still find room.
cdef bint event_bytes(Core *core, uint32_t code, uint64_t handle, const uint8_t *data, uint32_t length) noexcept nogil
cdef void event_trace(
    Core *core, uint32_t code, uint64_t handle, uint32_t trace, TraceInfo *info
) noexcept nogil
# A TCP connection that is another core's, with what it has said; its descriptor goes along. False: it stays.
cdef bint event_connection(
    Core *core, uint32_t share, uint32_t listener, uint32_t owner, int fd, const uint8_t *data, uint32_t length
) noexcept nogil
# The slot of a closed object is free again (`table`), or a pointer is no longer used (`table` FREED_CONTEXT).
cdef enum:
    FREED_CONTEXT = 100
    FREED_LINK = 101
    FREED_SHARE = 102
cdef void tell_freed(Core *core, uint32_t table, uint64_t value) noexcept nogil

# Timers: each transport has at most one place in the heap, at its earliest deadline.
cdef void timer_want(Core *core, uint32_t transport, int64_t deadline_ns) noexcept nogil
cdef void timer_remove(Core *core, uint32_t transport) noexcept nogil
# The transport whose time has come (it is taken out), or NONE.
cdef uint32_t timer_take(Core *core) noexcept nogil
cdef int64_t timer_next_ns(const Core *core) noexcept nogil
