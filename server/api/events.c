/* SPDX-License-Identifier: Apache-2.0 */
/* Events: appended in the transactions of others, read back in order by one thread, told to listeners and streams. Relying party. */
#include "server/api/events.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/api/events_ring.h"
#include "server/api/metrics.h"
#include "server/api/request.h"

#define BATCH 256u
#define POLL_MS 400 /* other servers' events are seen within this and a read */
#define KEPT_MS (7 * 24 * 3600 * 1000ll)
#define PRUNE_EVERY_MS (600 * 1000)

/* ---- appending ---- */

static int number_next(struct store_tx *tx, int64_t *ret, struct err *err)
{
    return store_get_int(tx,
                         "UPDATE event_counter SET number = number + 1 WHERE id = 1 "
                         "RETURNING number",
                         STORE_NO_ARGS, ret, err);
}

int event_append(struct store_tx *tx, const char *org_id, const char *kind, const char *object,
                 json_t *data, struct err *err)
{
    char *text = data ? json_dumps(data, JSON_COMPACT) : NULL;
    struct timespec now;
    int64_t number;
    int rc = 0;

    if ((data && !text) || (text && strlen(text) > EVENTS_DATA_SIZE_MAX) ||
        strlen(kind) >= EVENTS_KIND_SIZE)
        rc = err_set(err, -E2BIG, "the event %s is too large", kind);
    if (rc == 0)
        rc = number_next(tx, &number, err);
    clock_gettime(CLOCK_REALTIME, &now);
    if (rc == 0)
        rc = store_exec(tx,
                        "INSERT INTO events (number, org_id, kind, object, data, time_ms) VALUES "
                        "($1, $2, $3, $4, $5, $6)",
                        STORE_ARGS(store_int(number), store_text(org_id), store_text(kind),
                                   store_text(object ? object : ""), store_text(text),
                                   store_int((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000)),
                        err);
    free(text);
    return rc < 0 ? rc : 0;
}

/* ---- texts ---- */

json_t *event_json(const struct event *event)
{
    json_t *data = event->data ? json_loads(event->data, 0, NULL) : NULL;

    return json_pack("{s:I, s:s, s:s, s:o, s:o}", "number", (json_int_t)event->number, "kind",
                     event->kind, "object", event->object, "time", api_time(event->time_ms), "data",
                     data ? data : json_object());
}

struct event_text *event_text_new(const struct event *event)
{
    json_t *json = event_json(event);
    char *data = json ? json_dumps(json, JSON_COMPACT) : NULL;
    size_t capacity = data ? strlen(data) + EVENTS_KIND_SIZE + 64 : 0;
    struct event_text *text = data ? calloc(1, sizeof *text + capacity) : NULL;

    if (text) {
        text->refs = 1;
        text->number = event->number;
        snprintf(text->org_id, sizeof text->org_id, "%s", event->org_id);
        snprintf(text->kind, sizeof text->kind, "%s", event->kind);
        text->size = (size_t)snprintf(text->text, capacity, "id: %llu\nevent: %s\ndata: %s\n\n",
                                      (unsigned long long)event->number, text->kind, data);
    }
    free(data);
    json_decref(json);
    return text;
}

void event_text_unref(struct event_text *text)
{
    if (text && --text->refs == 0)
        free(text);
}

bool event_kind_matches(const char *kind, const char *filter)
{
    size_t len = strlen(filter);

    return len == 0 || (strncmp(kind, filter, len) == 0 && (kind[len] == 0 || kind[len] == '.'));
}

/* ---- reading ---- */

struct batch {
    uint64_t after;
    struct event events[BATCH];
    unsigned count;
};

static void batch_clear(struct batch *b)
{
    for (unsigned i = 0; i < b->count; i++) {
        free((char *)b->events[i].org_id);
        free((char *)b->events[i].kind);
        free((char *)b->events[i].object);
        free((char *)b->events[i].data);
    }
    b->count = 0;
}

static int batch_read(struct store_tx *tx, void *arg, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    struct batch *b = arg;
    int rc;

    batch_clear(b);
    rc = store_query(tx,
                     "SELECT number, org_id, kind, object, data, time_ms FROM events WHERE number "
                     "> $1 ORDER BY number LIMIT $2",
                     STORE_ARGS(store_int((int64_t)b->after), store_int(BATCH)), &rows, err);
    while (rc == 0 && b->count < BATCH && (rc = store_rows_next(rows, err)) == 1) {
        struct event *e = &b->events[b->count++];
        const char *data = store_column_text(rows, 4);

        *e = (struct event){ .number = (uint64_t)store_column_int(rows, 0),
                             .org_id = strdup(store_column_text(rows, 1)),
                             .kind = strdup(store_column_text(rows, 2)),
                             .object = strdup(store_column_text(rows, 3)),
                             .data = data ? strdup(data) : NULL,
                             .time_ms = store_column_int(rows, 5) };
        rc = e->org_id && e->kind && e->object && (!data || e->data) ? 0 : -ENOMEM;
    }
    return rc < 0 ? rc : 0;
}

static void event_tell(struct events *events, const struct event *event)
{
    struct event_text *text = event_text_new(event), **slot;

    for (unsigned i = 0; i < events->listener_count; i++)
        events->listeners[i].fn(events->listeners[i].arg, event);
    metrics_add(events->server->metrics, METRICS_EVENTS);
    pthread_mutex_lock(&events->lock);
    if (text) {
        slot = &events->ring[events->ring_end++ % EVENTS_RING];
        event_text_unref(*slot);
        *slot = text;
    }
    events->last = event->number;
    pthread_mutex_unlock(&events->lock);
}

/* All that is new. */
static void events_read(struct events *events, struct batch *b)
{
    struct err err = { "" };
    unsigned count;

    do {
        b->after = events->last; /* only this thread writes it */
        if (store_read(events->server->store, batch_read, b, &err) < 0) {
            server_log(events->server, "error", "events cannot be read", "error", err.text, NULL);
            batch_clear(b);
        }
        count = b->count;
        for (unsigned i = 0; i < b->count; i++)
            event_tell(events, &b->events[i]);
        batch_clear(b);
    } while (count == BATCH);
}

static int old_remove(struct store_tx *tx, void *arg, struct err *err)
{
    const int64_t *now_ms = arg;
    int rc = store_exec(tx, "DELETE FROM events WHERE time_ms < $1",
                        STORE_ARGS(store_int(*now_ms - KEPT_MS)), err);

    if (rc >= 0)
        rc = store_exec(tx, "DELETE FROM idempotency WHERE created_ms < $1",
                        STORE_ARGS(store_int(*now_ms - 2 * 24 * 3600 * 1000ll)), err);
    return rc < 0 ? rc : 0;
}

static void prune(struct events *events, int64_t *due_ms)
{
    int64_t now_ms = server_now_ms(events->server);
    struct err err = { "" };

    if (clock_ms() < *due_ms)
        return;
    *due_ms = clock_ms() + PRUNE_EVERY_MS;
    if (store_write(events->server->store, old_remove, &now_ms, &err) < 0)
        server_log(events->server, "warning", "old events cannot be removed", "error", err.text,
                   NULL);
}

static void wait_for_wake(struct events *events)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += POLL_MS * 1000000l;
    until.tv_sec += until.tv_nsec / 1000000000l;
    until.tv_nsec %= 1000000000l;
    while (!events->is_awake && !events->is_stopping)
        if (pthread_cond_timedwait(&events->wake, &events->lock, &until) == ETIMEDOUT)
            break;
    events->is_awake = false;
}

static void *events_run(void *arg)
{
    struct events *events = arg;
    struct batch *b = calloc(1, sizeof *b);
    int64_t prune_due_ms = clock_ms() + 10 * 1000;

    pthread_mutex_lock(&events->lock);
    while (b && !events->is_stopping) {
        pthread_mutex_unlock(&events->lock);
        events_read(events, b);
        prune(events, &prune_due_ms);
        pthread_mutex_lock(&events->lock);
        streams_check(events, clock_ms());
        wait_for_wake(events);
    }
    pthread_mutex_unlock(&events->lock);
    free(b);
    return NULL;
}

/* ---- start and end ---- */

static int last_read(struct store_tx *tx, void *arg, struct err *err)
{
    return store_get_int(tx, "SELECT number FROM event_counter WHERE id = 1", STORE_NO_ARGS, arg,
                         err);
}

int events_open(struct server *server, struct events **ret, struct err *err)
{
    struct events *events = calloc(1, sizeof *events);
    pthread_condattr_t attributes;
    int64_t last = 0;
    int rc;

    if (!events)
        return -ENOMEM;
    events->server = server;
    pthread_mutex_init(&events->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&events->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    rc = store_read(server->store, last_read, &last, err);
    if (rc < 0) {
        events_close(events);
        return err_wrap(err, rc, "events");
    }
    events->last = (uint64_t)last;
    *ret = events;
    return 0;
}

int events_start(struct events *events, struct err *err)
{
    int rc = pthread_create(&events->thread, NULL, events_run, events);

    events->has_thread = rc == 0;
    return rc == 0 ? 0 : err_set_errno(err, -rc, "events: cannot start a thread");
}

void events_stop(struct events *events)
{
    if (!events || !events->has_thread)
        return;
    pthread_mutex_lock(&events->lock);
    events->is_stopping = true;
    pthread_cond_signal(&events->wake);
    pthread_mutex_unlock(&events->lock);
    pthread_join(events->thread, NULL);
    events->has_thread = false;
}

void events_close(struct events *events)
{
    if (!events)
        return;
    for (unsigned i = 0; i < EVENTS_RING; i++)
        event_text_unref(events->ring[i]);
    pthread_cond_destroy(&events->wake);
    pthread_mutex_destroy(&events->lock);
    free(events);
}

int events_listener_add(struct events *events, events_listener_fn *fn, void *arg)
{
    if (events->listener_count == EVENTS_LISTENERS_MAX || events->has_thread)
        return -ENOSPC;
    events->listeners[events->listener_count].fn = fn;
    events->listeners[events->listener_count++].arg = arg;
    return 0;
}

void events_wake(struct events *events)
{
    if (!events)
        return;
    pthread_mutex_lock(&events->lock);
    events->is_awake = true;
    pthread_cond_signal(&events->wake);
    pthread_mutex_unlock(&events->lock);
}
