/* SPDX-License-Identifier: Apache-2.0 */
/* What the events' thread (events.c) and the streams (events_stream.c) share: the last events as they are sent. Within server/api. */
#pragma once

#include <pthread.h>

#include "server/api/events.h"
#include "server/store/id.h"

#define EVENTS_RING 1024u       /* events that a slow reader may be behind */
#define EVENTS_REPLAY_MAX 1000u /* events that a stream begins with */
#define EVENTS_BEAT_MS 15000
#define EVENTS_LISTENERS_MAX 8u
#define EVENTS_KIND_SIZE 64u

/* Shared by the ring and the streams that are sending it; refs under events->lock. */
struct event_text {
    unsigned refs;
    uint64_t number;
    char org_id[ID_SIZE], kind[EVENTS_KIND_SIZE];
    size_t size;
    char text[]; /* as sent */
};

struct stream;
struct events {
    struct server *server;
    pthread_mutex_t lock; /* guards all below but the listeners */
    pthread_cond_t wake;
    bool is_awake, is_stopping, is_closing, has_thread;
    pthread_t thread;
    uint64_t last; /* number of the last event that was dealt with */
    struct event_text *ring[EVENTS_RING];
    uint64_t ring_end; /* events that were ever put into it */
    struct stream *streams;
    unsigned stream_count;
    struct {
        events_listener_fn *fn;
        void *arg;
    } listeners[EVENTS_LISTENERS_MAX]; /* fixed before the thread starts */
    unsigned listener_count;
};

/* The JSON of an event, for streams and lists; NULL: no memory. */
json_t *event_json(const struct event *event);
/* One event as it is sent; NULL: no memory. */
struct event_text *event_text_new(const struct event *event);
void event_text_unref(struct event_text *text); /* with the lock; NULL allowed */
/* Whether an event of this kind is asked for: filter is a kind, or its part before a dot; "" all. */
bool event_kind_matches(const char *kind, const char *filter);

/* With the lock: streams that have something to send go on; those whose time has come get a sign of life or end. */
void streams_check(struct events *events, int64_t now_ms);
