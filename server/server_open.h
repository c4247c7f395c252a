/* SPDX-License-Identifier: Apache-2.0 */
/* Makes and ends a running server: its parts in their order. Relying party; for cloched. */
#pragma once

#include "server/config.h"
#include "server/server.h"

/* Store, keys and events alone, for commands that serve nobody. returns: 0; errno. */
MUST_CHECK int server_open_store(struct server *ret, const struct server_config *config,
                                 struct err *err);
/* All of it, serving. returns: 0; errno; what was begun is ended. */
MUST_CHECK int server_open(struct server *ret, const struct server_config *config, struct err *err);
/* Answers what is in work (at most grace_ms), then ends everything. Also after server_open_store. */
void server_close(struct server *server, unsigned grace_ms);
/* Certificate, issuers, authorities, and where the configuration file has the root key: read anew; what fails stays as it was, and is logged. */
void server_reload(struct server *server, const char *config_path);
