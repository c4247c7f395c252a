/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an endpoint of the REST API is. Relying party; everything in a request is hostile. A folder with endpoints exports a table of routes
 * (`extern const struct api_route app_routes[]; extern const unsigned app_route_count;`) that server/api/routes.c lists; the HTTP part decodes, limits, authenticates and
 * authorises before a handler runs, and encodes what comes back. The contract towards clients is openapi.yaml beside this file.
 */
#pragma once

#include <jansson.h>

#include "server/server.h"
#include "server/store/store.h"

#define API_BODY_SIZE_MAX (1u << 20) /* bytes of JSON; a route may ask for less or more */
#define API_JSON_DEPTH_MAX 32u
#define API_PARAMS_MAX 4u
#define API_PAGE_DEFAULT 50u
#define API_PAGE_MAX 500u

/* ---- who asks ---- */

enum api_role {                   /* of a user or token in its organisation; a set, as bits */
                API_READER = 1,   /* sees objects, no secrets, no audit log */
                API_AUDITOR = 2,  /* reads everything and the audit log, changes nothing */
                API_OPERATOR = 4, /* nodes, instances, rollouts */
                API_APPROVER = 8, /* approves with a key */
                API_OWNER = 16,   /* everything, also users and policy */
};
enum api_principal_kind { API_ANONYMOUS, API_USER, API_TOKEN, API_NODE, API_INSTANCE };
struct api_principal {
    enum api_principal_kind kind;
    const char *id;       /* usr_..., tok_..., nod_..., ins_...; "anonymous" */
    const char *org_id;   /* NULL: anonymous */
    unsigned roles;       /* users and tokens */
    const char *user_id;  /* the user, or whose API token it is; else NULL or "" */
    const char *token_id; /* the session, API or node token used; else NULL or "" */
};

/* ---- request ---- */

struct api_request {
    struct server *server;
    struct api_principal who;
    const char *method, *path;
    const char *params
        [API_PARAMS_MAX]; /* of the path template, in order; decoded, valid UTF-8, no control characters, at most 256 bytes */
    json_t *body; /* an object, or NULL; depth and size are bounded, UTF-8 is valid; borrowed */
    const char *if_match;   /* ETag without quotes, or NULL */
    const char *request_id; /* for logs and the audit log */
    const char *remote;     /* address, as text; "local" over a UNIX socket */
    void *http;             /* of the HTTP part */
};
/* A parameter of the query, decoded (as params are), or NULL. */
const char *api_query(const struct api_request *rq, const char *name);
/* A header of the request, or NULL. name: in any case. */
const char *api_header(const struct api_request *rq, const char *name);

/*
 * Waiting without a thread (long polls). A handler that finds nothing to tell returns what api_park returns while that is negative: it is called again, from its beginning, after
 * api_wake(key), and when wait_ms since its first call are over. What is committed and woken between the handler's look and api_park is not missed.
 * returns: -EINPROGRESS, for the handler to return; 0 the time is over, or the server ends: answer now.
 */
MUST_CHECK int api_park(struct api_request *rq, const char *key, uint32_t wait_ms);
/* Calls all handlers that wait for key; any thread, after the commit of what they wait for. */
void api_wake(struct server *server, const char *key);

/*
 * Recognises who sent "Authorization: Cloche-Instance CREDENTIAL" on a route that is API_FOR_INSTANCE. Sets ret->id and ret->org_id (copied by the caller at once).
 * returns: 0; -EACCES it is not right, reason in err; another errno: 500. Registered once, before the server starts (exchange_open).
 */
typedef int api_instance_authenticate_fn(struct api_request *rq, const char *credential,
                                         struct api_principal *ret, struct err *err);
void api_instance_authenticator_set(api_instance_authenticate_fn *fn);

/* ---- answer ---- */

struct api_response {
    int status;    /* 200, 201, 202, 204 */
    json_t *body;  /* the response's to free; NULL: none */
    char etag[64]; /* without quotes; empty: none */
    char location[128];
    const char *content_type; /* static; NULL: application/json */
    char *text;               /* instead of body, for free() */
    size_t text_size;
};

/*
 * Sets the problem (RFC 9457) that the answer becomes. code: stable, a word of docs/api.md ("build-not-allowed"); detail: for people, says what was wrong.
 * returns: -EPROTO, for the handler to return. More members: api_problem_set afterwards ("step", "expected", "actual", "fix").
 */
int api_problem(struct api_request *rq, int status, const char *code, const char *format, ...)
    PRINTF_LIKE(4, 5);
/* Adds a member to the problem; takes value over. */
void api_problem_set(struct api_request *rq, const char *member, json_t *value);
/* The usual problem for an errno of a lower layer: -ENOENT 404 not-found, -EEXIST 409 already-exists, -ENOLINK 409, -EINVAL 400, -EAGAIN 503, -ENOSPC 507, others 500 (text goes to the log only). */
int api_problem_errno(struct api_request *rq, int rc, const char *what, const struct err *err);

/*
 * A write of an endpoint with its answer, in one transaction: fn as for store_write, then answer, which fills *ret (empty when it is called) from what fn left in arg, without other
 * effects; both may be called more than once. With an Idempotency-Key the answer is kept in that transaction; was the request done before, by any server, *ret is its
 * answer, and fn is not called. Every effect of a route that is API_IDEMPOTENT is one api_write, and the handler leaves *ret as it is afterwards.
 * returns: 0 with *ret; -EPROTO a problem was set; as store_write.
 */
typedef int api_answer_fn(void *arg, struct api_response *ret);
MUST_CHECK int api_write(struct api_request *rq, store_tx_fn *fn, api_answer_fn *answer, void *arg,
                         struct api_response *ret, struct err *err);

/*
 * returns: 0 with *ret; -EPROTO a problem was set; another negative errno: 500. A write does everything, audit_append and event_append included, in
 * one store_write or api_write. Must not touch objects of another organisation than rq->who.org_id: each statement names org_id.
 */
typedef int api_handler_fn(struct api_request *rq, struct api_response *ret);

enum api_route_flags {
    API_ANY_ROLE = 1, /* any member of the organisation */
    API_PUBLIC = 2,   /* no authentication */
    API_FOR_NODE = 4, /* nodes, by their token */
    API_FOR_INSTANCE =
        8, /* instances, by an assertion signed with the attested key (docs/exchange.md) */
    API_IDEMPOTENT =
        16, /* takes Idempotency-Key: the first answer is kept a day and given again; the handler writes by api_write */
    API_STREAM = 32, /* handler sets up a stream itself */
};
struct api_route {
    const char *method; /* "GET" */
    const char *path;   /* "/v1/apps/{app}/builds" */
    api_handler_fn *handle;
    unsigned
        roles; /* any of these may; 0 with API_PUBLIC, API_FOR_NODE or API_FOR_INSTANCE alone */
    unsigned flags;
    uint32_t body_size_max; /* 0: API_BODY_SIZE_MAX; GET and DELETE have none */
};

/* ---- helpers ---- */

/*
 * Reads members of a body by a table; sets a problem that names the member (JSON pointer), what is expected, what is there. Unknown members are refused.
 * returns: 0; -EPROTO.
 */
enum api_member_kind {
    API_STRING,
    API_INT,
    API_BOOL,
    API_OBJECT,
    API_ARRAY,
    API_TIME /* RFC 3339, after 1970 began -> int64_t ms */,
    API_BASE64URL /* as the string; checked */
};
struct api_member {
    const char *name;
    enum api_member_kind kind;
    bool is_required;
    void *
        ret; /* const char **, int64_t *, bool *, json_t **: borrowed from the body; untouched when absent */
    int64_t min,
        max; /* of a number; characters of a string, elements of an array; both 0: 1 to 1024 characters, any number */
};
MUST_CHECK int api_body_read(struct api_request *rq, const struct api_member *members,
                             unsigned count);

/* Query "limit" and "after" of a list. returns: 0; -EPROTO. */
struct api_page {
    unsigned limit;    /* ask the store for limit + 1 rows */
    const char *after; /* id; "" from the start */
};
MUST_CHECK int api_page_read(struct api_request *rq, struct api_page *ret);
/* {"items": items, "next": id or null}: of limit + 1 items the last is dropped and next set. Takes items (each has "id"). */
MUST_CHECK int api_page_answer(struct api_response *ret, json_t *items,
                               const struct api_page *page);

/* {"..."} with RFC 3339 in UTC with milliseconds; NULL for 0. */
json_t *api_time(int64_t time_ms);
