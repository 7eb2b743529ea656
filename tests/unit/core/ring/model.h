/*
 * A small memory model in which ring.h is executed, operation by operation.
 *
 * Every atomic access of the header is replaced by a call (the macros below), so what is checked is the header's
 * own code with the memory orders that stand there. Memory keeps all values an atomic variable ever had; a load may
 * read any that its thread is not yet bound to have passed (C11 without load buffering):
 *
 *   - a thread has a view: the oldest value of each variable that it may still read, and a vector clock;
 *   - a release store leaves the view with the value, an acquire load takes it over, relaxed ones do neither;
 *   - sequentially consistent accesses moreover agree on one order for each variable;
 *   - bytes of records are plain data: an access that is not ordered behind the last access of the other side is a
 *     race, and a race is an error whether or not the values happened to be right.
 *
 * A program is replayed for each step: it is given the values it read before, and stops (longjmp) at the first access
 * that is new. At the top of its loop it rests: what it then knows is saved, and later replays start there. So a state is
 * data only: it is copied, hashed and compared, and the search (model.c) is a plain depth-first one.
 */
#ifndef RING_MODEL_H
#define RING_MODEL_H

#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#define atomic_load_explicit(at, order) access(LOAD, at, 0, order)
#define atomic_store_explicit(at, value, order) ((void)access(STORE, at, value, order))
#define atomic_exchange_explicit(at, value, order) access(SWAP, at, value, order)

enum { LOAD, STORE, SWAP, DATA_LOAD, DATA_STORE, RING_BELL, WAIT_BELL, HEAR_BELL, DELIVER, REST, DONE };
static uint64_t access(int action, const volatile void *address, uint64_t value, int order);

#include "ring.h"

enum { WRITER, READER, SIDES };
enum { TAIL, HEAD, ASLEEP, VARIABLES };
enum { MAX_VALUES = 20, MAX_STEPS = 40, MAX_WORDS = 16 };

typedef struct {
    ring end;
    uint64_t number; /* writer: of the next record */
    uint32_t turn;   /* of the program's loop */
    uint32_t rung;   /* reader: the bell has been heard */
    uint32_t idle;   /* reader: turns that gave neither a record nor sleep */
    uint32_t unused;
} Local;

typedef struct {
    int action;
    uint32_t where; /* a variable, or a word of data */
    uint64_t value;
    int order;
    Local local; /* REST: what is to be saved */
} Step;

typedef struct {
    uint8_t oldest[VARIABLES];
    uint8_t clock[SIDES];
} View;

typedef struct {
    uint64_t value;
    View view;
} Value;

typedef struct {
    Local local;              /* what the program knew when it rested last */
    uint64_t read[MAX_STEPS]; /* what each step since then gave back */
    uint32_t steps;
    uint32_t life; /* 0: the first of its side, 1: its successor */
    View view;
} Thread;

typedef struct {
    Value values[VARIABLES][MAX_VALUES];
    uint8_t count[VARIABLES];
    uint8_t agreed[VARIABLES]; /* sequentially consistent accesses read nothing older */
    Thread threads[SIDES];
    uint64_t data[MAX_WORDS];
    uint8_t touched[SIDES][MAX_WORDS]; /* clock of a side when it last touched the word */
    uint32_t bell;
    View bell_view;
    uint64_t delivered;
    uint32_t deaths, timeouts; /* still to come */
} State;

/* The thread that is being replayed. */
static struct {
    const Thread *thread;
    Local local;
    uint32_t at;
    Step next;
    jmp_buf stop;
} replay;

/* The memory of the ring, for its addresses only. */
static _Alignas(64) uint8_t memory[192 + MAX_WORDS * 8];

static uint64_t step(int action, uint32_t where, uint64_t value, int order) {
    if (replay.at < replay.thread->steps) return replay.thread->read[replay.at++];
    replay.next = (Step){action, where, value, order, replay.local};
    longjmp(replay.stop, 1);
}

static uint64_t access(int action, const volatile void *address, uint64_t value, int order) {
    size_t offset = (size_t)((const volatile uint8_t *)address - memory);
    if (offset < 192) return step(action, (uint32_t)(offset / 64), value, order);
    return step(action == LOAD ? DATA_LOAD : DATA_STORE, (uint32_t)(offset - 192) / 8, value, order);
}

static void join(View *into, const View *view) {
    for (int i = 0; i < VARIABLES; i++)
        if (view->oldest[i] > into->oldest[i]) into->oldest[i] = view->oldest[i];
    for (int i = 0; i < SIDES; i++)
        if (view->clock[i] > into->clock[i]) into->clock[i] = view->clock[i];
}

static bool acquires(int order) { return order != memory_order_relaxed && order != memory_order_release; }
static bool releases(int order) { return order != memory_order_relaxed && order != memory_order_acquire; }

static uint32_t oldest_readable(const State *s, int side, const Step *step) {
    uint32_t own = s->threads[side].view.oldest[step->where], agreed = s->agreed[step->where];
    if (step->action == SWAP) return s->count[step->where] - 1u;
    return step->order == memory_order_seq_cst && agreed > own ? agreed : own;
}

static uint64_t load(State *s, int side, const Step *step, uint32_t which) {
    View *view = &s->threads[side].view;
    const Value *value = &s->values[step->where][which];
    if (which > view->oldest[step->where]) view->oldest[step->where] = (uint8_t)which;
    if (acquires(step->order)) join(view, &value->view);
    if (step->order == memory_order_seq_cst && which > s->agreed[step->where]) s->agreed[step->where] = (uint8_t)which;
    return value->value;
}

static bool store(State *s, int side, const Step *step) {
    uint8_t which = s->count[step->where]++;
    View *view = &s->threads[side].view;
    if (which >= MAX_VALUES) return false;
    view->oldest[step->where] = which;
    Value *value = &s->values[step->where][which];
    value->value = step->value;
    memset(&value->view, 0, sizeof value->view);
    if (releases(step->order)) value->view = *view;
    if (step->order == memory_order_seq_cst) s->agreed[step->where] = which;
    return true;
}

/* Whether everything that the other side did to this word happened before. */
static bool touch(State *s, int side, uint32_t word) {
    View *view = &s->threads[side].view;
    s->touched[side][word] = ++view->clock[side];
    return view->clock[!side] >= s->touched[!side][word];
}

static uint8_t least(uint8_t a, uint8_t b) { return a < b ? a : b; }

static void forget_in(View *view, const View *known) {
    for (int i = 0; i < VARIABLES; i++)
        view->oldest[i] = view->oldest[i] > known->oldest[i] ? (uint8_t)(view->oldest[i] - known->oldest[i]) : 0;
}

static void forget_clock(View *view, const View *known) {
    for (int i = 0; i < SIDES; i++)
        if (view->clock[i] <= known->clock[i]) view->clock[i] = 0;
}

/* Drop what cannot matter any more, so that states that differ only in their past are one: values that nobody may read
 * again, and knowledge that both sides have. */
static void forget(State *s) {
    View known;
    for (int i = 0; i < VARIABLES; i++) known.oldest[i] = least(s->threads[0].view.oldest[i], s->threads[1].view.oldest[i]);
    for (int i = 0; i < SIDES; i++) known.clock[i] = least(s->threads[0].view.clock[i], s->threads[1].view.clock[i]);
    for (int i = 0; i < VARIABLES; i++) {
        uint8_t gone = known.oldest[i];
        s->count[i] -= gone;
        s->agreed[i] = s->agreed[i] > gone ? (uint8_t)(s->agreed[i] - gone) : 0;
        memmove(s->values[i], s->values[i] + gone, s->count[i] * sizeof(Value));
        memset(s->values[i] + s->count[i], 0, gone * sizeof(Value));
        for (uint8_t j = 0; j < s->count[i]; j++) {
            forget_in(&s->values[i][j].view, &known);
            forget_clock(&s->values[i][j].view, &known);
        }
    }
    for (int i = 0; i < SIDES; i++) forget_in(&s->threads[i].view, &known);
    forget_in(&s->bell_view, &known);
    forget_clock(&s->bell_view, &known);
    for (int i = 0; i < SIDES; i++)
        for (int word = 0; word < MAX_WORDS; word++)
            if (s->touched[i][word] <= s->threads[!i].view.clock[i]) s->touched[i][word] = 0;
}

#endif
