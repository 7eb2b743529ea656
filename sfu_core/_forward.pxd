"""Producer to consumers: what of a stream goes to whom, under which numbers; repeats; key frame requests. Tier 4."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from sfu_core._core cimport Core

# All records of this tick to all subscribers, consumer by consumer, so that packets of one frame follow each other.
cdef void forward_tick(Core *core) noexcept nogil

cdef enum:
    HISTORY_PER_TICK = 524288    # far less than the smallest history: no record is overwritten before it was sent

cdef inline void forward_if_full(Core *core) noexcept nogil:
    """Forward early when much was read in one tick."""
    if core.history_head - core.tick_mark > HISTORY_PER_TICK:
        forward_tick(core)
        core.tick_mark = core.history_head

# A receiver asks for packets again. How many were sent.
cdef uint32_t repeat_packets(Core *core, uint32_t send, const uint16_t *seqs, uint32_t count) noexcept nogil
# A key frame of the stream, throttled unless `forced`.
cdef void request_key_frame(Core *core, uint32_t recv, bint forced) noexcept nogil
cdef void key_frame_tick(Core *core, uint32_t recv, int64_t *deadline) noexcept nogil

cdef void subscribe(Core *core, uint32_t send) noexcept nogil
cdef void unsubscribe(Core *core, uint32_t send) noexcept nogil
# The transport may send from now on: its consumers start (with a key frame), its reports begin.
cdef void transport_connected(Core *core, uint32_t transport) noexcept nogil
