"""RTCP of a transport: what the peer reports and asks for, what it is told; and all that happens by time. Tier 4."""

from libc.stdint cimport uint8_t, uint32_t

from sfu_core._core cimport Core
from sfu_core._records cimport Path

cdef void receive_rtcp(
    Core *core, uint32_t transport, uint32_t tuple, const Path *path, uint8_t *data, uint32_t length
) noexcept nogil
# RTCP in clear that was not received from a network (DirectTransport).
cdef void apply_rtcp(Core *core, uint32_t transport, const uint8_t *data, uint32_t length) noexcept nogil
# The transport's deadline has come: consent, NACKs, feedback, reports, key frame requests; sets the next one.
cdef void feedback_tick(Core *core, uint32_t transport) noexcept nogil
