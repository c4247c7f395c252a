/* SPDX-License-Identifier: Apache-2.0 */
/* Problem documents (RFC 9457). Relying party. What is in them goes to the client: no secrets, and nothing of the server's inside for a 500. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/request.h"

static const char *status_title(int status)
{
    static const struct {
        int status;
        const char *title;
    } titles[] = {
        { 400, "Bad request" },
        { 401, "Not authenticated" },
        { 403, "Not allowed" },
        { 404, "Not found" },
        { 405, "Method not allowed" },
        { 409, "Conflict" },
        { 410, "Gone" },
        { 412, "Changed meanwhile" },
        { 413, "Too large" },
        { 415, "Unsupported media type" },
        { 422, "Cannot be done" },
        { 428, "Precondition needed" },
        { 429, "Too many requests" },
        { 503, "Not now" },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(titles); i++)
        if (titles[i].status == status)
            return titles[i].title;
    return status >= 500 ? "Server error" : "Request refused";
}

int api_problem(struct api_request *rq, int status, const char *code, const char *format, ...)
{
    struct request *r = request_of(rq);
    char detail[ERR_TEXT_SIZE + 256];
    va_list args;

    if (!r)
        return -EPROTO;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    json_decref(r->problem);
    r->problem_status = status;
    r->problem = json_pack("{s:s, s:s, s:i, s:s, s:s}", "type", "about:blank", "title",
                           status_title(status), "status", status, "detail", detail, "code", code);
    /* A text that was cut within a character. */
    if (!r->problem)
        r->problem = json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title",
                               status_title(status), "status", status, "code", code);
    return -EPROTO;
}

void api_problem_set(struct api_request *rq, const char *member, json_t *value)
{
    struct request *r = request_of(rq);

    if (r && r->problem)
        json_object_set_new(r->problem, member, value);
    else
        json_decref(value);
}

int api_problem_errno(struct api_request *rq, int rc, const char *what, const struct err *err)
{
    const char *text = err && err->text[0] ? err->text : strerror(-rc);

    switch (rc) {
    case -EPROTO:
        if (!request_of(rq) || request_of(rq)->problem)
            return -EPROTO;
        break;
    case -ENOENT:
        return api_problem(rq, 404, "not-found", "%s: there is no such object", what);
    case -EEXIST:
        return api_problem(rq, 409, "already-exists", "%s: there is one already", what);
    case -ENOLINK:
        return api_problem(rq, 409, "in-use-or-absent",
                           "%s: it names something that does not exist, or is still in use", what);
    case -EINVAL:
        return api_problem(rq, 400, "invalid", "%s: %s", what, text);
    case -EAGAIN:
        if (request_of(rq))
            request_of(rq)->retry_after_s = 1;
        return api_problem(rq, 503, "busy", "%s: the server cannot do this now; try again", what);
    case -ENOSPC:
        server_log(rq->server, "error", "the store is full", "request", rq->request_id, "error",
                   text, NULL);
        return api_problem(rq, 507, "store-full",
                           "%s: the disk of the store is full; nothing was changed", what);
    default:
        break;
    }
    server_log(rq->server, "error", "request failed", "request", rq->request_id, "path", rq->path,
               "what", what, "error", text, "errno", strerror(-rc), NULL);
    return api_problem(rq, 500, "internal", "the server failed; its log has more under %s",
                       rq->request_id);
}

void request_problem_encode(struct request *r)
{
    if (!r->problem)
        (void)api_problem(&r->rq, 500, "internal", "the server failed; its log has more under %s",
                          r->id);
    if (r->problem)
        json_object_set_new(r->problem, "request", json_string(r->id));
    free(r->answer);
    r->answer = r->problem ? json_dumps(r->problem, JSON_COMPACT) : NULL;
    r->answer_size = r->answer ? strlen(r->answer) : 0;
    r->status = r->problem_status ? r->problem_status : 500;
    r->content_type = "application/problem+json";
    r->etag[0] = r->location[0] = 0;
}
