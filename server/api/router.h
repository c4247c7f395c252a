/* SPDX-License-Identifier: Apache-2.0 */
/* Which route a request means. Relying party. */
#pragma once

#include "server/api/api.h"
#include "server/api/uri.h"

struct router_table {
    const struct api_route *routes;
    const unsigned *count;
};
/* All tables (routes.c), with NULL at the end. */
extern const struct router_table router_tables[];

struct router_match {
    const struct api_route *route; /* NULL: none */
    unsigned number;               /* of all routes, from 0 */
    const char *params[API_PARAMS_MAX];
    char allow[64]; /* when only the method is wrong: those that are right */
};
void router_find(const struct router_table *tables, const char *method, const struct uri *uri,
                 struct router_match *ret);
/* The route with this number, or NULL. */
const struct api_route *router_at(const struct router_table *tables, unsigned number);
