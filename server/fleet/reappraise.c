/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All stored evidence judged again. Threads of low priority read and judge batches (reappraise_judge.c); the round's own thread writes what changed (reappraise_write.c), so that no thread of low priority
 * ever holds up the store's writers. Exchanges go on meanwhile; exchange_epoch_begin has those under way judged by what is in force now. Relying party.
 */
#include "server/fleet/reappraise.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/config.h"
#include "server/exchange/exchange.h"

#define QUEUE_MAX 8u /* batches that wait for the writer */

void batch_free(struct batch *b)
{
    if (!b)
        return;
    for (unsigned i = 0; i < b->count; i++)
        free(b->judged[i].ear);
    free(b);
}

/* ---- between the threads ---- */

void round_fail(struct round *r, int rc, const struct err *err)
{
    pthread_mutex_lock(&r->lock);
    if (r->rc == 0) {
        r->rc = rc;
        r->err = *err;
    }
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

bool round_is_over(struct round *r)
{
    bool is;

    pthread_mutex_lock(&r->lock);
    is = r->rc < 0;
    pthread_mutex_unlock(&r->lock);
    return is || fleet_is_stopping(r->fleet);
}

void round_queue(struct round *r, struct batch *b)
{
    pthread_mutex_lock(&r->lock);
    while (b && r->queued >= QUEUE_MAX && r->rc == 0)
        pthread_cond_wait(&r->changed, &r->lock);
    if (b) {
        *r->last = b;
        r->last = &b->next;
        r->queued++;
    } else { /* the thread ends */
        r->working--;
    }
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

/* NULL: there are no more. */
static struct batch *batch_next(struct round *r)
{
    struct batch *b;

    pthread_mutex_lock(&r->lock);
    while (!r->first && r->working > 0)
        pthread_cond_wait(&r->changed, &r->lock);
    b = r->first;
    if (b) {
        r->first = b->next;
        if (!r->first)
            r->last = &r->first;
        r->queued--;
        pthread_cond_broadcast(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
    return b;
}

/* ---- the round ---- */

static void progress_add(struct fleet *f, const struct batch *b)
{
    unsigned fallen = 0;

    for (unsigned i = 0; i < b->count; i++)
        fallen += b->judged[i].is_changed && b->judged[i].has_fallen;
    pthread_mutex_lock(&f->lock);
    f->progress.judged += b->count;
    f->progress.fallen += fallen;
    pthread_mutex_unlock(&f->lock);
}

static void progress_set(struct fleet *f, bool is_running)
{
    pthread_mutex_lock(&f->lock);
    f->progress.is_running = is_running;
    if (is_running) {
        f->progress.judged = f->progress.fallen = 0;
        f->progress.started_ms = server_now_ms(f->server);
        f->progress.finished_ms = 0;
    } else {
        f->progress.finished_ms = server_now_ms(f->server);
    }
    pthread_mutex_unlock(&f->lock);
}

static unsigned thread_count(const struct fleet *f)
{
    long count = f->server->config->reappraise_threads;

    if (count == 0)
        count = sysconf(_SC_NPROCESSORS_ONLN);
    return (unsigned)MIN(MAX(count, 1l), (long)REAPPRAISE_THREADS_MAX);
}

/* As many as can be had; none is a failure. */
static unsigned threads_start(struct round *r, pthread_t threads[REAPPRAISE_THREADS_MAX])
{
    unsigned count = thread_count(r->fleet), started = 0;
    struct err err = { "" };
    int rc = 0;

    r->working = count; /* nobody reads it before they are there */
    while (rc == 0 && started < count) {
        rc = -pthread_create(&threads[started], NULL, reappraise_judge, r);
        started += rc == 0;
    }
    pthread_mutex_lock(&r->lock);
    r->working -= count - started;
    pthread_mutex_unlock(&r->lock);
    if (started == 0)
        round_fail(r, err_set_errno(&err, rc, "thread"), &err);
    return started;
}

static void run(struct round *r)
{
    pthread_t threads[REAPPRAISE_THREADS_MAX];
    unsigned count = threads_start(r, threads);
    struct batch *b;

    while ((b = batch_next(r))) {
        struct err err = { "" };
        int rc = round_is_over(r) ? 0 : reappraise_write(r, b, &err);

        if (rc < 0)
            round_fail(r, rc, &err);
        else
            progress_add(r->fleet, b);
        batch_free(b);
    }
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

void reappraise_all(struct fleet *f, const char *org_id)
{
    struct round r = { .fleet = f, .org_id = org_id };

    r.last = &r.first;
    pthread_mutex_init(&r.reading, NULL);
    pthread_mutex_init(&r.lock, NULL);
    pthread_cond_init(&r.changed, NULL);
    progress_set(f, true);
    r.rc = exchange_epoch_begin(f->server->exchange, &r.err);
    r.now_ms = server_now_ms(f->server);
    if (r.rc == 0)
        run(&r);
    if (r.rc == 0 && !fleet_is_stopping(f))
        r.rc = MIN(exchange_nodes_reappraise(f->server, org_id, &r.err), 0);
    if (r.rc < 0)
        server_log(f->server, "error", "evidence was not judged again", "why", r.err.text, NULL);
    progress_set(f, false);
    pthread_cond_destroy(&r.changed);
    pthread_mutex_destroy(&r.lock);
    pthread_mutex_destroy(&r.reading);
}
