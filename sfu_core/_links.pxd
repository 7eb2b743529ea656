"""Rings to neighbours: clear RTP and RTCP between the cores of one host. Tier 3.

A link is a pair of rings in one shared mapping, one for each direction, with an eventfd for each side. Any number of
pipes share it: a record begins with the tag of the pipe's transport on the other side (its handle there).
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sfu_core._core cimport Core


cdef enum:
    LINK_RTP = 1                 # kinds of records
    LINK_RTCP = 2
    LINK_TAG = 8                 # bytes of the tag before the packet

# Where to write a packet of at most `length` bytes for the transport's pipe, or NULL: the ring is full (counted).
cdef uint8_t *link_reserve(Core *core, uint32_t transport, uint32_t length) noexcept nogil
# The packet is complete; it is shown to the neighbour by `links_publish`.
cdef void link_commit(Core *core, uint32_t transport, uint32_t kind, uint32_t length) noexcept nogil
cdef void links_publish(Core *core) noexcept nogil
# Before blocking: True if no link has anything to read, and all neighbours know that they must ring.
cdef bint links_may_sleep(Core *core) noexcept nogil
cdef void links_awake(Core *core) noexcept nogil
cdef void link_open(Core *core, uint32_t link) noexcept nogil
cdef void link_close(Core *core, uint32_t link) noexcept nogil

cdef inline uint64_t link_event_tag(uint32_t index) noexcept nogil:
    return (<uint64_t>3 << 32) | index
