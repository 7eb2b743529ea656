"""The memory of a core: one slab with all tables and queues, and what is local to the process. Tier 4, control thread."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sfu_core._core cimport Core
from sfu_core._ring cimport ring
from sfu_core._slab cimport FreeList, SlabHeader


cdef struct Capacities:
    uint64_t history_bytes
    uint32_t transports
    uint32_t producers
    uint32_t recv_streams
    uint32_t send_streams


cdef struct Ends:
    # The control thread's ends of the queues, and the slots that it hands out.
    ring commands
    ring events
    ring freed
    FreeList slots[16]
    uint64_t slab_bytes


# The header of a slab with these capacities: the one home of its layout.
cdef void memory_plan(SlabHeader *plan, const Capacities *capacities) noexcept nogil
cdef uint64_t memory_bytes(const Capacities *capacities) noexcept nogil
# `slab_fd` has memory_bytes(); the core is zero. False: not enough memory (memory_close is still to be called).
cdef bint memory_open(Core *core, Ends *ends, const Capacities *capacities, int slab_fd) noexcept nogil
# Sockets and SRTP contexts that were not closed one by one.
cdef void memory_close_contents(Core *core, Ends *ends) noexcept nogil
# A ring pair that a neighbour has the other end of; it is mapped, the bells are taken over. An index, or NONE.
cdef uint32_t memory_open_link(Core *core, int fd, uint64_t capacity, uint32_t side, int bell_in, int bell_out) noexcept nogil
cdef void memory_close_link(Core *core, uint32_t link) noexcept nogil
# A table of flows of `bytes`, of which `own` is our partition; it is mapped. An index, or NONE.
cdef uint32_t memory_open_share(Core *core, int fd, uint64_t bytes, uint32_t number, uint32_t own) noexcept nogil
cdef void memory_close_share(Core *core, uint32_t share) noexcept nogil
cdef void memory_close(Core *core, Ends *ends) noexcept nogil
cdef uint8_t *table_at(const Core *core, uint32_t kind) noexcept nogil
