/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one transaction of an exchange: the nonce is used, what may have changed since is asked again, the instance's row, its certificate's serial, secrets, audit and event are written. Nothing leaves the
 * server before it is committed. Relying party.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/api/events.h"
#include "server/audit/audit.h"
#include "server/exchange/admission.h"
#include "server/exchange/exchange.h"
#include "server/model/row.h"

static int nonce_take(struct store_tx *tx, struct admission *a, struct err *err)
{
    int rc =
        nonce_use(tx, a->request->nonce, a->now_ms + (EXCHANGE_NONCE_LIFE_S + 10) * 1000ll, err);

    if (rc == -EEXIST) {
        refusal_set(&a->refusal, "nonce-used", "NONCE", "the nonce was used before");
        snprintf(a->refusal.fix, sizeof a->refusal.fix, "ask for a new nonce for each evidence");
        return -ECANCELED;
    }
    return rc;
}

/* ---- one at a time ---- */

static bool fences(const struct app_row *app)
{
    json_t *settings =
        app->settings ? json_loads(app->settings, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const char *mode = json_string_value(json_object_get(settings, "on_second"));
    bool result = mode && strcmp(mode, "fence") == 0;

    json_decref(settings);
    return result;
}

/* One of the app's other instances that hold a lease. fenced: those that were told to end count, too. ret "": there is none. */
static int other_find(struct store_tx *tx, const struct admission *a, bool fenced,
                      char ret[ID_SIZE], struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc =
        store_query(tx,
                    "SELECT id FROM instances WHERE org_id = $1 AND app_id = $2 AND id <> $3 "
                    "AND lease_until_ms > $4 AND (state IN ('running', 'unreachable') OR "
                    "(state = 'stopping' AND $5 = 1)) ORDER BY id DESC LIMIT 1",
                    STORE_ARGS(store_text(a->app.org_id), store_text(a->app.id),
                               store_text(a->instance_id), store_int(a->now_ms), store_int(fenced)),
                    &rows, err);

    ret[0] = 0;
    if (rc == 0)
        rc = store_rows_next(rows, err);
    if (rc > 0)
        row_copy(ret, ID_SIZE, store_column_text(rows, 0));
    return MIN(rc, 0);
}

/* Those of the app that hold a lease lose it: one, and more where the app ran several times until now. */
static int others_fence(struct store_tx *tx, struct admission *a, struct err *err)
{
    char other[ID_SIZE];
    int rc;

    while ((rc = other_find(tx, a, false, other, err)) == 0 && other[0]) {
        rc = instance_state_set(tx, a->app.org_id, other, a->now_ms, "stopping",
                                "fenced by a newer instance", err);
        if (rc == 0)
            rc = exchange_order(tx, other, "revoke", "fenced by a newer instance", err);
        if (rc < 0)
            break;
    }
    return rc;
}

static int fenced_refuse(struct admission *a)
{
    refusal_set(&a->refusal, "instance-fenced", "SINGLE",
                "a newer instance of the app has taken its place");
    a->refusal.is_final = true;
    return -ECANCELED;
}

static int single_check(struct store_tx *tx, struct admission *a, struct err *err)
{
    char other[ID_SIZE];
    int64_t newest;
    int rc;

    a->fence = 0;
    if (!a->app.is_single)
        return 0;
    if (strcmp(a->instance.state, "stopping") == 0)
        return fenced_refuse(a);
    a->fence = a->instance.fence;
    if (a->fence > 0) { /* it has its token already: only a newer one takes it away */
        rc = store_get_int(tx, "SELECT fence FROM apps WHERE org_id = $1 AND id = $2",
                           STORE_ARGS(store_text(a->app.org_id), store_text(a->app.id)), &newest,
                           err);
        return rc == 0 && newest > a->fence ? fenced_refuse(a) : rc;
    }
    rc = other_find(tx, a, true, other, err);
    if (rc == 0 && other[0] && !fences(&a->app)) {
        refusal_set(&a->refusal, "instance-fenced", "SINGLE",
                    "instance %s of this app holds a lease, and the app runs once at a time",
                    other);
        snprintf(a->refusal.fix, sizeof a->refusal.fix,
                 "stop that instance, or wait until its lease ends");
        return -ECANCELED;
    }
    if (rc == 0)
        rc = others_fence(tx, a, err);
    return rc < 0 ? rc : app_fence_next(tx, a->app.org_id, a->app.id, &a->fence, err);
}

/* ---- rows ---- */

/* What the row says now: since it was found, another may have started as this instance, or it was stopped. */
static int state_check(struct store_tx *tx, struct admission *a, struct err *err)
{
    const struct evidence_request *r = a->request;
    struct instance_row now;
    int rc;

    if (a->is_new)
        return 0;
    rc = instance_read(tx, a->instance_id, &now, err);
    if (rc == -ENOENT ||
        (rc == 0 && (strcmp(now.wanted, "stop") == 0 || strcmp(now.state, "stopped") == 0 ||
                     strcmp(now.state, "revoked") == 0))) {
        refusal_set(&a->refusal, "instance-stopped", "INSTANCE_STATE",
                    "the instance was stopped or revoked");
        a->refusal.is_final = true;
        return -ECANCELED;
    }
    if (rc < 0)
        return rc;
    if (now.public_key_size > 0 && (now.public_key_size != r->spki_size ||
                                    memcmp(now.public_key, r->spki, r->spki_size) != 0)) {
        refusal_set(&a->refusal, "attestation-refused", "INSTANCE_KEY",
                    "this instance was started before, with another key");
        snprintf(a->refusal.fix, sizeof a->refusal.fix, "ask for a new instance: each starts once");
        a->refusal.is_final = true;
        return -ECANCELED;
    }
    a->instance = now;
    return 0;
}

static int stapled_add(struct store_tx *tx, struct admission *a, struct err *err)
{
    return a->stapled
               ? stapled_keep(tx, a->stapled, a->stapled_size, a->stapled_sha256, a->now_ms, err)
               : 0;
}

static int row_insert(struct store_tx *tx, struct admission *a, struct err *err)
{
    int rc;

    if (!a->is_new)
        return 0;
    rc =
        store_exec(tx,
                   "INSERT INTO instances (id, org_id, app_id, build_id, state, wanted, "
                   "created_ms, changed_ms, version) "
                   "VALUES ($1, $2, $3, $4, 'starting', 'run', $5, $5, 0)",
                   STORE_ARGS(store_text(a->instance_id), store_text(a->app.org_id),
                              store_text(a->app.id), store_text(a->build.id), store_int(a->now_ms)),
                   err);
    return MIN(rc, 0);
}

/* state NULL: it stays. */
static int row_update(struct store_tx *tx, struct admission *a, const char *state,
                      const char *reason, struct err *err)
{
    const struct appraisal *p = &a->appraisal;
    bool accepted = !a->refusal.code;
    int rc = store_exec(
        tx,
        "UPDATE instances SET state = COALESCE($1, state), reason = $2, build_id = $3, "
        "public_key = COALESCE($4, public_key), evidence = $5, evidence_kind = $6, evidence_ms = "
        "$7, appraisal = $8, tee = $9, "
        "is_emulated = $10, tcb_status = $11, platform_id = $12, valid_until_ms = $13, fence = "
        "$14, "
        "lease_until_ms = COALESCE($15, lease_until_ms), certificate_serial = COALESCE($16, "
        "certificate_serial), "
        "certificate_until_ms = COALESCE($17, certificate_until_ms), secrets_version = "
        "COALESCE($18, secrets_version), "
        "stapled_sha256 = $19, tcb_key = $22, seen_ms = $7, changed_ms = $7, version = version + 1 "
        "WHERE org_id = "
        "$20 AND id = $21",
        STORE_ARGS(store_text(state), store_text(reason), store_text(a->build.id),
                   accepted ? store_blob(a->request->spki, a->request->spki_size) : store_null(),
                   store_blob(a->evidence, a->evidence_size), store_text(a->request->evidence_type),
                   store_int(a->now_ms), store_text(a->ear), store_text(p->tee),
                   store_int(p->is_emulated), store_text(p->tcb_status[0] ? p->tcb_status : NULL),
                   store_text(p->platform_id[0] ? p->platform_id : NULL),
                   p->valid_until_ms ? store_int(p->valid_until_ms) : store_null(),
                   a->fence || a->instance.fence ? store_int(MAX(a->fence, a->instance.fence))
                                                 : store_null(),
                   accepted ? store_int(a->lease_until_ms) : store_null(),
                   store_text(accepted ? a->issued.serial : NULL),
                   accepted ? store_int(a->issued.until_s * 1000) : store_null(),
                   store_text(accepted ? a->secrets_tag : NULL),
                   a->stapled ? store_blob(a->stapled_sha256, 32) : store_null(),
                   store_text(a->app.org_id), store_text(a->instance_id),
                   store_text(p->tcb_key[0] ? p->tcb_key : NULL)),
        err);

    return rc < 0 ? rc : rc == 0 ? -ENOENT : 0;
}

static int secrets_take(struct store_tx *tx, struct admission *a, struct err *err)
{
    struct secret_receiver to = {
        .org_id = a->app.org_id,
        .app_id = a->app.id,
        .build_id = a->build.id,
        .instance_id = a->instance_id,
        .tee = a->appraisal.tee,
        .tcb_status = a->appraisal.tcb_status[0] ? a->appraisal.tcb_status : NULL,
        .location = a->location[0] ? a->location : NULL,
        .is_emulated = a->appraisal.is_emulated,
        .evidence_sha256 = a->request->evidence_sha256,
        .certificate_pem = a->issued.chain_pem,
    };
    int rc = secret_tag(a->server, tx, &to, a->secrets_tag, err);

    secret_list_free(TAKE_PTR(a->secrets)); /* of a try before this one */
    if (rc == 0 && strcmp(a->secrets_tag, a->request->have_secrets) != 0)
        rc = secret_release(a->server, tx, &to, &a->secrets, err);
    return rc;
}

/* ---- history, event, audit ---- */

static int tell(struct store_tx *tx, struct admission *a, const char *state, const char *event,
                const char *action, struct err *err)
{
    const struct refusal *r = &a->refusal;
    struct audit_entry entry = { .org_id = a->app.org_id,
                                 .actor = a->instance_id,
                                 .action = action,
                                 .object = a->instance_id,
                                 .decision = r->code ? "refused" : "allowed",
                                 .evidence_sha256 = a->request->evidence_sha256,
                                 .request_id = a->rq->request_id };
    json_t *data = json_pack("{s:s,s:s,s:s?,s:s?,s:b}", "app", a->app.id, "build", a->build.id,
                             "step", r->code ? r->step : NULL, "tcb_status",
                             a->appraisal.tcb_status[0] ? a->appraisal.tcb_status : NULL,
                             "emulated", (int)a->appraisal.is_emulated);
    int rc = data ? 0 : -ENOMEM;

    if (rc == 0 && state)
        rc = instance_history_add(tx, a->instance_id, a->now_ms, state,
                                  r->code ? r->detail : "evidence accepted",
                                  a->request->evidence_sha256, err);
    if (rc == 0 && event)
        rc = event_append(tx, a->app.org_id, event, a->instance_id, data, err);
    if (rc == 0 && !r->code) {
        json_object_set_new(data, "certificate", json_string(a->issued.serial));
        json_object_set_new(data, "lease_until", json_integer(a->lease_until_ms / 1000));
    }
    entry.detail = data;
    if (rc == 0)
        rc = audit_append(tx, &entry, err);
    json_decref(data);
    return rc;
}

static int check_again(struct store_tx *tx, struct admission *a, struct err *err)
{
    struct err why = { "" };
    int rc = build_check(a->server, tx, &a->build, a->now_ms, &why);

    if (rc == -EACCES) {
        refusal_set(&a->refusal, "build-not-allowed", "BUILD_STATE", "%s", why.text);
        return -ECANCELED;
    }
    if (rc < 0)
        return err_set(err, rc, "%s", why.text);
    rc = revocation_find(a->server, tx, a->app.org_id, a->instance_id, a->app.id, a->build.id,
                         a->instance.node_id, a->appraisal.platform_id, &a->refusal, err);
    if (rc == 0)
        rc = policy_is_in_force(a->server, tx, a->app.org_id, a->app.id, &a->policy, err);
    a->is_outdated = rc == 0 || a->epoch != __atomic_load_n(&a->exchange->epoch, __ATOMIC_SEQ_CST);
    if (rc < 0)
        return rc;
    return a->refusal.code || a->is_outdated ? -ECANCELED : 0;
}

int admission_write(struct store_tx *tx, void *admission, struct err *err)
{
    struct admission *a = admission;
    bool was_running, is_start = a->request->purpose == PURPOSE_START;
    int rc;

    a->refusal = (struct refusal){ 0 }; /* of a try before this one */
    rc = nonce_take(tx, a, err);
    if (rc == 0)
        rc = state_check(tx, a, err);
    was_running = !a->is_new && strcmp(a->instance.state, "running") == 0;
    if (rc == 0)
        rc = check_again(tx, a, err);
    if (rc == 0)
        rc = single_check(tx, a, err);
    if (rc == 0)
        rc = row_insert(tx, a, err);
    if (rc == 0)
        rc = stapled_add(tx, a, err);
    if (rc == 0)
        rc = ca_issued_add(tx, a->app.org_id, a->instance_id, &a->issued, err);
    if (rc == 0)
        rc = secrets_take(tx, a, err);
    if (rc == 0)
        rc = row_update(tx, a, "running", NULL, err);
    if (rc == -EEXIST) {
        refusal_set(&a->refusal, "attestation-refused", "INSTANCE_KEY",
                    "this key belongs to another instance");
        rc = -ECANCELED;
    }
    if (rc == 0)
        rc = tell(tx, a, is_start || !was_running ? "running" : NULL,
                  is_start      ? "instance.started"
                  : was_running ? NULL
                                : "instance.running",
                  is_start ? "instance.start" : "instance.renew", err);
    return rc;
}

int admission_write_refused(struct store_tx *tx, void *admission, struct err *err)
{
    struct admission *a = admission;
    bool is_start = a->request->purpose == PURPOSE_START;
    struct refusal why = a->refusal;
    int rc =
        nonce_use(tx, a->request->nonce, a->now_ms + (EXCHANGE_NONCE_LIFE_S + 10) * 1000ll, err);

    if (rc == -EEXIST)
        return 0; /* was told of before */
    a->refusal = why;
    if (rc == 0)
        rc = row_insert(tx, a, err);
    if (rc == 0)
        rc = stapled_add(tx, a, err);
    /* A running instance keeps its state, and what it holds until its lease ends. */
    if (rc == 0 && (is_start || a->refusal.is_final) && a->instance.public_key_size == 0)
        rc = row_update(tx, a, "refused", a->refusal.detail, err);
    if (rc == 0)
        rc = tell(tx, a, is_start ? "refused" : NULL, "instance.refused", "instance.refuse", err);
    return rc;
}
