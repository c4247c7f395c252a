/* SPDX-License-Identifier: Apache-2.0 */
/* What handlers read requests and make answers with: query, headers, pages, times. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/api/request.h"

const char *api_query(const struct api_request *rq, const char *name)
{
    return rq->http ? uri_query_find(&request_of(rq)->uri, name) : NULL;
}

const char *api_header(const struct api_request *rq, const char *name)
{
    return rq->http ? MHD_lookup_connection_value(request_of(rq)->mhd, MHD_HEADER_KIND, name)
                    : NULL;
}

int api_page_read(struct api_request *rq, struct api_page *ret)
{
    const char *limit = api_query(rq, "limit"), *after = api_query(rq, "after");
    struct api_page page = { .limit = API_PAGE_DEFAULT, .after = after ? after : "" };

    if (limit) {
        size_t len = strlen(limit);

        page.limit = len > 0 && len <= 3 && strspn(limit, "0123456789") == len
                         ? (unsigned)strtoul(limit, NULL, 10)
                         : 0;
        if (page.limit < 1 || page.limit > API_PAGE_MAX)
            return api_problem(rq, 400, "invalid-query", "limit: a number from 1 to %u is expected",
                               API_PAGE_MAX);
    }
    if (strlen(page.after) >= 128)
        return api_problem(rq, 400, "invalid-query", "after: what \"next\" said is expected");
    *ret = page;
    return 0;
}

int api_page_answer(struct api_response *ret, json_t *items, const struct api_page *page)
{
    json_t *next = NULL;

    if (!items)
        return -ENOMEM;
    if (json_array_size(items) > page->limit) {
        json_array_remove(items, page->limit);
        next =
            json_incref(json_object_get(json_array_get(items, json_array_size(items) - 1), "id"));
    }
    ret->status = 200;
    ret->body = json_pack("{s:o, s:o}", "items", items, "next", next ? next : json_null());
    return ret->body ? 0 : -ENOMEM;
}

json_t *api_time(int64_t time_ms)
{
    time_t time_s = (time_t)(time_ms / 1000);
    char text[40];
    struct tm tm;
    size_t len;

    if (time_ms <= 0 || !gmtime_r(&time_s, &tm))
        return json_null();
    len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + len, sizeof text - len, ".%03dZ", (int)(time_ms % 1000));
    return json_string(text);
}
