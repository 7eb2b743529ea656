/*
 * A peer that writes anything, anywhere in the shared memory, between any two accesses of an honest side.
 *
 *     hostile ROUNDS SEED
 *
 * Built with address and undefined-behaviour sanitizers; the memory is exactly as long as the ring may use. Both ends
 * live here and share the memory, so each of them has a liar on the other side.
 */
#include <stdatomic.h>
#include <stdbool.h>

static void before_access(const volatile void *at);
#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#define atomic_load_explicit(at, order) (before_access(at), *(at))
#define atomic_store_explicit(at, value, order) (before_access(at), (void)(*(at) = (value)))
#define atomic_exchange_explicit(at, value, order) (before_access(at), __atomic_exchange_n(at, value, order))

#include "check.h"

enum { MOST_ACCESSES = 4 }; /* tail and word, after a SKIP once more: no liar can make it more */

static uint64_t seed;
static ring w, r;
static uint32_t lies_in_8; /* how often the liar speaks up */
static uint32_t accesses;
static struct { uint64_t lies, stopped_writers, stopped_readers, records, refused, attached, healed; } seen;

static uint64_t below(uint64_t n) { return next_random(&seed) % n; }

static uint64_t odd_number(void) {
    const uint64_t near[] = {w.position, r.position, w.limit, r.limit, 0, w.capacity, 1ull << 32, ~0ull};
    uint64_t n = near[below(8)];
    switch (below(4)) {
    case 0: return n + 8 * below(w.capacity / 4) - w.capacity;
    case 1: return n + below(17) - 8;
    case 2: return next_random(&seed);
    default: return n;
    }
}

static uint32_t odd_length(void) {
    const uint32_t lengths[] = {RING_SKIP, 0xFFFFFFF8, 0xFFFFFFF7, 0x80000000, (uint32_t)w.capacity, 0};
    switch (below(3)) {
    case 0: return lengths[below(6)];
    case 1: return (uint32_t)below(w.capacity + 16);
    default: return (uint32_t)next_random(&seed);
    }
}

static void lie(void) {
    uint64_t n = odd_number();
    uint32_t length = odd_length();
    seen.lies++;
    switch (below(6)) {
    case 0: __atomic_store_n(&w.shared->tail, n, __ATOMIC_RELAXED); break;
    case 1: __atomic_store_n(&w.shared->head, n, __ATOMIC_RELAXED); break;
    case 2: __atomic_store_n(&w.shared->asleep, (uint32_t)n, __ATOMIC_RELAXED); break;
    case 3: memcpy(w.data + 8 * below(w.capacity / 8), &length, 4); break;
    case 4: /* round and round */
        length = RING_SKIP;
        memcpy(w.data + (r.position & (w.capacity - 8)), &length, 4);
        __atomic_store_n(&w.shared->tail, r.position + w.capacity, __ATOMIC_RELAXED);
        break;
    default: memcpy(w.data + (r.position & (w.capacity - 8)), &length, 4); break;
    }
}

static void before_access(const volatile void *at) {
    (void)at;
    CHECK(++accesses <= MOST_ACCESSES);
    if (below(8) < lies_in_8) lie();
}

static void attach(ring *side, void *memory, uint64_t capacity) {
    accesses = 0;
    ring_attach(side, memory, capacity, side == &w);
}

static void within(const ring *side, const uint8_t *at, uint64_t length) {
    CHECK((uintptr_t)at % 8 == 0);
    CHECK(at >= side->data + RING_WORD && length <= (uint64_t)(side->data + side->capacity - at));
}

static void write_something(void) {
    uint32_t length = below(20) ? (uint32_t)below(w.capacity / 2) : odd_length();
    uint64_t refused = w.refused;
    uint8_t *place = ring_reserve(&w, length);
    CHECK((place == NULL) == (w.refused != refused));
    CHECK(!place || !w.broken);
    if (!place) {
        seen.refused++;
        return;
    }
    within(&w, place, length);
    memset(place, 0x5A, length);
    accesses = 0;
    if (below(10)) ring_commit(&w, 1, length - (uint32_t)below(length + 1ull));
    CHECK(w.position - w.limit <= w.capacity);
}

static void read_something(void) {
    static volatile uint8_t byte;
    uint32_t kind, length;
    uint64_t position = r.position;
    const uint8_t *record = ring_peek(&r, &kind, &length);
    CHECK(!record || !r.broken);
    CHECK(r.broken || (r.position - position <= r.capacity && r.limit - r.position <= r.capacity));
    if (!record) return;
    within(&r, record, length);
    for (uint32_t i = 0; i < length; i++) byte = record[i];
    (void)byte;
    seen.records++;
    accesses = 0;
    if (below(4)) ring_consume(&r, length);
    CHECK(r.position - position <= r.capacity && r.limit - r.position <= r.capacity);
}

static void any_operation(void) {
    bool was_broken = r.broken;
    accesses = 0;
    switch (below(8)) {
    case 0: case 1: write_something(); break;
    case 2: case 3: ring_publish(&w); break;
    case 4: case 5: read_something(); break;
    case 6:
        if (ring_may_sleep(&r)) CHECK(r.broken || accesses <= 2);
        else CHECK(!was_broken);
        ring_awake(&r);
        break;
    default: CHECK(ring_used(&w) <= w.capacity);
    }
}

/* Without lies, a new pair on the same dirty memory loses nothing. */
static void heals(void *memory, uint64_t capacity) {
    uint32_t kind, length;
    lies_in_8 = 0;
    memset(memory, 0, sizeof(ring_shared));
    attach(&w, memory, capacity);
    attach(&r, memory, capacity);
    for (uint32_t i = 0; i < 50; i++) {
        accesses = 0;
        uint8_t *place = ring_reserve(&w, i % (uint32_t)(capacity / 2 - 7));
        CHECK(place);
        ring_commit(&w, i, i % (uint32_t)(capacity / 2 - 7));
        accesses = 0;
        ring_publish(&w);
        accesses = 0;
        CHECK(ring_peek(&r, &kind, &length) && kind == i);
        ring_consume(&r, length);
    }
    seen.healed++;
}

static void one_round(uint64_t capacity) {
    uint8_t *memory = new_memory(capacity);
    lies_in_8 = 0;
    w.shared = (ring_shared *)memory;
    w.data = memory + sizeof(ring_shared);
    w.capacity = r.capacity = capacity;
    for (uint32_t i = 0, lies = (uint32_t)below(6); i < lies; i++) lie();
    if (below(4)) memset(memory, 0, sizeof(ring_shared));
    attach(&w, memory, capacity);
    attach(&r, memory, capacity);
    lies_in_8 = below(8) ? (uint32_t)below(3) : 6;
    for (uint32_t i = 0; i < 400 && !(w.broken && r.broken); i++) {
        bool w_broken = w.broken, r_broken = r.broken;
        any_operation();
        CHECK(w.broken >= w_broken && r.broken >= r_broken);
        if (below(50)) continue;
        attach(below(2) ? &w : &r, memory, capacity);
        seen.attached++;
    }
    seen.stopped_writers += w.broken;
    seen.stopped_readers += r.broken;
    heals(memory, capacity);
    free(memory);
}

int main(int count, char **words) {
    const uint64_t capacities[] = {16, 64, 256, 4096};
    if (count != 3) return 2;
    seed = strtoull(words[2], NULL, 0);
    for (uint64_t i = 0, rounds = strtoull(words[1], NULL, 0); i < rounds; i++) one_round(capacities[i % 4]);
    printf("lies %llu, writers stopped %llu, readers stopped %llu, records %llu, refused %llu, attached %llu\n",
           (unsigned long long)seen.lies, (unsigned long long)seen.stopped_writers,
           (unsigned long long)seen.stopped_readers, (unsigned long long)seen.records,
           (unsigned long long)seen.refused, (unsigned long long)seen.attached);
    CHECK(seen.stopped_writers && seen.stopped_readers && seen.records && seen.refused && seen.attached);
    return 0;
}
