/* SPDX-License-Identifier: Apache-2.0 */
/* Asks a source for one item: attempts, redirects, and what becomes of the answer. Relying party; answers are hostile. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "collateral/check.h"
#include "collateral/store.h"

#define REDIRECT_COUNT_MAX 3u
#define AGE_DEFAULT_S 86400 /* when the source does not say */
#define AGE_MIN_S 300
#define AGE_CERTIFICATE_S (30 * 86400)

/* One item on its way. */
struct job {
    struct collateral *store;
    const struct collateral_item_id *id;
    const struct collateral_entry *held;
    char url[COLLATERAL_SOURCE_SIZE]; /* where it is asked for now */
    struct collateral_response response;
    struct err *err;
};

static void tell(struct job *j, const char *format, ...) PRINTF_LIKE(2, 3);
static void tell(struct job *j, const char *format, ...)
{
    char text[COLLATERAL_SOURCE_SIZE + 128];
    va_list args;

    if (!j->store->progress)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    j->store->progress(j->store->progress_context, text);
}

/* Whether the source was asked if what is held has changed. */
static bool is_conditional(const struct job *j)
{
    return j->held && (j->held->etag[0] || j->held->last_modified[0]);
}

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* ---- requests ---- */

/* One request, redirects and all. returns: 0 response has a status that is no redirect; errors as collateral_get. */
static int request(struct job *j)
{
    struct collateral_request request = {
        .url = j->url,
        .etag = j->held ? j->held->etag : NULL,
        .last_modified = j->held ? j->held->last_modified : NULL,
        .chain_names = url_chain_names(j->id),
        .size_max = VERIFIER_COLLATERAL_ITEM_SIZE_MAX,
    };
    struct collateral *store = j->store;

    url_of_item(&store->urls, j->id, j->url);
    for (unsigned i = 0;; i++) {
        char next[COLLATERAL_SOURCE_SIZE];
        int rc;

        request.timeout_ms =
            (uint32_t)MIN((uint64_t)store->request_ms, retry_left_ms(&store->retry));
        if (request.timeout_ms == 0)
            return err_set(j->err, -ETIMEDOUT, "there was no time left; --deadline gives more");
        rc = store->transport->get(store->transport, &request, &j->response, j->err);
        if (rc < 0 || !is_redirect(j->response.status))
            return rc;
        rc = url_redirect(&store->urls, j->url, j->response.headers.location, next);
        if (rc == 0 && i == REDIRECT_COUNT_MAX)
            return err_set(j->err, -EACCES, "it redirects more than %u times", REDIRECT_COUNT_MAX);
        if (rc < 0)
            return err_set(
                j->err, -EACCES,
                "it redirects to \"%s\", which is %s; --allow-redirects follows to other "
                "hosts with TLS",
                j->response.headers.location,
                rc == -EACCES ? "another host, or without TLS" : "no URL");
        memcpy(j->url, next, sizeof next);
        collateral_response_done(&j->response);
    }
}

/* The status as an error. */
static int explain_status(const struct job *j)
{
    int status = j->response.status;

    if (status == 404 && j->id->kind == COLLATERAL_VCEK)
        return err_set(j->err, -ENOENT,
                       "status 404: the key server does not know this chip with this TCB version");
    if (status == 404 || status == 410)
        return err_set(j->err, -ENOENT, "status %d: the source does not have it", status);
    if (status == 401 || status == 403 || status == 407)
        return err_set(j->err, -EACCES, "status %d: the source, or a proxy, refuses access",
                       status);
    if (status == 429)
        return err_set(j->err, -EIO, "status 429: too many requests, the source limits their rate");
    return err_set(j->err, -EIO, "status %d", status);
}

/* After the last attempt. */
static int give_up(const struct job *j, int64_t why, unsigned attempt)
{
    struct err last = *j->err;

    if (why == -ETIMEDOUT)
        return err_set(
            j->err, -ETIMEDOUT,
            "%s; the next attempt would be past the deadline, --deadline gives more time",
            last.text);
    return err_set(j->err, -EIO, "%s (%u attempts)", last.text, attempt);
}

/* Until there is an answer of status 200 or 304. */
static int request_again(struct job *j)
{
    for (unsigned attempt = 1;; attempt++) {
        const struct retry_rules *rules = &j->store->retry;
        int rc, status = 0;
        int64_t wait_ms;

        url_of_item(&j->store->urls, j->id, j->url);
        tell(j, "%s", j->url);
        rc = request(j);
        if (rc == 0) {
            status = j->response.status;
            if (status == 200 || (status == 304 && is_conditional(j)))
                return 0;
            rc = explain_status(j);
        }
        if (status ? !retry_is_worth(status) : rc != -EIO)
            return rc;
        wait_ms = retry_wait_find(rules, attempt, status, &j->response.headers);
        collateral_response_done(&j->response);
        if (wait_ms < 0)
            return give_up(j, wait_ms, attempt);
        tell(j, "%s; again in %.1f s: %s", j->err->text, (double)wait_ms / 1000, j->url);
        rules->clock->sleep_ms(rules->clock->context, (uint64_t)wait_ms);
    }
}

/* ---- answers ---- */

static int64_t find_due(const struct job *j, int64_t now_s)
{
    const struct headers *headers = &j->response.headers;
    uint8_t kind = j->id->kind;
    int64_t age_s =
        headers->has_max_age ? MAX((int64_t)headers->max_age_s, (int64_t)AGE_MIN_S) : AGE_DEFAULT_S;

    /* What a name of these means does not change. */
    if (kind == COLLATERAL_VCEK || kind == COLLATERAL_AMD_CHAIN)
        age_s = AGE_CERTIFICATE_S;
    return now_s + age_s;
}

static int copy_chain(struct collateral_entry *entry, struct verifier_bytes chain)
{
    entry->chain = malloc(chain.size + 1);
    if (!entry->chain)
        return -ENOMEM;
    if (chain.size)
        memcpy(entry->chain, chain.data, chain.size);
    entry->chain_size = chain.size;
    return 0;
}

static int take_answer(struct job *j, struct verifier_bytes chain, struct collateral_entry *entry)
{
    struct collateral_response *r = &j->response;
    int64_t now_s = store_now_s(j->store);
    int rc = 0;

    if (strncasecmp(r->headers.content_type, "text/html", 9) == 0)
        return err_set(j->err, -EBADMSG,
                       "the answer is a web page (%s): perhaps a proxy's or a login portal's",
                       r->headers.content_type);
    entry->id = *j->id;
    entry->fetched_s = now_s;
    entry->due_s = find_due(j, now_s);
    memcpy(entry->source, j->url, sizeof entry->source);
    memcpy(entry->etag, r->headers.etag, sizeof entry->etag);
    memcpy(entry->last_modified, r->headers.last_modified, sizeof entry->last_modified);
    entry->body = TAKE_PTR(r->body);
    entry->body_size = r->body_size;
    if (url_chain_names(j->id)) {
        entry->chain = TAKE_PTR(r->headers.chain);
        entry->chain_size = r->headers.chain_size;
    } else {
        rc = copy_chain(entry, chain);
    }
    if (rc < 0)
        return err_set_errno(j->err, rc, "cannot hold the answer");
    rc = check_entry(j->store->policy, entry, j->err);
    if (rc == 0)
        rc = check_dates_now(entry, now_s, j->err);
    if (rc == 0 && j->held && check_is_older(entry, j->held))
        rc = err_set(j->err, -EBADMSG,
                     "it is older than what is held: the source is behind, or somebody replays it");
    return rc;
}

int fetch_item(struct collateral *store, const struct collateral_item_id *id,
               const struct collateral_entry *held, struct verifier_bytes chain,
               struct collateral_entry *ret, int64_t *ret_due_s, struct err *err)
{
    struct err own = { 0 };
    struct job j = { .store = store, .id = id, .held = held, .err = err ? err : &own };
    struct collateral_entry entry = { 0 };
    int rc = request_again(&j);

    if (rc == 0 && j.response.status == 304) {
        *ret_due_s = find_due(&j, store_now_s(store));
    } else if (rc == 0) {
        rc = take_answer(&j, chain, &entry);
        if (rc == 0) {
            *ret = entry;
            entry = (struct collateral_entry){ 0 };
            rc = 1;
        }
    }
    collateral_entry_done(&entry);
    collateral_response_done(&j.response);
    return rc < 0 ? err_wrap(j.err, rc, "%s", j.url) : rc;
}
