/* SPDX-License-Identifier: Apache-2.0 */
/* Requests with libcurl: TLS 1.3, no redirects, no cookies, no proxy's passwords. Relying party; answers are hostile. */
#include "client/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CONNECT_MS_MAX 10000L
#define SILENCE_S_MAX 60L
#define RETRY_AFTER_S_MAX 3600u

struct gather {
    const struct request *request;
    struct reply *reply;
    CURL *curl;
    size_t capacity;
    int rc;
};

void reply_done(struct reply *reply)
{
    free(reply->body);
    *reply = (struct reply){ 0 };
}

static void take_etag(struct reply *reply, const char *value, size_t len)
{
    while (len > 0 && (*value == ' ' || *value == '"')) {
        value++;
        len--;
    }
    while (len > 0 && strchr(" \r\n\"", value[len - 1]))
        len--;
    if (len < sizeof reply->etag) {
        memcpy(reply->etag, value, len);
        reply->etag[len] = 0;
    }
}

static size_t take_header(char *line, size_t unit, size_t count, void *context)
{
    struct gather *g = context;
    size_t size = unit * count;

    if (size > 5 && strncasecmp(line, "ETag:", 5) == 0)
        take_etag(g->reply, line + 5, size - 5);
    if (size > 12 && size < 32 && strncasecmp(line, "Retry-After:", 12) == 0) {
        char text[32];

        memcpy(text, line + 12, size - 12);
        text[size - 12] = 0;
        g->reply->retry_after_s =
            (uint32_t)MIN(strtoul(text, NULL, 10), (unsigned long)RETRY_AFTER_S_MAX);
    }
    return size;
}

static size_t take_body(char *data, size_t unit, size_t count, void *context)
{
    struct gather *g = context;
    struct reply *r = g->reply;
    size_t size = unit * count;
    long status = 0;

    curl_easy_getinfo(g->curl, CURLINFO_RESPONSE_CODE, &status);
    if (g->request->take && status / 100 == 2) {
        r->is_ended = !g->request->take(g->request->arg, data, size);
        return r->is_ended ? 0 : size;
    }
    if (size > CLIENT_ANSWER_SIZE_MAX - r->size) {
        g->rc = -E2BIG;
        return 0;
    }
    if (r->size + size > g->capacity) {
        size_t capacity = MAX(2 * g->capacity, r->size + size);
        char *grown = realloc(r->body, capacity + 1);

        if (!grown) {
            g->rc = -ENOMEM;
            return 0;
        }
        r->body = grown;
        g->capacity = capacity;
    }
    memcpy(r->body + r->size, data, size);
    r->size += size;
    r->body[r->size] = 0;
    return size;
}

static int add_line(struct curl_slist **list, const char *name, const char *value)
{
    char line[256];
    struct curl_slist *longer;

    if (!value || !value[0])
        return 0;
    if (snprintf(line, sizeof line, "%s: %s", name, value) >= (int)sizeof line)
        return -EINVAL;
    longer = curl_slist_append(*list, line);
    if (!longer)
        return -ENOMEM;
    *list = longer;
    return 0;
}

static int add_etag(struct curl_slist **list, const char *etag)
{
    char quoted[80];

    if (!etag || !etag[0])
        return 0;
    if (snprintf(quoted, sizeof quoted, "\"%s\"", etag) >= (int)sizeof quoted)
        return -EINVAL;
    return add_line(list, "If-Match", quoted);
}

static int make_lines(const struct client *client, const struct request *rq,
                      struct curl_slist **ret)
{
    int rc = add_line(ret, "Accept",
                      rq->accept ? rq->accept : "application/json, application/problem+json");

    if (rc == 0 && rq->body)
        rc = add_line(ret, "Content-Type", "application/json");
    if (rc == 0)
        rc = add_etag(ret, rq->if_match);
    if (rc == 0)
        rc = add_line(ret, "Idempotency-Key", rq->idempotency_key);
    if (rc == 0)
        rc = add_line(ret, "Last-Event-ID", rq->last_event_id);
    if (rc == 0 && client->authorization) {
        struct curl_slist *longer = curl_slist_append(*ret, client->authorization);

        if (!longer)
            return -ENOMEM;
        *ret = longer;
    }
    return rc;
}

static void set_request(struct client *client, const struct request *rq, struct gather *g)
{
    CURL *curl = client->curl;

    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, rq->method);
    curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    if (rq->body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, rq->body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(rq->body));
    } else if (strcmp(rq->method, "GET") != 0 && strcmp(rq->method, "DELETE") != 0) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
    }
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)rq->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, rq->timeout_ms ? 0L : 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, rq->timeout_ms ? 0L : SILENCE_S_MAX);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS_MAX);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, g);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, g);
}

static bool is_tls_error(CURLcode code)
{
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR ||
           code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_ISSUER_ERROR ||
           code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_INVALIDCERTSTATUS;
}

static int explain(const struct client *client, CURLcode code, const struct gather *g,
                   struct err *err)
{
    const char *text = client->curl_error[0] ? client->curl_error : curl_easy_strerror(code);

    if (g->rc == -E2BIG)
        return err_set(err, -E2BIG, "%s: the answer is longer than %u bytes", client->base,
                       CLIENT_ANSWER_SIZE_MAX);
    if (g->rc < 0 || code == CURLE_OUT_OF_MEMORY)
        return err_set_errno(err, -ENOMEM, "cannot hold the answer");
    if (client->evidence.state == EVIDENCE_REFUSED && is_tls_error(code))
        return err_set(err, -EBADMSG, "%s: the server's evidence: %s", client->base,
                       client->evidence.reason);
    if (is_tls_error(code))
        return err_set(err, -EACCES,
                       "%s: TLS: %s; `cloche login URL --ca FILE` names the server's CA",
                       client->base, text);
    return err_set(err, -EIO, "no answer from %s: %s", client->base, text);
}

int request_perform(struct client *client, const struct request *request, struct reply *ret,
                    struct err *err)
{
    struct reply reply = { 0 };
    struct gather g = { .request = request, .reply = &reply, .curl = client->curl };
    struct curl_slist *lines = NULL;
    char url[4096];
    long status = 0;
    CURLcode code;
    int rc = make_lines(client, request, &lines);

    if (rc == 0 &&
        snprintf(url, sizeof url, "%s%s", client->base, request->path) >= (int)sizeof url)
        rc = -E2BIG;
    if (rc < 0) {
        curl_slist_free_all(lines);
        return err_set_errno(err, rc, "cannot make the request");
    }
    client->curl_error[0] = 0;
    set_request(client, request, &g);
    curl_easy_setopt(client->curl, CURLOPT_URL, url);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, lines);
    code = curl_easy_perform(client->curl);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, NULL);
    curl_slist_free_all(lines);
    if (code != CURLE_OK && !reply.is_ended) {
        rc = explain(client, code, &g, err);
        reply_done(&reply);
        return rc;
    }
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
    reply.status = (int)status;
    *ret = reply;
    return 0;
}
