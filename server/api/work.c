/* SPDX-License-Identifier: Apache-2.0 */
/* Workers: the queue of requests that have come whole, the threads that run them, and those that are parked until something happens. Relying party. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/request.h"

#define PARK_BUCKETS 4096u /* by key */
#define WORKERS_MAX 64u

struct bucket {
    struct request *first;
    uint64_t woken; /* the number of the last wake of one of its keys */
};

struct workers {
    struct http *http;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t has_work;
    struct request *queue, **queue_end;
    unsigned queue_count, parked_count;
    bool is_stopping;
    uint64_t wake_count;
    struct bucket buckets[PARK_BUCKETS];
    unsigned thread_count;
    pthread_t threads[WORKERS_MAX];
};

static struct bucket *bucket_of(struct workers *w, const char *key)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a: keys are made by the server */

    for (; *key; key++)
        hash = (hash ^ (uint8_t)*key) * 1099511628211u;
    return &w->buckets[(hash ^ hash >> 32) % PARK_BUCKETS];
}

/* With the lock. */
static void queue_add(struct workers *w, struct request *r)
{
    r->next = NULL;
    *w->queue_end = r;
    w->queue_end = &r->next;
    w->queue_count++;
    pthread_cond_signal(&w->has_work);
}

/* With the lock. What was woken while the handler ran is run again at once. */
static void park(struct workers *w, struct request *r)
{
    struct bucket *b = bucket_of(w, r->park_key);

    if (b->woken > r->park_seen || w->is_stopping) {
        queue_add(w, r);
        return;
    }
    r->next = b->first;
    b->first = r;
    w->parked_count++;
}

static void finish(struct workers *w, struct request *r)
{
    r->state = REQUEST_DONE;
    w->http->active_count--;
    MHD_resume_connection(r->mhd);
}

static void *work(void *arg)
{
    struct workers *w = arg;

    pthread_mutex_lock(&w->lock);
    for (;;) {
        struct request *r = w->queue;
        bool wants_park;

        if (!r) {
            if (w->is_stopping)
                break;
            pthread_cond_wait(&w->has_work, &w->lock);
            continue;
        }
        w->queue = r->next;
        if (!w->queue)
            w->queue_end = &w->queue;
        w->queue_count--;
        r->park_seen = w->wake_count;
        pthread_mutex_unlock(&w->lock);
        r->wants_park = false;
        request_run(r);
        wants_park = r->wants_park;
        if (!wants_park)
            finish(w, r); /* and is gone */
        pthread_mutex_lock(&w->lock);
        if (wants_park)
            park(w, r);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

int workers_start(struct http *http, unsigned count, struct workers **ret, struct err *err)
{
    struct workers *w = calloc(1, sizeof *w);
    int rc = 0;

    if (!w)
        return -ENOMEM;
    w->http = http;
    w->queue_end = &w->queue;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->has_work, NULL);
    for (; rc == 0 && w->thread_count < MIN(count, WORKERS_MAX); w->thread_count += rc == 0)
        rc = pthread_create(&w->threads[w->thread_count], NULL, work, w);
    if (rc != 0) {
        workers_stop(w);
        workers_free(w);
        return err_set_errno(err, -rc, "cannot start a thread");
    }
    *ret = w;
    return 0;
}

void workers_stop(struct workers *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->is_stopping = true;
    pthread_mutex_unlock(&w->lock);
    workers_parked_check(w, 0, true);
    pthread_mutex_lock(&w->lock);
    pthread_cond_broadcast(&w->has_work);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->thread_count; i++)
        pthread_join(w->threads[i], NULL);
    w->thread_count = 0;
}

void workers_free(struct workers *w)
{
    if (!w)
        return;
    pthread_cond_destroy(&w->has_work);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

int workers_add(struct workers *w, struct request *r)
{
    int rc = 0;

    pthread_mutex_lock(&w->lock);
    if (w->queue_count >= HTTP_QUEUE_MAX || w->is_stopping)
        rc = -EAGAIN;
    else
        queue_add(w, r);
    pthread_mutex_unlock(&w->lock);
    return rc;
}

/* With the lock. key NULL: any whose time has come. */
static void bucket_release(struct workers *w, struct bucket *b, const char *key, int64_t now_ms,
                           bool all)
{
    for (struct request *r, **link = &b->first; (r = *link);) {
        bool is_meant = key ? strcmp(r->park_key, key) == 0 : all || now_ms >= r->park_until_ms;

        if (!is_meant) {
            link = &r->next;
            continue;
        }
        *link = r->next;
        w->parked_count--;
        queue_add(w, r);
    }
}

void workers_parked_check(struct workers *w, int64_t now_ms, bool all)
{
    pthread_mutex_lock(&w->lock);
    for (unsigned i = 0; w->parked_count > 0 && i < PARK_BUCKETS; i++)
        bucket_release(w, &w->buckets[i], NULL, now_ms, all);
    pthread_mutex_unlock(&w->lock);
}

void workers_wake(struct workers *w, const char *key)
{
    struct bucket *b = bucket_of(w, key);

    pthread_mutex_lock(&w->lock);
    b->woken = ++w->wake_count;
    bucket_release(w, b, key, 0, false);
    pthread_mutex_unlock(&w->lock);
}

void workers_figures(struct workers *w, unsigned *ret_queued, unsigned *ret_parked)
{
    pthread_mutex_lock(&w->lock);
    *ret_queued = w->queue_count;
    *ret_parked = w->parked_count;
    pthread_mutex_unlock(&w->lock);
}

/* ---- for handlers ---- */

int api_park(struct api_request *rq, const char *key, uint32_t wait_ms)
{
    struct request *r = request_of(rq);
    int64_t now_ms = clock_ms();

    if (r->park_until_ms == 0)
        r->park_until_ms = now_ms + wait_ms;
    if (now_ms >= r->park_until_ms || r->http->is_stopping)
        return 0;
    memset(r->park_key, 0, sizeof r->park_key);
    memcpy(r->park_key, key, strnlen(key, sizeof r->park_key - 1));
    r->wants_park = true;
    return -EINPROGRESS;
}

void api_wake(struct server *server, const char *key)
{
    if (server->http)
        workers_wake(server->http->workers, key);
}
