/* SPDX-License-Identifier: Apache-2.0 */
/* Whose evidence it is: the instance, its app, the build with this app digest, the policy in force. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/exchange/admission.h"
#include "server/model/row.h"

static void refuse(struct admission *a, bool is_final, const char *code, const char *step,
                   const char *detail, const char *fix)
{
    if (a->refusal.code)
        return;
    refusal_set(&a->refusal, code, step, "%s", detail);
    snprintf(a->refusal.fix, sizeof a->refusal.fix, "%s", fix);
    a->refusal.is_final = is_final;
}

static bool is_over(const struct instance_row *i)
{
    return strcmp(i->wanted, "stop") == 0 || strcmp(i->state, "stopped") == 0 ||
           strcmp(i->state, "revoked") == 0;
}

/* Whether the named instance may speak with this key. */
static void instance_check(struct admission *a)
{
    const struct evidence_request *r = a->request;
    const struct instance_row *i = &a->instance;
    bool same =
        i->public_key_size == r->spki_size && memcmp(i->public_key, r->spki, r->spki_size) == 0;

    if (r->purpose == PURPOSE_RENEW && !same)
        refuse(a, false, "attestation-refused", "INSTANCE_KEY",
               "the key is not the one that this instance started with",
               "start a new instance: keys are never passed on");
    else if (i->public_key_size > 0 && !same)
        refuse(a, true, "attestation-refused", "INSTANCE_KEY",
               "this instance was started before, with another key",
               "ask for a new instance: each starts once");
    else if (is_over(i))
        refuse(a, same, strcmp(i->state, "revoked") == 0 ? "revoked" : "instance-stopped",
               "INSTANCE_STATE", "the instance was stopped or revoked", "ask for a new instance");
}

static int instance_find(struct store_tx *tx, struct admission *a, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    char id[ID_SIZE] = "";
    int rc;

    if (a->request->instance_id[0]) {
        memcpy(id, a->request->instance_id, sizeof id);
    } else { /* an answer that was lost: the same key asks again */
        rc = store_query(tx, "SELECT id FROM instances WHERE org_id >= '' AND public_key = $1",
                         STORE_ARGS(store_blob(a->request->spki, a->request->spki_size)), &rows,
                         err);
        if (rc == 0)
            rc = store_rows_next(rows, err);
        if (rc <= 0)
            return rc;
        row_copy(id, sizeof id, store_column_text(rows, 0));
    }
    rc = instance_read(tx, id, &a->instance, err);
    if (rc == -ENOENT) {
        refuse(a, false, "attestation-refused", "INSTANCE", "no such instance",
               "ask the control plane for an instance, or start without an instance id");
        return 0;
    }
    if (rc == 0)
        instance_check(a);
    return rc;
}

/* Of the builds with this digest: the named instance's app's; else the only one that may run. */
static int build_choose(struct store_tx *tx, struct admission *a, struct err *err)
{
    struct build_row builds[EXCHANGE_BUILDS_MAX];
    int count = build_find(a->server, tx, a->request->app_digest, builds, EXCHANGE_BUILDS_MAX, err);
    int fit = -1, fits = 0;

    if (count < 0)
        return count;
    for (int i = 0; i < count; i++) {
        struct err why;

        if (a->instance.id[0]
                ? strcmp(builds[i].app_id, a->instance.app_id) != 0
                : count > 1 && build_check(a->server, tx, &builds[i], a->now_ms, &why) < 0)
            continue;
        fit = i;
        fits++;
    }
    if (fits == 1) {
        a->build = builds[fit];
        a->has_app = true;
        return 0;
    }
    if (fits == 0)
        refuse(a, false, "build-not-allowed", "APP_DIGEST",
               a->instance.id[0] ? "the app of this instance has no build with this app digest"
                                 : "no app has a build with this app digest",
               "propose the image as a build (cloche build --push) and have it approved");
    else
        refuse(a, false, "build-not-allowed", "APP_DIGEST",
               "several apps have a build with this app digest",
               "start it through the control plane, which names the instance");
    return 0;
}

static int node_find(struct store_tx *tx, struct admission *a, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc;

    if (!a->instance.node_id[0])
        return 0;
    rc = store_query(tx,
                     "SELECT location, platform_id, attested_ms FROM nodes WHERE org_id = $1 AND "
                     "id = $2",
                     STORE_ARGS(store_text(a->instance.org_id), store_text(a->instance.node_id)),
                     &rows, err);
    if (rc == 0)
        rc = store_rows_next(rows, err);
    if (rc > 0)
        row_copy(a->location, sizeof a->location, store_column_text(rows, 0));
    if (rc > 0 && !store_is_null(rows, 2))
        row_copy(a->node_platform, sizeof a->node_platform, store_column_text(rows, 1));
    return MIN(rc, 0);
}

/* Of a build that may not run: for good, when it or its app is revoked. */
static int build_refuse(struct store_tx *tx, struct admission *a, const struct err *why,
                        struct err *err)
{
    struct refusal revoked = { 0 };
    int rc = revocation_find(a->server, tx, a->app.org_id, a->instance.id, a->app.id, a->build.id,
                             a->instance.node_id, "", &revoked, err);

    if (rc > 0 && !a->refusal.code)
        a->refusal = revoked;
    refuse(a, false, "build-not-allowed", "BUILD_STATE", why->text,
           "have the build approved, or start one that is allowed");
    return MIN(rc, 0);
}

int admission_find(struct store_tx *tx, void *admission, struct err *err)
{
    struct admission *a = admission;
    struct err why = { "" };
    int rc = instance_find(tx, a, err);

    if (rc == 0)
        rc = build_choose(tx, a, err);
    if (rc < 0 || !a->has_app)
        return rc;
    if (a->instance.id[0] && strcmp(a->instance.org_id, a->build.org_id) != 0)
        return err_set(err, -EBADMSG, "instance %s and its app are of different organisations",
                       a->instance.id);
    rc = app_read(a->server, tx, a->build.app_id, &a->app, err);
    if (rc == 0)
        rc = policy_get(a->server, tx, a->build.org_id, a->build.app_id, &a->policy, err);
    if (rc == 0)
        rc = node_find(tx, a, err);
    if (rc < 0)
        return rc;
    rc = build_check(a->server, tx, &a->build, a->now_ms, &why);
    if (rc == -EACCES)
        return build_refuse(tx, a, &why, err);
    return rc < 0 ? err_set(err, rc, "%s", why.text) : 0;
}
