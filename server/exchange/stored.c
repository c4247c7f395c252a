/* SPDX-License-Identifier: Apache-2.0 */
/* Stored evidence, judged again: for dry runs of policies, and by the fleet when collateral, policy or builds change. Relying party. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/exchange/exchange.h"
#include "server/exchange/stored.h"
#include "server/model/row.h"

void stored_done(struct stored *s)
{
    cmw_free(s->cmw);
    free(s->stapled);
    *s = (struct stored){ 0 };
}

int stored_evidence_decode(const struct store_rows *rows, unsigned column, struct stored *s,
                           struct err *err)
{
    char type[CMW_TYPE_SIZE];
    size_t size;
    const void *data = store_column_blob(rows, column, &size);
    int collateral, rc;

    if (size == 0)
        return err_set(err, -ENODATA, "there is no evidence");
    rc = cmw_parse(data, size, &s->cmw, err);
    if (rc == 0)
        rc = evidence_find(s->cmw, &s->evidence, type, &collateral, err);
    if (rc < 0)
        return rc == -ENOMEM ? rc : -ENODATA;
    data = store_column_blob(rows, column + 1, &size);
    if (size == 0)
        return 0;
    s->stapled = malloc(size);
    if (!s->stapled)
        return -ENOMEM;
    memcpy(s->stapled, data, size);
    s->stapled_size = size;
    return 0;
}

static int stored_decode(const struct store_rows *rows, struct stored *s, struct err *err)
{
    row_copy(s->org_id, sizeof s->org_id, store_column_text(rows, 0));
    row_copy(s->app_id, sizeof s->app_id, store_column_text(rows, 1));
    row_copy(s->build_id, sizeof s->build_id, store_column_text(rows, 2));
    row_copy(s->node_id, sizeof s->node_id, store_column_text(rows, 3));
    s->evidence_ms = store_column_int(rows, 4);
    row_copy(s->state, sizeof s->state, store_column_text(rows, 5));
    row_copy(s->tcb_status, sizeof s->tcb_status, store_column_text(rows, 6));
    s->valid_until_ms = store_column_int(rows, 7);
    return stored_evidence_decode(rows, 8, s, err);
}

int stored_read(struct store_tx *tx, const char *instance_id, struct stored *ret, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx,
                         "SELECT i.org_id, i.app_id, i.build_id, i.node_id, i.evidence_ms, "
                         "i.state, i.tcb_status, i.valid_until_ms, i.evidence, s.content "
                         "FROM instances i LEFT JOIN stapled s ON s.sha256 = i.stapled_sha256 "
                         "WHERE i.org_id >= '' AND i.id = $1",
                         STORE_ARGS(store_text(instance_id)), &rows, err);

    *ret = (struct stored){ 0 };
    row_copy(ret->id, sizeof ret->id, instance_id);
    if (rc == 0)
        rc = store_rows_next(rows, err);
    if (rc > 0)
        rc = stored_decode(rows, ret, err);
    else if (rc == 0)
        rc = err_set(err, -ENOENT, "no such instance");
    if (rc < 0)
        stored_done(ret);
    return rc;
}

int stored_judge(struct exchange *exchange, const struct stored *s,
                 const struct verifier_policy *policy, const struct build_row *build,
                 int64_t now_ms, struct appraisal *ret, struct err *err)
{
    struct collateral_ref collateral;
    struct appraise_input input = { .evidence = s->evidence,
                                    .policy = policy,
                                    .build = build,
                                    .now_s = now_ms / 1000,
                                    .evidence_time_s = s->evidence_ms / 1000 };
    struct collateral_wish wish = { s->evidence, { s->stapled, s->stapled_size }, NULL };
    int rc = collateral_find(exchange, &wish, &collateral, err);

    if (rc < 0)
        return rc;
    input.collateral = collateral.collateral;
    input.collateral_why = collateral.why;
    rc = appraise(exchange, &input, ret, err);
    collateral_unref(&collateral);
    return rc;
}

int exchange_appraise_stored(struct server *server, struct store_tx *tx, const char *instance_id,
                             const struct verifier_policy *policy, int64_t now_ms,
                             struct verifier_result *ret, struct err *err)
{
    struct stored stored;
    struct appraisal *appraisal = calloc(1, sizeof *appraisal);
    int rc = appraisal ? stored_read(tx, instance_id, &stored, err) : -ENOMEM;

    if (rc == 0) {
        rc = stored_judge(server->exchange, &stored, policy, NULL, now_ms, appraisal, err);
        stored_done(&stored);
    }
    if (rc == 0)
        *ret = appraisal->result;
    free(appraisal);
    return rc == -ENOENT ? -ENODATA : rc;
}

static int context_read(struct server *server, struct store_tx *tx, const struct stored *s,
                        struct build_row *ret_build, struct policy_ref *ret_policy, struct err *err)
{
    int rc = build_read(server, tx, s->org_id, s->build_id, ret_build, err);

    return rc < 0 ? rc : policy_get(server, tx, s->org_id, s->app_id, ret_policy, err);
}

int exchange_reappraise(struct server *server, struct store_tx *tx, const char *instance_id,
                        int64_t now_ms, char **ret_ear, struct err *err)
{
    struct stored stored;
    struct build_row build;
    CLEANUP(policy_unref)
    struct policy_ref policy = { 0 };
    struct appraisal *a = calloc(1, sizeof *a);
    int rc = a ? stored_read(tx, instance_id, &stored, err) : -ENOMEM;

    if (rc < 0) {
        free(a);
        return rc;
    }
    rc = context_read(server, tx, &stored, &build, &policy, err);
    if (rc == 0)
        rc = stored_judge(server->exchange, &stored, policy.policy, &build, now_ms, a, err);
    if (rc == 0)
        rc = verifier_result_json(&a->result, now_ms / 1000, ret_ear);
    if (rc == 0) {
        struct err why = { "" };
        int checked = build_check(server, tx, &build, now_ms, &why);

        if (checked == -EACCES)
            refusal_set(&a->refusal, "build-not-allowed", "BUILD_STATE", "%s", why.text);
        else if (checked < 0)
            rc = err_set(err, checked, "%s", why.text);
    }
    if (rc == 0)
        rc = revocation_find(server, tx, stored.org_id, instance_id, stored.app_id, stored.build_id,
                             stored.node_id, a->platform_id, &a->refusal, err);
    if (rc >= 0)
        rc = a->refusal.code ? err_set(err, -EACCES, "%s: %s", a->refusal.step, a->refusal.detail)
                             : 0;
    else
        free(TAKE_PTR(*ret_ear));
    stored_done(&stored);
    free(a);
    return rc;
}
