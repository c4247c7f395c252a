/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTPS request: TLS 1.3 to a chain that ends at a pin, host name checked, one connection a request, bounded in size and time, no redirects. Trusted; hosted. The
 * network is hostile.
 */
#pragma once

#include <openssl/ssl.h>

#include "lib/err.h"
#include "tee/agent/server/pin.h"

#define HTTP_CONNECT_MS 10000u

struct http {
    SSL_CTX *context;
    const struct pins *pins; /* borrowed */
    int cancel_fd;           /* while it is readable, requests end with -ECANCELED; -1: none */
};
/* returns: 0; -EIO, -ENOMEM. */
MUST_CHECK int http_new(const struct pins *pins, int cancel_fd, struct http *ret);
void http_done(struct http *http);

struct http_request {
    const char *server; /* "https://host:port" */
    const char *method, *path;
    const char *authorization; /* NULL: none */
    const char *body;          /* JSON; NULL: none */
    uint64_t end_ms;           /* by lease_clock_ms */
};
struct http_answer {
    unsigned status;
    bool is_problem;
    char *body; /* NUL behind it; http_answer_done. Never NULL */
    size_t size;
};
/*
 * returns: 0, whatever the status; -EBADMSG the other end has not the certificate of the server; -EPROTO no proper HTTP; -EMSGSIZE; -ETIMEDOUT; -ECANCELED; -ECONNREFUSED and the
 * like: not reached. err says more.
 */
MUST_CHECK int http_perform(const struct http *http, const struct http_request *request,
                            struct http_answer *ret, struct err *err);
void http_answer_done(struct http_answer *answer);

/* Sleeps until end_ms. returns: 0; -ECANCELED. */
MUST_CHECK int http_pause(const struct http *http, uint64_t end_ms);
