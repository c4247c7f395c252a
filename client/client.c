/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the API: a connection, retries, problem documents in words, lists of many pages. Relying party; answers are hostile. */
#include "client/client.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/rand.h>

#include "client/contexts.h"
#include "client/request.h"

#define CALL_TIMEOUT_MS 90000u
#define TRIES_MAX 5u
#define WAIT_MS_FIRST 200u
#define WAIT_S_MAX 30u
#define PAGE_LIMIT 200u

/* ---- text ---- */

/* What turns the order of characters round, or takes no place: U+200B to U+200F, U+2028 to U+202E, U+2060 to U+206F, U+FEFF. In UTF-8. */
static bool is_unseen(const unsigned char *c)
{
    if (c[0] == 0xef)
        return c[1] == 0xbb && c[2] == 0xbf;
    if (c[0] != 0xe2 || (c[1] != 0x80 && c[1] != 0x81))
        return false;
    return c[1] == 0x81 ? c[2] >= 0xa0 && c[2] <= 0xaf
                        : (c[2] >= 0x8b && c[2] <= 0x8f) || (c[2] >= 0xa8 && c[2] <= 0xae);
}

/* Takes away a last character that is not whole, of a text that was cut to a buffer's size. */
static void trim_cut(char *text)
{
    size_t len = strlen(text), back = 0;
    unsigned char first;

    while (back < len && back < 3 && ((unsigned char)text[len - 1 - back] & 0xc0) == 0x80)
        back++;
    if (back == len)
        return;
    first = (unsigned char)text[len - 1 - back];
    if (first >= 0xc0 && back < (first >= 0xf0 ? 3u : first >= 0xe0 ? 2u : 1u))
        text[len - 1 - back] = 0;
}

void client_text_clean(char *text)
{
    trim_cut(text);
    for (unsigned char *c = (unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f)
            *c = ' ';
        else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) /* C1 controls, in UTF-8 */
            c[0] = c[1] = '?';
        else if (is_unseen(c))
            c[0] = c[1] = c[2] = '?';
}

const char *client_escape(const char *text, char *ret, size_t ret_size)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t len = 0;

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (len + 4 > ret_size) {
            ret[0] = 0;
            return ret;
        }
        if (isalnum(c) || strchr("-._~", c)) {
            ret[len++] = (char)c;
            continue;
        }
        ret[len++] = '%';
        ret[len++] = digits[c >> 4];
        ret[len++] = digits[c & 15];
    }
    ret[len] = 0;
    return ret;
}

/* ---- the connection ---- */

static bool is_loopback(const char *host)
{
    static const char *const names[] = { "localhost", "127.0.0.1", "[::1]" };

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        size_t len = strlen(names[i]);

        if (strncmp(host, names[i], len) == 0 &&
            (host[len] == 0 || host[len] == ':' || host[len] == '/'))
            return true;
    }
    return false;
}

static int set_url(struct client *c, const char *url, struct err *err)
{
    size_t len = strlen(url);

    if (strncmp(url, "unix:/", 6) == 0) {
        curl_easy_setopt(c->curl, CURLOPT_UNIX_SOCKET_PATH, url + 5);
        memcpy(c->base, "http://localhost", sizeof "http://localhost");
        return 0;
    }
    while (len > 0 && url[len - 1] == '/')
        len--;
    if (len >= sizeof c->base || strpbrk(url, "?#@ \r\n"))
        return err_set(err, -EINVAL, "%.100s is no server: https://HOST:PORT is expected", url);
    if (strncmp(url, "https://", 8) != 0 &&
        !(strncmp(url, "http://", 7) == 0 && is_loopback(url + 7)))
        return err_set(err, -EINVAL,
                       "%.100s: https://HOST:PORT or unix:/path is expected (http:// only to this "
                       "machine itself: tokens would cross the network in the clear)",
                       url);
    memcpy(c->base, url, len);
    c->base[len] = 0;
    return 0;
}

static int set_evidence(struct client *c, const json_t *context, struct err *err)
{
    const char *policy = json_string_value(json_object_get(context, "policy"));
    int rc;

    if (json_object_get(context, "policy") && !policy)
        return err_set(err, -EBADMSG, "the context's policy is no text");
    if (policy && strncmp(c->base, "https://", 8) != 0)
        return err_set(err, -EINVAL,
                       "a policy asks the server for evidence, which only https:// carries");
    rc = evidence_init(&c->evidence, policy, json_object_get(context, "ca") != NULL, err);
    return rc < 0 ? rc : evidence_watch(&c->evidence, c->curl, err);
}

static void set_up(struct client *c, const char *ca)
{
    struct curl_blob blob = { .data = (void *)ca,
                              .len = ca ? strlen(ca) : 0,
                              .flags = CURL_BLOB_COPY };

    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->curl_error);
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c->curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c->curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
    curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "cloche/1");
    if (is_loopback(strstr(c->base, "://") + 3))
        curl_easy_setopt(c->curl, CURLOPT_PROXY, "");
    if (ca) { /* this server's CA, and no other */
        curl_easy_setopt(c->curl, CURLOPT_CAINFO_BLOB, &blob);
        curl_easy_setopt(c->curl, CURLOPT_CAPATH, NULL);
    }
}

int client_new(const json_t *context, struct client **ret, struct err *err)
{
    static bool is_global;
    const char *url = json_string_value(json_object_get(context, "url"));
    const char *token = json_string_value(json_object_get(context, "token"));
    struct client *c = calloc(1, sizeof *c);
    int rc;

    if (!is_global) {
        curl_global_init(CURL_GLOBAL_DEFAULT);
        is_global = true;
    }
    if (c)
        c->curl = curl_easy_init();
    if (!c || !c->curl) {
        client_close(c);
        return err_set_errno(err, -ENOMEM, "cannot make a connection");
    }
    rc = url ? set_url(c, url, err) : err_set(err, -EBADMSG, "the context names no server");
    if (rc == 0 && token && *token) {
        if (strpbrk(token, "\r\n"))
            rc = err_set(err, -EINVAL, "the token has a line break");
        else if (asprintf(&c->authorization, "Authorization: Bearer %s", token) < 0)
            rc = -ENOMEM;
    }
    if (rc == 0)
        rc = set_evidence(c, context, err);
    if (rc < 0) {
        client_close(c);
        return rc;
    }
    set_up(c, json_string_value(json_object_get(context, "ca")));
    *ret = c;
    return 0;
}

int client_open(const char *name, struct client **ret, struct err *err)
{
    json_t *context;
    int rc = contexts_find(name, &context, err);

    if (rc < 0)
        return rc;
    rc = client_new(context, ret, err);
    json_decref(context);
    return rc;
}

void client_close(struct client *client)
{
    if (!client)
        return;
    if (client->curl)
        curl_easy_cleanup(client->curl);
    if (client->authorization) {
        explicit_bzero(client->authorization, strlen(client->authorization));
        free(client->authorization);
    }
    json_decref(client->problem);
    evidence_done(&client->evidence);
    free(client);
}

const char *client_evidence(const struct client *client, bool *ret_is_accepted)
{
    const struct evidence *e = &client->evidence;

    *ret_is_accepted = e->state == EVIDENCE_ACCEPTED;
    switch (e->state) {
    case EVIDENCE_ABSENT:
        return "none: this server runs outside of any TEE, and who operates it can read what it "
               "holds";
    case EVIDENCE_SHOWN:
        return "shown, not judged: `cloche login --policy FILE` says which is good";
    case EVIDENCE_ACCEPTED:
    case EVIDENCE_REFUSED:
        return e->reason;
    default:
        return NULL;
    }
}

/* ---- problems ---- */

const json_t *client_problem(const struct client *client)
{
    return client->problem;
}

/* ", NAME VALUE" of a problem's member, when it has one. */
static void add_member(char *text, size_t size, const json_t *problem, const char *member,
                       const char *prefix)
{
    const json_t *value = json_object_get(problem, member);
    size_t len = strlen(text);
    char *dumped = NULL;

    if (!value || json_is_null(value))
        return;
    if (!json_is_string(value))
        dumped = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    snprintf(text + len, size - len, "%s%s", prefix,
             json_is_string(value) ? json_string_value(value)
             : dumped              ? dumped
                                   : "");
    free(dumped);
}

/* The problem as one line: "title: detail; step ...; expected ..., actual ...; fix: ..." */
static int explain_problem(struct client *client, int status, json_t *problem, struct err *err)
{
    char text[ERR_TEXT_SIZE] = "";
    const char *code = json_string_value(json_object_get(problem, "code"));

    add_member(text, sizeof text, problem, "title", "");
    add_member(text, sizeof text, problem, "detail", text[0] ? ": " : "");
    add_member(text, sizeof text, problem, "step", "; at: ");
    add_member(text, sizeof text, problem, "expected", "; expected: ");
    add_member(text, sizeof text, problem, "actual", "; found: ");
    add_member(text, sizeof text, problem, "fix", "; fix: ");
    if (!text[0])
        snprintf(text, sizeof text, "the server answered with status %d", status);
    if (status == 401 && !json_object_get(problem, "fix"))
        snprintf(text + strlen(text), sizeof text - strlen(text), "; fix: cloche login");
    client_text_clean(text);
    if (code && strlen(text) + strlen(code) + 4 < sizeof text) {
        char clean[64];

        snprintf(clean, sizeof clean, "%.60s", code);
        client_text_clean(clean);
        snprintf(text + strlen(text), sizeof text - strlen(text), " [%s]", clean);
    }
    json_decref(client->problem);
    client->problem = problem;
    return err_set(err, status == 401 || status == 403 ? -EACCES : -EPROTO, "%s", text);
}

/* ---- one call ---- */

static json_t *parse_body(const struct reply *reply)
{
    /* Lists of the API are objects too, so an object is the only thing that may come. */
    json_t *body =
        reply->size ? json_loadb(reply->body, reply->size, JSON_REJECT_DUPLICATES, NULL) : NULL;

    if (body && !json_is_object(body)) {
        json_decref(body);
        return NULL;
    }
    return body;
}

int client_problem_take(struct client *client, const struct reply *reply, struct err *err)
{
    json_t *body = parse_body(reply);

    return explain_problem(client, reply->status, body ? body : json_object(), err);
}

static int take_reply(struct client *client, struct reply *reply, struct client_answer *ret,
                      struct err *err)
{
    json_t *body;

    if (reply->status / 100 != 2)
        return client_problem_take(client, reply, err);
    body = parse_body(reply);
    if (reply->size > 0 && !body)
        return err_set(err, -EBADMSG, "%s: the answer is no JSON of this API", client->base);
    *ret = (struct client_answer){ .status = reply->status, .body = body };
    memcpy(ret->etag, reply->etag, sizeof ret->etag);
    return 0;
}

static void make_key(char ret[33])
{
    uint8_t random[16];

    if (RAND_bytes(random, sizeof random) != 1)
        abort();
    for (unsigned i = 0; i < sizeof random; i++)
        snprintf(ret + 2 * i, 3, "%02x", random[i]);
}

static void wait_ms(uint32_t time_ms)
{
    struct timespec left = { .tv_sec = time_ms / 1000,
                             .tv_nsec = (long)(time_ms % 1000) * 1000000 };

    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

/* How long to wait before trying again. returns: 0: what came is the answer. */
static uint32_t retry_wait_ms(int rc, const struct reply *reply, unsigned try)
{
    uint32_t wait = WAIT_MS_FIRST << try;

    if (try + 1 >= TRIES_MAX)
        return 0;
    if (rc == -EIO)
        return wait;
    if (rc < 0 || (reply->status != 503 && reply->status != 429))
        return 0;
    if (reply->retry_after_s > WAIT_S_MAX)
        return 0;
    return reply->retry_after_s ? reply->retry_after_s * 1000 : wait;
}

static int perform_with_retries(struct client *client, const struct request *request,
                                struct reply *ret, struct err *err)
{
    for (unsigned try = 0;; try++) {
        struct reply reply = { 0 };
        int rc = request_perform(client, request, &reply, err);
        uint32_t wait = retry_wait_ms(rc, &reply, try);

        if (wait == 0) {
            if (rc == 0)
                *ret = reply;
            return rc;
        }
        if (rc == 0)
            reply_done(&reply);
        wait_ms(wait);
    }
}

int client_call(struct client *client, const char *method, const char *path, const json_t *body,
                const char *if_match, struct client_answer *ret, struct err *err)
{
    struct request request = {
        .method = method, .path = path, .if_match = if_match, .timeout_ms = CALL_TIMEOUT_MS
    };
    struct reply reply;
    char key[33];
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    int rc;

    if (body && !text)
        return err_set_errno(err, -ENOMEM, "cannot make the request");
    request.body = text;
    if (strcmp(method, "GET") != 0) {
        make_key(key);
        request.idempotency_key = key;
    }
    json_decref(client->problem);
    client->problem = NULL;
    rc = perform_with_retries(client, &request, &reply, err);
    if (text) {
        explicit_bzero(text, strlen(text)); /* passwords and secrets travel in bodies */
        free(text);
    }
    if (rc < 0)
        return rc;
    rc = take_reply(client, &reply, ret, err);
    if (reply.body)
        explicit_bzero(reply.body, reply.size);
    reply_done(&reply);
    return rc;
}

void client_answer_done(struct client_answer *answer)
{
    json_decref(answer->body);
    *answer = (struct client_answer){ 0 };
}

int client_text(struct client *client, const char *path, char **ret, size_t *ret_size,
                struct err *err)
{
    struct request request = {
        .method = "GET", .path = path, .timeout_ms = CALL_TIMEOUT_MS, .accept = "*/*"
    };
    struct reply reply;
    int rc = perform_with_retries(client, &request, &reply, err);

    if (rc < 0)
        return rc;
    if (reply.status / 100 != 2) {
        rc = client_problem_take(client, &reply, err);
        reply_done(&reply);
        return rc;
    }
    *ret = reply.body ? reply.body : calloc(1, 1);
    *ret_size = reply.size;
    return *ret ? 0 : -ENOMEM;
}

/* ---- lists ---- */

static int add_page(json_t *all, const json_t *body, struct err *err)
{
    const json_t *items = json_object_get(body, "items");

    if (!json_is_array(items))
        return err_set(err, -EBADMSG, "the server's list has no items");
    return json_array_extend(all, (json_t *)items) < 0 ? -ENOMEM : 0;
}

int client_list(struct client *client, const char *path, json_t **ret, struct err *err)
{
    char page[2048], after[256] = "";
    json_t *all = json_array();
    int rc = all ? 0 : -ENOMEM;

    for (unsigned i = 0; rc == 0; i++) {
        struct client_answer answer;
        const char *next;
        bool is_last;

        if (i == CLIENT_PAGES_MAX)
            rc = err_set(err, -EBADMSG, "the server's list has no end");
        else if (snprintf(page, sizeof page, "%s%climit=%u%s%s", path,
                          strchr(path, '?') ? '&' : '?', PAGE_LIMIT, after[0] ? "&after=" : "",
                          after) >= (int)sizeof page)
            rc = err_set_errno(err, -E2BIG, "cannot make the request");
        if (rc < 0)
            break;
        rc = client_call(client, "GET", page, NULL, NULL, &answer, err);
        if (rc < 0)
            break;
        rc = add_page(all, answer.body, err);
        next = json_string_value(json_object_get(answer.body, "next"));
        if (rc == 0 && next && !client_escape(next, after, sizeof after)[0])
            rc = err_set(err, -EBADMSG, "the server's list goes on at no place");
        is_last = !next;
        client_answer_done(&answer);
        if (is_last)
            break;
    }
    if (rc < 0)
        json_decref(all);
    else
        *ret = all;
    return rc;
}
