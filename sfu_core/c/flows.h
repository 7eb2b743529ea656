/*
 * An entry of the table of flows, in memory that the cores of a host share: one core writes it, all read it.
 *
 * A sequence lock for each entry: the writer makes `version` odd, writes, makes it even again; a reader that saw it odd,
 * or changed, has read nothing. No field is ever read twice for one decision, so that a writer that is broken or hostile
 * can give a wrong answer and nothing worse.
 */
#ifndef SFU_FLOWS_H
#define SFU_FLOWS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FLOW_WORDS 5

typedef struct {
    _Atomic uint64_t version;
    _Atomic uint64_t checked_ns; /* monotonic: when the peer proved last that it may use the address */
    _Atomic uint64_t key[FLOW_WORDS];
    _Atomic uint64_t unused;
} flow_entry;

typedef _Atomic uint64_t flow_tags;

_Static_assert(sizeof(flow_entry) == 64, "a cache line");

static inline uint64_t flow_load(const flow_tags *tags) {
    return atomic_load_explicit(tags, memory_order_acquire);
}

static inline void flow_store(flow_tags *tags, uint64_t value) {
    atomic_store_explicit(tags, value, memory_order_release);
}

static inline void flow_write(flow_entry *e, const uint64_t *key, uint64_t checked_ns) {
    uint64_t version = atomic_load_explicit(&e->version, memory_order_relaxed) | 1;
    atomic_store_explicit(&e->version, version, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&e->checked_ns, checked_ns, memory_order_relaxed);
    for (int i = 0; i < FLOW_WORDS; i++) atomic_store_explicit(&e->key[i], key[i], memory_order_relaxed);
    atomic_store_explicit(&e->version, version + 1, memory_order_release);
}

/* Whether the entry is that of `key`; when it was checked last. */
static inline bool flow_matches(const flow_entry *e, const uint64_t *key, uint64_t *checked_ns) {
    uint64_t version = atomic_load_explicit(&e->version, memory_order_acquire);
    uint64_t differ = version & 1;
    uint64_t checked = atomic_load_explicit(&e->checked_ns, memory_order_relaxed);
    for (int i = 0; i < FLOW_WORDS; i++) differ |= atomic_load_explicit(&e->key[i], memory_order_relaxed) ^ key[i];
    atomic_thread_fence(memory_order_acquire);
    if (differ || atomic_load_explicit(&e->version, memory_order_relaxed) != version) return false;
    *checked_ns = checked;
    return true;
}

#endif
