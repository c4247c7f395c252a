/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker does with a request: who asks, may they, how often; body; handler; answer. Relying party; all that came is hostile. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/events.h"
#include "server/api/json.h"
#include "server/api/metrics.h"
#include "server/api/rate.h"
#include "server/api/request.h"
#include "server/config.h"

#define RATE_DEFAULT_PER_MINUTE 6000u
#define RATE_ADDRESS_FACTOR 10u /* many instances may come from one address */

static api_instance_authenticate_fn *g_instance_authenticate; /* set before any thread */

void api_instance_authenticator_set(api_instance_authenticate_fn *fn)
{
    g_instance_authenticate = fn;
}

/* ---- who ---- */

static int refuse_identity(struct request *r, const struct err *err)
{
    metrics_add(r->rq.server->metrics, METRICS_TOKENS_REFUSED);
    return api_problem(&r->rq, 401, "not-authenticated", "%s",
                       err->text[0] ? err->text : "the token is not valid");
}

static int identify_instance(struct request *r, const char *credential)
{
    struct api_principal who = { .kind = API_INSTANCE };
    struct err err = { "" };
    int rc;

    if (!g_instance_authenticate)
        return api_problem(&r->rq, 401, "not-authenticated", "no instances are known here");
    rc = g_instance_authenticate(&r->rq, credential, &who, &err);
    if (rc == -EACCES)
        return refuse_identity(r, &err);
    if (rc < 0)
        return api_problem_errno(&r->rq, rc, "authentication", &err);
    r->who.kind = API_INSTANCE;
    snprintf(r->who.id, sizeof r->who.id, "%s", who.id);
    snprintf(r->who.org_id, sizeof r->who.org_id, "%s", who.org_id);
    return 0;
}

static int identify_bearer(struct request *r, const char *token)
{
    struct err err = { "" };
    int rc = auth_bearer(r->rq.server, token, &r->who, &err);

    if (rc == -EACCES)
        return refuse_identity(r, &err);
    return rc < 0 ? api_problem_errno(&r->rq, rc, "authentication", &err) : 0;
}

static int identify(struct request *r)
{
    const char *header = api_header(&r->rq, "Authorization");
    int rc;

    if (r->route->flags & API_PUBLIC)
        return 0;
    if (!header)
        return api_problem(&r->rq, 401, "not-authenticated", "an Authorization header is missing");
    if (strncasecmp(header, "Bearer ", 7) == 0)
        rc = identify_bearer(r, header + 7);
    else if (strncasecmp(header, "Cloche-Instance ", 16) == 0 &&
             (r->route->flags & API_FOR_INSTANCE))
        rc = identify_instance(r, header + 16);
    else
        rc = api_problem(&r->rq, 401, "not-authenticated",
                         "this endpoint does not know this kind of Authorization");
    if (rc < 0)
        return rc;
    r->rq.who = (struct api_principal){ .kind = r->who.kind,
                                        .id = r->who.id,
                                        .org_id = r->who.org_id,
                                        .roles = r->who.roles,
                                        .user_id = r->who.user_id,
                                        .token_id = r->who.token_id };
    return 0;
}

/* ---- may they ---- */

static json_t *role_names(unsigned roles)
{
    static const char *const names[] = { "reader", "auditor", "operator", "approver", "owner" };
    json_t *list = json_array();

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        if (roles & 1u << i)
            json_array_append_new(list, json_string(names[i]));
    return list;
}

static bool is_allowed(const struct api_route *route, const struct api_principal *who)
{
    switch (who->kind) {
    case API_NODE:
        return route->flags & API_FOR_NODE;
    case API_INSTANCE:
        return route->flags & API_FOR_INSTANCE;
    case API_USER:
    case API_TOKEN:
        return (route->flags & API_ANY_ROLE) ? who->roles != 0 : (route->roles & who->roles) != 0;
    case API_ANONYMOUS:
        return route->flags & API_PUBLIC;
    }
    return false;
}

static int authorise(struct request *r)
{
    bool is_member = r->rq.who.kind == API_USER || r->rq.who.kind == API_TOKEN;

    if ((r->route->flags & API_PUBLIC) || is_allowed(r->route, &r->rq.who))
        return 0;
    (void)api_problem(&r->rq, 403, "not-allowed", "%s may not do this",
                      is_member ? "a member with these roles" : "whoever this token is of");
    if (is_member && r->route->roles) {
        api_problem_set(&r->rq, "expected", role_names(r->route->roles));
        api_problem_set(&r->rq, "actual", role_names(r->rq.who.roles));
        api_problem_set(&r->rq, "fix",
                        json_string("ask an owner of the organisation for one of these roles"));
    }
    return -EPROTO;
}

static int rate_check(struct request *r)
{
    uint32_t rate = r->rq.server->config->rate_per_minute;
    bool is_known = r->rq.who.kind != API_ANONYMOUS;
    const char *key = is_known ? r->who.token_id[0] ? r->who.token_id : r->who.id : r->remote;

    rate = rate ? rate : RATE_DEFAULT_PER_MINUTE;
    r->retry_after_s =
        rate_take(r->http->rate, key, is_known ? rate : rate * RATE_ADDRESS_FACTOR, clock_ms());
    if (r->retry_after_s == 0)
        return 0;
    metrics_add(r->rq.server->metrics, METRICS_RATE_LIMITED);
    return api_problem(&r->rq, 429, "rate-limited", "too many requests; wait %u s",
                       r->retry_after_s);
}

/* ---- body ---- */

static int body_decode(struct request *r)
{
    const char *type = api_header(&r->rq, "Content-Type");
    struct err err = { "" };
    size_t len;
    int rc;

    if (r->body_size == 0)
        return 0;
    len = type ? strcspn(type, "; ") : 0;
    if (len != strlen("application/json") || strncasecmp(type, "application/json", len) != 0)
        return api_problem(&r->rq, 415, "unsupported-media-type",
                           "the body's Content-Type is not application/json");
    rc = json_object_parse(r->body, r->body_size, API_JSON_DEPTH_MAX, &r->rq.body, &err);
    if (rc == -ENOMEM)
        return api_problem_errno(&r->rq, rc, "body", &err);
    if (rc < 0) {
        (void)api_problem(&r->rq, 400, "malformed-json", "the body is not a JSON object");
        /* What is near the error may be a secret that a log keeps: only the place and the kind. */
        api_problem_set(&r->rq, "reason", json_stringn(err.text, strcspn(err.text, "'")));
    }
    return rc < 0 ? -EPROTO : 0;
}

/* ---- answer ---- */

static void response_done(struct api_response *response)
{
    json_decref(response->body);
    free(response->text);
}

static bool is_header_text(const char *text)
{
    for (; *text; text++)
        if (*text < 0x21 || *text > 0x7e || *text == '"')
            return false;
    return true;
}

static int answer_encode(struct request *r, struct api_response *response)
{
    r->status = response->status ? response->status : response->body || response->text ? 200 : 204;
    if (!is_header_text(response->etag) || !is_header_text(response->location))
        return -EBADMSG;
    memcpy(r->etag, response->etag, sizeof r->etag);
    memcpy(r->location, response->location, sizeof r->location);
    if (r->stream)
        return 0;
    r->content_type = response->content_type;
    if (response->text) {
        r->answer = TAKE_PTR(response->text);
        r->answer_size = response->text_size;
    } else if (response->body) {
        r->answer = json_dumps(response->body, JSON_COMPACT);
        if (!r->answer)
            return -ENOMEM;
        r->answer_size = strlen(r->answer);
    }
    return 0;
}

static int handle(struct request *r)
{
    struct api_response response = { .status = 0 };
    int rc = idempotency_find(r, &response);

    if (rc == 0) {
        rc = r->route->handle(&r->rq, &response);
        assert(rc != 0 || !r->idempotency_key || r->is_answer_kept);
    }
    rc = MIN(rc, 0);
    if (rc == 0)
        rc = answer_encode(r, &response);
    response_done(&response);
    if (rc == -EINPROGRESS && r->wants_park)
        return rc;
    r->wants_park = false;
    if (rc < 0 && rc != -EPROTO) {
        struct err err = { "" };

        rc = api_problem_errno(&r->rq, rc == -EINPROGRESS ? -EIO : rc, r->rq.path, &err);
    }
    return rc;
}

static int admit(struct request *r)
{
    int rc = identify(r);

    if (rc == 0)
        rc = rate_check(r);
    if (rc == 0)
        rc = authorise(r);
    if (rc == 0)
        rc = body_decode(r);
    return rc;
}

void request_run(struct request *r)
{
    int rc = 0;

    if (!r->is_admitted) {
        rc = admit(r);
        r->is_admitted = true;
    }
    if (rc == 0)
        rc = handle(r);
    if (rc == -EINPROGRESS)
        return;
    if (rc < 0)
        request_problem_encode(r);
    if (strcmp(r->route->method, "GET") != 0)
        events_wake(r->rq.server->events);
}
