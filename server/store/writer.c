/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writers share commits: who comes while another commits waits in a queue; the next to lead takes all that wait, runs each in a savepoint of one transaction, and
 * commits once for all. Relying party.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "server/store/backend.h"

#define BATCH_MAX 64u
#define TRIES_MAX 12u

uint32_t store_write_wait_ms = 20000;

struct request {
    store_tx_fn *fn;
    void *arg;
    struct err *err;
    int rc;
    bool is_done;
    struct request *next;
};
struct store_writer {
    struct store *store;
    struct store_connection *connection; /* the leader's; NULL: to be opened again */
    pthread_mutex_t lock;                /* guards the queue and has_leader */
    pthread_cond_t changed;              /* a request is done, or the leader has gone */
    struct request *first, **last;
    bool has_leader;
};

/* The writer whose transaction this thread is in: a nested write would wait for itself. */
static _Thread_local struct store_writer *t_inside;

int store_writer_new(struct store *store, struct store_connection *connection,
                     struct store_writer **ret, struct err *err)
{
    struct store_writer *w = calloc(1, sizeof *w);

    if (!w)
        return err_set_errno(err, -ENOMEM, "store");
    w->store = store;
    w->connection = connection;
    w->last = &w->first;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    *ret = w;
    return 0;
}

void store_writer_free(struct store_writer *writer)
{
    if (!writer)
        return;
    assert(!writer->first && !writer->has_leader);
    if (writer->connection)
        writer->connection->ops->close(writer->connection);
    pthread_cond_destroy(&writer->changed);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}

/* Runs one request's function. returns: whether the whole transaction must be given up. */
static bool run_one(struct store_writer *w, struct request *request, bool in_savepoint)
{
    struct store_connection *c = w->connection;
    struct store_tx tx = { w->store, c };

    if (in_savepoint && c->ops->savepoint(c, request->err) < 0)
        return true;
    t_inside = w;
    request->rc = request->fn(&tx, request->arg, request->err);
    t_inside = NULL;
    assert(c->open_rows == 0);
    if (c->state & (STORE_LOST | STORE_RETRY))
        return true;
    if (c->state & STORE_FAILED && request->rc >= 0)
        request->rc = -EIO; /* it went on after a statement failed */
    if (!in_savepoint)
        return request->rc < 0;
    c->state = STORE_FINE;
    if (request->rc < 0 && c->ops->rollback_to(c, request->err) < 0)
        return true;
    return c->ops->release(c, request->err) < 0;
}

/* returns: 0 each has its own result; -EAGAIN nothing remains and it may be tried again; -EIO the same, but it may not. */
static int run_batch(struct store_writer *w, struct request *batch, unsigned count, struct err *err)
{
    struct store_connection *c = w->connection;
    int rc;

    if (!c) {
        rc = store_connect(w->store, true, &w->connection, err);
        if (rc < 0)
            return rc;
        c = w->connection;
    }
    rc = c->ops->begin(c, err);
    if (rc < 0)
        return c->state & STORE_LOST ? -EAGAIN : rc;
    for (struct request *r = batch; r; r = r->next) {
        if (!run_one(w, r, count > 1))
            continue;
        rc = count > 1 || c->state & (STORE_LOST | STORE_RETRY) ? -EAGAIN : 0;
        if (c->state & STORE_LOST && !(c->state & STORE_RETRY) && count == 1)
            rc = -EIO;
        c->ops->rollback(c);
        return rc;
    }
    return c->ops->commit(c, err);
}

static void sleep_a_little(unsigned tries)
{
    long range_ns = 1000000l << MIN(tries, 6u);
    struct timespec now, span = { 0, range_ns / 2 };

    clock_gettime(CLOCK_MONOTONIC, &now); /* different for each server: no need of more */
    span.tv_nsec += now.tv_nsec % range_ns;
    nanosleep(&span, NULL);
}

static int64_t clock_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What the whole transaction came to, for a request that does not know of it. */
static void fail_one(struct request *r, int rc, const struct err *err)
{
    r->rc = rc == -EAGAIN || rc == -ENOSPC || rc == -EBADMSG ? rc : -EIO;
    err_set(r->err, r->rc, "the store did not take it: %s",
            err->text[0] ? err->text : "others are in the way");
}

/* Until it is committed, or cannot be. Each request's own error text is where it asked for it. */
static void finish_batch(struct store_writer *w, struct request *batch, unsigned count)
{
    int64_t until_ms = clock_now_ms() + store_write_wait_ms;
    struct err err = { "" };
    int rc = -EAGAIN;

    for (unsigned tries = 0;
         rc == -EAGAIN && tries < TRIES_MAX && (tries == 0 || clock_now_ms() < until_ms); tries++) {
        if (tries > 0)
            sleep_a_little(tries);
        for (struct request *r = batch; r; r = r->next)
            r->rc = 0; /* what it came to before is undone */
        rc = run_batch(w, batch, count, &err);
        if (w->connection && w->connection->state & STORE_LOST && rc < 0) {
            w->connection->ops->close(w->connection);
            w->connection = NULL;
        }
        if (rc == -EAGAIN && count > 1)
            break;
    }
    if (rc == -EAGAIN && count > 1) { /* one of them spoils it for all: each alone */
        for (struct request *r = batch, *next; r; r = next) {
            next = r->next;
            r->next = NULL;
            finish_batch(w, r, 1);
            r->next = next;
        }
        return;
    }
    for (struct request *r = batch; r && rc < 0; r = r->next)
        if (r->rc >= 0 || rc == -EAGAIN)
            fail_one(r, rc, &err);
}

/* Takes up to BATCH_MAX off the queue; called with the lock held. */
static struct request *take_batch(struct store_writer *w, unsigned *ret_count)
{
    struct request *batch = w->first, *end = batch;
    unsigned count = 1;

    for (; count < BATCH_MAX && end->next; count++)
        end = end->next;
    w->first = end->next;
    if (!w->first)
        w->last = &w->first;
    end->next = NULL;
    *ret_count = count;
    return batch;
}

static void lead(struct store_writer *w)
{
    unsigned count;
    struct request *batch = take_batch(w, &count);

    w->has_leader = true;
    pthread_mutex_unlock(&w->lock);
    finish_batch(w, batch, count);
    pthread_mutex_lock(&w->lock);
    w->has_leader = false;
    while (batch) {
        struct request *next = batch->next; /* gone once it is done */

        batch->is_done = true;
        batch = next;
    }
    pthread_cond_broadcast(&w->changed);
}

int store_writer_run(struct store_writer *w, store_tx_fn *fn, void *arg, struct err *err)
{
    struct request request = { .fn = fn, .arg = arg, .err = err };

    if (t_inside == w)
        return err_set(err, -EDEADLK, "a transaction inside a transaction");
    pthread_mutex_lock(&w->lock);
    *w->last = &request;
    w->last = &request.next;
    while (!request.is_done) {
        if (w->has_leader)
            pthread_cond_wait(&w->changed, &w->lock);
        else
            lead(w);
    }
    pthread_mutex_unlock(&w->lock);
    return request.rc;
}
