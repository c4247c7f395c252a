/* SPDX-License-Identifier: Apache-2.0 */
/* Targets of requests to the control plane: path and query, and the route they mean. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/router.h"
#include "tests/fuzz/fuzz.h"

static int nothing(struct api_request *rq, struct api_response *ret)
{
    return 0;
}

static const struct api_route routes[] = {
    { "GET", "/healthz", nothing, 0, API_PUBLIC, 0 },
    { "GET", "/v1/apps/{app}", nothing, 0, API_ANY_ROLE, 0 },
    { "POST", "/v1/apps/{app}/builds", nothing, 0, API_ANY_ROLE, 0 },
    { "GET", "/v1/{a}/{b}/{c}/{d}", nothing, 0, API_ANY_ROLE, 0 },
};
static const unsigned route_count = ARRAY_COUNT(routes);
static const struct router_table tables[] = { { routes, &route_count }, { NULL, NULL } };

static void check_text(const char *text)
{
    assert(strlen(text) <= URI_SEGMENT_LEN_MAX && text_is_clean(text, strlen(text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    const char *problem = NULL;
    struct router_match match;
    struct uri uri;

    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = 0;
    if (uri_parse(text, &uri, &problem) < 0) {
        assert(problem);
        free(text);
        return 0;
    }
    for (unsigned i = 0; i < uri.segment_count; i++) {
        check_text(uri.segments[i]);
        assert(uri.segments[i][0] && strcmp(uri.segments[i], "..") != 0);
    }
    for (unsigned i = 0; i < uri.query_count; i++) {
        check_text(uri.query[i].name);
        check_text(uri.query[i].value);
        assert(uri_query_find(&uri, uri.query[i].name) == uri.query[i].value);
    }
    router_find(tables, "GET", &uri, &match);
    for (unsigned i = 0; match.route && i < API_PARAMS_MAX; i++)
        if (match.params[i])
            check_text(match.params[i]);
    free(text);
    return 0;
}
