/*
 * A single-producer, single-consumer ring of records in memory that two threads or processes share.
 *
 *     writer: p = ring_reserve(&w, length); fill p; ring_commit(&w, kind, length); ring_publish(&w) -> ring the bell?
 *     reader: while ((p = ring_peek(&r, &kind, &length))) { use p in place; ring_consume(&r, length); }
 *
 * A record is a word (length, kind) followed by `length` bytes, padded to 8, never split: where it does not fit
 * before the end of the buffer a SKIP word sends the reader to the start. Positions count bytes for ever and are
 * taken modulo the capacity, so full and empty need no extra flag. Each side keeps its own capacity and position and
 * checks every number that the other side wrote, on a copy: nonsense in the shared part stops the ring (`broken` is
 * set, ring_peek and ring_reserve give NULL), it never makes a side read or write outside the buffer. The bytes of a
 * record stay in shared memory: a reader that does not trust its writer looks at each of them once.
 *
 * The doorbell: a reader that is about to sleep calls ring_may_sleep; a writer rings only when ring_publish says that
 * the reader sleeps. These four accesses (tail, asleep; asleep, tail) are sequentially consistent, so that either the
 * reader sees the new tail or the writer sees the flag. No other order is stronger than release and acquire.
 *
 * Whichever side dies, at any step, the other one goes on; a successor attaches to the same memory. Records that were
 * not published are lost, the one that was being consumed comes again. docs/ring.md says more.
 */
#ifndef SFU_RING_H
#define SFU_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define RING_WORD 8u
#define RING_SKIP 0xFFFFFFFFu
#define RING_MIN_CAPACITY 16u
#define RING_MAX_CAPACITY (1ull << 32)

/* A line each: the writer looks at `asleep` for each publication, the reader writes `head` for each record. */
typedef struct {
    _Alignas(64) _Atomic uint64_t tail;   /* written by the writer: end of what is published */
    _Alignas(64) _Atomic uint64_t head;   /* written by the reader: end of what is consumed */
    _Alignas(64) _Atomic uint32_t asleep; /* set by the reader before it sleeps, cleared by whoever wakes it */
} ring_shared;

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a lock would be in one process only");
_Static_assert(sizeof(ring_shared) == 192, "both sides must agree");

typedef struct {
    ring_shared *shared;
    uint8_t *data;
    uint64_t capacity; /* power of two */
    uint64_t position; /* writer: end of what is committed. reader: start of what is unread */
    uint64_t limit;    /* last value seen of the other side's position */
    uint64_t refused;  /* writer: records that found no room */
    bool broken;       /* the other side wrote what cannot be */
} ring;

static inline uint64_t ring_bytes(uint64_t capacity) { return sizeof(ring_shared) + capacity; }

static inline uint64_t ring_padded(uint32_t length) { return RING_WORD + (((uint64_t)length + 7u) & ~7ull); }

/* Attach to `memory` (64-byte aligned, ring_bytes(capacity) long, zero when new), where a predecessor stopped. */
static inline void ring_attach(ring *r, void *memory, uint64_t capacity, bool writer) {
    memset(r, 0, sizeof *r);
    r->shared = (ring_shared *)memory;
    r->data = (uint8_t *)memory + sizeof(ring_shared);
    r->capacity = capacity;
    uint64_t tail = atomic_load_explicit(&r->shared->tail, memory_order_acquire);
    uint64_t head = atomic_load_explicit(&r->shared->head, memory_order_acquire);
    r->position = writer ? tail : head;
    r->limit = writer ? head : tail;
    r->broken = capacity < RING_MIN_CAPACITY || capacity > RING_MAX_CAPACITY || (capacity & (capacity - 1)) != 0 ||
                tail - head > capacity || ((tail | head) & 7u) != 0;
    /* A predecessor may have died between taking the flag and ringing: ring once more than needed. */
    if (writer) atomic_store_explicit(&r->shared->asleep, 1, memory_order_relaxed);
}

/* Words are one access each: a length that is checked is the length that is used. */
static inline void ring_put_word(uint8_t *at, uint32_t length, uint32_t kind) {
    atomic_store_explicit((_Atomic uint64_t *)at, (uint64_t)kind << 32 | length, memory_order_relaxed);
}

static inline uint64_t ring_get_word(uint8_t *at) {
    return atomic_load_explicit((_Atomic uint64_t *)at, memory_order_relaxed);
}

/* Whether `need` bytes are free behind `position`; looks at the reader's position only when it must. */
static inline bool ring_room(ring *r, uint64_t need) {
    if (r->position + need - r->limit <= r->capacity) return true;
    uint64_t head = atomic_load_explicit(&r->shared->head, memory_order_acquire);
    if (head - r->limit > r->position - r->limit) {
        r->broken = true;
        return false;
    }
    r->limit = head;
    return r->position + need - head <= r->capacity;
}

/* Where to write a record of `length` bytes (half the capacity at most, its word included), or NULL when it does not
 * fit now. Nothing is shown to the reader before it is committed and published; reserving again forgets it. */
static inline void *ring_reserve(ring *r, uint32_t length) {
    uint64_t need = ring_padded(length);
    if (r->broken || need > r->capacity / 2) {
        r->refused++;
        return NULL;
    }
    uint64_t offset = r->position & (r->capacity - 1);
    uint64_t before_end = r->capacity - offset;
    uint64_t skip = need <= before_end ? 0 : before_end;
    if (!ring_room(r, need + skip)) {
        r->refused++;
        return NULL;
    }
    if (skip) {
        ring_put_word(r->data + offset, RING_SKIP, 0);
        r->position += skip;
        offset = 0;
    }
    return r->data + offset + RING_WORD;
}

/* The record at the place that ring_reserve gave is complete (at most as long as reserved). */
static inline void ring_commit(ring *r, uint32_t kind, uint32_t length) {
    ring_put_word(r->data + (r->position & (r->capacity - 1)), length, kind);
    r->position += ring_padded(length);
}

/* Writer: bytes committed and not yet consumed; the capacity, if the reader wrote what cannot be. */
static inline uint64_t ring_used(ring *r) {
    uint64_t used = r->position - atomic_load_explicit(&r->shared->head, memory_order_relaxed);
    return used < r->capacity ? used : r->capacity;
}

/* Show all committed records to the reader; true when it sleeps and must be woken. */
static inline bool ring_publish(ring *r) {
    atomic_store_explicit(&r->shared->tail, r->position, memory_order_seq_cst);
    if (!atomic_load_explicit(&r->shared->asleep, memory_order_seq_cst)) return false;
    return atomic_exchange_explicit(&r->shared->asleep, 0, memory_order_seq_cst) != 0;
}

/* The next record in place, or NULL when there is none. */
static inline const uint8_t *ring_peek(ring *r, uint32_t *kind, uint32_t *length) {
    while (!r->broken) {
        if (r->position == r->limit) {
            uint64_t tail = atomic_load_explicit(&r->shared->tail, memory_order_acquire);
            if (tail == r->position) return NULL;
            if (tail - r->position > r->capacity) break;
            r->limit = tail;
        }
        uint64_t offset = r->position & (r->capacity - 1);
        uint64_t before_end = r->capacity - offset;
        uint64_t published = r->limit - r->position;
        uint64_t word = ring_get_word(r->data + offset);
        uint32_t size = (uint32_t)word;
        if (size == RING_SKIP) { /* always less than half: a chain of them would hold the reader here for ever */
            if (before_end >= r->capacity / 2 || before_end > published) break;
            r->position += before_end;
            continue;
        }
        uint64_t padded = ring_padded(size);
        if (padded > published || padded > before_end) break;
        *kind = (uint32_t)(word >> 32);
        *length = size;
        return r->data + offset + RING_WORD;
    }
    r->broken = true;
    return NULL;
}

/* Done with the record that ring_peek gave (`length` as it gave it): its room is the writer's again. */
static inline void ring_consume(ring *r, uint32_t length) {
    r->position += ring_padded(length);
    atomic_store_explicit(&r->shared->head, r->position, memory_order_release);
}

/* Reader: announce sleep; true when nothing came in between, so that it may really sleep. */
static inline bool ring_may_sleep(ring *r) {
    atomic_store_explicit(&r->shared->asleep, 1, memory_order_seq_cst);
    return atomic_load_explicit(&r->shared->tail, memory_order_seq_cst) == r->position || r->broken;
}

static inline void ring_awake(ring *r) { atomic_store_explicit(&r->shared->asleep, 0, memory_order_relaxed); }

#endif
