"""The media thread: sockets, time and ticks. Tier 5."""

from sfu_core._core cimport Core

cdef void loop_run(Core *core, bint low_latency) noexcept nogil
