"""For the `def` test doors of the compiled files only: inputs in heap blocks of exactly their size, so that a
sanitizer sees the first byte read too far."""

from libc.stdint cimport uint8_t
from libc.stdlib cimport malloc
from libc.string cimport memcpy


cdef inline uint8_t *exact_copy(bytes data) except NULL:
    """A copy that the caller frees."""
    cdef size_t size = len(data)
    cdef uint8_t *copy = <uint8_t *>malloc(size)
    if copy == NULL:
        raise MemoryError()
    memcpy(copy, <const char *>data, size)
    return copy
