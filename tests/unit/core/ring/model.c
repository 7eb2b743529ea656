/*
 * All interleavings of a writer and a reader, in the memory of model.h.
 *
 *     model SCENARIO [MUTANT]
 *
 * prints the number of states and ends with 0, or says what went wrong and ends with 1. A mutant weakens one memory
 * order of the header or leaves out one rule of the protocol; each must be found.
 */
#include "model.h"

/* ---------------------------------------------------------------- the two programs */

typedef struct {
    const char *name;
    uint64_t capacity;
    uint32_t lengths[4]; /* of the records */
    uint32_t records;
    uint32_t batch; /* records published together */
    uint32_t deaths[SIDES];
    uint32_t timeouts; /* times that the reader's sleep may end by itself */
    bool hear_late;    /* the reader looks into the ring before it clears the bell */
} Scenario;

static const Scenario SCENARIOS[] = {
    {"stream", 32, {8, 8, 8, 8}, 4, 1, {0, 0}, 0, false},
    {"stream-late", 32, {8, 8, 8, 8}, 4, 1, {0, 0}, 0, true},
    {"skip", 64, {8, 24, 24, 8}, 4, 1, {0, 0}, 0, false},
    {"batch", 64, {0, 24, 24, 16}, 4, 2, {0, 0}, 0, true},
    {"timeout", 32, {8, 8, 8}, 3, 1, {0, 0}, 2, false},
    {"timeout-late", 32, {8, 8, 8}, 3, 1, {0, 0}, 2, true},
    {"writer-dies", 64, {8, 24, 24}, 3, 1, {1, 0}, 0, false},
    {"writer-dies-late", 32, {8, 8, 8}, 3, 2, {1, 0}, 1, true},
    {"reader-dies", 64, {8, 24, 24}, 3, 1, {0, 1}, 0, false},
    {"reader-dies-late", 32, {8, 8, 8}, 3, 2, {0, 1}, 1, true},
};
static const Scenario *scenario;
static const char *mutant = "";

static bool is(const char *name) { return !strcmp(mutant, name); }

static uint32_t word_of(const void *at) { return (uint32_t)((const uint8_t *)at - memory - 192) / 8; }
static uint64_t content(uint64_t number, uint32_t word) { return number * 1000 + word; }

/* One record. They are numbered 1, 2, 3 …, those of a successor 101, 102, …; what finds no room is left out. */
static void write_one(Local *local, uint32_t life) {
    ring *w = &local->end;
    uint32_t turn = local->turn, length = scenario->lengths[turn];
    if (turn == 0) {
        ring_attach(w, memory, scenario->capacity, true);
        local->number = 1 + 100 * life;
    }
    uint8_t *place = ring_reserve(w, length);
    for (uint32_t word = 0; place && word < length / 8; word++)
        step(DATA_STORE, word_of(place) + word, content(local->number, word), 0);
    if (place) ring_commit(w, (uint32_t)local->number++, length);
    if (w->broken) step(DELIVER, 0, ~0ull, 0);
    if ((turn + 1) % scenario->batch && turn + 1 < scenario->records) return;
    if (ring_publish(w) && !is("no-bell")) step(RING_BELL, 0, 0, 0);
}

/* The next record; false when there is none. */
static bool take_one(ring *r) {
    uint32_t kind, length;
    const uint8_t *record = ring_peek(r, &kind, &length);
    bool good = true;
    if (r->broken) step(DELIVER, 0, ~0ull, 0);
    if (!record) return false;
    for (uint32_t word = 0; word < length / 8; word++)
        good &= step(DATA_LOAD, word_of(record) + word, 0, 0) == content(kind, word);
    step(DELIVER, 0, good ? kind : ~0ull, 0);
    ring_consume(r, length);
    return true;
}

static void read_one(Local *local) {
    ring *r = &local->end;
    if (local->turn == 0) ring_attach(r, memory, scenario->capacity, false);
    local->turn = 1;
    if (local->rung && !scenario->hear_late) {
        step(HEAR_BELL, 0, 0, 0);
        local->rung = false;
    }
    if (take_one(r)) {
        local->idle = 0;
        return;
    }
    if (local->rung) step(HEAR_BELL, 0, 0, 0);
    local->rung = false;
    if (ring_may_sleep(r) || is("no-second-look")) {
        if (is("hear-too-late")) step(HEAR_BELL, 0, 0, 0);
        local->rung = (uint32_t)step(WAIT_BELL, 0, 0, 0);
        local->idle = 0;
    } else if (++local->idle == 2) { /* neither a record nor sleep, twice */
        step(DELIVER, 0, ~0ull, 0);
    }
    ring_awake(r);
}

/* One turn of a side's loop; does not come back. */
static __attribute__((noinline, noreturn)) void turn(int side) {
    if (side == READER) {
        read_one(&replay.local);
    } else {
        if (replay.local.turn == scenario->records) step(DONE, 0, 0, 0);
        write_one(&replay.local, replay.thread->life);
        replay.local.turn++;
    }
    step(REST, 0, 0, 0);
    abort();
}

static Step next_step(const State *s, int side) {
    replay.thread = &s->threads[side];
    replay.local = replay.thread->local;
    replay.at = 0;
    if (!setjmp(replay.stop)) turn(side);
    return replay.next;
}

/* ---------------------------------------------------------------- mutants of memory orders */

static const struct {
    const char *name;
    int action;
    uint32_t variable;
    int from, to;
} WEAKER[] = {
    {"tail-store-release", STORE, TAIL, memory_order_seq_cst, memory_order_release},
    {"tail-store-relaxed", STORE, TAIL, memory_order_seq_cst, memory_order_relaxed},
    {"tail-look-relaxed", LOAD, TAIL, memory_order_acquire, memory_order_relaxed},
    {"tail-check-acquire", LOAD, TAIL, memory_order_seq_cst, memory_order_acquire},
    {"head-store-relaxed", STORE, HEAD, memory_order_release, memory_order_relaxed},
    {"head-look-relaxed", LOAD, HEAD, memory_order_acquire, memory_order_relaxed},
    {"asleep-store-release", STORE, ASLEEP, memory_order_seq_cst, memory_order_release},
    {"asleep-look-acquire", LOAD, ASLEEP, memory_order_seq_cst, memory_order_acquire},
};

static void mutate(Step *step) {
    for (size_t i = 0; i < sizeof WEAKER / sizeof *WEAKER; i++)
        if (is(WEAKER[i].name) && step->action == WEAKER[i].action && step->where == WEAKER[i].variable &&
            step->order == WEAKER[i].from)
            step->order = WEAKER[i].to;
}

/* ---------------------------------------------------------------- the search */

static uint64_t *visited, visited_count;
enum { VISITED_BITS = 24 };

static bool first_visit(State *s) {
    forget(s);
    const uint64_t *words = (const uint64_t *)s;
    uint64_t hash = 0x9E3779B97F4A7C15u;
    for (size_t i = 0; i < sizeof *s / 8; i++) {
        hash = (hash ^ words[i]) * 0xD6E8FEB86659FD93u;
        hash ^= hash >> 32;
    }
    hash += !hash;
    uint64_t mask = (1ull << VISITED_BITS) - 1, at = hash & mask;
    while (visited[at] && visited[at] != hash) at = (at + 1) & mask;
    if (visited[at]) return false;
    visited[at] = hash;
    if (++visited_count > mask / 2) {
        fprintf(stderr, "%s: too many states\n", scenario->name);
        exit(2);
    }
    return true;
}

static void fail(const State *s, const char *what) {
    fprintf(stderr, "%s %s: %s, after %u + %u steps\n", scenario->name, mutant, what, s->threads[0].steps,
            s->threads[1].steps);
    exit(1);
}

static void explore(State *s);

static void remember(State *s, int side, uint64_t value) {
    Thread *t = &s->threads[side];
    if (t->steps == MAX_STEPS) fail(s, "a side does not come to an end");
    t->read[t->steps++] = value;
}

/* Each record once and in order; a new reader gets the last one again, a new writer starts its own numbers. */
static void deliver(State *s, uint64_t number) {
    bool next = number == s->delivered + 1 || (number == 101 && s->delivered < 100);
    bool again = number == s->delivered && s->threads[READER].life == 1;
    if (!next && !again) fail(s, "a wrong record, or an honest side is called a liar");
    s->delivered = number;
}

static bool hooked_away(int side, const Step *step) { /* the store of a new writer to `asleep` */
    return is("silent-successor") && side == WRITER && step->action == STORE && step->where == ASLEEP;
}

/* All that can come of a step. */
static void take_step(const State *before, int side, const Step *step) {
    State s = *before;
    View *view = &s.threads[side].view;
    uint64_t value = 0;
    switch (step->action) {
    case LOAD:
    case SWAP:
        for (uint32_t i = oldest_readable(before, side, step); i < before->count[step->where]; i++) {
            s = *before;
            remember(&s, side, load(&s, side, step, i));
            if (step->action == SWAP && !store(&s, side, step)) fail(&s, "endless stores");
            explore(&s);
        }
        return;
    case STORE:
        if (!hooked_away(side, step) && !store(&s, side, step)) fail(&s, "endless stores");
        break;
    case DATA_LOAD:
    case DATA_STORE:
        if (!touch(&s, side, step->where)) fail(&s, "a race for the bytes of a record");
        if (step->action == DATA_LOAD) value = s.data[step->where];
        else s.data[step->where] = step->value;
        break;
    case RING_BELL:
        s.bell++;
        join(&s.bell_view, view);
        break;
    case WAIT_BELL:
        if (s.timeouts) { /* wakes by itself */
            s.timeouts--;
            remember(&s, side, 0);
            explore(&s);
            s = *before;
        }
        if (!s.bell) return;
        value = 1;
        join(view, &s.bell_view);
        break;
    case HEAR_BELL:
        s.bell = 0;
        join(view, &s.bell_view);
        break;
    case DELIVER:
        deliver(&s, step->value);
        break;
    case REST:
        memset(s.threads[side].read, 0, sizeof s.threads[side].read);
        s.threads[side].steps = 0;
        s.threads[side].local = step->local;
        explore(&s);
        return;
    case DONE:
        return;
    }
    remember(&s, side, value);
    explore(&s);
}

static void die(const State *before, int side) {
    State s = *before;
    memset(s.threads[side].read, 0, sizeof s.threads[side].read);
    memset(&s.threads[side].local, 0, sizeof s.threads[side].local);
    s.threads[side].steps = 0;
    s.threads[side].life = 1;
    s.deaths--;
    explore(&s);
}

static bool is_private(const Step *step) { /* commutes with whatever the other side does */
    return step->action == DATA_LOAD || step->action == DATA_STORE || step->action == DELIVER ||
           step->action == REST;
}

static void explore(State *s) {
    Step steps[SIDES];
    if (!first_visit(s)) return;
    for (int side = 0; side < SIDES; side++) {
        steps[side] = next_step(s, side);
        mutate(&steps[side]);
        if (is_private(&steps[side])) {
            if (s->deaths && scenario->deaths[side]) die(s, side);
            take_step(s, side, &steps[side]);
            return;
        }
        if (s->deaths && scenario->deaths[side]) die(s, side);
    }
    for (int side = 0; side < SIDES; side++) take_step(s, side, &steps[side]);
    if (steps[WRITER].action == DONE && steps[READER].action == WAIT_BELL && !s->bell) {
        uint64_t tail = s->values[TAIL][s->count[TAIL] - 1].value, head = s->values[HEAD][s->count[HEAD] - 1].value;
        if (tail != head) fail(s, "the reader sleeps and there are records");
        if (!s->delivered) fail(s, "nothing was delivered");
    }
}

int main(int count, char **words) {
    static State start;
    for (size_t i = 0; count > 1 && i < sizeof SCENARIOS / sizeof *SCENARIOS; i++)
        if (!strcmp(words[1], SCENARIOS[i].name)) scenario = &SCENARIOS[i];
    if (!scenario) {
        fprintf(stderr, "model SCENARIO [MUTANT]\n");
        return 2;
    }
    if (count > 2) mutant = words[2];
    visited = calloc(1ull << VISITED_BITS, sizeof *visited);
    memset(start.count, 1, sizeof start.count);
    start.deaths = scenario->deaths[WRITER] + scenario->deaths[READER];
    start.timeouts = scenario->timeouts;
    explore(&start);
    printf("%llu states\n", (unsigned long long)visited_count);
    return 0;
}
