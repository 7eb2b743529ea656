/* One thread, both ends: every offset, every length, every border. Argument: the name of a test. */
#include "check.h"

#define CAPACITY 128u
#define LONGEST (CAPACITY / 2 - RING_WORD)

static const uint64_t STARTS[] = {0, CAPACITY, (1ull << 32) - CAPACITY, 1ull << 32, (1ull << 63) + 5 * CAPACITY};
#define EACH_START(s, offset)                                             \
    for (unsigned s = 0; s < sizeof STARTS / sizeof *STARTS; s++)         \
        for (uint64_t offset = 0; offset < CAPACITY; offset += RING_WORD)

static bool put(ring *w, uint64_t number, uint32_t length) {
    uint8_t *place = ring_reserve(w, length);
    if (!place) return false;
    CHECK((uintptr_t)place % 8 == 0);
    CHECK(place >= w->data + RING_WORD && place + length <= w->data + w->capacity);
    fill(place, length, number);
    ring_commit(w, (uint32_t)number, length);
    return true;
}

/* The next record is this one. */
static void take(ring *r, uint64_t number, uint32_t length) {
    uint32_t kind = 99, size = 99;
    const uint8_t *record = ring_peek(r, &kind, &size);
    CHECK(record != NULL);
    CHECK(kind == (uint32_t)number && size == length);
    CHECK(filled(record, length, number));
    CHECK(ring_peek(r, &kind, &size) == record); /* looking again changes nothing */
    ring_consume(r, size);
}

static void nothing(ring *r) {
    uint32_t kind, length;
    CHECK(ring_peek(r, &kind, &length) == NULL);
    CHECK(!r->broken);
}

/* Three records of a length, at every offset, so that each of them is the one that meets the end. */
static void lengths(void) {
    EACH_START(s, offset) for (uint32_t length = 0; length <= LONGEST; length++) {
        ring w, r;
        void *memory = new_ring(&w, &r, CAPACITY, STARTS[s] + offset);
        for (uint64_t n = 0; n < 3; n++) {
            CHECK(put(&w, n, length));
            nothing(&r); /* committed is not published */
            ring_publish(&w);
            CHECK(ring_used(&w) >= ring_padded(length));
            take(&r, n, length);
            nothing(&r);
            CHECK(ring_used(&w) == 0);
        }
        CHECK(w.refused == 0);
        free(memory);
    }
}

/* A record too long for the rest of the buffer starts at its beginning; the rest carries a SKIP word, wherever it is. */
static void skips(void) {
    EACH_START(s, offset) for (uint32_t length = 0; length <= LONGEST; length++) {
        uint64_t rest = CAPACITY - offset, need = ring_padded(length);
        ring w, r;
        uint8_t *memory = new_ring(&w, &r, CAPACITY, STARTS[s] + offset);
        uint8_t *data = memory + sizeof(ring_shared);
        CHECK(put(&w, 7, length));
        ring_publish(&w);
        uint32_t first;
        memcpy(&first, data + offset, 4);
        CHECK(first == (need > rest ? RING_SKIP : length));
        CHECK(w.position == STARTS[s] + offset + need + (need > rest ? rest : 0));
        take(&r, 7, length);
        CHECK(r.position == w.position);
        free(memory);
    }
}

/* A reservation that is given up leaves at most a SKIP behind, and the longest record still fits. */
static void given_up(void) {
    EACH_START(s, offset) {
        ring w, r;
        void *memory = new_ring(&w, &r, CAPACITY, STARTS[s] + offset);
        CHECK(ring_reserve(&w, LONGEST));
        ring_publish(&w);
        nothing(&r);
        CHECK(ring_may_sleep(&r));
        CHECK(put(&w, 1, LONGEST));
        CHECK(ring_publish(&w));
        take(&r, 1, LONGEST);
        CHECK(ring_reserve(&w, LONGEST)); /* and a shorter one in the place of a longer one */
        CHECK(put(&w, 2, 0));
        ring_publish(&w);
        take(&r, 2, 0);
        free(memory);
    }
}

/* A record may turn out shorter than reserved. */
static void shorter(void) {
    EACH_START(s, offset) for (uint32_t length = 0; length <= LONGEST; length++) {
        ring w, r;
        void *memory = new_ring(&w, &r, CAPACITY, STARTS[s] + offset);
        for (uint64_t n = 0; n < 2; n++) {
            uint8_t *place = ring_reserve(&w, LONGEST);
            CHECK(place);
            fill(place, length, n);
            ring_commit(&w, (uint32_t)n, length);
            CHECK(w.position - r.position <= LONGEST + RING_WORD + ring_padded(length));
            ring_publish(&w);
            take(&r, n, length);
        }
        nothing(&r);
        free(memory);
    }
}

/* Full to the last byte, refused without harm, and free again byte by byte. */
static void full(void) {
    EACH_START(s, offset) for (uint32_t length = 0; length <= LONGEST; length++) {
        ring w, r;
        void *memory = new_ring(&w, &r, CAPACITY, STARTS[s] + offset);
        uint64_t written = 0, read = 0;
        while (put(&w, written, length)) written++;
        CHECK(written >= 1 && w.refused == 1 && !w.broken);
        CHECK(w.position - r.position <= CAPACITY);
        if (CAPACITY % ring_padded(length) == 0 && offset % ring_padded(length) == 0)
            CHECK(w.position - r.position == CAPACITY);
        CHECK(!put(&w, written, length));
        CHECK(w.refused == 2);
        ring_publish(&w);
        take(&r, read++, length);
        while (put(&w, written, length)) written++;
        ring_publish(&w);
        while (read < written) take(&r, read++, length);
        nothing(&r);
        CHECK(w.refused == 3 && ring_used(&w) == 0);
        CHECK(put(&w, written, length));
        free(memory);
    }
}

static void too_long(void) {
    ring w, r;
    void *memory = new_ring(&w, &r, CAPACITY, 0);
    const uint32_t lengths[] = {LONGEST + 1, CAPACITY, 0x7FFFFFFF, 0xFFFFFFF8, RING_SKIP};
    for (uint64_t i = 0; i < 5; i++) {
        CHECK(ring_reserve(&w, lengths[i]) == NULL);
        CHECK(w.refused == i + 1 && w.position == 0 && !w.broken);
    }
    CHECK(put(&w, 0, LONGEST));
    free(memory);
}

/* Random traffic against the plainest model: which words of the buffer are taken, and a queue of lengths. */
static void random_traffic(void) {
    enum { WORDS = CAPACITY / RING_WORD };
    uint64_t seed = 1;
    for (unsigned round = 0; round < 300; round++) {
        ring w, r;
        uint64_t at = next_random(&seed) % WORDS;
        void *memory = new_ring(&w, &r, CAPACITY, (1ull << 32) - CAPACITY + at * RING_WORD);
        uint32_t lengths[1024];
        uint64_t ends[1024], written = 0, published = 0, read = 0, skipped, used = 0, end = at;
        while (written < 1000) {
            uint32_t length = (uint32_t)(next_random(&seed) % (LONGEST + 1));
            uint64_t words = ring_padded(length) / RING_WORD;
            skipped = end % WORDS + words > WORDS ? WORDS - end % WORDS : 0;
            bool fits = used + skipped + words <= WORDS;
            uint64_t refused = w.refused;
            CHECK(put(&w, written, length) == fits);
            CHECK(w.refused == refused + !fits);
            if (fits) {
                used += skipped + words;
                end += skipped + words;
                ends[written] = end;
                lengths[written++] = length;
            }
            if (next_random(&seed) % 2) {
                ring_publish(&w);
                published = written;
            }
            for (uint64_t n = next_random(&seed) % 4; n && read < published; n--, read++) {
                take(&r, read, lengths[read]);
                used = end - ends[read];
            }
            if (read == published) nothing(&r);
            CHECK(ring_used(&w) == used * RING_WORD || read == 0);
        }
        free(memory);
    }
}

static void doorbell(void) {
    ring w, r;
    void *memory = new_ring(&w, &r, CAPACITY, 0);
    put(&w, 0, 8);
    CHECK(ring_publish(&w));  /* a new writer rings once in any case */
    CHECK(!ring_publish(&w)); /* then only for a reader that sleeps */
    CHECK(!ring_may_sleep(&r));
    ring_awake(&r);
    CHECK(!ring_publish(&w));
    take(&r, 0, 8);
    CHECK(ring_may_sleep(&r));
    put(&w, 1, 8);
    CHECK(ring_publish(&w));
    CHECK(!ring_publish(&w)); /* once for each sleep */
    take(&r, 1, 8);
    CHECK(ring_may_sleep(&r));
    ring_awake(&r);
    CHECK(!ring_publish(&w));
    free(memory);
}

/* Either side may be replaced at any time: what was published stays, what was not is gone. */
static void successors(void) {
    EACH_START(s, offset) {
        ring w, r;
        void *memory = new_ring(&w, &r, CAPACITY, STARTS[s] + offset);
        put(&w, 0, 20);
        put(&w, 1, 12);
        ring_publish(&w);
        put(&w, 2, 5);
        take(&r, 0, 20);
        ring_attach(&w, memory, CAPACITY, true);
        ring_attach(&r, memory, CAPACITY, false);
        CHECK(!w.broken && !r.broken);
        put(&w, 3, 9);
        CHECK(ring_publish(&w));
        take(&r, 1, 12);
        take(&r, 3, 9);
        nothing(&r);
        free(memory);
    }
}

/* Whoever attaches believes neither number: they must be multiples of 8 and not further apart than the capacity. */
static void attach(void) {
    ring_shared *shared = new_memory(CAPACITY);
    const uint64_t far = 1ull << 40;
    const struct { uint64_t tail, head, capacity; bool good; } cases[] = {
        {0, 0, CAPACITY, true}, {far, far, CAPACITY, true}, {far + CAPACITY, far, CAPACITY, true},
        {far + CAPACITY + 8, far, CAPACITY, false}, {far, far + 8, CAPACITY, false}, {far, 0, CAPACITY, false},
        {far + 4, far, CAPACITY, false}, {far + 8, far + 1, CAPACITY, false}, {far + 1, far + 1, CAPACITY, false},
        {0, 0, 0, false}, {0, 0, 8, false}, {0, 0, 24, false}, {0, 0, 1ull << 33, false}, {0, 0, 1ull << 32, true},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int writer = 0; writer < 2; writer++) {
            ring side;
            uint32_t kind, length;
            shared->tail = cases[i].tail;
            shared->head = cases[i].head;
            ring_attach(&side, shared, cases[i].capacity, writer);
            CHECK(side.broken == !cases[i].good);
            if (cases[i].good) continue;
            CHECK(ring_reserve(&side, 0) == NULL);
            CHECK(ring_peek(&side, &kind, &length) == NULL);
        }
    free(shared);
}

/* Each lie of a writer that a reader can notice stops it; the reader may then sleep and costs nothing. */
static void lying_writer(void) {
    const uint32_t half = CAPACITY / 2;
    const struct { uint64_t start, tail, word; } lies[] = {
        {0, 4, 0}, {0, CAPACITY + 8, 0}, {256, 248, 0}, {0, ~7ull, 0},         /* tails */
        {0, 16, 9}, {0, 16, 0xFFFFFFFE}, {0, 16, 0x7FFFFFFF}, {0, 8, 1},       /* longer than what is published */
        {half, CAPACITY, half - 7}, {half, half + CAPACITY, half + 8},         /* longer than the rest of the buffer */
        {0, CAPACITY, RING_SKIP}, {half, CAPACITY, RING_SKIP},                 /* skips of half the buffer or more */
        {half + 8, CAPACITY - 8, RING_SKIP},                                   /* a skip of more than is published */
    };
    for (unsigned i = 0; i < sizeof lies / sizeof *lies; i++) {
        ring w, r;
        uint32_t kind, length;
        ring_shared *shared = new_ring(&w, &r, CAPACITY, lies[i].start);
        memcpy((uint8_t *)(shared + 1) + lies[i].start % CAPACITY, &lies[i].word, 8);
        shared->tail = lies[i].tail;
        CHECK(ring_peek(&r, &kind, &length) == NULL);
        CHECK(r.broken);
        CHECK(r.position == lies[i].start && shared->head == lies[i].start);
        CHECK(ring_may_sleep(&r));
        free(shared);
    }
}

static void lying_reader(void) {
    const uint64_t start = 1ull << 20, lies[] = {start - 8, start - 1, start + CAPACITY + 8, 0, ~7ull};
    for (unsigned i = 0; i < 5; i++) {
        ring w, r;
        ring_shared *shared = new_ring(&w, &r, CAPACITY, start);
        while (put(&w, 0, 8)) {}
        CHECK(!w.broken);
        shared->head = lies[i];
        CHECK(!put(&w, 0, 8));
        CHECK(w.broken && w.refused == 2);
        CHECK(ring_used(&w) <= CAPACITY);
        shared->head = w.position; /* too late */
        CHECK(!put(&w, 0, 8));
        free(shared);
    }
}

int main(int count, char **names) {
    static const struct { const char *name; void (*run)(void); } tests[] = {
        {"lengths", lengths}, {"skips", skips}, {"given_up", given_up}, {"shorter", shorter}, {"full", full},
        {"too_long", too_long}, {"random_traffic", random_traffic}, {"doorbell", doorbell}, {"successors", successors},
        {"attach", attach}, {"lying_writer", lying_writer}, {"lying_reader", lying_reader},
    };
    for (unsigned i = 0; i < sizeof tests / sizeof *tests; i++)
        if (count > 1 && !strcmp(names[1], tests[i].name)) {
            tests[i].run();
            return 0;
        }
    fprintf(stderr, "unit TEST\n");
    return 2;
}
