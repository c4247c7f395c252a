/* SPDX-License-Identifier: Apache-2.0 */
/* Apps and builds as the rest of the server needs them. Relying party. */
#pragma once

#include "server/server.h"
#include "server/store/store.h"

struct app_row {
    char id[32], org_id[32], name[64], org_name[64], policy_id[32];
    bool is_single, is_revoked;
    int64_t fence, lease_s, certificate_s;
    char *settings; /* JSON: dns_names, grace_s, stop order; for free() */
};
struct build_row {
    char id[32], org_id[32], app_id[32], version[64], state[16];
    uint8_t app_digest[48], mrenclave[32], mrsigner[32], snp_measurement[48], tdx_mrtd[48];
    bool has_sgx, has_snp, has_tdx, is_debug;
    int64_t isv_prod_id, isv_svn, deprecated_from_ms, deprecated_until_ms;
};

/* returns: 0; -ENOENT; -EBADMSG the row was not written by this server (mac). */
MUST_CHECK int app_read(struct server *server, struct store_tx *tx, const char *app_id,
                        struct app_row *ret, struct err *err);
void app_row_done(struct app_row *app);
/* The builds (of any organisation) with this app digest, and what was measured: at most one per app; the caller decides by org or instance. returns: count up to max; -EIO. */
MUST_CHECK int build_find(struct server *server, struct store_tx *tx, const uint8_t app_digest[48],
                          struct build_row *ret, unsigned max, struct err *err);
/*
 * Whether instances of the build may have keys at now_ms: its state is allowed or deprecated and not past its end, neither it nor its app is revoked, and as many of the
 * organisation's approver keys as it asks for have signed exactly this build: signatures are verified here, each time.
 * returns: 0; -EACCES it may not, reason in err; -EBADMSG a row was forged; -EIO.
 */
MUST_CHECK int build_check(struct server *server, struct store_tx *tx,
                           const struct build_row *build, int64_t now_ms, struct err *err);

/*
 * For good; in the caller's transaction, which appends audit and event. returns: 0 (also when it is already); -ENOENT not of this organisation; -EBADMSG forged; -EIO.
 * The caller stops instances (exchange_order) and writes the row of `revocations`.
 */
MUST_CHECK int app_revoke(struct server *server, struct store_tx *tx, const char *org_id,
                          const char *app_id, struct err *err);
MUST_CHECK int build_revoke(struct server *server, struct store_tx *tx, const char *org_id,
                            const char *build_id, struct err *err);
/* One build of the organisation. returns: 0; -ENOENT; -EBADMSG; -EIO. */
MUST_CHECK int build_read(struct server *server, struct store_tx *tx, const char *org_id,
                          const char *build_id, struct build_row *ret, struct err *err);
/* The app's next fencing token, in a writing transaction. returns: 0; -ENOENT; -EIO. */
MUST_CHECK int app_fence_next(struct store_tx *tx, const char *org_id, const char *app_id,
                              int64_t *ret, struct err *err);
