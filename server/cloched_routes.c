/* SPDX-License-Identifier: Apache-2.0 */
/* `cloched routes`: every endpoint, and who may use it, as JSON lines. What docs and tests compare with openapi.yaml. Relying party. */
#include <stdio.h>
#include <stdlib.h>

#include "server/api/router.h"
#include "server/auth/user.h"
#include "server/cloched.h"

static int route_print(const struct api_route *route)
{
    json_t *line = json_pack(
        "{s:s, s:s, s:o, s:b, s:b, s:b, s:b, s:b}", "method", route->method, "path", route->path,
        "roles", roles_json(route->roles), "any_role", (route->flags & API_ANY_ROLE) != 0, "public",
        (route->flags & API_PUBLIC) != 0, "node", (route->flags & API_FOR_NODE) != 0, "instance",
        (route->flags & API_FOR_INSTANCE) != 0, "idempotent", (route->flags & API_IDEMPOTENT) != 0);
    int rc = line ? json_dumpf(line, stdout, JSON_COMPACT) : -1;

    json_decref(line);
    return rc < 0 || putchar('\n') < 0 ? -1 : 0;
}

int cloched_routes(const struct server_config *config, int argc, char **argv)
{
    const struct api_route *route;

    if (argc != 1)
        return -1;
    for (unsigned i = 0; (route = router_at(router_tables, i)); i++)
        if (route_print(route) < 0)
            return EXIT_FAILURE;
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
