/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints of apps: list, make, show, change. Relying party; requests are hostile. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/model/app_row.h"
#include "server/model/list.h"
#include "server/model/policy_row.h"
#include "server/model/routes.h"
#include "server/store/id.h"

#define LEASE_DEFAULT_S 3600
#define CERTIFICATE_DEFAULT_S 3600
#define GRACE_DEFAULT_S 10

/* What a request may say about an app; what is absent keeps its value. */
struct settings {
    const char *name, *policy, *on_second;
    json_t *dns_names;
    int64_t lease_s, certificate_s, grace_s;
    bool is_single, is_policy_removed;
};

static bool is_dns_name(const char *name)
{
    size_t len = strlen(name), label = 0;

    if (len == 0 || len > 253)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];

        if (c == '.') {
            if (label == 0 || name[i - 1] == '-')
                return false;
            label = 0;
            continue;
        }
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-", c) || (label == 0 && c == '-') ||
            ++label > 63)
            return false;
    }
    return label > 0 && name[len - 1] != '-';
}

static int check_dns_names(struct api_request *rq, const json_t *names)
{
    size_t i;
    json_t *name;

    json_array_foreach(names, i, name)
    {
        if (json_is_string(name) && is_dns_name(json_string_value(name)))
            continue;
        int rc = api_problem(rq, 400, "invalid-member", "dns_names: element %zu is no DNS name", i);

        api_problem_set(rq, "member", json_sprintf("/dns_names/%zu", i));
        api_problem_set(rq, "expected", json_string("a DNS name in lower case, without wildcards"));
        api_problem_set(rq, "actual", json_incref(name));
        return rc;
    }
    return 0;
}

static int read_settings(struct api_request *rq, bool is_new, struct settings *s)
{
    const struct api_member members[] = {
        { "name", API_STRING, is_new, &s->name, 1, 63 },
        { "dns_names", API_ARRAY, false, &s->dns_names, 0, APP_DNS_NAMES_MAX },
        { "lease_s", API_INT, false, &s->lease_s, 60, 86400 },
        { "certificate_s", API_INT, false, &s->certificate_s, 600, 86400 },
        { "grace_s", API_INT, false, &s->grace_s, 0, APP_GRACE_MAX_S },
        { "single", API_BOOL, false, &s->is_single },
        { "on_second", API_STRING, false, &s->on_second, 1, 16 },
        { "policy", API_STRING, false, &s->policy, 1, 64 },
    };

    if (json_is_null(json_object_get(rq->body, "policy"))) {
        s->is_policy_removed = true;
        json_object_del(rq->body, "policy");
    }
    /* A change cannot rename: certificates carry the name. */
    int rc = is_new ? api_body_read(rq, members, ARRAY_COUNT(members))
                    : api_body_read(rq, members + 1, ARRAY_COUNT(members) - 1);

    if (rc >= 0 && is_new)
        rc = row_name_check(rq, "name", s->name);
    if (rc >= 0 && s->on_second && strcmp(s->on_second, "refuse") != 0 &&
        strcmp(s->on_second, "fence") != 0)
        rc = api_problem(rq, 400, "invalid-member", "on_second: refuse or fence is expected");
    if (rc >= 0 && s->dns_names)
        rc = check_dns_names(rq, s->dns_names);
    return rc;
}

/* The names of an app are its own organisation's alone: no other may have certificates for them. */
static int write_dns_names(struct api_request *rq, struct store_tx *tx, const struct app_row *app,
                           const json_t *names, struct err *err)
{
    size_t i;
    json_t *item;
    int rc = store_exec(tx, "DELETE FROM app_dns_names WHERE org_id = $1 AND app_id = $2",
                        STORE_ARGS(store_text(app->org_id), store_text(app->id)), err);

    if (rc < 0)
        return rc;
    json_array_foreach(names, i, item)
    {
        const char *name = json_string_value(item);
        int64_t count;

        rc =
            store_get_int(tx, "SELECT COUNT(*) FROM app_dns_names WHERE name = $1 AND org_id <> $2",
                          STORE_ARGS(store_text(name), store_text(app->org_id)), &count, err);
        if (rc < 0)
            return rc;
        if (count > 0)
            return api_problem(rq, 409, "name-taken",
                               "the DNS name %s belongs to another organisation of this server",
                               name);
        rc = store_exec(tx,
                        "INSERT INTO app_dns_names (name, org_id, app_id) VALUES ($1, $2, $3) "
                        "ON CONFLICT DO NOTHING",
                        STORE_ARGS(store_text(name), store_text(app->org_id), store_text(app->id)),
                        err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Puts what the request says into the row. */
static int apply(struct api_request *rq, struct store_tx *tx, const struct settings *s,
                 struct app_full *app, struct err *err)
{
    json_t *settings = app->row.settings ? json_loads(app->row.settings, 0, NULL) : NULL;
    int rc = 0;

    if (!json_is_object(settings)) {
        json_decref(settings);
        settings = json_pack("{s:[]}", "dns_names");
    }
    if (s->dns_names)
        json_object_set(settings, "dns_names", s->dns_names);
    json_object_set_new(settings, "grace_s", json_integer(s->grace_s));
    if (s->on_second)
        json_object_set_new(settings, "on_second", json_string(s->on_second));
    char *text = row_canonical(settings);

    json_decref(settings);
    if (!text)
        return -ENOMEM;
    free(app->row.settings);
    app->row.settings = text;
    app->row.lease_s = s->lease_s;
    app->row.certificate_s = s->certificate_s;
    app->row.is_single = s->is_single;
    if (s->is_policy_removed)
        app->row.policy_id[0] = '\0';
    if (s->policy) {
        struct policy_row policy;

        rc = policy_lookup(rq, tx, s->policy, &policy, err);
        if (rc >= 0 && policy.version == 0)
            rc = api_problem(rq, 409, "policy-not-in-force",
                             "no version of policy %s is in force yet", policy.name);
        if (rc >= 0)
            row_copy(app->row.policy_id, sizeof app->row.policy_id, policy.id);
    }
    return rc;
}

static json_t *app_json(const struct app_full *app)
{
    json_t *settings = json_loads(app->row.settings, 0, NULL);
    json_t *names = json_incref(json_object_get(settings, "dns_names"));
    const char *on_second = json_string_value(json_object_get(settings, "on_second"));
    json_t *j =
        json_pack("{s:s,s:s,s:s,s:o,s:I,s:I,s:I,s:b,s:s?,s:o,s:o}", "id", app->row.id, "on_second",
                  on_second ? on_second : "refuse", "name", app->row.name, "dns_names",
                  names ? names : json_array(), "lease_s", (json_int_t)app->row.lease_s,
                  "certificate_s", (json_int_t)app->row.certificate_s, "grace_s",
                  json_integer_value(json_object_get(settings, "grace_s")), "single",
                  app->row.is_single, "policy", app->row.policy_id[0] ? app->row.policy_id : NULL,
                  "revoked", app->revoked_ms ? api_time(app->revoked_ms) : json_null(), "created",
                  api_time(app->created_ms));

    json_decref(settings);
    return j;
}

/* One request's transaction. */
struct op {
    struct api_request *rq;
    struct settings settings;
    struct app_full app;
    json_t *out;
    char id[ID_SIZE];
};

static void op_done(struct op *op)
{
    app_full_done(&op->app);
    json_decref(op->out);
}

static int create_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    struct app_full *app = &op->app;

    app_full_done(app);
    *app = (struct app_full){ .created_ms = server_now_ms(op->rq->server), .version = 1 };
    row_copy(app->row.id, sizeof app->row.id, op->id);
    row_copy(app->row.org_id, sizeof app->row.org_id, op->rq->who.org_id);
    row_copy(app->row.name, sizeof app->row.name, op->settings.name);
    int rc = apply(op->rq, tx, &op->settings, app, err);

    if (rc >= 0)
        rc = app_full_insert(op->rq->server, tx, app, err);
    if (rc == -EEXIST)
        return api_problem(op->rq, 409, "already-exists", "there is an app %s already",
                           app->row.name);
    if (rc >= 0 && op->settings.dns_names)
        rc = write_dns_names(op->rq, tx, &app->row, op->settings.dns_names, err);
    if (rc < 0)
        return rc;
    json_decref(op->out);
    op->out = app_json(app);
    return row_tell(op->rq, tx, "app.create", "app.created", app->row.id, json_incref(op->out),
                    err);
}

static int create_answer(void *arg, struct api_response *ret)
{
    struct op *op = arg;

    snprintf(ret->location, sizeof ret->location, "/v1/apps/%s", op->id);
    return row_answer(ret, 201, op->app.version, TAKE_PTR(op->out));
}

static int create(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq,
                     .settings = { .lease_s = LEASE_DEFAULT_S,
                                   .certificate_s = CERTIFICATE_DEFAULT_S,
                                   .grace_s = GRACE_DEFAULT_S } };
    int rc = read_settings(rq, true, &op.settings);

    if (rc < 0)
        return rc;
    id_make("app", op.id);
    return row_write_answer(rq, create_tx, create_answer, &op, "app", ret);
}

static int show_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;

    app_full_done(&op->app);
    return app_full_lookup(op->rq, tx, op->rq->params[0], &op->app, err);
}

static int show(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };
    int rc = row_read(rq, show_tx, &op, "app");

    return rc < 0 ? rc : row_answer(ret, 200, op.app.version, app_json(&op.app));
}

static int change_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    struct app_full *app = &op->app;

    app_full_done(app);
    int rc = app_full_lookup(op->rq, tx, op->rq->params[0], app, err);

    if (rc >= 0)
        rc = row_version_check(op->rq, app->version);
    if (rc < 0)
        return rc;
    if (app->row.is_revoked)
        return api_problem(op->rq, 409, "app-revoked", "the app %s is revoked", app->row.name);
    /* Absent members keep what is there. */
    struct settings s = op->settings;
    const json_t *body = op->rq->body;
    json_t *old = json_loads(app->row.settings, 0, NULL);

    if (!json_object_get(body, "lease_s"))
        s.lease_s = app->row.lease_s;
    if (!json_object_get(body, "certificate_s"))
        s.certificate_s = app->row.certificate_s;
    if (!json_object_get(body, "single"))
        s.is_single = app->row.is_single;
    if (!json_object_get(body, "grace_s"))
        s.grace_s = json_integer_value(json_object_get(old, "grace_s"));
    json_decref(old);
    rc = apply(op->rq, tx, &s, app, err);
    if (rc >= 0)
        rc = app_full_update(op->rq->server, tx, app, err);
    if (rc >= 0 && s.dns_names)
        rc = write_dns_names(op->rq, tx, &app->row, s.dns_names, err);
    if (rc < 0)
        return rc;
    json_decref(op->out);
    op->out = app_json(app);
    return row_tell(op->rq, tx, "app.change", "app.changed", app->row.id, json_incref(op->out),
                    err);
}

static int change_answer(void *arg, struct api_response *ret)
{
    struct op *op = arg;

    return row_answer(ret, 200, op->app.version, TAKE_PTR(op->out));
}

static int change(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };
    int rc = read_settings(rq, false, &op.settings);

    return rc < 0 ? rc : row_write_answer(rq, change_tx, change_answer, &op, "app", ret);
}

static int list_item(struct list *l, struct store_tx *tx, const struct store_rows *rows,
                     json_t **ret, struct err *err)
{
    CLEANUP(app_full_done)
    struct app_full app = { 0 };
    int rc = app_full_decode(l->rq->server, rows, &app, err);

    if (rc >= 0)
        *ret = app_json(&app);
    return rc;
}

static int list(struct api_request *rq, struct api_response *ret)
{
    static const struct list_of apps = {
        "apps",
        "SELECT " APP_COLUMNS " WHERE a.org_id = $1 AND a.id > $2 ORDER BY a.id LIMIT $3",
        .item = list_item,
    };

    return list_answer(rq, &apps, NULL, ret);
}

const struct api_route app_routes[] = {
    { "GET", "/v1/apps", list, .flags = API_ANY_ROLE },
    { "POST", "/v1/apps", create, API_OWNER, API_IDEMPOTENT },
    { "GET", "/v1/apps/{app}", show, .flags = API_ANY_ROLE },
    { "PATCH", "/v1/apps/{app}", change, API_OWNER, API_IDEMPOTENT },
};
const unsigned app_route_count = ARRAY_COUNT(app_routes);
