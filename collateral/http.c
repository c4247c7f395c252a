/* SPDX-License-Identifier: Apache-2.0 */
/* Requests with libcurl. Relying party; answers are hostile. */
#include "collateral/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#define CONNECT_MS_MAX 10000u
#define AGENT "cloche-collateral/1"

struct http {
    struct collateral_transport base;
    CURL *curl;
    char error[CURL_ERROR_SIZE];
};

/* What one request gathers. */
struct gather {
    struct collateral_response *response;
    size_t size_max, capacity;
    int rc; /* why it was broken off */
};

void collateral_response_done(struct collateral_response *response)
{
    headers_done(&response->headers);
    free(response->body);
    *response = (struct collateral_response){ 0 };
}

static size_t take_header(char *line, size_t unit, size_t count, void *context)
{
    struct gather *g = context;

    g->rc = headers_add(&g->response->headers, line, unit * count);
    return g->rc < 0 ? 0 : unit * count;
}

static size_t take_body(char *data, size_t unit, size_t count, void *context)
{
    struct gather *g = context;
    struct collateral_response *r = g->response;
    size_t size = unit * count;

    if (size > g->size_max - r->body_size) {
        g->rc = -E2BIG;
        return 0;
    }
    if (r->body_size + size > g->capacity) {
        size_t capacity = MIN(MAX(2 * g->capacity, r->body_size + size), g->size_max);
        uint8_t *grown = realloc(r->body, capacity);

        if (!grown) {
            g->rc = -ENOMEM;
            return 0;
        }
        r->body = grown;
        g->capacity = capacity;
    }
    memcpy(r->body + r->body_size, data, size);
    r->body_size += size;
    return size;
}

static int add_line(struct curl_slist **list, const char *name, const char *value)
{
    char line[COLLATERAL_TAG_SIZE + 32];
    struct curl_slist *longer;

    if (!value || !value[0])
        return 0;
    snprintf(line, sizeof line, "%s: %s", name, value);
    longer = curl_slist_append(*list, line);
    if (!longer)
        return -ENOMEM;
    *list = longer;
    return 0;
}

static void set_request(CURL *curl, const struct collateral_request *request, struct gather *g)
{
    long timeout_ms = (long)MAX(request->timeout_ms, 1u);

    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, MIN(timeout_ms, (long)CONNECT_MS_MAX));
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, g);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, g);
}

static bool is_tls_error(CURLcode code)
{
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR ||
           code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_ISSUER_ERROR ||
           code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_INVALIDCERTSTATUS;
}

static int explain(const struct http *http, CURLcode code, const struct gather *g, struct err *err)
{
    const char *text = http->error[0] ? http->error : curl_easy_strerror(code);

    if (g->rc == -E2BIG)
        return err_set(err, -E2BIG, "the answer is longer than %zu bytes", g->size_max);
    if (g->rc == -EBADMSG)
        return err_set(err, -EBADMSG, "the answer is unusable: %s", g->response->headers.error);
    if (g->rc < 0 || code == CURLE_OUT_OF_MEMORY)
        return err_set_errno(err, -ENOMEM, "cannot hold the answer");
    if (code == CURLE_PARTIAL_FILE)
        return err_set(err, -EIO, "the answer was cut: %s", text);
    if (is_tls_error(code))
        return err_set(err, -EACCES, "TLS: %s; --ca FILE names the CA of a server of your own",
                       text);
    return err_set(err, -EIO, "%s", text);
}

static int http_get(struct collateral_transport *transport,
                    const struct collateral_request *request, struct collateral_response *ret,
                    struct err *err)
{
    struct http *http = CONTAINER_OF(transport, struct http, base);
    struct collateral_response response = { .headers = { .chain_names = request->chain_names } };
    struct gather g = { .response = &response, .size_max = request->size_max };
    struct curl_slist *lines = NULL;
    long status = 0;
    CURLcode code;
    int rc = add_line(&lines, "If-None-Match", request->etag);

    if (rc == 0)
        rc = add_line(&lines, "If-Modified-Since", request->last_modified);
    if (rc < 0) {
        curl_slist_free_all(lines);
        return err_set_errno(err, rc, "cannot make the request");
    }
    http->error[0] = 0;
    set_request(http->curl, request, &g);
    curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, lines);
    code = curl_easy_perform(http->curl);
    curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(lines);
    if (code != CURLE_OK) {
        rc = explain(http, code, &g, err);
        collateral_response_done(&response);
        return rc;
    }
    curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
    response.status = (int)status;
    *ret = response;
    return 0;
}

static void http_free(struct collateral_transport *transport)
{
    struct http *http = CONTAINER_OF(transport, struct http, base);

    curl_easy_cleanup(http->curl);
    free(http);
}

static void set_up(struct http *http, const char *ca_file, const char *proxy_url)
{
    CURL *curl = http->curl;

    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, http->error);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, AGENT);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    if (ca_file) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
    if (proxy_url)
        curl_easy_setopt(curl, CURLOPT_PROXY, proxy_url);
}

int http_transport_new(const char *ca_file, const char *proxy_url,
                       struct collateral_transport **ret, struct err *err)
{
    struct http *http = calloc(1, sizeof *http);

    if (!http)
        return err_set_errno(err, -ENOMEM, "cannot start HTTP");
    /* Counted by libcurl; never undone: other parts of the process may use it. */
    http->curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
    if (!http->curl) {
        free(http);
        return err_set(err, -ENOMEM, "libcurl does not start");
    }
    http->base = (struct collateral_transport){ http_get, http_free };
    set_up(http, ca_file, proxy_url);
    *ret = &http->base;
    return 0;
}
