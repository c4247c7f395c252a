/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP request: with libcurl, or by whatever a test puts in its place. Relying party; within collateral/. */
#pragma once

#include "collateral/headers.h"

struct collateral_request {
    const char *url;
    const char *etag, *last_modified; /* of what is held; empty or NULL: none */
    const char *const *chain_names;   /* see struct headers */
    size_t size_max;                  /* bytes of the body */
    uint32_t timeout_ms;
};

struct collateral_response {
    int status; /* as 200; never a redirect that was followed */
    struct headers headers;
    uint8_t *body; /* owned; complete, as its length was announced */
    size_t body_size;
};
void collateral_response_done(struct collateral_response *response);

struct collateral_transport {
    /*
     * returns: 0 there is an answer, of any status; -EIO no connection, a time-out, or the answer was cut: worth trying again; -EACCES the
     * server is not who it must be (TLS); -E2BIG body longer than size_max; -EBADMSG headers; -ENOMEM. err says it without the URL.
     */
    int (*get)(struct collateral_transport *transport, const struct collateral_request *request,
               struct collateral_response *ret, struct err *err);
    void (*free)(struct collateral_transport *transport); /* NULL: it is not the store's */
};

/* Over libcurl: TLS 1.2 or newer, the system's CAs or ca_file, no redirects, no compression, no cookies, no passwords. */
MUST_CHECK int http_transport_new(const char *ca_file, const char *proxy_url,
                                  struct collateral_transport **ret, struct err *err);
