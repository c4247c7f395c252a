/* SPDX-License-Identifier: Apache-2.0 */
/* A request on its way through the HTTP part: what http.c, work.c and dispatch.c share. Within server/api. Belongs to one thread at a time, as its state says. */
#pragma once

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "server/api/api.h"
#include "server/api/http.h"
#include "server/api/uri.h"
#include "server/auth/auth.h"

enum request_state {
    REQUEST_NEW,     /* its head has come; the I/O thread's */
    REQUEST_READING, /* its body comes; the I/O thread's */
    REQUEST_WORKING, /* suspended; a worker's, the queue's or a place's where it is parked */
    REQUEST_DONE,    /* resumed with an answer; the I/O thread's */
};

/* A connection; in http->connections from accept to close, under http->connections_lock. */
struct connection {
    struct connection *next, **link;
    int fd;
    _Atomic int64_t deadline_ms; /* of the monotonic clock; 0: none */
};

struct stream;

struct request {
    struct api_request rq; /* rq.http points back here */
    struct http *http;
    struct MHD_Connection *mhd;
    struct connection *connection;
    enum request_state state;
    char *target, *path; /* owned; the target is taken apart in place */
    struct uri uri;
    const struct api_route *route;
    unsigned route_number; /* of the routes' list, for metrics */
    char id[ID_SIZE], remote[64];
    struct auth_who who;
    char if_match[64];
    bool
        is_admitted; /* authenticated, authorised, counted; a parked request that runs again is not asked again */
    const char *idempotency_key; /* NULL: none, or not taken */
    uint8_t idempotency_hash[32];
    bool is_answer_kept; /* the handler's write was api_write's */
    uint8_t *body;
    size_t body_size, body_capacity;
    bool body_is_too_large;
    int64_t started_ms;    /* monotonic */
    int64_t park_until_ms; /* monotonic; 0: was not parked yet */
    uint64_t park_seen;    /* wakes when the handler was called last */
    char park_key[64];
    bool wants_park;
    struct request *next; /* in the queue, or among the parked */
    /* ---- the answer ---- */
    int problem_status;
    json_t *problem;
    int status; /* 0: none yet */
    char *answer;
    size_t answer_size;
    const char *content_type;
    char etag[64], location[128], allow[64];
    unsigned retry_after_s;
    struct stream *stream; /* instead of an answer */
};

struct workers;
struct rate;
struct http {
    struct server *server;
    struct MHD_Daemon *daemon;
    struct http_tls *tls; /* NULL: plain */
    int listen_fd;
    char address[160];
    char unix_path[108];
    pthread_mutex_t connections_lock;
    struct connection *connections;
    struct workers *workers;
    struct rate *rate;
    pthread_t clock;
    bool has_clock;
    _Atomic bool is_stopping;
    _Atomic size_t bodies_size;
    _Atomic unsigned connection_count, active_count;
    _Atomic uint64_t timeouts;
    uint32_t timeout_ms;
};

static inline struct request *request_of(const struct api_request *rq)
{
    return rq->http;
}
int64_t clock_ms(void); /* monotonic */

/* ---- dispatch.c ---- */
/* Runs the handler and all before and after it; the request then has its answer, or wants_park. On a worker. */
void request_run(struct request *r);
/* Makes the answer from the problem that was set (of `500 internal` when none was). */
void request_problem_encode(struct request *r);

/* ---- work.c ---- */
MUST_CHECK int workers_start(struct http *http, unsigned count, struct workers **ret,
                             struct err *err);
/* Answers all that wait, ends the threads; what is woken afterwards is nobody. NULL allowed. */
void workers_stop(struct workers *workers);
void workers_free(struct workers *workers); /* NULL allowed; stopped */
/* Takes a suspended request. returns: 0; -EAGAIN the queue is full. */
MUST_CHECK int workers_add(struct workers *workers, struct request *r);
/* Runs again those parked whose time is over; all: those too whose is not. */
void workers_parked_check(struct workers *workers, int64_t now_ms, bool all);
void workers_wake(struct workers *workers, const char *key);
void workers_figures(struct workers *workers, unsigned *ret_queued, unsigned *ret_parked);

/* ---- http_request.c: libmicrohttpd's callbacks ---- */
void *request_begin(void *cls, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result request_handle(void *cls, struct MHD_Connection *mhd, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *data_size, void **ret_request);
void request_end(void *cls, struct MHD_Connection *mhd, void **request,
                 enum MHD_RequestTerminationCode why);
void request_free(struct request *r);

/* ---- http_tls.c ---- */
struct http_tls;
MUST_CHECK int http_tls_new(struct server *server, struct http_tls **ret, struct err *err);
void http_tls_free(struct http_tls *tls); /* NULL allowed */
MUST_CHECK int http_tls_reload(struct http_tls *tls, struct err *err);
/* Issues a new certificate before the one in use ends. */
void http_tls_renew(struct http_tls *tls, int64_t now_s);
/* gnutls_certificate_retrieve_function3 of the process's one server. */
void *http_tls_callback(void);

/* ---- idempotency.c ---- */
/* returns: 0 run it; 1 *ret is the answer of then; -EPROTO a problem was set. */
MUST_CHECK int idempotency_find(struct request *r, struct api_response *ret);

/* ---- events_stream.c ---- */
struct MHD_Response *stream_response(struct stream *stream);
/* The connection has ended. NULL allowed. */
void stream_end(struct stream *stream);
