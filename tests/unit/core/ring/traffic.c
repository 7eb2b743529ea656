/*
 * Real traffic: two threads on one mapping, two processes on one memfd, or processes that are killed again and again.
 *
 *     traffic threads|processes RECORDS SEED
 *     traffic killed DEATHS SEED
 *
 * The reader sleeps on an eventfd without a time limit, so a lost wake-up never ends (the alarm ends it). Every record
 * is numbered and its bytes follow from its number; none may be missing, doubled or changed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { CAPACITY = 8192, LONGEST = CAPACITY / 2 - RING_WORD, END = 0xE4D, PATIENCE_S = 60 };

/* What outlives a killed process, beside the ring. */
typedef struct {
    _Atomic uint64_t delivered; /* the last number, plus one */
    _Atomic uint64_t sleeps;
    _Atomic uint32_t finish;
} Outside;

typedef struct {
    void *memory;
    int bell;
    Outside *outside;
    uint64_t first, records, seed;
} Side;

static void dawdle(uint64_t *seed) {
    uint64_t n = next_random(seed) % 256;
    if (n == 0) usleep((useconds_t)(next_random(seed) % 100));
    else if (n < 8) sched_yield();
}

static void ring_bell(int bell) {
    uint64_t one = 1;
    CHECK(write(bell, &one, 8) == 8);
}

static void hear_bell(int bell) {
    uint64_t count;
    CHECK(read(bell, &count, 8) == 8 || errno == EAGAIN);
}

static uint8_t *reserve(ring *w, uint32_t length, int bell) {
    uint8_t *place;
    while (!(place = ring_reserve(w, length))) {
        CHECK(!w->broken);
        if (ring_publish(w)) ring_bell(bell);
        sched_yield();
    }
    return place;
}

static void *write_all(void *argument) {
    Side *side = argument;
    ring w;
    uint64_t seed = side->seed;
    ring_attach(&w, side->memory, CAPACITY, true);
    CHECK(!w.broken);
    for (uint64_t i = 0; i < side->records && !atomic_load(&side->outside->finish); i++) {
        uint64_t n = side->first + i;
        uint32_t length = 8 + (uint32_t)(next_random(&seed) % (n % 16 ? 200 : LONGEST - 7));
        uint8_t *place = reserve(&w, length, side->bell);
        memcpy(place, &n, 8);
        fill(place + 8, length - 8, n);
        ring_commit(&w, (uint32_t)n, length);
        if (next_random(&seed) % 4 == 0 && ring_publish(&w)) ring_bell(side->bell);
        dawdle(&seed);
    }
    reserve(&w, 0, side->bell);
    ring_commit(&w, END, 0);
    if (ring_publish(&w)) ring_bell(side->bell);
    return NULL;
}

/* The next number, the first of a new writer, or for a new reader once more the last one. */
static void deliver(Outside *outside, uint64_t n, bool first) {
    uint64_t expected = atomic_load(&outside->delivered);
    bool new_writer = (uint32_t)n == 0 && n >= expected;
    CHECK(n == expected || new_writer || (first && n + 1 == expected));
    atomic_store(&outside->delivered, n + 1);
}

static void *read_all(void *argument) {
    Side *side = argument;
    ring r;
    uint32_t kind, length;
    uint64_t seed = ~side->seed, n;
    bool first = true;
    ring_attach(&r, side->memory, CAPACITY, false);
    for (;;) {
        const uint8_t *record;
        while ((record = ring_peek(&r, &kind, &length))) {
            if (kind == END && length == 0) return NULL;
            CHECK(length >= 8);
            memcpy(&n, record, 8);
            CHECK((uint32_t)n == kind && filled(record + 8, length - 8, n));
            deliver(side->outside, n, first);
            first = false;
            ring_consume(&r, length);
            dawdle(&seed);
        }
        CHECK(!r.broken);
        hear_bell(side->bell);
        if (ring_may_sleep(&r)) {
            struct pollfd ready = {side->bell, POLLIN, 0};
            atomic_fetch_add(&side->outside->sleeps, 1);
            CHECK(poll(&ready, 1, -1) == 1);
        }
        ring_awake(&r);
    }
}

static void *map(int fd, size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

/* Sealed, so that neither side can take the pages away under the other. */
static int sealed_memory(void) {
    int fd = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)ring_bytes(CAPACITY)) == 0);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
    CHECK(ftruncate(fd, 0) == -1);
    return fd;
}

static pid_t start(void *(*run)(void *), Side *side, int fd) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child) return child;
    alarm(PATIENCE_S);
    side->memory = map(fd, ring_bytes(CAPACITY));
    run(side);
    _exit(0);
}

static void ended_well(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void killed(pid_t child) {
    int status;
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void threads(Side *side) {
    pthread_t reader, writer;
    side->memory = map(-1, ring_bytes(CAPACITY));
    CHECK(pthread_create(&reader, NULL, read_all, side) == 0 && pthread_create(&writer, NULL, write_all, side) == 0);
    CHECK(pthread_join(writer, NULL) == 0 && pthread_join(reader, NULL) == 0);
}

static void processes(Side *side) {
    int fd = sealed_memory();
    pid_t reader = start(read_all, side, fd), writer = start(write_all, side, fd);
    ended_well(writer);
    ended_well(reader);
}

/* A successor's numbers start at its life << 32. */
static void deaths(Side *side, uint64_t count) {
    int fd = sealed_memory();
    pid_t reader = start(read_all, side, fd), writer = start(write_all, side, fd);
    uint64_t seed = side->seed;
    for (uint64_t life = 1; life <= count; life++) {
        usleep((useconds_t)(next_random(&seed) % 2000));
        side->seed++;
        if (life % 3 != 0) killed(writer);
        if (life % 3 != 1) killed(reader);
        side->first = life << 32;
        if (life % 3 != 0) writer = start(write_all, side, fd);
        if (life % 3 != 1) reader = start(read_all, side, fd);
    }
    usleep(2000);
    atomic_store(&side->outside->finish, 1);
    ended_well(writer);
    ended_well(reader);
}

int main(int count, char **words) {
    if (count != 4) return 2;
    uint64_t number = strtoull(words[2], NULL, 0);
    Side side = {.outside = map(-1, sizeof(Outside)), .seed = strtoull(words[3], NULL, 0), .records = number};
    side.bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(side.bell >= 0);
    alarm(PATIENCE_S);
    if (!strcmp(words[1], "threads")) {
        threads(&side);
    } else if (!strcmp(words[1], "processes")) {
        processes(&side);
    } else {
        side.records = ~0ull;
        deaths(&side, number);
    }
    uint64_t delivered = atomic_load(&side.outside->delivered);
    printf("delivered %llu.%llu, sleeps %llu\n", (unsigned long long)(delivered >> 32),
           (unsigned long long)(uint32_t)delivered, (unsigned long long)atomic_load(&side.outside->sleeps));
    CHECK(side.records == ~0ull ? delivered >> 32 > 0 : delivered == number);
    CHECK(atomic_load(&side.outside->sleeps) > 0);
    return 0;
}
