/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of rollouts, and what their ends write. Relying party; for the rollout_*.c files. */
#pragma once

#include "server/api/api.h"

struct rollout {
    char id[32], org_id[32], app_id[32], build_id[32], old_build_id[32], state[16], created_by[32];
    int64_t from_ms, end_ms, created_ms;
};

#define ROLLOUT_COLUMNS                                                                            \
    "id, org_id, app_id, build_id, old_build_id, state, created_by, deprecated_from_ms, end_ms, "  \
    "created_ms, mac FROM rollouts"
/* returns: 0; -EBADMSG the row is not this server's, and *ret is what stands there; errors as keys_mac. */
MUST_CHECK int rollout_decode(struct server *server, const struct store_rows *rows,
                              struct rollout *ret, struct err *err);
/* A new one. returns: 0; -EIO. */
MUST_CHECK int rollout_insert(struct server *server, struct store_tx *tx, const struct rollout *r,
                              struct err *err);
/* Live instances of one build of the rollout's app. returns: 0; -EIO. */
MUST_CHECK int rollout_count(struct store_tx *tx, const struct rollout *r, const char *build_id,
                             int64_t *ret, struct err *err);
/* Its state, also in *r, and its end. returns: 0; -EIO. */
MUST_CHECK int rollout_state_write(struct server *server, struct store_tx *tx, struct rollout *r,
                                   const char *state, struct err *err);
/* The old build, when it is deprecated still, gets this end and this state. returns: 0; -EBADMSG; -EIO. */
MUST_CHECK int rollout_old_build_end(struct server *server, struct store_tx *tx,
                                     const struct rollout *r, int64_t until_ms, const char *state,
                                     struct err *err);
/* Tells instances of the old build to stop, some at a time. returns: how many; -EIO. */
MUST_CHECK int rollout_stop_old(struct server *server, struct store_tx *tx, const struct rollout *r,
                                struct err *err);
