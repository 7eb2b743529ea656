"""Slots, handles and queues: the part of the engine's door that does not know what travels through it. Tier 6."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from sfu_core._commands cimport Command
from sfu_core._core cimport Core
from sfu_core._memory cimport Ends
from sfu_core._slab cimport Head


cdef class Door:
    cdef Core *core
    cdef Ends ends
    cdef bint low_latency
    cdef readonly int event_fd
    cdef readonly int slab_fd
    cdef int command_fd
    cdef object epoll
    cdef object waiting          # (code, index) of close commands that found no room

    cdef int open_descriptors(self) except -1
    cdef void release(self)
    cdef Head *head(self, int kind, uint32_t index)
    cdef uint32_t take(self, int kind, str what) except? 0xFFFFFFFF
    cdef uint64_t handle(self, int kind, uint32_t index)
    cdef uint32_t find(self, int kind, uint64_t handle, str what) except? 0xFFFFFFFF
    cdef void retire(self, int kind, uint32_t index)
    cdef void drop_slot(self, int kind, uint32_t index)
    cdef void collect_freed(self)
    cdef int post(self, uint32_t code, uint32_t index, uint64_t value, bytes tail) except -1
    cdef int post_new(self, uint32_t code, int kind, uint32_t index) except -1
    cdef int post_close(self, uint32_t code, uint32_t index) except -1
    cdef int post_command(self, uint32_t code, const Command *command, bytes tail) except -1
    cdef bint post_waiting(self)
    cdef bint write_command(self, uint32_t code, const Command *command, bytes tail)
