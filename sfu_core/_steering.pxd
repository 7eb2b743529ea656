"""Ports that several cores share: which core a datagram belongs to, and how it gets there. Tier 4.

The kernel gives a datagram to one core of those that share the port, by a hash of its addresses. A STUN request belongs
to the core that the user name fragment names; everything else to whom the table of flows says that the address belongs.
What is another core's goes there through the ring to it, and is treated there as if it had come on that core's own
socket, from which all answers leave.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from sfu_core._core cimport Core
from sfu_core._records cimport Path
from sfu_core._stun cimport StunMessage

# The core that a user name fragment names, or NONE.
cdef uint32_t core_named(const uint8_t *ufrag, uint32_t length) noexcept nogil
# The address has been verified here, now; and: it is not ours any more.
cdef void flow_learn(Core *core, const Path *path) noexcept nogil
cdef void flow_forget(Core *core, const Path *path) noexcept nogil
# Whether another core has verified the address, not so long ago that it may change hands.
cdef bint flow_elsewhere(const Core *core, const Path *path) noexcept nogil
# A request whose user we do not know. False: no other core is named by it either. Over TCP the connection is `wanted`.
cdef bint steer_request(
    Core *core, const Path *path, const StunMessage *message, const uint8_t *data, uint32_t length
) noexcept nogil
# A datagram from an address that we do not know. False: no other core knows it either.
cdef bint steer_datagram(Core *core, const Path *path, const uint8_t *data, uint32_t length) noexcept nogil
# What a neighbour has handed over: the datagram, where it is our own, `path` as if it had come to us; or NULL.
cdef uint8_t *take_ingress(Core *core, uint8_t *record, uint32_t *length, Path *path) noexcept nogil

cdef inline uint32_t own_socket(const Core *core, uint32_t socket) noexcept nogil:
    """Our own socket of the listener that `socket` belongs to: another one may be adopted from a core that died."""
    cdef uint32_t share = core.sockets[socket].share
    if not share or core.shares[share - 1].sockets[core.sockets[socket].listener] == <uint32_t>0xFFFFFFFF:
        return socket
    return core.shares[share - 1].sockets[core.sockets[socket].listener]
