/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of the control plane's API: what `cloche app`, `cloche node` and so on speak through. Relying party; the server's answers are parsed as hostile. Knows contexts: server URL, CA, token, organisation,
 * kept in ~/.config/cloche/contexts.json (client/contexts.h). One thread at a time.
 */
#pragma once

#include <jansson.h>

#include "lib/defs.h"
#include "lib/err.h"

#define CLIENT_ANSWER_SIZE_MAX (16u << 20)
#define CLIENT_PAGES_MAX 10000u

struct client;
/* name: of a context; NULL: the current one. returns: 0; -ENOENT there is none: err says to log in; -EBADMSG the file is malformed; errno. */
MUST_CHECK int client_open(const char *name, struct client **ret, struct err *err);
/*
 * context: {"url", "ca" (PEM; absent: the system's), "token", "policy" (text; absent: the server's evidence is not asked for)}, as in the file of contexts; borrowed for the call. url: https://HOST[:PORT], http:// for a
 * loopback host alone (a token must not cross a network in the clear), unix:/path/of/socket. returns: 0; -EINVAL url; -ENOMEM.
 */
MUST_CHECK int client_new(const json_t *context, struct client **ret, struct err *err);
void client_close(struct client *client); /* NULL allowed */

struct client_answer {
    int status;
    json_t *body; /* NULL: none; the answer's */
    char etag[64];
};
void client_answer_done(struct client_answer *answer);
/*
 * One request; body NULL: none, borrowed. Writes carry an Idempotency-Key and are repeated with back-off when no answer came (connection, 503, 429 with Retry-After).
 * if_match: ETag or NULL. returns: 0 with a 2xx answer; -EPROTO a problem document: err has its title, detail, what was expected, the fix; -EACCES not logged in or not allowed;
 * -EIO no server; -EBADMSG the server's evidence was refused, before anything was sent; or what came is not JSON of the API.
 */
MUST_CHECK int client_call(struct client *client, const char *method, const char *path,
                           const json_t *body, const char *if_match, struct client_answer *ret,
                           struct err *err);
/* The problem document of the last call that failed with one (-EPROTO, -EACCES), or NULL; the client's. */
const json_t *client_problem(const struct client *client);
/* All pages of a list, as one array; *ret for json_decref. */
MUST_CHECK int client_list(struct client *client, const char *path, json_t **ret, struct err *err);
/*
 * What the server's certificate said of its TEE in the last handshake, for people; NULL: there was no connection by TLS. *ret_is_accepted: it satisfies the
 * context's policy. The client's.
 */
const char *client_evidence(const struct client *client, bool *ret_is_accepted);
/* An answer that is no JSON of the API (JSON lines, PEM), whole; *ret for free(), with a NUL behind size. Errors as client_call. */
MUST_CHECK int client_text(struct client *client, const char *path, char **ret, size_t *ret_size,
                           struct err *err);
/*
 * Server-sent events until fn returns non-zero or the server ends; reconnects with Last-Event-ID. kind "" with event NULL: the server is reached (again).
 * returns: what fn returned; errors as client_call: -EIO when it could not be reached for a minute.
 */
typedef int client_event_fn(void *arg, const char *kind, const json_t *event);
MUST_CHECK int client_events(struct client *client, const char *path, client_event_fn *fn,
                             void *arg, struct err *err);

/* text as one segment of a path or value of a query: all but unreserved characters become %XX. returns: ret; "" when it does not fit. */
const char *client_escape(const char *text, char *ret, size_t ret_size);
/* Replaces what controls, turns round or hides characters in a text from outside, so that a terminal shows it and does nothing else; a last character that was cut goes. */
void client_text_clean(char *text);
