/* SPDX-License-Identifier: Apache-2.0 */
/* Which route a request means. Relying party. */
#include "server/api/router.h"

#include <stdio.h>
#include <string.h>

/* Whether the template names this path; its parameters, in order. */
static bool path_matches(const char *template, const struct uri *uri,
                         const char *params[API_PARAMS_MAX])
{
    unsigned count = 0;

    for (unsigned i = 0; i < uri->segment_count; i++) {
        const char *segment = uri->segments[i];
        size_t len;

        if (*template != '/')
            return false;
        len = strcspn(++template, "/");
        if (template[0] == '{') {
            if (count < API_PARAMS_MAX)
                params[count++] = segment;
        } else if (strlen(segment) != len || memcmp(template, segment, len) != 0) {
            return false;
        }
        template += len;
    }
    return *template == 0 && uri->segment_count > 0;
}

static void allow_add(struct router_match *match, const char *method)
{
    size_t len = strlen(match->allow);

    if (!strstr(match->allow, method) && len + strlen(method) + 3 < sizeof match->allow)
        snprintf(match->allow + len, sizeof match->allow - len, "%s%s", len ? ", " : "", method);
}

void router_find(const struct router_table *tables, const char *method, const struct uri *uri,
                 struct router_match *ret)
{
    unsigned number = 0;

    *ret = (struct router_match){ .number = 0 };
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    for (const struct router_table *t = tables; t->routes; t++)
        for (unsigned i = 0; i < *t->count; i++, number++) {
            const char *params[API_PARAMS_MAX] = { NULL };

            if (!path_matches(t->routes[i].path, uri, params))
                continue;
            if (strcmp(t->routes[i].method, method) != 0) {
                allow_add(ret, t->routes[i].method);
                continue;
            }
            ret->route = &t->routes[i];
            ret->number = number;
            memcpy(ret->params, params, sizeof params);
            return;
        }
}

const struct api_route *router_at(const struct router_table *tables, unsigned number)
{
    for (const struct router_table *t = tables; t->routes; t++) {
        if (number < *t->count)
            return &t->routes[number];
        number -= *t->count;
    }
    return NULL;
}
