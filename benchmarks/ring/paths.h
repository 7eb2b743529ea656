/*
 * Three ways for packets from one thread to another: the ring of sfu_core; a bare ring (slots of one size, one copy in,
 * read in place, no checks, no doorbell: what the ring could cost at best); UDP over loopback in batches. The reader
 * reads every byte in all of them. What is measured of them is in the files that include this one.
 */
#ifndef SFU_BENCHMARK_PATHS_H
#define SFU_BENCHMARK_PATHS_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ring.h"

enum { CAPACITY = 1 << 20, BATCH = 64 };

typedef struct hop hop;
typedef struct {
    const char *name;
    void (*open)(hop *);
    uint32_t (*send)(hop *, uint32_t count); /* how many found room */
    uint32_t (*receive)(hop *);              /* how many there were */
    void (*sleep)(hop *);                    /* until there are some */
    void (*close)(hop *);
} path;

struct hop {
    const path *path;
    uint32_t size, burst, total;
    bool sleeping;
    int64_t sender_ns, reader_ns;
    uint64_t sum;
    ring w, r;
    int bell;
    uint8_t *memory;
    uint64_t tail, tail_seen, head, head_seen; /* bare ring */
    uint32_t write_at, read_at;
    int out, in;                         /* UDP */
    struct mmsghdr outgoing[BATCH], incoming[BATCH];
    struct iovec out_bytes[BATCH], in_bytes[BATCH];
};

static uint8_t packets[BATCH][2048], received[BATCH][2048];
static void must(bool good, const char *what) {
    if (good) return;
    perror(what);
    exit(1);
}

static int64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static uint64_t read_bytes(const uint8_t *at, uint32_t size) {
    uint64_t sum = 0, word;
    for (uint32_t i = 0; i < size; i += 8) {
        memcpy(&word, at + i, 8);
        sum += word;
    }
    return sum;
}

static void map_memory(hop *h) {
    h->memory = mmap(NULL, ring_bytes(CAPACITY), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    must(h->memory != MAP_FAILED, "mmap");
}

static void unmap_memory(hop *h) { munmap(h->memory, ring_bytes(CAPACITY)); }

/* ---------------------------------------------------------------- the ring */

static void ring_open(hop *h) {
    map_memory(h);
    ring_attach(&h->w, h->memory, CAPACITY, true);
    ring_attach(&h->r, h->memory, CAPACITY, false);
    must((h->bell = eventfd(0, EFD_NONBLOCK)) >= 0, "eventfd");
}

static uint32_t ring_send(hop *h, uint32_t count) {
    uint32_t i = 0;
    uint64_t one = 1;
    for (uint8_t *place; i < count && (place = ring_reserve(&h->w, h->size)); i++) {
        memcpy(place, packets[i], h->size);
        ring_commit(&h->w, 0, h->size);
    }
    if (ring_publish(&h->w)) must(write(h->bell, &one, 8) == 8, "write");
    return i;
}

static uint32_t ring_receive(hop *h) {
    const uint8_t *record;
    uint32_t kind, length, count = 0;
    for (; (record = ring_peek(&h->r, &kind, &length)); count++) {
        h->sum += read_bytes(record, length);
        ring_consume(&h->r, length);
    }
    return count;
}

static void ring_sleep(hop *h) {
    struct pollfd ready = {h->bell, POLLIN, 0};
    uint64_t rung;
    if (ring_may_sleep(&h->r)) {
        must(poll(&ready, 1, -1) == 1, "poll");
        must(read(h->bell, &rung, 8) == 8, "read");
    }
    ring_awake(&h->r);
}

static void ring_close(hop *h) {
    close(h->bell);
    unmap_memory(h);
}

/* ---------------------------------------------------------------- a bare ring */

static uint32_t bare_stride(const hop *h) { return (h->size + 63) & ~63u; }
static uint32_t bare_slots(const hop *h) { return CAPACITY / bare_stride(h); }

static uint8_t *bare_next(hop *h, uint32_t *at) {
    uint8_t *slot = h->memory + sizeof(ring_shared) + *at * bare_stride(h);
    *at = *at + 1 == bare_slots(h) ? 0 : *at + 1;
    return slot;
}

static uint32_t bare_send(hop *h, uint32_t count) {
    ring_shared *shared = (ring_shared *)h->memory;
    if (h->tail + count - h->head_seen > bare_slots(h)) {
        h->head_seen = atomic_load_explicit(&shared->head, memory_order_acquire);
        if (h->tail + count - h->head_seen > bare_slots(h)) return 0;
    }
    for (uint32_t i = 0; i < count; i++) memcpy(bare_next(h, &h->write_at), packets[i], h->size);
    h->tail += count;
    atomic_store_explicit(&shared->tail, h->tail, memory_order_release);
    return count;
}

static uint32_t bare_receive(hop *h) {
    ring_shared *shared = (ring_shared *)h->memory;
    uint32_t count = 0;
    for (;; count++) {
        if (h->head == h->tail_seen) h->tail_seen = atomic_load_explicit(&shared->tail, memory_order_acquire);
        if (h->head == h->tail_seen) return count;
        h->sum += read_bytes(bare_next(h, &h->read_at), h->size);
        atomic_store_explicit(&shared->head, ++h->head, memory_order_release);
    }
}

/* ---------------------------------------------------------------- UDP over loopback */

static void udp_open(hop *h) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int bytes = 4 << 20;
    must((h->in = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0)) >= 0, "socket");
    must((h->out = socket(AF_INET, SOCK_DGRAM, 0)) >= 0, "socket");
    setsockopt(h->in, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    must(bind(h->in, (struct sockaddr *)&address, length) == 0, "bind");
    must(getsockname(h->in, (struct sockaddr *)&address, &length) == 0, "getsockname");
    must(connect(h->out, (struct sockaddr *)&address, length) == 0, "connect");
    for (int i = 0; i < BATCH; i++) {
        h->out_bytes[i] = (struct iovec){packets[i], h->size};
        h->in_bytes[i] = (struct iovec){received[i], sizeof received[i]};
        h->outgoing[i].msg_hdr = (struct msghdr){.msg_iov = &h->out_bytes[i], .msg_iovlen = 1};
        h->incoming[i].msg_hdr = (struct msghdr){.msg_iov = &h->in_bytes[i], .msg_iovlen = 1};
    }
}

static uint32_t udp_send(hop *h, uint32_t count) {
    int sent = sendmmsg(h->out, h->outgoing, count, 0);
    return sent < 0 ? 0 : (uint32_t)sent;
}

static uint32_t udp_receive(hop *h) {
    int count = recvmmsg(h->in, h->incoming, BATCH, 0, NULL);
    for (int i = 0; i < count; i++) h->sum += read_bytes(received[i], h->size);
    return count < 0 ? 0 : (uint32_t)count;
}

static void udp_sleep(hop *h) {
    struct pollfd ready = {h->in, POLLIN, 0};
    must(poll(&ready, 1, -1) == 1, "poll");
}

static void udp_close(hop *h) {
    close(h->in);
    close(h->out);
}

/* ---------------------------------------------------------------- all three */

static const path RING = {"ring", ring_open, ring_send, ring_receive, ring_sleep, ring_close};
static const path BARE = {"bare", map_memory, bare_send, bare_receive, NULL, unmap_memory};
static const path UDP = {"udp", udp_open, udp_send, udp_receive, udp_sleep, udp_close};

/* To a CPU of its own, and before all other work there where that is allowed: the path is measured, not the queue for
 * the CPU. Timers of such a thread have no slack; those of the media thread have 50 µs. */
static void pin(int cpu) {
    struct sched_param first = {.sched_priority = 1};
    sched_setscheduler(0, SCHED_FIFO, &first);
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    must(sched_setaffinity(0, sizeof set, &set) == 0, "sched_setaffinity");
}

#endif
