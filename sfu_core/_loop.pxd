"""The media thread: sockets, time and ticks. Tier 5."""

from libc.stdint cimport int64_t

from sfu_core._core cimport Core

cdef void loop_run(Core *core, bint low_latency) noexcept nogil
cdef void loop_step(Core *core, int64_t now_ns) noexcept nogil
