/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lies about answers: each row of abi/ocall.def is told each lie that the type of its answer allows. The
 * lie comes instead of the service, at every call of that row (test_enclave_rows.c makes them). A row that
 * no lie fits fails the test. Untrusted side, test only.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/adversary/lies.h"

enum answer_kind { NOTHING, COUNT, DESCRIPTOR, VALUE };

static const struct row {
    const char *name;
    enum answer_kind kind;
    uint64_t number;
} g_rows[] = {
#define OCALL(name, result, errors, needs) { #name, result, OCALL_##name },
#include "abi/ocall.def"
#undef OCALL
};

static bool is_row(const struct row *r, const char *name)
{
    return strcmp(r->name, name) == 0;
}

/* They do not come back; an answer to them is a lie in itself. */
static bool is_end(const struct row *r)
{
    return is_row(r, "exit") || is_row(r, "panic") || is_row(r, "thread_exit");
}

/* How much was asked for, of a COUNT row. */
static uint64_t asked(const struct row *r, const struct ocall_frame *f)
{
    return is_row(r, "poll") || is_row(r, "host_file") ? f->args[0] : f->args[1];
}

static uint64_t next_random(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* An answer that is right in form, for lies about something else. */
static int64_t plain_result(const struct row *r, const struct ocall_frame *f)
{
    return r->kind == COUNT ? (int64_t)MIN(asked(r, f), 16) : r->kind == DESCRIPTOR ? 9 : 0;
}

/* ---- the lies; n counts from 0 ---- */

static void tell_errors(const struct row *r, struct ocall_frame *f, unsigned n)
{
    static const int64_t strange[] = { -512,      -513,          -4095,
                                       -4096,     -100000,       INT32_MIN,
                                       INT64_MIN, INT64_MIN + 1, -(1ll << 32) - EAGAIN };

    f->result = n < 140 ? -(int64_t)n - 1 : strange[n % ARRAY_COUNT(strange)];
}

static void tell_eintr(const struct row *r, struct ocall_frame *f, unsigned n)
{
    f->result = -EINTR;
}

static void tell_positive(const struct row *r, struct ocall_frame *f, unsigned n)
{
    static const int64_t results[] = { 1, 2, 1ll << 32, INT64_MAX };

    f->result = results[n % ARRAY_COUNT(results)];
}

static void tell_done(const struct row *r, struct ocall_frame *f, unsigned n)
{
    f->result = 0;
}

static void tell_one_more(const struct row *r, struct ocall_frame *f, unsigned n)
{
    f->result = (int64_t)asked(r, f) + 1;
}

static void tell_much(const struct row *r, struct ocall_frame *f, unsigned n)
{
    f->result = INT64_MAX;
}

static void tell_wrapped(const struct row *r, struct ocall_frame *f, unsigned n)
{
    f->result = (1ll << 32) + 1;
}

static void tell_full(const struct row *r, struct ocall_frame *f, unsigned n)
{
    memset(f->buffer, 0xff, LIE_BUFFER_SIZE);
    f->result = (int64_t)asked(r, f);
}

/* The host writes larger arguments over those that it was given, and answers to these. */
static void tell_grown(const struct row *r, struct ocall_frame *f, unsigned n)
{
    for (unsigned i = 0; i < OCALL_ARGS_MAX; i++)
        f->args[i] = OCALL_BUFFER_SIZE;
    f->number = OCALL_read;
    f->result = OCALL_BUFFER_SIZE;
}

static void tell_descriptor(const struct row *r, struct ocall_frame *f, unsigned n)
{
    static const int64_t results[] = { OCALL_DESCRIPTOR_MAX + 1ll, 1ll << 31, (1ll << 32) + 4,
                                       INT64_MAX };

    f->result = results[n % ARRAY_COUNT(results)];
}

static void tell_out(const struct row *r, struct ocall_frame *f, unsigned n)
{
    static const uint64_t words[] = { UINT64_MAX, LIBOS_BASE,         1ull << 31, 1ull << 32,
                                      1ull << 63, 0xffff800000000000, 129,        LIBOS_HEAP_ADDR };

    for (unsigned i = 0; i < 4; i++)
        f->out[i] = words[(n + i) % ARRAY_COUNT(words)];
    f->result = plain_result(r, f);
}

static void tell_buffer(const struct row *r, struct ocall_frame *f, unsigned n)
{
    uint64_t *words = (uint64_t *)f->buffer;

    for (unsigned i = 0; i < LIE_BUFFER_SIZE / 8; i++)
        words[i] = n % 3 == 0 ? UINT64_MAX : n % 3 == 1 ? LIBOS_BASE + i : next_random();
    f->out[0] = 8;
    f->result = plain_result(r, f);
}

static void tell_wild(const struct row *r, struct ocall_frame *f, unsigned n)
{
    uint64_t *words = (uint64_t *)f->buffer;
    uint64_t any = next_random();

    for (unsigned i = 0; i < 64; i++)
        words[i] = words[OCALL_STAT_OFF / 8 + i] = next_random() >> (i & 31);
    for (unsigned i = 0; i < 4; i++)
        f->out[i] = next_random() >> (any & 63);
    f->signals = next_random();
    f->result = any & 1                 ? -(int64_t)(next_random() % 140)
                : r->kind == COUNT      ? (int64_t)(next_random() % (asked(r, f) + 1))
                : r->kind == DESCRIPTOR ? (int64_t)next_random()
                                        : (int64_t)(next_random() % 3);
}

static void tell_signals(const struct row *r, struct ocall_frame *f, unsigned n)
{
    f->result = plain_result(r, f);
    f->signals = n % 2 ? UINT64_MAX : 1ull << (n & 63);
}

/* A second host thread changes the answer while it is being read. */
static struct ocall_frame *g_flip_frame;

static void *flip(void *arg)
{
    struct ocall_frame *f = g_flip_frame;
    static const int64_t results[] = { 0, 1, -EAGAIN, 5, -EIO };

    for (uint64_t i = 0;; i++) {
        __atomic_store_n(&f->result, results[i % ARRAY_COUNT(results)], __ATOMIC_RELAXED);
        __atomic_store_n((uint64_t *)f->buffer + i % 32, i * 0x0101010101010101, __ATOMIC_RELAXED);
        __atomic_store_n((uint64_t *)(f->buffer + OCALL_STAT_OFF) + i % 10, i << (i & 63),
                         __ATOMIC_RELAXED);
        __atomic_store_n(&f->out[i % 4], i % 9, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void tell_flipping(const struct row *r, struct ocall_frame *f, unsigned n)
{
    pthread_t thread;

    if (!g_flip_frame) {
        g_flip_frame = f;
        if (pthread_create(&thread, NULL, flip, NULL) != 0)
            exit(3);
    }
    if (n % 64 == 0)
        sched_yield();
}

/* The frame is gone while the enclave wants the answer. */
static void tell_hidden(const struct row *r, struct ocall_frame *f, unsigned n)
{
    if (n > 0) {
        fputs("the enclave came out again without a frame\n", stderr);
        _exit(STATUS_PANIC);
    }
    g_frame_hidden = f;
}

/* ---- which lie fits which row, and what is right then ---- */

static bool fits_all(const struct row *r)
{
    return true;
}

static bool fits_back(const struct row *r)
{
    return !is_end(r);
}

static bool fits_nothing(const struct row *r)
{
    return r->kind == NOTHING;
}

static bool fits_count(const struct row *r)
{
    return r->kind == COUNT;
}

static bool fits_descriptor(const struct row *r)
{
    return r->kind == DESCRIPTOR;
}

/* Rows whose work the enclave finds undone. */
static bool is_edmm(const struct row *r)
{
    return strncmp(r->name, "edmm_", 5) == 0;
}

static bool fits_flipping(const struct row *r)
{
    return !is_end(r) && !is_edmm(r) && !is_row(r, "thread_start");
}

#define MORE "more than was asked for"

static const struct lie_kind {
    const char *name;
    bool (*fits)(const struct row *r);
    void (*tell)(const struct row *r, struct ocall_frame *f, unsigned n);
    unsigned rounds;
    enum outcome outcome;
    const char *text;
} g_kinds[] = {
    { "errors", fits_all, tell_errors, 150, OUTCOME_HARMLESS, "" },
    { "eintr-storm", fits_back, tell_eintr, 600, OUTCOME_HARMLESS, "" },
    { "positive", fits_nothing, tell_positive, 12, OUTCOME_HARMLESS, "" },
    { "nothing-done", fits_all, tell_done, 600, OUTCOME_HARMLESS, "" },
    { "one-more", fits_count, tell_one_more, 1, OUTCOME_REFUSED, MORE },
    { "much-more", fits_count, tell_much, 1, OUTCOME_REFUSED, MORE },
    { "count-wrapped", fits_count, tell_wrapped, 1, OUTCOME_REFUSED, MORE },
    { "full-of-rubbish", fits_count, tell_full, 24, OUTCOME_HARMLESS, "" },
    { "arguments-grown", fits_count, tell_grown, 1, OUTCOME_REFUSED, MORE },
    { "descriptor-out-of-range", fits_descriptor, tell_descriptor, 12, OUTCOME_HARMLESS, "" },
    { "out-words", fits_all, tell_out, 24, OUTCOME_HARMLESS, "" },
    { "buffer-rubbish", fits_back, tell_buffer, 60, OUTCOME_HARMLESS, "" },
    { "signals", fits_back, tell_signals, 128, OUTCOME_HARMLESS, "" },
    { "wild", fits_back, tell_wild, 800, OUTCOME_HARMLESS, "" },
    { "flipping", fits_flipping, tell_flipping, 2500, OUTCOME_HARMLESS, "" },
    { "frame-hidden", fits_all, tell_hidden, 2, OUTCOME_REFUSED, "" },
};

static bool is_kind(const struct lie_kind *k, const char *name)
{
    return strcmp(k->name, name) == 0;
}

/* Where a row is not like the others. */
static void outcome_set(const struct row *r, const struct lie_kind *k, struct lie *lie)
{
    bool only_errors = is_kind(k, "errors") || is_kind(k, "eintr-storm");

    lie->outcome = k->outcome;
    lie->text = k->text;
    if (k->outcome == OUTCOME_REFUSED)
        return;
    if (is_end(r)) {
        lie->outcome = OUTCOME_REFUSED; /* no entry is served after it */
        lie->text = "asks for nothing";
    } else if (is_row(r, "edmm_trim") || is_row(r, "edmm_remove")) {
        lie->outcome = OUTCOME_REFUSED; /* memory that cannot be given back is the end */
        lie->text = only_errors || is_kind(k, "wild") || is_row(r, "edmm_trim")
                        ? "the host did not take pages back"
                        : "a fresh page is not what the host was asked for";
        if (is_kind(k, "wild"))
            lie->text = "";
    } else if (is_edmm(r) && !only_errors) {
        lie->outcome = OUTCOME_REFUSED;
        lie->text = "the host did not";
    } else if (is_row(r, "getsockopt") && (is_kind(k, "out-words") || is_kind(k, "wild"))) {
        lie->outcome = OUTCOME_REFUSED;
        lie->text = MORE;
    }
}

/* returns: true when the lie took the service's place. */
static bool lie_instead(const struct row *r, struct ocall_frame *f)
{
    unsigned n = atomic_load(&g_told);

    if (f->number != r->number) {
        /* Slots are claimed, and no thread comes. */
        if (is_row(r, "edmm_tcs") && f->number == OCALL_thread_start) {
            f->result = 0;
            return true;
        }
        return false;
    }
    atomic_fetch_add(&g_told, 1);
    memset(f->out, 0, sizeof f->out);
    g_kinds[g_lie->kind].tell(r, f, n);
    return true;
}

static bool serve(struct ocall_thread *t)
{
    const struct row *r = &g_rows[g_lie->row];

    if (g_frame_hidden) {
        fputs("the enclave does no more without a frame\n", stderr);
        _exit(STATUS_PANIC);
    }
    if (lie_instead(r, t->frame))
        return true;
    if (t->frame->number == OCALL_exit && atomic_load(&g_told) == 0)
        _exit(STATUS_NEVER);
    return ocall_serve(t);
}

unsigned lie_rows_list(struct lie *ret, unsigned max)
{
    unsigned count = 0;

    for (unsigned row = 0; row < ARRAY_COUNT(g_rows); row++) {
        for (unsigned kind = 0; kind < ARRAY_COUNT(g_kinds) && count < max; kind++) {
            struct lie *lie = &ret[count];

            if (!g_kinds[kind].fits(&g_rows[row]))
                continue;
            *lie = (struct lie){ .serve = serve, .row = (int)row, .kind = (int)kind };
            snprintf(lie->name, sizeof lie->name, "%s/%s", g_rows[row].name, g_kinds[kind].name);
            snprintf(lie->scenario, sizeof lie->scenario, "row:%s", g_rows[row].name);
            snprintf(lie->argument, sizeof lie->argument, "%u", g_kinds[kind].rounds);
            outcome_set(&g_rows[row], &g_kinds[kind], lie);
            count++;
        }
    }
    return count;
}
