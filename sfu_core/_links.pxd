"""Rings to neighbours: clear RTP and RTCP between the cores of one host. Tier 3.

A link is a pair of rings in one shared mapping, one for each direction, with an eventfd for each side. Any number of
pipes share it: a record begins with the tag of the pipe's transport on the other side (its handle there).
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sfu_core._core cimport Core
from sfu_core._types cimport Address


cdef enum:
    LINK_RTP = 1                 # kinds of records
    LINK_RTCP = 2
    LINK_INGRESS = 3             # a datagram from the network that is the other core's: Ingress, then its bytes
    LINK_TAG = 8                 # bytes of the tag before the packet

cdef struct Ingress:
    # What is before a datagram that came to another core than its own.
    uint32_t share               # its number
    uint32_t listener
    Address remote

# Where to write a packet of at most `length` bytes for the transport's pipe, or NULL: the ring is full (counted).
cdef uint8_t *link_reserve(Core *core, uint32_t transport, uint32_t length) noexcept nogil
# The packet is complete; it is shown to the neighbour by `links_publish`.
cdef void link_commit(Core *core, uint32_t transport, uint32_t kind, uint32_t length) noexcept nogil
cdef void links_publish(Core *core) noexcept nogil
# A datagram for the neighbour. False: the ring is full, or half full where it is not `urgent` (counted).
cdef bint link_ingress(
    Core *core, uint32_t link, const Ingress *from_where, const uint8_t *data, uint32_t length, bint urgent
) noexcept nogil
# Before blocking: True if no link has anything to read, and all neighbours know that they must ring.
cdef bint links_may_sleep(Core *core) noexcept nogil
cdef void links_awake(Core *core) noexcept nogil
cdef void link_open(Core *core, uint32_t link) noexcept nogil
cdef void link_close(Core *core, uint32_t link) noexcept nogil

cdef inline uint64_t link_event_tag(uint32_t index) noexcept nogil:
    return (<uint64_t>3 << 32) | index
