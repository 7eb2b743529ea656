/*
 * How long a packet is on its way to another core: from before it is written until its last byte was read there.
 *
 *     latency ROUNDS     one line a case and round: path, reader, size, µs between packets, p50, p99, longest (ns)
 *
 * A running reader polls. A sleeping one sleeps for each packet. The reader "engine" waits as the media thread does
 * (sfu_core/_loop.pyx): it sleeps for a packet, but woken more than WAKES_PER_MS times in a millisecond it sleeps
 * TICK_NS at a time, until EMPTY_TICKS of them have brought nothing.
 */
#include "paths.h"

enum { MOST = 3000, MS_NS = 1000000 };
typedef enum { RUNS, SLEEPS, ENGINE } how;
static const char *const NAMES[] = {"running", "sleeping", "engine"};

typedef struct {
    hop way;
    how reader;
    uint32_t total, got;
    int64_t window_ns;
    uint32_t wakes, empty;
    bool ticking, heard;
} flight;

static int64_t sent_ns[MOST], delays[MOST];

static int64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

static void wait_as_the_engine(flight *f) {
    struct timespec tick = {0, TICK_NS};
    if (f->ticking) {
        nanosleep(&tick, NULL);
        f->empty = f->heard ? 0 : f->empty + 1;
        f->ticking = f->empty < EMPTY_TICKS;
        return;
    }
    f->way.path->sleep(&f->way);
    if (now_ns() - f->window_ns > MS_NS) {
        f->window_ns = now_ns();
        f->wakes = 0;
    }
    if (++f->wakes > WAKES_PER_MS) {
        f->ticking = true;
        f->empty = 0;
    }
}

static void *reader(void *argument) {
    flight *f = argument;
    pin(1);
    while (f->got < f->total) {
        uint32_t count = f->way.path->receive(&f->way);
        int64_t now = count ? now_ns() : 0;
        for (uint32_t i = 0; i < count; i++) delays[f->got + i] = now - sent_ns[f->got + i];
        f->got += count;
        f->heard = count > 0;
        if (f->got == f->total || f->reader == RUNS) continue;
        if (f->reader == ENGINE) wait_as_the_engine(f);
        else if (!count) f->way.path->sleep(&f->way);
    }
    return NULL;
}

/* A sender that is late does not catch up: the next packet is a whole gap later. */
static void send_all(flight *f, uint32_t gap_us) {
    for (uint32_t sent = 0; sent < f->total; sent++) {
        if (f->reader == RUNS)
            for (int64_t until = now_ns() + gap_us * 1000ll; now_ns() < until;) continue;
        else
            usleep(gap_us);
        sent_ns[sent] = now_ns();
        while (f->way.path->send(&f->way, 1) != 1) sched_yield();
    }
}

static int ascending(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void measure(const path *path, how reader_is, uint32_t size, uint32_t gap_us, uint32_t total) {
    static flight f;
    pthread_t thread;
    memset(&f, 0, sizeof f);
    f.way.path = path;
    f.way.size = size;
    f.way.burst = 1;
    f.reader = reader_is;
    f.total = total;
    path->open(&f.way);
    must(pthread_create(&thread, NULL, reader, &f) == 0, "pthread_create");
    pin(0);
    usleep(10000);
    send_all(&f, gap_us);
    pthread_join(thread, NULL);
    path->close(&f.way);
    must(f.way.sum == read_bytes(packets[0], size) * total, "what arrived");
    qsort(delays, total, sizeof delays[0], ascending);
    printf("%s %s %u %u %lld %lld %lld\n", path->name, NAMES[reader_is], size, gap_us, (long long)delays[total / 2],
           (long long)delays[total - total / 100 - 1], (long long)delays[total - 1]);
}

int main(int count, char **words) {
    static const uint32_t sizes[] = {200, 1200};
    const path *paths[] = {&RING, &UDP};
    for (int i = 0; i < BATCH; i++) memset(packets[i], 0x5A, sizeof packets[i]);
    for (int round = count > 1 ? atoi(words[1]) : 1; round > 0; round--)
        for (int s = 0; s < 2; s++)
            for (int p = 0; p < 2; p++) {
                for (int i = 0; i < 4; i++) measure(paths[p], RUNS, sizes[s], 20, 1000);
                measure(paths[p], SLEEPS, sizes[s], 1000, 300);
                measure(paths[p], ENGINE, sizes[s], 1000, 300);
                measure(paths[p], ENGINE, sizes[s], 100, MOST);
            }
    return 0;
}
