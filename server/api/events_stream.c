/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of events (server-sent events, HTML standard section 9.2) and their past as a list. An idle listener is a suspended connection and a struct stream; it is resumed when there is
 * something to send. Relying party.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/events_ring.h"
#include "server/api/metrics.h"
#include "server/api/request.h"
#include "server/api/routes.h"

#define BLOCK_SIZE 512u
#define REPLAY_SIZE_MAX (256u << 10)

/* In events->streams from its making to its end, all under events->lock. */
struct stream {
    struct events *events;
    struct request *r;
    struct stream *next, **link;
    char org_id[ID_SIZE], token_id[ID_SIZE], user_id[ID_SIZE], filter[EVENTS_KIND_SIZE];
    int64_t expires_ms;       /* 0: never */
    uint64_t position;        /* of events->ring_end: the next event to look at */
    char *replay;             /* what it begins with; owned */
    size_t replay_size, sent; /* sent: of replay or of text */
    struct event_text *text;
    int64_t beat_due_ms;
    bool is_idle, is_closing, wants_beat;
};

/* ---- sending: on the I/O threads ---- */

static ssize_t send_part(struct stream *s, const char *data, size_t size, char *dst, size_t max)
{
    size_t part = MIN(size - s->sent, max);

    memcpy(dst, data + s->sent, part);
    s->sent += part;
    return (ssize_t)part;
}

/* Whether its holder's right to listen has ended by an event. */
static bool is_ended_by(const struct stream *s, const struct event_text *text)
{
    const char *object = strstr(text->text, "\"object\":\"");

    if (strcmp(text->org_id, s->org_id) != 0 || !object)
        return false;
    object += strlen("\"object\":\"");
    if (strcmp(text->kind, "token.revoked") == 0 || strcmp(text->kind, "session.ended") == 0)
        return s->token_id[0] && strncmp(object, s->token_id, strlen(s->token_id)) == 0;
    if (strcmp(text->kind, "user.changed") == 0 || strcmp(text->kind, "user.disabled") == 0)
        return s->user_id[0] && strncmp(object, s->user_id, strlen(s->user_id)) == 0;
    return false;
}

/* The next event for this listener, or NULL. Who is further behind than the ring goes back is dropped: it comes again with Last-Event-ID. */
static struct event_text *next_find(struct stream *s)
{
    struct events *events = s->events;

    if (events->ring_end - s->position > EVENTS_RING) {
        s->is_closing = true;
        metrics_add(events->server->metrics, METRICS_LISTENERS_DROPPED);
        return NULL;
    }
    while (s->position < events->ring_end) {
        struct event_text *text = events->ring[s->position++ % EVENTS_RING];

        s->is_closing = s->is_closing || is_ended_by(s, text);
        if (strcmp(text->org_id, s->org_id) == 0 && event_kind_matches(text->kind, s->filter))
            return text;
    }
    return NULL;
}

static ssize_t send_more(struct stream *s, char *dst, size_t max)
{
    ssize_t sent;

    if (s->replay) {
        sent = send_part(s, s->replay, s->replay_size, dst, max);
        if (s->sent == s->replay_size) {
            free(TAKE_PTR(s->replay));
            s->sent = 0;
        }
        return sent;
    }
    if (!s->text) {
        s->text = next_find(s);
        s->sent = 0;
        if (s->text)
            s->text->refs++;
    }
    if (s->text) {
        sent = send_part(s, s->text->text, s->text->size, dst, max);
        if (s->sent == s->text->size)
            event_text_unref(TAKE_PTR(s->text));
        return sent;
    }
    if (s->wants_beat && max >= 3) {
        s->wants_beat = false;
        memcpy(dst, ":\n\n", 3);
        return 3;
    }
    return 0;
}

static ssize_t stream_read(void *cls, uint64_t off, char *dst, size_t max)
{
    struct stream *s = cls;
    struct events *events = s->events;
    ssize_t sent = 0;

    pthread_mutex_lock(&events->lock);
    s->r->connection->deadline_ms = clock_ms() + s->r->http->timeout_ms;
    if (!s->is_closing && !events->is_closing)
        sent = send_more(s, dst, max);
    if (sent == 0 && (s->is_closing || events->is_closing)) {
        sent = MHD_CONTENT_READER_END_OF_STREAM;
    } else if (sent == 0) {
        s->is_idle = true;
        s->r->connection->deadline_ms = 0;
        MHD_suspend_connection(s->r->mhd);
    }
    pthread_mutex_unlock(&events->lock);
    return sent;
}

struct MHD_Response *stream_response(struct stream *stream)
{
    return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_SIZE, stream_read, stream,
                                             NULL);
}

void stream_end(struct stream *s)
{
    struct events *events;

    if (!s)
        return;
    events = s->events;
    pthread_mutex_lock(&events->lock);
    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    events->stream_count--;
    event_text_unref(s->text);
    pthread_mutex_unlock(&events->lock);
    free(s->replay);
    free(s);
}

/* ---- waking: on the events' thread ---- */

static bool has_news(struct stream *s)
{
    struct events *events = s->events;

    if (events->ring_end - s->position > EVENTS_RING)
        return true;
    for (uint64_t i = s->position; i < events->ring_end; i++) {
        const struct event_text *text = events->ring[i % EVENTS_RING];

        if (is_ended_by(s, text))
            s->is_closing = true;
        if (s->is_closing ||
            (strcmp(text->org_id, s->org_id) == 0 && event_kind_matches(text->kind, s->filter)))
            return true;
    }
    s->position = events->ring_end; /* nothing of it is for this one */
    return false;
}

void streams_check(struct events *events, int64_t now_ms)
{
    int64_t time_ms = server_now_ms(events->server);

    for (struct stream *s = events->streams; s; s = s->next) {
        if (s->expires_ms && time_ms > s->expires_ms)
            s->is_closing = true;
        if (!s->is_idle)
            continue;
        if (now_ms >= s->beat_due_ms)
            s->wants_beat = true;
        if (!s->wants_beat && !s->is_closing && !events->is_closing && !has_news(s))
            continue;
        s->beat_due_ms = now_ms + EVENTS_BEAT_MS;
        s->is_idle = false;
        s->r->connection->deadline_ms = now_ms + s->r->http->timeout_ms;
        MHD_resume_connection(s->r->mhd);
    }
}

void events_streams_close(struct events *events)
{
    if (!events)
        return;
    pthread_mutex_lock(&events->lock);
    events->is_closing = true;
    streams_check(events, clock_ms());
    pthread_mutex_unlock(&events->lock);
}

unsigned events_stream_count(struct events *events)
{
    unsigned count;

    pthread_mutex_lock(&events->lock);
    count = events->stream_count;
    pthread_mutex_unlock(&events->lock);
    return count;
}

/* ---- beginning: on a worker ---- */

struct past {
    const char *org_id, *filter;
    uint64_t after, until;
    unsigned limit;
    json_t *items; /* of a list; or NULL: */
    char *text;    /* as sent */
    size_t size, capacity;
    unsigned count;
    bool is_cut;
};

static int past_add(struct past *p, const struct event *event)
{
    struct event_text *text;
    json_t *item;

    if (p->items) {
        item = event_json(event);
        if (item)
            json_object_set_new(item, "id", json_sprintf("%" PRIu64, event->number));
        return item && json_array_append_new(p->items, item) == 0 ? 0 : -ENOMEM;
    }
    text = event_text_new(event);
    if (!text)
        return -ENOMEM;
    p->is_cut = p->is_cut || p->count > EVENTS_REPLAY_MAX || p->size + text->size > p->capacity;
    if (!p->is_cut) {
        memcpy(p->text + p->size, text->text, text->size);
        p->size += text->size;
    }
    free(text);
    return 0;
}

static int past_read(struct store_tx *tx, void *arg, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    struct past *p = arg;
    char prefix[EVENTS_KIND_SIZE + 2];
    int rc;

    snprintf(prefix, sizeof prefix, "%s.%%", p->filter);
    rc = store_query(tx,
                     "SELECT number, kind, object, data, time_ms FROM events WHERE org_id = $1 "
                     "AND number > $2 AND number <= $3 AND ($4 = '' OR kind = $4 OR kind LIKE "
                     "$5) ORDER BY number LIMIT $6",
                     STORE_ARGS(store_text(p->org_id), store_int((int64_t)p->after),
                                store_int((int64_t)p->until), store_text(p->filter),
                                store_text(prefix), store_int(p->limit)),
                     &rows, err);

    p->size = p->count = 0;
    p->is_cut = false;
    if (p->items)
        json_array_clear(p->items);
    while (rc == 0 && (rc = store_rows_next(rows, err)) == 1) {
        struct event event = { .number = (uint64_t)store_column_int(rows, 0),
                               .org_id = p->org_id,
                               .kind = store_column_text(rows, 1),
                               .object = store_column_text(rows, 2),
                               .data = store_column_text(rows, 3),
                               .time_ms = store_column_int(rows, 4) };

        p->count++;
        rc = past_add(p, &event);
    }
    return rc < 0 ? rc : 0;
}

static int number_parse(struct api_request *rq, const char *text, uint64_t *ret)
{
    size_t len = text ? strlen(text) : 0;

    *ret = 0;
    if (len > 18 || (text && strspn(text, "0123456789") != len))
        return api_problem(rq, 400, "invalid-query",
                           "the number of an event is expected, not this");
    if (len > 0)
        *ret = strtoull(text, NULL, 10);
    return 0;
}

/* The events that the client has missed; or, when they are too many, word of that. */
static int replay_make(struct api_request *rq, struct stream *s, uint64_t after, uint64_t until)
{
    static const char greeting[] = "retry: 2000\n\n", reset[] = "event: reset\ndata: {}\n\n";
    struct past p = { .org_id = s->org_id,
                      .filter = s->filter,
                      .after = after,
                      .until = until,
                      .limit = EVENTS_REPLAY_MAX + 1 };
    struct err err = { "" };
    int rc = 0;

    p.capacity = after > 0 && after < until ? REPLAY_SIZE_MAX : 0;
    p.text = malloc(p.capacity + sizeof greeting + sizeof reset);
    if (!p.text)
        return -ENOMEM;
    if (p.capacity > 0)
        rc = store_read(rq->server->store, past_read, &p, &err);
    if (rc < 0) {
        free(p.text);
        return api_problem_errno(rq, rc, "events", &err);
    }
    if (p.is_cut) {
        memcpy(p.text, reset, sizeof reset - 1);
        p.size = sizeof reset - 1;
    }
    memcpy(p.text + p.size, greeting, sizeof greeting - 1);
    s->replay_size = p.size + sizeof greeting - 1;
    s->replay = p.text;
    return 0;
}

static int stream_begin(struct api_request *rq, struct api_response *ret, const char *filter)
{
    struct events *events = rq->server->events;
    struct request *r = request_of(rq);
    struct stream *s;
    uint64_t after, until;
    const char *last = api_header(rq, "Last-Event-ID");
    int rc = number_parse(rq, last ? last : api_query(rq, "after"), &after);

    if (rc < 0)
        return rc;
    s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    *s = (struct stream){ .events = events, .r = r, .expires_ms = r->who.expires_ms };
    snprintf(s->org_id, sizeof s->org_id, "%s", rq->who.org_id);
    snprintf(s->token_id, sizeof s->token_id, "%s", r->who.token_id);
    snprintf(s->user_id, sizeof s->user_id, "%s", r->who.user_id);
    snprintf(s->filter, sizeof s->filter, "%s", filter);
    s->beat_due_ms = clock_ms() + EVENTS_BEAT_MS;
    pthread_mutex_lock(&events->lock);
    s->next = events->streams;
    s->link = &events->streams;
    if (s->next)
        s->next->link = &s->next;
    events->streams = s;
    events->stream_count++;
    s->position = events->ring_end;
    until = events->last;
    pthread_mutex_unlock(&events->lock);
    r->stream = s; /* ends with the request, whatever happens from here on */
    rc = replay_make(rq, s, after, until);
    if (rc < 0) {
        r->stream = NULL;
        stream_end(s);
        return rc;
    }
    ret->status = 200;
    r->content_type = "text/event-stream";
    return 0;
}

static int past_list(struct api_request *rq, struct api_response *ret, const char *filter)
{
    struct past p = { .org_id = rq->who.org_id, .filter = filter, .until = INT64_MAX };
    struct api_page page;
    struct err err = { "" };
    int rc = api_page_read(rq, &page);

    if (rc == 0)
        rc = number_parse(rq, page.after, &p.after);
    if (rc < 0)
        return rc;
    p.limit = page.limit + 1;
    p.items = json_array();
    rc = p.items ? store_read(rq->server->store, past_read, &p, &err) : -ENOMEM;
    if (rc < 0) {
        json_decref(p.items);
        return api_problem_errno(rq, rc, "events", &err);
    }
    return api_page_answer(ret, p.items, &page);
}

static int events_get(struct api_request *rq, struct api_response *ret)
{
    const char *accept = api_header(rq, "Accept"), *filter = api_query(rq, "kind");

    filter = filter ? filter : "";
    if (strlen(filter) >= EVENTS_KIND_SIZE ||
        strspn(filter, "abcdefghijklmnopqrstuvwxyz.-") != strlen(filter))
        return api_problem(rq, 400, "invalid-query", "kind: a kind of events is expected");
    return accept && strstr(accept, "text/event-stream") ? stream_begin(rq, ret, filter)
                                                         : past_list(rq, ret, filter);
}

const struct api_route event_routes[] = {
    { .method = "GET",
      .path = "/v1/events",
      .handle = events_get,
      .flags = API_ANY_ROLE | API_STREAM },
};
const unsigned event_route_count = ARRAY_COUNT(event_routes);
