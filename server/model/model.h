/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the model keeps in memory: parsed policies, approvals whose signatures were found right, what was revoked since the server started. Relying party. Thread-safe. One for
 * each server; without one (server->model NULL) everything works, and is verified each time.
 */
#pragma once

#include "server/server.h"

struct model;
/* After events; registers itself as their listener. returns: 0; -ENOMEM. */
MUST_CHECK int model_open(struct server *server, struct model **ret, struct err *err);
void model_close(struct model *model); /* NULL allowed; after the last request has ended */
