/* SPDX-License-Identifier: Apache-2.0 */
/* An instance's stored evidence, for judging again. Relying party; within server/exchange/ and server/fleet/. */
#pragma once

#include "server/exchange/internal.h"

struct stored {
    char id[ID_SIZE], org_id[ID_SIZE], app_id[ID_SIZE], build_id[ID_SIZE], node_id[ID_SIZE];
    char state[16], tcb_status[48];
    int64_t evidence_ms, valid_until_ms;
    struct cmw *cmw;
    struct verifier_bytes evidence; /* of cmw */
    uint8_t *stapled;
    size_t stapled_size;
};
/* returns: 0; -ENOENT; -ENODATA it has none that can be read; -EIO. */
MUST_CHECK int stored_read(struct store_tx *tx, const char *instance_id, struct stored *ret,
                           struct err *err);
/* Fills evidence and what was stapled from two neighbouring columns. returns: 0; -ENODATA; -ENOMEM: stored_done in any case. */
MUST_CHECK int stored_evidence_decode(const struct store_rows *rows, unsigned column,
                                      struct stored *ret, struct err *err);
void stored_done(struct stored *stored);
/* As appraise; no transaction is needed, and the makers are not asked. */
MUST_CHECK int stored_judge(struct exchange *exchange, const struct stored *stored,
                            const struct verifier_policy *policy, const struct build_row *build,
                            int64_t now_ms, struct appraisal *ret, struct err *err);
