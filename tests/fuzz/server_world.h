/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A control plane in the process of a fuzz target: the real parts of the server over a store of their own, without sockets, with an organisation that has one of each
 * object. Tests only.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "server/api/request.h"

/* Opens it at the first call, and anew after every some thousand requests, so that what was written before does not slow down what comes. Aborts when it cannot. */
struct server *server_world(void);

struct world_answer {
    int status;
    bool is_there; /* the target is well-formed and has a route that takes such a body */
    const char *method, *path; /* of the route; static */
    const char *text;          /* of the answer; until the next request */
    size_t text_size;
    bool is_json; /* also a problem */
};
/*
 * One request as a worker would run it once it has come and its sender is known: by the node, the instance or nobody where the route is theirs, else by the owner.
 * target, body: `{app}`, `{build}`, `{node}` and so on are put in place by the world's objects. body NULL: none.
 */
void server_world_request(const char *method, const char *target, const char *body,
                          size_t body_size, struct world_answer *ret);
