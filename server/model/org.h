/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The organisation's row: how many approvals a build needs, which approver keys count, which policy is the default. Relying party. Only this file writes the row, because its mac (docs/approvals.md)
 * covers what decides.
 */
#pragma once

#include "server/server.h"
#include "server/store/store.h"

#define ORG_NAME_LEN_MAX 63u /* characters: a DNS label */

struct org_row {
    char id[32], name[64], default_policy_id[32]; /* policy: empty: none */
    int64_t approvals_needed, roster_version;
    uint8_t roster_sha256[32];
};
/* A new organisation: its keys (keys_org_add) and its row, with an empty roster that asks for one approval. returns: 0; -EEXIST the name is taken; -EINVAL the name; -EIO. */
MUST_CHECK int org_add(struct server *server, struct store_tx *tx, const char *org_id,
                       const char *name, int64_t now_ms, struct err *err);
/* returns: 0; -ENOENT; -EBADMSG forged; -EIO. */
MUST_CHECK int org_read(struct server *server, struct store_tx *tx, const char *org_id,
                        struct org_row *ret, struct err *err);
/* Writes what may change (not id and name). returns: 0; -ENOENT; -EIO. */
MUST_CHECK int org_write(struct server *server, struct store_tx *tx, const struct org_row *org,
                         struct err *err);
