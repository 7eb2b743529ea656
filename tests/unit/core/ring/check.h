/* What the ring's test programs share: a check that says where it failed, memory for a ring, a record's contents. */
#ifndef RING_CHECK_H
#define RING_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#include "ring.h"

#define CHECK(what)                                                          \
    do {                                                                     \
        if (!(what)) {                                                       \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);       \
            abort();                                                         \
        }                                                                    \
    } while (0)

/* Exactly as many bytes as a ring may touch, so that a sanitizer sees the first one too many. */
static inline void *new_memory(uint64_t capacity) {
    void *memory = NULL;
    CHECK(posix_memalign(&memory, 64, ring_bytes(capacity)) == 0);
    memset(memory, 0, ring_bytes(capacity));
    return memory;
}

/* Both ends, the first byte at `start`. */
static inline void *new_ring(ring *writer, ring *reader, uint64_t capacity, uint64_t start) {
    ring_shared *shared = new_memory(capacity);
    shared->tail = start;
    shared->head = start;
    ring_attach(writer, shared, capacity, true);
    ring_attach(reader, shared, capacity, false);
    CHECK(!writer->broken && !reader->broken);
    return shared;
}

static inline uint64_t next_random(uint64_t *state) { /* splitmix64 */
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Record number n has one length and one content. */
static inline void fill(uint8_t *at, uint32_t length, uint64_t number) {
    for (uint32_t i = 0; i < length; i++) at[i] = (uint8_t)(number * 31 + i * 7 + (i >> 8));
}

static inline bool filled(const uint8_t *at, uint32_t length, uint64_t number) {
    uint8_t wrong = 0;
    for (uint32_t i = 0; i < length; i++) wrong |= at[i] ^ (uint8_t)(number * 31 + i * 7 + (i >> 8));
    return !wrong;
}

#endif
