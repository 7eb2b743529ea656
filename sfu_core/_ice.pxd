"""ICE-lite, the controlled side (RFC 8445): answers checks, learns addresses, keeps consent. Tier 4."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from sfu_core._core cimport Core
from sfu_core._records cimport Path

# A STUN message that came over `path` on sockets of `group`; `handed`: from a neighbour, so it is ours or nobody's.
# The transport that got connected by it, else NONE.
cdef uint32_t ice_receive(
    Core *core, const Path *path, uint32_t group, const uint8_t *data, uint32_t length, bint handed
) noexcept nogil
# Data arrived on a verified tuple: it becomes the one that is sent to (suits aggressive nomination).
cdef void ice_data_on(Core *core, uint32_t tuple) noexcept nogil
# Consent: True if it expired. `deadline` gets the next time to look, if any.
cdef bint ice_tick(Core *core, uint32_t transport, int64_t *deadline) noexcept nogil
