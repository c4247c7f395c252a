/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's line to the server, in two threads so that a slow server never holds up the processes: one waits for work, one reports and sends heartbeats.
 * Relying party side. The functions may be called from any thread.
 */
#pragma once

#include <jansson.h>

#include "lib/defs.h"
#include "lib/err.h"

struct node_link;
/* context: as client_new; heartbeat: body of /v1/node/heartbeat; both borrowed for the link's life. event_fd: written to when there is work. */
MUST_CHECK int node_link_open(const json_t *context, const json_t *heartbeat, int event_fd,
                              struct node_link **ret, struct err *err);
/* The newest work that was not taken yet, or NULL; for json_decref. */
json_t *node_link_take_work(struct node_link *link);
/* Takes a report of an instance over; a newer one of the same id replaces it. */
void node_link_report(struct node_link *link, json_t *report);
/* Whether the last report of this instance has reached the server. */
bool node_link_is_reported(struct node_link *link, const char *id);
/* Whether the server has refused the node's token: there is no point in going on. */
bool node_link_is_refused(struct node_link *link);
/* Waits until all reports have reached the server, at most so long. The link stays until the process ends. */
void node_link_flush(struct node_link *link, unsigned timeout_ms);
