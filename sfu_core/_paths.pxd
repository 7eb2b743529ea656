"""Which transport a datagram belongs to and where a transport's datagrams go: addresses, ICE names, SSRCs. Tier 4."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from sfu_core._core cimport Core
from sfu_core._records cimport Path, SsrcEntry, Transport
from sfu_core._types cimport SsrcRole

# Verified addresses.
cdef uint32_t tuple_find(const Core *core, const Path *path) noexcept nogil
# A new tuple of a transport; the oldest idle one goes when it has MAX_TUPLES. NONE: the table is full.
cdef uint32_t tuple_add(Core *core, uint32_t transport, const Path *path) noexcept nogil
cdef void tuple_remove(Core *core, uint32_t tuple) noexcept nogil
# It becomes the one that is sent to; tells the control thread.
cdef void tuple_select(Core *core, uint32_t tuple) noexcept nogil

# ICE user name fragments.
cdef void ufrag_add(Core *core, uint32_t transport, uint32_t which) noexcept nogil
cdef void ufrag_remove(Core *core, uint32_t transport, uint32_t which) noexcept nogil
# transport * 2 + (1 if it is the old one), or NONE.
cdef uint32_t ufrag_find(const Core *core, const uint8_t *ufrag, uint32_t length) noexcept nogil

# SSRCs of a transport; incoming and outgoing ones are two spaces.
cdef SsrcEntry *ssrc_find(const Core *core, uint32_t transport, uint32_t ssrc, bint outgoing) noexcept nogil
cdef bint ssrc_add(Core *core, uint32_t transport, uint32_t ssrc, SsrcRole role, uint32_t stream) noexcept nogil
cdef void ssrc_remove(
    Core *core, uint32_t transport, uint32_t ssrc, bint outgoing, uint32_t stream
) noexcept nogil

# Whether media may go out, anew after a change of path, keys or ICE state; True if it may from now on.
cdef bint update_connected(Core *core, uint32_t transport) noexcept nogil
cdef void set_ice_state(Core *core, uint32_t transport, uint32_t state) noexcept nogil
cdef void forget_tuples(Core *core, uint32_t transport) noexcept nogil
