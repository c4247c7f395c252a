/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of policies and their versions, for those who show or change them (others: policy.h). Relying party; within server/model/. */
#pragma once

#include "server/model/policy.h"
#include "server/model/row.h"

#define POLICY_VERSION_COUNT_MAX 1000 /* of one policy */

struct policy_row {
    char id[32], org_id[32], name[64];
    int64_t version; /* in force; 0: none */
    int64_t created_ms, changed_ms;
};
struct policy_version {
    int64_t version, created_ms;
    char created_by[32];
    char *text; /* canonical JSON, for free() */
};
void policy_version_done(struct policy_version *version);

/* In the order in which policy_row_decode reads them. */
#define POLICY_COLUMNS                                                                             \
    "p.id, p.org_id, p.name, p.version, p.created_ms, p.changed_ms, p.mac FROM policies p"
MUST_CHECK int policy_row_decode(struct server *server, const struct store_rows *rows,
                                 struct policy_row *ret, struct err *err);
/* returns: 0; -ENOENT; -EBADMSG; -EIO. by: id or name. */
MUST_CHECK int policy_row_read(struct server *server, struct store_tx *tx, const char *org_id,
                               const char *by, struct policy_row *ret, struct err *err);
/* The same; sets the problem "not-found". */
MUST_CHECK int policy_lookup(struct api_request *rq, struct store_tx *tx, const char *by,
                             struct policy_row *ret, struct err *err);
MUST_CHECK int policy_row_insert(struct server *server, struct store_tx *tx,
                                 const struct policy_row *policy, struct err *err);
/* Writes version and changed_ms. */
MUST_CHECK int policy_row_update(struct server *server, struct store_tx *tx,
                                 struct policy_row *policy, struct err *err);
MUST_CHECK int policy_version_read(struct server *server, struct store_tx *tx,
                                   const struct policy_row *policy, int64_t version,
                                   struct policy_version *ret, struct err *err);
MUST_CHECK int policy_version_insert(struct server *server, struct store_tx *tx,
                                     const struct policy_row *policy,
                                     const struct policy_version *version, struct err *err);
/* The highest version that there is; 0: none. */
MUST_CHECK int policy_newest(struct store_tx *tx, const struct policy_row *policy, int64_t *ret,
                             struct err *err);
/* The built-in policy's JSON, for free(): the makers' roots, with the server's emulator root when it has one. */
MUST_CHECK int policy_builtin_text(struct server *server, char **ret, struct err *err);
/* A parsed text, cached; policy_unref. returns: 0; -EINVAL as verifier_policy_new. */
MUST_CHECK int policy_parse(struct server *server, const char *id, int64_t version,
                            const char *text, struct policy_ref *ret, struct err *err);
