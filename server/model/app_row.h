/* SPDX-License-Identifier: Apache-2.0 */
/* The whole row of an app, for those who change it. Relying party; within server/model/. */
#pragma once

#include "server/model/app.h"

struct app_full {
    struct app_row row;
    int64_t revoked_ms, created_ms, version; /* revoked_ms 0: is not */
};
void app_full_done(struct app_full *app);

/* In the order in which app_full_decode reads them; the caller adds conditions. */
#define APP_COLUMNS                                                                                \
    "a.id, a.org_id, a.name, a.settings, a.is_single, a.fence, a.lease_s, a.certificate_s, "       \
    "a.policy_id, a.revoked_ms, a.created_ms, a.version, a.mac, o.name "                           \
    "FROM apps a JOIN orgs o ON o.id = a.org_id"
/* returns: 0; -EBADMSG; -ENOMEM. */
MUST_CHECK int app_full_decode(struct server *server, const struct store_rows *rows,
                               struct app_full *ret, struct err *err);
/* returns: 0; -ENOENT; -EBADMSG; -EIO. */
MUST_CHECK int app_full_read(struct server *server, struct store_tx *tx, const char *org_id,
                             const char *app_id, struct app_full *ret, struct err *err);
/* By id or name; sets the problem "not-found". */
MUST_CHECK int app_full_lookup(struct api_request *rq, struct store_tx *tx, const char *by,
                               struct app_full *ret, struct err *err);
MUST_CHECK int app_full_insert(struct server *server, struct store_tx *tx,
                               const struct app_full *app, struct err *err);
/* Writes all that may change, with the next version. */
MUST_CHECK int app_full_update(struct server *server, struct store_tx *tx, struct app_full *app,
                               struct err *err);
