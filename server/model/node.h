/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes: machines that run instances for the organisation. Relying party. What a node says of itself is its word: nothing secret depends on it, because each instance proves itself.
 */
#pragma once

#include "server/model/row.h"

#define NODE_SEEN_MAX_MS 90000 /* silent for longer: gets no new instances */
#define NODE_INSTANCE_COUNT_MAX 1000

struct node_row {
    char id[32], org_id[32], name[64], state[16], tee[8];
    bool is_emulated, is_attested;
    char platform_id[160], tcb[64], software[80], location[80];
    char capacity[256]; /* JSON, or empty */
    int64_t instances;  /* that are not ended */
    int64_t seen_ms, created_ms, version;
};

/* Instances whose process may be there. */
#define INSTANCE_IS_LIVE "state IN ('requested', 'starting', 'running', 'unreachable', 'stopping')"
/* In the order in which node_decode reads them. */
#define NODE_COLUMNS                                                                               \
    "n.id, n.org_id, n.name, n.state, n.tee, n.is_emulated, CASE WHEN n.evidence IS NULL THEN 0 "  \
    "ELSE 1 END, "                                                                                 \
    "n.platform_id, n.tcb, n.software, n.location, n.capacity, n.seen_ms, n.created_ms, "          \
    "n.version, (SELECT COUNT(*) FROM instances i WHERE i.node_id = n.id AND i." INSTANCE_IS_LIVE  \
    ") FROM nodes n"
void node_decode(const struct store_rows *rows, struct node_row *ret);
/* by: id or name. returns: 0; -ENOENT; -EIO. */
MUST_CHECK int node_read(struct store_tx *tx, const char *org_id, const char *by,
                         struct node_row *ret, struct err *err);
/* The same; sets the problem "not-found". */
MUST_CHECK int node_lookup(struct api_request *rq, struct store_tx *tx, const char *by,
                           struct node_row *ret, struct err *err);
json_t *node_json(const struct node_row *node);
MUST_CHECK int node_state_write(struct store_tx *tx, struct node_row *node, const char *state,
                                struct err *err);
/* A line of the instance's history, and its state and reason. returns: 0; -ENOENT; -EIO. */
MUST_CHECK int instance_state_write(struct server *server, struct store_tx *tx, const char *org_id,
                                    const char *instance_id, const char *state, const char *reason,
                                    struct err *err);
/* Wants it stopped, and tells agent and node. returns: 0; -EIO. */
MUST_CHECK int instance_stop(struct server *server, struct store_tx *tx, const char *org_id,
                             const char *instance_id, const char *reason, struct err *err);
