/* SPDX-License-Identifier: Apache-2.0 */
/* A request from its first byte to its answer, on the I/O threads: libmicrohttpd's callbacks. Relying party; all that comes is hostile. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/ct.h"
#include "server/api/metrics.h"
#include "server/api/request.h"
#include "server/api/router.h"
#include "server/config.h"

#define DISCARDED_SIZE_MAX                                                                         \
    (8u << 20) /* of a body that is too large, before the connection is cut */

/* ---- who ---- */

/* Behind a proxy on this host the last address of X-Forwarded-For, which the proxy wrote, is the client's. */
static const char *forwarded_address(struct request *r)
{
    const char *list = MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, "X-Forwarded-For");
    const char *last = list ? strrchr(list, ',') : NULL;
    uint8_t bytes[16];

    if (!list)
        return NULL;
    last = last ? last + 1 : list;
    last += strspn(last, " ");
    return inet_pton(AF_INET, last, bytes) == 1 || inet_pton(AF_INET6, last, bytes) == 1 ? last
                                                                                         : NULL;
}

static void remote_set(struct request *r)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info ? info->client_addr : NULL;
    const char *forwarded = r->http->server->config->plain_http ? forwarded_address(r) : NULL;

    snprintf(r->remote, sizeof r->remote, "local");
    if (forwarded)
        snprintf(r->remote, sizeof r->remote, "%s", forwarded);
    else if (address && address->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, r->remote,
                  sizeof r->remote);
    else if (address && address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, r->remote,
                  sizeof r->remote);
    r->rq.remote = r->remote;
}

/* ---- begin and end ---- */

void *request_begin(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    struct http *http = cls;
    struct request *r = calloc(1, sizeof *r);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    if (!r)
        return NULL;
    r->http = http;
    r->mhd = mhd;
    r->connection = info ? info->socket_context : NULL;
    r->started_ms = clock_ms();
    r->target = strdup(uri);
    r->path = strndup(uri, strcspn(uri, "?"));
    if (!r->connection || !r->target || !r->path) {
        request_free(r);
        return NULL;
    }
    id_make("req", r->id);
    r->rq = (struct api_request){ .server = http->server,
                                  .who = { .kind = API_ANONYMOUS, .id = "anonymous" },
                                  .path = r->path,
                                  .request_id = r->id,
                                  .http = r };
    return r;
}

void request_free(struct request *r)
{
    r->http->bodies_size -= r->body_capacity;
    stream_end(r->stream);
    json_decref(r->rq.body);
    json_decref(r->problem);
    if (r->body)
        ct_wipe(r->body, r->body_capacity); /* passwords */
    free(r->body);
    free(r->answer);
    free(r->target);
    free(r->path);
    free(r);
}

void request_end(void *cls, struct MHD_Connection *mhd, void **request,
                 enum MHD_RequestTerminationCode why)
{
    struct request *r = *request;

    if (!r)
        return;
    r->connection->deadline_ms = clock_ms() + HTTP_IDLE_S * 1000;
    metrics_request(r->http->server->metrics, r->route ? (int)r->route_number : -1, r->status,
                    clock_ms() - r->started_ms);
    request_free(r);
    *request = NULL;
}

/* ---- the answer ---- */

static void headers_add(struct request *r, struct MHD_Response *response)
{
    char text[160];

    MHD_add_response_header(response, "Content-Type",
                            r->content_type ? r->content_type : "application/json");
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "X-Request-Id", r->id);
    if (r->http->tls)
        MHD_add_response_header(response, "Strict-Transport-Security", "max-age=31536000");
    if (r->etag[0]) {
        snprintf(text, sizeof text, "\"%s\"", r->etag);
        MHD_add_response_header(response, "ETag", text);
    }
    if (r->location[0])
        MHD_add_response_header(response, "Location", r->location);
    if (r->allow[0])
        MHD_add_response_header(response, "Allow", r->allow);
    if (r->status == 401)
        MHD_add_response_header(response, "WWW-Authenticate", "Bearer realm=\"cloche\"");
    if (r->retry_after_s) {
        snprintf(text, sizeof text, "%u", r->retry_after_s);
        MHD_add_response_header(response, "Retry-After", text);
    }
}

static enum MHD_Result answer_send(struct request *r)
{
    struct MHD_Response *response;
    enum MHD_Result result;

    r->connection->deadline_ms =
        clock_ms() + r->http->timeout_ms + (int64_t)(r->answer_size / HTTP_ANSWER_RATE) * 1000;
    if (r->stream) {
        response = stream_response(r->stream);
    } else {
        response =
            MHD_create_response_from_buffer(r->answer_size, r->answer, MHD_RESPMEM_MUST_FREE);
        if (response)
            r->answer = NULL;
    }
    if (!response)
        return MHD_NO;
    headers_add(r, response);
    result = MHD_queue_response(r->mhd, (unsigned)r->status, response);
    MHD_destroy_response(response);
    return result;
}

/* A problem before any worker has seen the request. */
static enum MHD_Result refuse(struct request *r)
{
    request_problem_encode(r);
    r->state = REQUEST_DONE;
    return answer_send(r);
}

/* ---- the head ---- */

struct header_count {
    struct request *r;
    unsigned count;
    bool is_bad;
};
/* Headers of which two would be read differently by different readers. */
static enum MHD_Result header_check(void *cls, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    static const char *const single[] = { "Authorization",  "Content-Type",
                                          "Content-Length", "Transfer-Encoding",
                                          "If-Match",       "Idempotency-Key",
                                          "Host",           "Last-Event-ID" };
    struct header_count *h = cls;

    if (++h->count > HTTP_HEADERS_MAX || (value && !text_is_clean(value, strlen(value))))
        h->is_bad = true;
    for (unsigned i = 0; i < ARRAY_COUNT(single); i++)
        if (strcasecmp(name, single[i]) == 0 &&
            MHD_lookup_connection_value(h->r->mhd, MHD_HEADER_KIND, name) != value)
            h->is_bad = true;
    return MHD_YES;
}

static int headers_check(struct request *r)
{
    struct header_count h = { .r = r };

    MHD_get_connection_values(r->mhd, MHD_HEADER_KIND, header_check, &h);
    if (h.is_bad)
        return api_problem(&r->rq, 400, "bad-headers",
                           "the request has too many headers, one twice that may be there once, "
                           "or one with control characters");
    if (api_header(&r->rq, "Content-Length") && api_header(&r->rq, "Transfer-Encoding"))
        return api_problem(&r->rq, 400, "bad-headers",
                           "the request has both Content-Length and Transfer-Encoding");
    return 0;
}

static int etag_read(struct request *r)
{
    const char *text = api_header(&r->rq, "If-Match");
    size_t len = text ? strlen(text) : 0;

    if (!text)
        return 0;
    if (strcmp(text, "*") == 0) {
        r->rq.if_match = "*";
        return 0;
    }
    if (len < 3 || len - 2 >= sizeof r->if_match || text[0] != '"' || text[len - 1] != '"' ||
        memchr(text + 1, '"', len - 2))
        return api_problem(&r->rq, 400, "bad-headers", "If-Match is not one ETag in quotes");
    memcpy(r->if_match, text + 1, len - 2);
    r->rq.if_match = r->if_match;
    return 0;
}

static int route_find(struct request *r, const char *method)
{
    struct router_match match;
    const char *problem = NULL;

    if (uri_parse(r->target, &r->uri, &problem) < 0)
        return api_problem(&r->rq, 400, "bad-uri", "the request's target is malformed: %s",
                           problem);
    router_find(router_tables, method, &r->uri, &match);
    if (match.route) {
        r->route = match.route;
        r->route_number = match.number;
        r->rq.method = match.route->method;
        memcpy(r->rq.params, match.params, sizeof match.params);
        return 0;
    }
    if (!match.allow[0])
        return api_problem(&r->rq, 404, "no-such-endpoint", "there is no such endpoint");
    memcpy(r->allow, match.allow, sizeof r->allow);
    return api_problem(&r->rq, 405, "method-not-allowed", "this endpoint takes %s", match.allow);
}

static size_t body_size_max(const struct request *r)
{
    if (strcmp(r->route->method, "GET") == 0 || strcmp(r->route->method, "DELETE") == 0)
        return 0;
    return r->route->body_size_max ? r->route->body_size_max : API_BODY_SIZE_MAX;
}

static int body_refuse(struct request *r)
{
    size_t max = body_size_max(r);

    if (max == 0)
        return api_problem(&r->rq, 400, "unexpected-body", "this request takes no body");
    return api_problem(&r->rq, 413, "body-too-large", "the body is larger than %zu bytes", max);
}

/* What can be refused before the body has come. */
static int head_check(struct request *r, const char *method)
{
    const char *length = api_header(&r->rq, "Content-Length");
    bool is_public;
    int rc = route_find(r, method);

    if (rc == 0)
        rc = headers_check(r);
    if (rc == 0)
        rc = etag_read(r);
    if (rc < 0)
        return rc;
    is_public = (r->route->flags & API_PUBLIC) != 0;
    if (!is_public && !api_header(&r->rq, "Authorization"))
        return api_problem(&r->rq, 401, "not-authenticated",
                           "this endpoint needs an Authorization header with a token");
    if (length && strtoull(length, NULL, 10) > body_size_max(r))
        return body_refuse(r);
    return 0;
}

static enum MHD_Result head_accept(struct request *r, const char *method)
{
    remote_set(r);
    if (strlen(method) > 8 || strcmp(method, "CONNECT") == 0)
        return MHD_NO;
    if (head_check(r, method) < 0)
        return refuse(r);
    r->connection->deadline_ms = clock_ms() + r->http->timeout_ms;
    r->state = REQUEST_READING;
    return MHD_YES;
}

/* ---- the body ---- */

static enum MHD_Result body_add(struct request *r, const char *data, size_t size)
{
    size_t need = r->body_size + size;

    if (!r->body_is_too_large && need > body_size_max(r))
        r->body_is_too_large = true;
    if (r->body_is_too_large) {
        r->body_size = need;
        return need > DISCARDED_SIZE_MAX ? MHD_NO : MHD_YES;
    }
    if (need > r->body_capacity) {
        size_t capacity = MAX(need, MIN(2 * r->body_capacity, body_size_max(r)));
        uint8_t *body;

        if (r->http->bodies_size + (capacity - r->body_capacity) > HTTP_BODIES_SIZE_MAX)
            return MHD_NO;
        body = realloc(r->body, capacity);
        if (!body)
            return MHD_NO;
        r->http->bodies_size += capacity - r->body_capacity;
        r->body = body;
        r->body_capacity = capacity;
    }
    memcpy(r->body + r->body_size, data, size);
    r->body_size = need;
    return MHD_YES;
}

static enum MHD_Result request_submit(struct request *r)
{
    if (r->body_is_too_large) {
        (void)body_refuse(r);
        return refuse(r);
    }
    r->connection->deadline_ms = 0;
    r->state = REQUEST_WORKING;
    r->http->active_count++;
    MHD_suspend_connection(r->mhd);
    if (workers_add(r->http->workers, r) == 0)
        return MHD_YES;
    r->http->active_count--;
    r->retry_after_s = 1;
    (void)api_problem(&r->rq, 503, "busy", "the server has too many requests to answer");
    request_problem_encode(r);
    r->state = REQUEST_DONE;
    MHD_resume_connection(r->mhd);
    return MHD_YES;
}

enum MHD_Result request_handle(void *cls, struct MHD_Connection *mhd, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *data_size, void **ret_request)
{
    struct request *r = *ret_request;

    if (!r)
        return MHD_NO;
    switch (r->state) {
    case REQUEST_NEW:
        return head_accept(r, method);
    case REQUEST_READING:
        if (*data_size > 0) {
            enum MHD_Result result = body_add(r, data, *data_size);

            *data_size = 0;
            return result;
        }
        return request_submit(r);
    case REQUEST_WORKING:
        return MHD_YES;
    case REQUEST_DONE:
        return answer_send(r);
    }
    return MHD_NO;
}
