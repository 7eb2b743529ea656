"""The ring of `c/ring.h` as Cython sees it; there is no other code to it."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef extern from "ring.h" nogil:
    ctypedef struct ring:
        uint64_t position
        uint64_t capacity
        uint64_t refused
        bint broken

    uint64_t ring_bytes(uint64_t capacity) noexcept
    void ring_attach(ring *r, void *memory, uint64_t capacity, bint writer) noexcept
    void *ring_reserve(ring *r, uint32_t length) noexcept
    void ring_commit(ring *r, uint32_t kind, uint32_t length) noexcept
    uint64_t ring_used(ring *r) noexcept
    bint ring_publish(ring *r) noexcept
    const uint8_t *ring_peek(ring *r, uint32_t *kind, uint32_t *length) noexcept
    void ring_consume(ring *r, uint32_t length) noexcept
    bint ring_may_sleep(ring *r) noexcept
    void ring_awake(ring *r) noexcept
