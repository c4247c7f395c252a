/* SPDX-License-Identifier: Apache-2.0 */
/* Collateral that came with evidence: as a CMW of its own, so that it is kept once for many instances, and parsed. Relying party; hostile. */
#include <errno.h>

#include "attest/collateral.h"
#include "server/exchange/internal.h"

int stapled_encode(const struct cmw *cmw, int collection, char **ret, size_t *ret_size)
{
    CLEANUP(cmw_freep)
    struct cmw *own = NULL;
    struct verifier_collateral_items items = { 0 };
    int rc;

    if (collection < 0)
        return -ENOENT;
    collateral_from_cmw(cmw, collection, &items);
    if (collateral_is_empty(&items))
        return -ENOENT;
    rc = cmw_new(&own);
    if (rc == 0)
        rc = cmw_add_collection(own, CMW_TOP, NULL, NULL);
    if (rc >= 0)
        rc = collateral_add_to_cmw(own, 0, &items);
    return rc < 0 ? rc : cmw_encode_json(own, ret, ret_size);
}

int stapled_keep(struct store_tx *tx, const char *stapled, size_t size, const uint8_t sha256[32],
                 int64_t now_ms, struct err *err)
{
    int rc = store_exec(
        tx,
        "INSERT INTO stapled (sha256, content, used_ms) VALUES ($1, $2, $3) ON "
        "CONFLICT (sha256) DO NOTHING",
        STORE_ARGS(store_blob(sha256, 32), store_blob(stapled, size), store_int(now_ms)), err);

    return MIN(rc, 0);
}

int stapled_parse(struct verifier_bytes stapled, struct verifier_collateral **ret, struct err *err)
{
    CLEANUP(cmw_freep)
    struct cmw *cmw = NULL;
    struct verifier_collateral_items items = { 0 };
    int rc = cmw_parse(stapled.data, stapled.size, &cmw, err);

    if (rc < 0)
        return rc == -ENOMEM ? rc : -EINVAL;
    if (!cmw_item_get(cmw, 0)->is_collection)
        return err_set(err, -EINVAL, "not a collection");
    collateral_from_cmw(cmw, 0, &items);
    rc = verifier_collateral_new(&items, ret, err);
    return rc == -E2BIG ? -EINVAL : rc;
}
