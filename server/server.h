/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One running control plane: what all its parts share. Relying party. Made once by cloched, before any thread, and not changed until all have ended;
 * each member locks itself.
 */
#pragma once

#include "lib/defs.h"
#include "lib/err.h"

struct server {
    const struct server_config *config; /* server/config.h */
    struct store *store;                /* server/store/store.h */
    struct keys *keys;                  /* server/crypto/keys.h */
    struct events *events;              /* server/api/events.h */
    struct ca *ca;                      /* server/ca/ca.h */
    struct exchange *exchange;          /* server/exchange/exchange.h */
    struct fleet *fleet;                /* server/fleet/fleet.h */
    struct metrics *metrics;            /* server/api/metrics.h */
    struct model *model;                /* server/model/model.h */
    struct auth *auth;                  /* server/auth/auth.h */
    struct http *http;                  /* server/api/http.h; NULL until it serves */
};

/* Milliseconds and seconds since 1970. */
int64_t server_now_ms(const struct server *server);
int64_t server_now_s(const struct server *server);
/* One structured line (JSON) to stderr: level "info", "warning", "error"; key and value texts up to NULL. Never secrets. */
void server_log(const struct server *server, const char *level, const char *what, ...)
    __attribute__((sentinel));
