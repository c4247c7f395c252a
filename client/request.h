/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP request of the client, with libcurl. Relying party; within client/; answers are hostile. */
#pragma once

#include <curl/curl.h>

#include "client/client.h"
#include "client/evidence.h"

struct client {
    CURL *curl;
    char base[1024];     /* "https://host:8443"; of a UNIX socket "http://localhost" */
    char *authorization; /* "Authorization: Bearer ..." or NULL */
    json_t *problem;
    struct evidence evidence;
    char curl_error[CURL_ERROR_SIZE];
};

struct request {
    const char *method, *path;
    const char *body;                                                /* NULL: none */
    const char *if_match, *idempotency_key, *last_event_id, *accept; /* NULL: none */
    uint32_t timeout_ms; /* 0: as long as bytes come once a minute */
    /* Takes the body's bytes of a 2xx answer instead of reply.body: returns false to end. NULL: gather. */
    bool (*take)(void *arg, const char *data, size_t size);
    void *arg;
};

struct reply {
    int status;
    char *body; /* a NUL behind size; for free() */
    size_t size;
    char etag[64];
    uint32_t retry_after_s; /* 0: the server did not say */
    bool is_ended;          /* by take */
};
void reply_done(struct reply *reply);

/*
 * returns: 0 there is an answer, of any status; -EIO no connection, a time-out, the answer was cut; -EACCES the server is not who it must be (TLS); -EBADMSG nor where (evidence);
 * -E2BIG; -ENOMEM. err says it.
 */
MUST_CHECK int request_perform(struct client *client, const struct request *request,
                               struct reply *ret, struct err *err);

/* Makes the client's problem of a reply that is not 2xx. returns: -EPROTO or -EACCES; err says it. */
int client_problem_take(struct client *client, const struct reply *reply, struct err *err);
