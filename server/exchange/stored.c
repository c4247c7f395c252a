/* SPDX-License-Identifier: Apache-2.0 */
/* Stored evidence, judged again: for dry runs of policies, and by the fleet when collateral, policy or builds change. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/exchange/exchange.h"
#include "server/exchange/held.h"
#include "server/exchange/stored.h"
#include "server/model/row.h"

#define COLUMNS                                                                                    \
    "org_id, app_id, build_id, node_id, evidence, evidence_ms, stapled_sha256, state, "            \
    "tcb_status, valid_until_ms, id, reason"

void stored_done(struct stored *s)
{
    cmw_free(s->cmw);
    free(s->owned);
    *s = (struct stored){ 0 };
}

/* returns: 0; -ENODATA it cannot be read; -ENOMEM. */
static int evidence_decode(const struct store_rows *rows, unsigned column, struct stored *s,
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
    return rc < 0 && rc != -ENOMEM ? -ENODATA : rc;
}

static int content_copy(const struct store_rows *rows, unsigned column, uint8_t **ret,
                        size_t *ret_size)
{
    const void *content = store_column_blob(rows, column, ret_size);
    uint8_t *copy = malloc(*ret_size + 1);

    if (!copy)
        return -ENOMEM;
    if (*ret_size > 0)
        memcpy(copy, content, *ret_size);
    *ret = copy;
    return 0;
}

int stored_evidence_decode(const struct store_rows *rows, unsigned column, struct stored *s,
                           struct err *err)
{
    size_t size;
    int rc = evidence_decode(rows, column, s, err);

    if (rc == 0)
        rc = content_copy(rows, column + 1, &s->owned, &size);
    if (rc == 0)
        s->stapled = (struct verifier_bytes){ s->owned, size };
    return rc;
}

static int stored_decode(const struct store_rows *rows, struct stored *s, struct err *err)
{
    size_t size;
    const void *data = store_column_blob(rows, 6, &size);
    const char *reason;

    row_copy(s->org_id, sizeof s->org_id, store_column_text(rows, 0));
    row_copy(s->app_id, sizeof s->app_id, store_column_text(rows, 1));
    row_copy(s->build_id, sizeof s->build_id, store_column_text(rows, 2));
    row_copy(s->node_id, sizeof s->node_id, store_column_text(rows, 3));
    s->evidence_ms = store_column_int(rows, 5);
    s->has_stapled = data && size == sizeof s->stapled_sha256;
    if (s->has_stapled)
        memcpy(s->stapled_sha256, data, size);
    row_copy(s->state, sizeof s->state, store_column_text(rows, 7));
    row_copy(s->tcb_status, sizeof s->tcb_status, store_column_text(rows, 8));
    s->valid_until_ms = store_column_int(rows, 9);
    row_copy(s->id, sizeof s->id, store_column_text(rows, 10));
    reason = store_column_text(rows, 11);
    s->has_fallen = reason && reason[0] && strcmp(s->state, "running") == 0;
    return evidence_decode(rows, 4, s, err);
}

/* What stands under the hash; unchanged: nothing does. */
static int stapled_read(struct store_tx *tx, const uint8_t sha256[32], uint8_t **ret,
                        size_t *ret_size, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx, "SELECT content FROM stapled WHERE sha256 = $1",
                         STORE_ARGS(store_blob(sha256, 32)), &rows, err);

    if (rc == 0)
        rc = store_rows_next(rows, err);
    return rc > 0 ? content_copy(rows, 0, ret, ret_size) : rc;
}

int stored_read(struct store_tx *tx, const char *instance_id, struct stored *ret, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    size_t size = 0;
    int rc = store_query(tx, "SELECT " COLUMNS " FROM instances WHERE org_id >= '' AND id = $1",
                         STORE_ARGS(store_text(instance_id)), &rows, err);

    *ret = (struct stored){ 0 };
    if (rc == 0)
        rc = store_rows_next(rows, err);
    if (rc > 0)
        rc = stored_decode(rows, ret, err);
    else if (rc == 0)
        rc = err_set(err, -ENOENT, "no such instance");
    if (rc == 0 && ret->has_stapled)
        rc = stapled_read(tx, ret->stapled_sha256, &ret->owned, &size, err);
    if (rc < 0)
        stored_done(ret);
    else
        ret->stapled = (struct verifier_bytes){ ret->owned, size };
    return rc;
}

/* ---- lists ---- */

void stored_list_done(struct stored_list *list)
{
    for (unsigned i = 0; i < list->count; i++)
        stored_done(&list->items[i]);
    for (unsigned i = 0; i < list->stapled_count; i++)
        free(list->stapled[i].content);
    list->count = list->stapled_count = 0;
}

static int list_stapled_find(struct store_tx *tx, struct stored_list *list, struct stored *s,
                             struct err *err)
{
    unsigned i = 0;
    int rc;

    while (i < list->stapled_count &&
           memcmp(list->stapled[i].sha256, s->stapled_sha256, sizeof s->stapled_sha256) != 0)
        i++;
    if (i == list->stapled_count) {
        list->stapled[i].content = NULL;
        list->stapled[i].size = 0;
        rc = stapled_read(tx, s->stapled_sha256, &list->stapled[i].content, &list->stapled[i].size,
                          err);
        if (rc < 0)
            return rc;
        memcpy(list->stapled[i].sha256, s->stapled_sha256, sizeof s->stapled_sha256);
        list->stapled_count++;
    }
    s->stapled = (struct verifier_bytes){ list->stapled[i].content, list->stapled[i].size };
    return 0;
}

/* The state stands in an expression, so that the order of ids is followed: an index of states would be sorted again for each list. */
static int list_rows_read(struct store_tx *tx, const char *org_id, const char *after,
                          struct stored_list *list, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    unsigned found = 0;
    int rc = store_query(
        tx,
        "SELECT " COLUMNS " FROM instances WHERE id > $1 AND ($2 = '' OR org_id = $2) AND "
        "COALESCE(state, '') IN ('running', 'unreachable') ORDER BY id LIMIT $3",
        STORE_ARGS(store_text(after), store_text(org_id), store_int(STORED_LIST_MAX)), &rows, err);

    while (rc == 0 && found < STORED_LIST_MAX && (rc = store_rows_next(rows, err)) > 0) {
        struct stored *s = &list->items[list->count];

        *s = (struct stored){ 0 };
        rc = stored_decode(rows, s, err);
        memcpy(list->last, s->id, sizeof list->last);
        found++;
        if (rc == 0)
            list->count++;
        else
            stored_done(s);
        if (rc == -ENODATA)
            rc = 0;
    }
    list->is_end = found < STORED_LIST_MAX;
    return MIN(rc, 0);
}

int stored_list_read(struct store_tx *tx, const char *org_id, const char *after,
                     struct stored_list *list, struct err *err)
{
    int rc;

    list->count = list->stapled_count = 0;
    rc = list_rows_read(tx, org_id, after, list, err);
    for (unsigned i = 0; rc == 0 && i < list->count; i++)
        if (list->items[i].has_stapled)
            rc = list_stapled_find(tx, list, &list->items[i], err);
    return rc;
}

/* ---- judging ---- */

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
    struct collateral_wish wish = { s->evidence, s->stapled, NULL };
    int rc = collateral_find(exchange, &wish, &collateral, err);

    if (rc < 0)
        return rc;
    input.collateral = collateral.collateral;
    input.collateral_why = collateral.why;
    rc = appraise(exchange, &input, ret, err);
    collateral_unref(&collateral);
    return rc;
}

/* "TCB recovery 18 makes it OutOfDate (INTEL-SA-00615): POLICY_TCB_STATUS, ..." */
static void forecast_explain(const struct appraisal *early, const struct held_recovery *recovery,
                             struct stored_forecast *ret)
{
    const struct verifier_advisories *list = &early->result.intel.platform_advisories;
    size_t len;

    len = (size_t)snprintf(ret->reason, sizeof ret->reason, "TCB recovery %u: the platform is %s",
                           recovery->number, early->tcb_status[0] ? early->tcb_status : "unknown");
    for (unsigned i = 0; i < list->count && len + 40 < sizeof ret->reason / 2; i++)
        len += (size_t)snprintf(ret->reason + len, sizeof ret->reason - len, "%s%s",
                                i ? ", " : " (", list->names[i]);
    if (list->count)
        len += (size_t)snprintf(ret->reason + len, sizeof ret->reason - len, ")");
    snprintf(ret->reason + len, sizeof ret->reason - len, ", %s",
             early->refusal.code ? early->refusal.step
                                 : "which the policy accepts for a time of grace only");
    snprintf(ret->tcb_status, sizeof ret->tcb_status, "%s", early->tcb_status);
}

static int forecast_compare(const struct appraisal *now, const struct appraisal *early,
                            const struct held_recovery *recovery, int64_t now_ms,
                            struct stored_forecast *ret)
{
    ret->number = recovery->number;
    ret->is_published = recovery->is_published;
    ret->until_ms = MAX(recovery->standard_s * 1000, now_ms);
    if (now->refusal.code || (!early->refusal.code && !early->result.is_in_grace))
        return 0;
    if (!early->refusal.code) {
        if (now->result.is_in_grace && now->valid_until_ms <= early->valid_until_ms)
            return 0; /* not the recovery's doing */
        ret->until_ms = MAX(ret->until_ms, early->valid_until_ms);
    }
    ret->falls = true;
    forecast_explain(early, recovery, ret);
    return 0;
}

int stored_forecast(struct exchange *exchange, const struct stored *s,
                    const struct verifier_policy *policy, const struct build_row *build,
                    int64_t now_ms, struct stored_forecast *ret, struct err *err)
{
    struct verifier_collateral *collateral = NULL;
    struct held_recovery recovery;
    struct appraisal *a;
    struct appraise_input input = { .evidence = s->evidence,
                                    .policy = policy,
                                    .build = build,
                                    .now_s = now_ms / 1000,
                                    .evidence_time_s = s->evidence_ms / 1000 };
    int rc = collateral_find_early(exchange, s->evidence, &collateral, &recovery, err);

    *ret = (struct stored_forecast){ .falls = false };
    if (rc < 0)
        return rc == -ENODATA || rc == -ENOENT ? 0 : rc;
    a = calloc(2, sizeof *a);
    rc = a ? stored_judge(exchange, s, policy, build, now_ms, &a[0], err) : -ENOMEM;
    input.collateral = collateral;
    if (rc == 0)
        rc = appraise(exchange, &input, &a[1], err);
    if (rc == 0)
        rc = forecast_compare(&a[0], &a[1], &recovery, now_ms, ret);
    verifier_collateral_free(collateral);
    free(a);
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
