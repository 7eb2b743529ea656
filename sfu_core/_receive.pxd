"""RTP from publishers: found, unprotected, accounted and put into the history for forwarding. Tier 4."""

from libc.stdint cimport uint8_t, uint32_t

from sfu_core._core cimport Core
from sfu_core._records cimport Path

# One RTP datagram of a transport; `data` must stay until `receive_flush`. `tuple`: it came on, or NONE.
cdef void receive_rtp(
    Core *core, uint32_t transport, uint32_t tuple, const Path *path, uint8_t *data, uint32_t length
) noexcept nogil
cdef void receive_flush(Core *core) noexcept nogil
# A packet over a path that its transport does not know yet was genuine: comedia. True if it may be used.
cdef bint comedia_learn(Core *core, uint32_t transport, const Path *path, bint rtcp) noexcept nogil
