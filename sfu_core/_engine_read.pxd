"""What the control thread reads of the media thread: events and statistics as Python objects. Tier 6, with the GIL."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from sfu_core._core cimport Core
from sfu_core._types cimport Address

cdef tuple address_of(const Address *address)
cdef tuple decode_event(uint32_t code, const uint8_t *data, uint32_t length)
cdef dict transport_stats(Core *core, uint32_t index, int64_t now_ns)
cdef dict recv_stream_stats(Core *core, uint32_t index, int64_t now_ns)
cdef dict send_stream_stats(Core *core, uint32_t index, int64_t now_ns)
cdef dict core_stats(Core *core)
cdef list transport_tuples(Core *core, uint32_t index)
