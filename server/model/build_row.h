/* SPDX-License-Identifier: Apache-2.0 */
/* The whole row of a build, for those who show or change it (others: build.h). Relying party; within server/model/. */
#pragma once

#include "server/model/build.h"
#include "server/model/row.h"

#define BUILD_DESCRIPTOR_SIZE_MAX (256u << 10)
#define BUILD_IMAGE_LEN_MAX 1024

struct build_full {
    struct build_row row;
    char *descriptor, *image; /* image: where nodes get it, or NULL; not covered by the mac */
    char proposed_by[32];
    int64_t created_ms, changed_ms, version;
};
void build_full_done(struct build_full *build);

/* In the order in which build_full_decode reads them; the caller adds conditions. */
#define BUILD_COLUMNS                                                                              \
    "b.id, b.org_id, b.app_id, b.version, b.app_digest, b.mrenclave, b.mrsigner, b.isv_prod_id, "  \
    "b.isv_svn, b.snp_measurement, b.tdx_mrtd, b.is_debug, b.descriptor, b.image, b.state, "       \
    "b.deprecated_from_ms, b.deprecated_until_ms, b.proposed_by, b.created_ms, b.changed_ms, "     \
    "b.row_version, b.mac FROM builds b"
/* returns: 0; -EBADMSG; -ENOMEM. */
MUST_CHECK int build_full_decode(struct server *server, const struct store_rows *rows,
                                 struct build_full *ret, struct err *err);
/* returns: 0; -ENOENT; -EBADMSG; -EIO. */
MUST_CHECK int build_full_read(struct server *server, struct store_tx *tx, const char *org_id,
                               const char *build_id, struct build_full *ret, struct err *err);
/* By id, or by version of the app when app_id is there; sets the problem "not-found". */
MUST_CHECK int build_lookup(struct api_request *rq, struct store_tx *tx, const char *app_id,
                            const char *by, struct build_full *ret, struct err *err);
MUST_CHECK int build_full_insert(struct server *server, struct store_tx *tx,
                                 const struct build_full *build, struct err *err);
/* Writes state and dates, with the next version and changed_ms now. */
MUST_CHECK int build_full_update(struct server *server, struct store_tx *tx,
                                 struct build_full *build, struct err *err);
/* As the API shows it, without the descriptor. */
json_t *build_json(const struct build_full *build);
/* When leases of the build must have ended; 0: no such time. */
int64_t build_until_ms(const struct build_row *build);
