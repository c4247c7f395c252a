/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server under the API: connections, TLS 1.3, requests read within limits, workers that run handlers, answers. Relying party.
 *
 * Few threads move bytes (libmicrohttpd, epoll); a request that has come whole is suspended there and run by one of thread_count workers, so that a slow handler holds
 * up nobody's bytes. A clock thread ends connections whose request or whose reading of the answer takes too long, whatever trickles in meanwhile.
 */
#pragma once

#include "server/server.h"

#define HTTP_THREADS_DEFAULT 16u
#define HTTP_CONNECTIONS_DEFAULT 8192u
#define HTTP_TIMEOUT_DEFAULT_S 20u
#define HTTP_IDLE_S 60u /* between two requests of a connection */
#define HTTP_HEAD_SIZE_MAX                                                                         \
    12288u /* bytes of a request's head, and of all that is kept per connection */
#define HTTP_HEADERS_MAX 64u
#define HTTP_BODIES_SIZE_MAX (64u << 20) /* bytes of all bodies that are held at a time */
#define HTTP_QUEUE_MAX 4096u             /* requests that wait for a worker */
#define HTTP_ANSWER_RATE 16384u          /* bytes a second that who reads an answer must manage */

struct http;
/* Listens and serves. returns: 0; -EINVAL listen; -EADDRINUSE; errno. */
MUST_CHECK int http_start(struct server *server, struct http **ret, struct err *err);
/* No new connections; requests in work are answered, for at most grace_ms; the others are cut off. NULL allowed. */
void http_stop(struct http *http, unsigned grace_ms);
/* After http_stop, and after all that may call api_wake has ended. NULL allowed. */
void http_free(struct http *http);
/* Reads or issues the certificate anew; on failure the old one stays. returns: 0; -EINVAL the files; errno. */
MUST_CHECK int http_certificate_reload(struct http *http, struct err *err);
/* Where it listens, as configured, with the port that it got. */
const char *http_address(const struct http *http);

/* For metrics. */
struct http_figures {
    unsigned connections, requests_active, requests_queued, requests_parked;
    uint64_t timeouts; /* connections that were cut off because they took too long */
};
void http_figures_get(struct http *http, struct http_figures *ret);
