"""Producer to consumers: what of a stream goes to whom, under which numbers; repeats; key frame requests. Tier 4."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from sfu_core._core cimport Core

# All records of this tick to all subscribers, consumer by consumer, so that packets of one frame follow each other.
cdef void forward_tick(Core *core) noexcept nogil
# A receiver asks for packets again. How many were sent.
cdef uint32_t repeat_packets(Core *core, uint32_t send, const uint16_t *seqs, uint32_t count) noexcept nogil
# A key frame of the stream, throttled unless `forced`.
cdef void request_key_frame(Core *core, uint32_t recv, bint forced) noexcept nogil
cdef void key_frame_tick(Core *core, uint32_t recv, int64_t *deadline) noexcept nogil

cdef void subscribe(Core *core, uint32_t send) noexcept nogil
cdef void unsubscribe(Core *core, uint32_t send) noexcept nogil
# The transport may send from now on: its consumers start (with a key frame), its reports begin.
cdef void transport_connected(Core *core, uint32_t transport) noexcept nogil
