/*
 * What it costs to hand a packet to another core: CPU time of both sides, for each record.
 *
 *     hops ROUNDS        one line a case and round: path, reader, size, burst, ns
 *
 * A running reader polls, and only what moves records is counted, not the polls that found nothing. A sleeping reader
 * has nothing to do between bursts: everything that its thread spends is counted.
 */
#include "paths.h"

enum { RUNNING = 200 * BATCH, PAUSE_US = 200 };

static int64_t clock_cost_ns;
static _Atomic uint32_t arrived;

static int64_t cpu_ns(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

static void *reader(void *argument) {
    hop *h = argument;
    uint32_t got = 0;
    pin(1);
    int64_t began = cpu_ns();
    while (got < h->total) {
        int64_t start = h->sleeping ? 0 : cpu_ns();
        uint32_t count = h->path->receive(h);
        if (count && !h->sleeping) h->reader_ns += cpu_ns() - start - clock_cost_ns;
        got += count;
        if (count) atomic_store(&arrived, got);
        else if (h->sleeping) h->path->sleep(h);
        else sched_yield();
    }
    if (h->sleeping) h->reader_ns = cpu_ns() - began;
    return NULL;
}

static void send_all(hop *h) {
    for (uint32_t sent = 0; sent < h->total;) {
        while (sent - atomic_load(&arrived) > 8 * BATCH) sched_yield(); /* no socket buffer runs over */
        int64_t start = cpu_ns();
        uint32_t count = h->path->send(h, h->burst);
        if (count) h->sender_ns += cpu_ns() - start - clock_cost_ns;
        sent += count;
        if (h->sleeping) usleep(PAUSE_US);
    }
}

static void measure(const path *path, bool sleeping, uint32_t size, uint32_t burst) {
    static hop h;
    pthread_t thread;
    memset(&h, 0, sizeof h);
    h.path = path;
    h.sleeping = sleeping;
    h.size = size;
    h.burst = burst;
    h.total = sleeping ? 100 * burst : RUNNING;
    path->open(&h);
    atomic_store(&arrived, 0);
    must(pthread_create(&thread, NULL, reader, &h) == 0, "pthread_create");
    pin(0);
    if (sleeping) usleep(PAUSE_US);
    send_all(&h);
    pthread_join(thread, NULL);
    path->close(&h);
    must(h.sum == read_bytes(packets[0], size) * h.total, "what arrived");
    printf("%s %s %u %u %.1f\n", path->name, sleeping ? "sleeping" : "running", size, burst,
           (double)(h.sender_ns + h.reader_ns) / h.total);
}

int main(int count, char **words) {
    static const uint32_t sizes[] = {200, 1200}, bursts[] = {1, 8, BATCH};
    for (int i = 0; i < BATCH; i++) memset(packets[i], 0x5A, sizeof packets[i]);
    int64_t start = cpu_ns();
    for (int i = 0; i < 1000; i++) cpu_ns();
    clock_cost_ns = (cpu_ns() - start) / 1001;
    for (int round = count > 1 ? atoi(words[1]) : 1; round > 0; round--)
        for (int s = 0; s < 2; s++) {
            for (int b = 1; b < 3; b++) {
                measure(&BARE, false, sizes[s], bursts[b]);
                measure(&RING, false, sizes[s], bursts[b]);
                measure(&UDP, false, sizes[s], bursts[b]);
            }
            for (int b = 0; b < 3; b++) {
                measure(&RING, true, sizes[s], bursts[b]);
                measure(&UDP, true, sizes[s], bursts[b]);
            }
        }
    return 0;
}
