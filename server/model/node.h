/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes: machines that run instances for the organisation. Relying party. What a node says of itself is its word: nothing secret depends on it, because each instance proves itself.
 */
#pragma once

#include "server/model/row.h"

#define NODE_SEEN_MAX_MS 90000 /* silent for longer: gets no new instances */
#define NODE_INSTANCE_COUNT_MAX 1000

#define NODE_ATTEST_MIN_MS 60000    /* a node is not asked for evidence more often... */
#define NODE_ATTEST_RETRY_MS 600000 /* ...nor this soon after it was refused */

struct node_row {
    char id[32], org_id[32], name[64];
    char state[16]; /* "joined", "ready", "silent", "refused", "draining", "drained", "revoked" */
    char tee[8];
    bool is_emulated, is_attest_wanted;
    char platform_id[160], tcb[64], software[260], location[260]; /* 64 characters */
    char capacity[256];                                           /* JSON, or empty */
    char refusal[300];                      /* why its evidence was refused; empty: it was not */
    int64_t attested_ms, evidence_until_ms; /* of the last accepted evidence; 0: none yet */
    int64_t judged_ms;                      /* when evidence was last shown; 0: never */
    int64_t instances;                      /* that are not ended */
    int64_t same_platform; /* how many other nodes have evidence of the same platform */
    int64_t seen_ms, created_ms, version;
};

/* Instances whose process may be there. */
#define INSTANCE_IS_LIVE "state IN ('requested', 'starting', 'running', 'unreachable', 'stopping')"
/* In the order in which node_decode reads them. */
#define NODE_COLUMNS                                                                               \
    "n.id, n.org_id, n.name, n.state, n.tee, n.is_emulated, n.is_attest_wanted, n.platform_id, "   \
    "n.tcb, n.software, n.location, n.capacity, n.refusal, n.attested_ms, n.evidence_until_ms, "   \
    "n.judged_ms, n.seen_ms, n.created_ms, n.version, "                                            \
    "(SELECT COUNT(*) FROM instances i WHERE i.node_id = n.id AND i." INSTANCE_IS_LIVE "), "       \
    "(SELECT COUNT(*) FROM nodes o WHERE o.org_id = n.org_id AND o.platform_id = n.platform_id "   \
    "AND o.id <> n.id AND o.state <> 'revoked') FROM nodes n"
void node_decode(const struct store_rows *rows, struct node_row *ret);
/* by: id or name. returns: 0; -ENOENT; -EIO. */
MUST_CHECK int node_read(struct store_tx *tx, const char *org_id, const char *by,
                         struct node_row *ret, struct err *err);
/* The same; sets the problem "not-found". */
MUST_CHECK int node_lookup(struct api_request *rq, struct store_tx *tx, const char *by,
                           struct node_row *ret, struct err *err);
json_t *node_json(const struct node_row *node);
/*
 * What the node is now: sets state and refusal by evidence, time and instances. Drained and revoked ones stay what they are. A node whose evidence was refused or has ended is "refused";
 * one that never showed any is "joined" until it does, unless the configuration makes evidence optional.
 */
void node_settle(const struct server *server, struct node_row *node, int64_t now_ms);
/* Whether the node is to show evidence now. */
bool node_attest_is_due(const struct node_row *node, int64_t now_ms);
/* Writes state and refusal where they differ from what was read, with the event "node.STATE". returns: 1 it was; 0; -EIO. */
MUST_CHECK int node_settled_write(struct store_tx *tx, const struct node_row *was,
                                  const struct node_row *is, struct err *err);
/* Settles all nodes of all organisations that time has changed: silent ones, ended evidence, drained ones. returns: how many; -EIO. */
MUST_CHECK int node_settle_all(struct server *server, struct err *err);
MUST_CHECK int node_state_write(struct store_tx *tx, struct node_row *node, const char *state,
                                struct err *err);
/* A line of the instance's history, and its state and reason. returns: 0; -ENOENT; -EIO. */
MUST_CHECK int instance_state_write(struct server *server, struct store_tx *tx, const char *org_id,
                                    const char *instance_id, const char *state, const char *reason,
                                    struct err *err);
/* Wants it stopped, and tells agent and node. returns: 0; -EIO. */
MUST_CHECK int instance_stop(struct server *server, struct store_tx *tx, const char *org_id,
                             const char *instance_id, const char *reason, struct err *err);
