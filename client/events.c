/* SPDX-License-Identifier: Apache-2.0 */
/* Listens to the server's events, over as many connections as it takes. Relying party; events are hostile. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/client.h"
#include "client/request.h"
#include "client/sse.h"

#define SILENT_S_MAX 60
#define WAIT_MS_MAX 5000u

struct listener {
    client_event_fn *fn;
    void *arg;
    struct sse sse;
    bool is_reached; /* on this connection */
    int rc;          /* what fn returned */
};

static bool take_event(void *arg, const char *kind, const char *data, size_t size)
{
    struct listener *l = arg;
    json_t *event = json_loadb(data, size, JSON_REJECT_DUPLICATES, NULL);

    if (!json_is_object(event)) {
        l->rc = -EBADMSG;
        json_decref(event);
        return false;
    }
    l->rc = l->fn(l->arg, kind, event);
    json_decref(event);
    return l->rc == 0;
}

static bool take_bytes(void *arg, const char *data, size_t size)
{
    struct listener *l = arg;

    if (!l->is_reached) {
        l->is_reached = true;
        l->rc = l->fn(l->arg, "", NULL);
        if (l->rc != 0)
            return false;
    }
    return sse_add(&l->sse, data, size);
}

static int64_t now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* One connection. returns: 0 it ended and another may be made; what ends all. */
static int listen_once(struct client *client, struct listener *l, const char *path,
                       bool *ret_is_over, struct err *err)
{
    struct request request = { .method = "GET",
                               .path = path,
                               .accept = "text/event-stream",
                               .last_event_id = l->sse.id,
                               .take = take_bytes,
                               .arg = l };
    struct reply reply = { 0 };
    int rc;

    sse_reset(&l->sse);
    l->is_reached = false;
    rc = request_perform(client, &request, &reply, err);
    *ret_is_over = true;
    if (rc == 0 && l->sse.is_broken)
        rc = err_set(err, -EBADMSG, "an event is longer than %u bytes", SSE_LINE_SIZE_MAX);
    else if (rc == 0 && l->rc == -EBADMSG)
        rc = err_set(err, -EBADMSG, "an event is no JSON of this API");
    else if (rc == 0 && l->rc != 0)
        rc = l->rc;
    else if (rc == 0 && reply.status / 100 != 2 && reply.status != 503 && reply.status != 429)
        rc = client_problem_take(client, &reply, err);
    else
        *ret_is_over = rc < 0 && rc != -EIO;
    if (!*ret_is_over)
        rc = 0;
    reply_done(&reply);
    return rc;
}

int client_events(struct client *client, const char *path, client_event_fn *fn, void *arg,
                  struct err *err)
{
    struct listener l = { .fn = fn, .arg = arg };
    int64_t reached_s = now_s();
    uint32_t wait_ms = 250;
    bool is_over = false;
    int rc = sse_init(&l.sse, take_event, &l);

    if (rc < 0)
        return err_set_errno(err, rc, "cannot listen");
    while (!is_over) {
        rc = listen_once(client, &l, path, &is_over, err);
        if (is_over)
            break;
        if (l.is_reached) {
            reached_s = now_s();
            wait_ms = 250;
        }
        if (now_s() - reached_s > SILENT_S_MAX) {
            rc = err_set(err, -EIO, "no events from %s for a minute", client->base);
            break;
        }
        nanosleep(&(struct timespec){ .tv_sec = wait_ms / 1000,
                                      .tv_nsec = (long)(wait_ms % 1000) * 1000000 },
                  NULL);
        wait_ms = MIN(2 * wait_ms, WAIT_MS_MAX);
    }
    sse_done(&l.sse);
    return rc;
}
