/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The organisation's row: how many approvals a build needs, which approver keys count, which policy is the default. Relying party. Only this file writes the row, because its mac (docs/approvals.md)
 * covers what decides.
 */
#pragma once

#include <jansson.h>

#include "server/server.h"
#include "server/store/store.h"

#define ORG_NAME_LEN_MAX 63u /* characters: a DNS label */

#define ORG_TITLE_LEN_MAX 100u /* bytes */
#define ORG_SESSION_S_MIN 300
#define ORG_SESSION_S_MAX (7 * 86400)
#define ORG_SESSION_S_DEFAULT (12 * 3600)
#define ORG_TOKEN_S_MIN 3600
#define ORG_TOKEN_S_MAX (366 * 86400)

/* What owners may change by themselves. */
struct org_settings {
    char title[ORG_TITLE_LEN_MAX + 1]; /* for people; may be empty */
    int64_t session_s;                 /* how long a login lasts */
    int64_t token_s;                   /* how long an API token may last */
    int64_t version;                   /* rises with each change of them; from 1 */
};
struct org_row {
    char id[32], name[64], default_policy_id[32]; /* policy: empty: none */
    struct org_settings settings;
    int64_t approvals_needed, roster_version;
    uint8_t roster_sha256[32];
};
json_t *org_json(const struct org_row *org);
/* A new organisation: its keys (keys_org_add) and its row, with an empty roster that asks for one approval. returns: 0; -EEXIST the name is taken; -EINVAL the name; -EIO. */
MUST_CHECK int org_add(struct server *server, struct store_tx *tx, const char *org_id,
                       const char *name, int64_t now_ms, struct err *err);
/* returns: 0; -ENOENT; -EBADMSG forged; -EIO. */
MUST_CHECK int org_read(struct server *server, struct store_tx *tx, const char *org_id,
                        struct org_row *ret, struct err *err);
/* Writes what may change (not id and name). returns: 0; -ENOENT; -EIO. */
MUST_CHECK int org_write(struct server *server, struct store_tx *tx, const struct org_row *org,
                         struct err *err);
