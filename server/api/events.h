/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events: what happened to an organisation's objects, kept in the store for a while, numbered, told to whoever listens (SSE at /v1/events, with
 * Last-Event-ID), and to parts of the server that act on them. With several servers on one store each learns of the others' within a second. Thread-safe.
 */
#pragma once

#include <jansson.h>

#include "server/server.h"
#include "server/store/store.h"

#define EVENTS_DATA_SIZE_MAX 4096u /* bytes of an event's data */

/*
 * In the transaction of what it tells about. kind: "instance.started", "build.revoked": object type, '.', what happened, in the past tense (docs/api.md lists them).
 * data: object without secrets, or NULL; borrowed. Listeners hear of it after the commit.
 * returns: 0; -E2BIG data is larger than EVENTS_DATA_SIZE_MAX; -EIO.
 */
MUST_CHECK int event_append(struct store_tx *tx, const char *org_id, const char *kind,
                            const char *object, json_t *data, struct err *err);

struct event {
    uint64_t number; /* rising, with gaps */
    const char *org_id, *kind, *object;
    const char *data; /* JSON text */
    int64_t time_ms;
};
/* Called by the events' own thread for each event, in order, at least once on each server. Must not wait. Registered before the server starts. */
typedef void events_listener_fn(void *arg, const struct event *event);
MUST_CHECK int events_listener_add(struct events *events, events_listener_fn *fn, void *arg);
/* Wakes the events' thread after a commit on this server: the API does it after each write, others call it. */
void events_wake(struct events *events);

/* ---- for server.c and the HTTP part ---- */

MUST_CHECK int events_open(struct server *server, struct events **ret, struct err *err);
/* From here on listeners are called. */
MUST_CHECK int events_start(struct events *events, struct err *err);
/* Ends the thread; no listener is called afterwards. NULL allowed. */
void events_stop(struct events *events);
void events_close(struct events *events); /* NULL allowed; stopped, and without streams */
/* Tells all streams to end; new ones end at once. */
void events_streams_close(struct events *events);
unsigned events_stream_count(struct events *events);
