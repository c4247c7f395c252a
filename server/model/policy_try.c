/* SPDX-License-Identifier: Apache-2.0 */
/* The dry run of a policy against the evidence that the server keeps of the fleet. Relying party; changes nothing. */
#include "server/model/policy_try.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/exchange/exchange.h"
#include "server/model/org.h"

#define TRY_COUNT_MAX 200 /* instances of one answer: each is verified twice */

/* ---- differences ---- */

static void note_change(void *context, const struct verifier_change *change)
{
    static const char *const effects[] = {
        [VERIFIER_CHANGE_ACCEPTS_MORE] = "accepts-more",
        [VERIFIER_CHANGE_ACCEPTS_LESS] = "accepts-less",
        [VERIFIER_CHANGE_ACCEPTS_OTHER] = "accepts-other",
    };

    json_array_append_new(context, json_pack("{s:s,s:s,s:s}", "member", change->member, "effect",
                                             effects[change->effect], "text", change->text));
}

/* The version in force, or the built-in policy while there is none. */
static int force_get(struct server *server, struct store_tx *tx, const struct policy_row *row,
                     struct policy_ref *ret, struct err *err)
{
    CLEANUP(policy_version_done)
    struct policy_version version = { 0 };
    int rc = row->version ? policy_version_read(server, tx, row, row->version, &version, err)
                          : policy_builtin_text(server, &version.text, err);

    if (rc == -ENOENT)
        return err_set(err, -EBADMSG, "version %lld of policy %s is missing in the store",
                       (long long)row->version, row->name);
    return rc < 0 ? rc
                  : policy_parse(server, row->version ? row->id : "", row->version, version.text,
                                 ret, err);
}

int policy_changes(struct server *server, struct store_tx *tx, const struct policy_row *row,
                   const char *text, json_t **ret, struct err *err)
{
    CLEANUP(policy_unref)
    struct policy_ref was = { 0 };
    struct verifier_policy *is = NULL;
    int rc = force_get(server, tx, row, &was, err);

    if (rc >= 0)
        rc = verifier_policy_new(text, strlen(text), &is, err);
    if (rc < 0)
        return rc;
    json_t *list = json_array();

    verifier_policy_diff(was.policy, is, note_change, list);
    verifier_policy_free(is);
    *ret = list;
    return 0;
}

/* ---- dry run ---- */

struct instance {
    char id[32], app_id[32];
};

struct
try {
    struct api_request *rq;
    const char *after;
    char *text; /* of the candidate; NULL: a version's */
    int64_t version, at_ms;
    struct policy_row row;
    struct verifier_policy *candidate;
    struct instance *instances;
    unsigned count;
    bool has_more;
    json_t *list, *changes;
    int64_t accepted, refused, newly_accepted, newly_refused, unjudged;
};

static void try_done(struct try *t)
{
    free(t->text);
    free(t->instances);
    verifier_policy_free(t->candidate);
    json_decref(t->list);
    json_decref(t->changes);
}

/* The candidate's text: given, or of a version (the newest when none is named). */
static int read_candidate(struct try *t, struct store_tx *tx, struct err *err)
{
    CLEANUP(policy_version_done)
    struct policy_version version = { 0 };
    const char *text = t->text;
    int64_t number = t->version;
    int rc = 0;

    if (!text) {
        if (!number)
            rc = policy_newest(tx, &t->row, &number, err);
        if (rc >= 0)
            rc = policy_version_read(t->rq->server, tx, &t->row, number, &version, err);
        if (rc == -ENOENT)
            return api_problem(t->rq, 404, "not-found", "policy %s has no version %lld",
                               t->row.name, (long long)number);
        text = version.text;
    }
    if (rc < 0)
        return rc;
    verifier_policy_free(TAKE_PTR(t->candidate));
    rc = verifier_policy_new(text, strlen(text), &t->candidate, err);
    json_decref(TAKE_PTR(t->changes));
    return rc < 0 ? rc : policy_changes(t->rq->server, tx, &t->row, text, &t->changes, err);
}

/* Those that the policy judges; all of the organisation when it is attached to nothing yet. */
static int read_instances(struct try *t, struct store_tx *tx, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    struct org_row org;
    int64_t apps;
    int rc = org_read(t->rq->server, tx, t->rq->who.org_id, &org, err);

    if (rc >= 0)
        rc = store_get_int(tx, "SELECT COUNT(*) FROM apps WHERE org_id = $1 AND policy_id = $2",
                           STORE_ARGS(store_text(org.id), store_text(t->row.id)), &apps, err);
    if (rc < 0)
        return rc;
    bool is_default = strcmp(org.default_policy_id, t->row.id) == 0;

    rc = store_query(
        tx,
        "SELECT i.id, i.app_id FROM instances i JOIN apps a ON a.id = i.app_id "
        "WHERE i.org_id = $1 AND i.id > $2 AND i.state IN ('starting', 'running', 'unreachable') "
        "AND i.evidence IS NOT NULL AND ($3 = 1 OR a.policy_id = $4 OR ($5 = 1 AND a.policy_id IS "
        "NULL)) ORDER BY i.id LIMIT $6",
        STORE_ARGS(store_text(org.id), store_text(t->after), store_int(!is_default && apps == 0),
                   store_text(t->row.id), store_int(is_default), store_int(TRY_COUNT_MAX + 1)),
        &rows, err);
    t->count = 0;
    t->has_more = false;
    while (rc >= 0 && (rc = store_rows_next(rows, err)) > 0) {
        t->has_more = t->count == TRY_COUNT_MAX;
        if (t->has_more)
            break;
        struct instance *instance = &t->instances[t->count++];

        row_copy(instance->id, sizeof instance->id, store_column_text(rows, 0));
        row_copy(instance->app_id, sizeof instance->app_id, store_column_text(rows, 1));
    }
    return rc;
}

static bool is_accepted(const struct verifier_result *result)
{
    return result->verdict == VERIFIER_AFFIRMING || result->verdict == VERIFIER_WARNING;
}

static void set_value(json_t *j, const char *member, const struct verifier_value *value)
{
    char text[256];

    if (value->kind != VERIFIER_VALUE_NONE)
        json_object_set_new(j, member, json_string(verifier_value_print(value, text, sizeof text)));
}

/* The first failed check, and when time alone changes the verdict. */
static void explain(json_t *j, const struct verifier_result *result)
{
    if (result->primary < VERIFIER_CHECK_COUNT) {
        const struct verifier_check *check = &result->checks[result->primary];

        json_object_set_new(j, "step", json_string(verifier_check_name(result->primary)));
        json_object_set_new(j, "fix", json_string(verifier_check_fix(result->primary)));
        set_value(j, "expected", &check->expected);
        set_value(j, "actual", &check->actual);
    }
    if (result->valid_until_s > 0)
        json_object_set_new(j, "until", api_time(result->valid_until_s * 1000));
}

static const char *judge(struct try *t, struct store_tx *tx, const struct instance *instance,
                         const struct verifier_policy *policy, struct verifier_result *result,
                         struct err *err, int *ret_rc)
{
    struct err why = { 0 };
    int rc =
        exchange_appraise_stored(t->rq->server, tx, instance->id, policy, t->at_ms, result, &why);

    *ret_rc = rc == -ENODATA ? 0 : rc;
    if (rc < 0)
        return "unjudged";
    return is_accepted(result) ? "accepted" : "refused";
}

static int try_one(struct try *t, struct store_tx *tx, const struct instance *instance,
                   struct err *err)
{
    CLEANUP(policy_unref)
    struct policy_ref present = { 0 };
    struct verifier_result *result = calloc(1, sizeof *result);
    int rc = result
                 ? policy_get(t->rq->server, tx, t->rq->who.org_id, instance->app_id, &present, err)
                 : -ENOMEM;
    const char *now = "unjudged", *then = "unjudged";

    if (rc >= 0)
        now = judge(t, tx, instance, present.policy, result, err, &rc);
    if (rc >= 0)
        then = judge(t, tx, instance, t->candidate, result, err, &rc);
    if (rc >= 0) {
        json_t *j = json_pack("{s:s,s:s,s:s,s:s}", "id", instance->id, "app", instance->app_id,
                              "now", now, "then", then);

        if (strcmp(then, "unjudged") != 0)
            explain(j, result);
        json_array_append_new(t->list, j);
        t->accepted += then[0] == 'a';
        t->refused += then[0] == 'r';
        t->unjudged += then[0] == 'u';
        t->newly_accepted += then[0] == 'a' && now[0] != 'a';
        t->newly_refused += then[0] == 'r' && now[0] == 'a';
    }
    free(result);
    return rc;
}

static int try_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct try *t = arg;
    int rc = policy_lookup(t->rq, tx, t->rq->params[0], &t->row, err);

    if (rc >= 0)
        rc = read_candidate(t, tx, err);
    if (rc >= 0)
        rc = read_instances(t, tx, err);
    json_decref(t->list);
    t->list = json_array();
    t->accepted = t->refused = t->newly_accepted = t->newly_refused = t->unjudged = 0;
    for (unsigned i = 0; rc >= 0 && i < t->count; i++)
        rc = try_one(t, tx, &t->instances[i], err);
    return rc;
}

static int read_try(struct api_request *rq, struct try *t)
{
    json_t *object = NULL;
    const char *text = NULL;
    const struct api_member members[] = {
        { "version", API_INT, false, &t->version, 1, POLICY_VERSION_COUNT_MAX },
        { "policy", API_OBJECT, false, &object },
        { "text", API_STRING, false, &text, 1, VERIFIER_POLICY_SIZE_MAX },
        { "at", API_TIME, false, &t->at_ms },
        { "after", API_STRING, false, &t->after, 1, 64 },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc < 0 || (!object && !text))
        return rc;
    if (t->version)
        return api_problem(rq, 400, "invalid-member",
                           "one of version, policy and text is expected");
    return policy_body_text(rq, object, text, &t->text);
}

int policy_try(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(try_done)
    struct try t = { .rq = rq, .after = "", .at_ms = server_now_ms(rq->server) };
    int rc = read_try(rq, &t);

    if (rc < 0)
        return rc;
    t.instances = calloc(TRY_COUNT_MAX, sizeof *t.instances);
    if (!t.instances)
        return -ENOMEM;
    rc = row_read(rq, try_tx, &t, "policy");
    if (rc < 0)
        return rc;
    return row_answer(
        ret, 200, 0,
        json_pack("{s:o,s:o,s:O,s:I,s:I,s:I,s:I,s:I,s:O,s:s?}", "time", api_time(t.at_ms),
                  "against", t.row.version ? json_integer(t.row.version) : json_null(), "changes",
                  t.changes, "accepted", (json_int_t)t.accepted, "refused", (json_int_t)t.refused,
                  "newly_accepted", (json_int_t)t.newly_accepted, "newly_refused",
                  (json_int_t)t.newly_refused, "unjudged", (json_int_t)t.unjudged, "instances",
                  t.list, "next", t.has_more ? t.instances[t.count - 1].id : NULL));
}
