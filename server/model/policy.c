/* SPDX-License-Identifier: Apache-2.0 */
/* Policies: rows, versions, the one in force for an app. Relying party. */
#include "server/model/policy_row.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/digest.h"
#include "server/config.h"
#include "server/crypto/keys.h"
#include "server/model/app.h"
#include "server/model/model_cache.h"
#include "server/model/org.h"

#define ROOT_SIZE_MAX (64u << 10) /* of the emulator root's file */

void policy_version_done(struct policy_version *version)
{
    free(version->text);
    version->text = NULL;
}

static int policy_mac(struct server *server, const struct policy_row *p, uint8_t ret[KEYS_MAC_SIZE],
                      const void *verify, size_t verify_size, struct err *err)
{
    struct store_args fields =
        STORE_ARGS(store_text(p->id), store_text(p->org_id), store_text(p->name),
                   store_int(p->version), store_int(p->created_ms), store_int(p->changed_ms));

    if (verify)
        return row_mac_verify(server, p->org_id, "policies", p->id, fields, verify, verify_size,
                              err);
    return row_mac(server, p->org_id, "policies", p->id, fields, ret, err);
}

int policy_row_decode(struct server *server, const struct store_rows *rows, struct policy_row *ret,
                      struct err *err)
{
    struct policy_row p = { 0 };
    size_t size;

    row_copy(p.id, sizeof p.id, store_column_text(rows, 0));
    row_copy(p.org_id, sizeof p.org_id, store_column_text(rows, 1));
    row_copy(p.name, sizeof p.name, store_column_text(rows, 2));
    p.version = store_column_int(rows, 3);
    p.created_ms = store_column_int(rows, 4);
    p.changed_ms = store_column_int(rows, 5);
    const void *mac = store_column_blob(rows, 6, &size);
    int rc = policy_mac(server, &p, NULL, mac ? mac : "", size, err);

    if (rc < 0)
        return rc;
    *ret = p;
    return 0;
}

int policy_row_read(struct server *server, struct store_tx *tx, const char *org_id, const char *by,
                    struct policy_row *ret, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(
        tx, "SELECT " POLICY_COLUMNS " WHERE p.org_id = $1 AND (p.id = $2 OR p.name = $2)",
        STORE_ARGS(store_text(org_id), store_text(by)), &rows, err);

    if (rc >= 0)
        rc = store_rows_next(rows, err);
    if (rc <= 0)
        return rc < 0 ? rc : err_set(err, -ENOENT, "no policy %s", by);
    return policy_row_decode(server, rows, ret, err);
}

int policy_lookup(struct api_request *rq, struct store_tx *tx, const char *by,
                  struct policy_row *ret, struct err *err)
{
    int rc = policy_row_read(rq->server, tx, rq->who.org_id, by, ret, err);

    if (rc == -ENOENT)
        return api_problem(rq, 404, "not-found", "there is no policy %s", by);
    return rc;
}

int policy_row_insert(struct server *server, struct store_tx *tx, const struct policy_row *p,
                      struct err *err)
{
    uint8_t mac[KEYS_MAC_SIZE];
    int rc = policy_mac(server, p, mac, NULL, 0, err);

    if (rc < 0)
        return rc;
    rc = store_exec(tx,
                    "INSERT INTO policies (id, org_id, name, version, created_ms, changed_ms, mac) "
                    "VALUES ($1, $2, $3, $4, $5, $6, $7)",
                    STORE_ARGS(store_text(p->id), store_text(p->org_id), store_text(p->name),
                               store_int(p->version), store_int(p->created_ms),
                               store_int(p->changed_ms), store_blob(mac, sizeof mac)),
                    err);
    return rc < 0 ? rc : 0;
}

int policy_row_update(struct server *server, struct store_tx *tx, struct policy_row *p,
                      struct err *err)
{
    uint8_t mac[KEYS_MAC_SIZE];

    p->changed_ms = server_now_ms(server);
    int rc = policy_mac(server, p, mac, NULL, 0, err);

    if (rc < 0)
        return rc;
    rc = store_exec(tx,
                    "UPDATE policies SET version = $1, changed_ms = $2, mac = $3 "
                    "WHERE org_id = $4 AND id = $5",
                    STORE_ARGS(store_int(p->version), store_int(p->changed_ms),
                               store_blob(mac, sizeof mac), store_text(p->org_id),
                               store_text(p->id)),
                    err);
    return rc < 0 ? rc : rc == 0 ? -ENOENT : 0;
}

static int version_mac(struct server *server, const struct policy_row *p,
                       const struct policy_version *v, uint8_t ret[KEYS_MAC_SIZE],
                       const void *verify, size_t verify_size, struct err *err)
{
    char id[64];
    struct store_args fields =
        STORE_ARGS(store_text(p->id), store_text(p->org_id), store_int(v->version),
                   store_text(v->text), store_text(v->created_by), store_int(v->created_ms));

    snprintf(id, sizeof id, "%s/%lld", p->id, (long long)v->version);
    if (verify)
        return row_mac_verify(server, p->org_id, "policy_versions", id, fields, verify, verify_size,
                              err);
    return row_mac(server, p->org_id, "policy_versions", id, fields, ret, err);
}

int policy_version_insert(struct server *server, struct store_tx *tx, const struct policy_row *p,
                          const struct policy_version *v, struct err *err)
{
    uint8_t mac[KEYS_MAC_SIZE];
    int rc = version_mac(server, p, v, mac, NULL, 0, err);

    if (rc < 0)
        return rc;
    rc = store_exec(tx,
                    "INSERT INTO policy_versions (policy_id, org_id, version, text, created_by, "
                    "created_ms, mac) VALUES ($1, $2, $3, $4, $5, $6, $7)",
                    STORE_ARGS(store_text(p->id), store_text(p->org_id), store_int(v->version),
                               store_text(v->text), store_text(v->created_by),
                               store_int(v->created_ms), store_blob(mac, sizeof mac)),
                    err);
    return rc < 0 ? rc : 0;
}

int policy_version_read(struct server *server, struct store_tx *tx, const struct policy_row *p,
                        int64_t version, struct policy_version *ret, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    CLEANUP(policy_version_done)
    struct policy_version v = { .version = version };
    size_t size;
    int rc = store_query(tx,
                         "SELECT text, created_by, created_ms, mac FROM policy_versions "
                         "WHERE org_id = $1 AND policy_id = $2 AND version = $3",
                         STORE_ARGS(store_text(p->org_id), store_text(p->id), store_int(version)),
                         &rows, err);

    if (rc >= 0)
        rc = store_rows_next(rows, err);
    if (rc <= 0)
        return rc < 0 ? rc
                      : err_set(err, -ENOENT, "policy %s has no version %lld", p->name,
                                (long long)version);
    v.text = strdup(store_column_text(rows, 0) ? store_column_text(rows, 0) : "");
    if (!v.text)
        return -ENOMEM;
    row_copy(v.created_by, sizeof v.created_by, store_column_text(rows, 1));
    v.created_ms = store_column_int(rows, 2);
    const void *mac = store_column_blob(rows, 3, &size);

    rc = version_mac(server, p, &v, NULL, mac ? mac : "", size, err);
    if (rc < 0)
        return rc;
    *ret = v;
    v.text = NULL;
    return 0;
}

int policy_newest(struct store_tx *tx, const struct policy_row *p, int64_t *ret, struct err *err)
{
    return store_get_int(tx,
                         "SELECT COALESCE(MAX(version), 0) FROM policy_versions WHERE org_id = $1 "
                         "AND policy_id = $2",
                         STORE_ARGS(store_text(p->org_id), store_text(p->id)), ret, err);
}

static int read_root(const char *path, char **ret, struct err *err)
{
    FILE *file = fopen(path, "re");
    char *text = calloc(1, ROOT_SIZE_MAX + 1);
    int rc = 0;

    if (!file || !text)
        rc = err_set_errno(err, file ? -ENOMEM : -errno, "emulator root %s", path);
    else if (fread(text, 1, ROOT_SIZE_MAX, file) == 0)
        rc = err_set(err, -EINVAL, "emulator root %s is empty", path);
    if (file)
        fclose(file);
    if (rc < 0) {
        free(text);
        return rc;
    }
    *ret = text;
    return 0;
}

int policy_builtin_text(struct server *server, char **ret, struct err *err)
{
    const char *path = server->config ? server->config->emulator_root : NULL;
    json_t *j =
        json_pack("{s:i,s:s,s:[s,s]}", "version", 1, "name", "built-in", "roots", "intel", "amd");
    int rc = j ? 0 : -ENOMEM;

    if (rc == 0 && path) {
        char *root = NULL;

        rc = read_root(path, &root, err);
        if (rc == 0)
            json_array_append_new(
                json_object_get(j, "roots"),
                json_pack("{s:s,s:s}", "name", "emulator (protects nothing)", "certificate", root));
        free(root);
    }
    if (rc == 0) {
        *ret = row_canonical(j);
        rc = *ret ? 0 : -ENOMEM;
    }
    json_decref(j);
    return rc;
}

int policy_parse(struct server *server, const char *id, int64_t version, const char *text,
                 struct policy_ref *ret, struct err *err)
{
    struct policy_ref ref = { .version = version };
    struct verifier_policy *policy;
    uint8_t digest[32];

    sha256_digest(text, strlen(text), digest);
    row_copy(ref.id, sizeof ref.id, id);
    ref.cache_entry = model_policy_find(server->model, id, version, digest, &ref.policy);
    if (!ref.cache_entry) {
        int rc = verifier_policy_new(text, strlen(text), &policy, err);

        if (rc < 0)
            return rc;
        ref.policy = policy;
        ref.cache_entry = model_policy_add(server->model, id, version, digest, policy);
        if (!ref.cache_entry)
            return -ENOMEM;
    }
    *ret = ref;
    return 0;
}

static int get_named(struct server *server, struct store_tx *tx, const char *org_id,
                     const char *policy_id, struct policy_ref *ret, struct err *err)
{
    CLEANUP(policy_version_done)
    struct policy_version version = { 0 };
    struct policy_row row;
    int rc = policy_row_read(server, tx, org_id, policy_id, &row, err);

    if (rc >= 0 && row.version == 0)
        return err_set(err, -EBADMSG, "no version of policy %s is in force", row.name);
    if (rc >= 0)
        rc = policy_version_read(server, tx, &row, row.version, &version, err);
    if (rc == -ENOENT) /* app and organisation name it under their macs: somebody took it away */
        return err_set(err, -EBADMSG, "policy %s is missing in the store", policy_id);
    if (rc < 0)
        return rc;
    rc = policy_parse(server, row.id, row.version, version.text, ret, err);
    return rc == -EINVAL ? -EBADMSG : rc;
}

/* The app's own, else the organisation's default, else "": the built-in one. */
static int id_in_force(struct server *server, struct store_tx *tx, const char *org_id,
                       const char *app_id, char ret[32], struct err *err)
{
    int rc = 0;

    ret[0] = 0;
    if (app_id) {
        CLEANUP(app_row_done)
        struct app_row app = { 0 };

        rc = app_read(server, tx, app_id, &app, err);
        if (rc >= 0 && strcmp(app.org_id, org_id) != 0)
            rc = err_set(err, -ENOENT, "no app %s", app_id);
        if (rc >= 0)
            row_copy(ret, 32, app.policy_id);
    }
    if (rc >= 0 && !ret[0]) {
        struct org_row org;

        rc = org_read(server, tx, org_id, &org, err);
        if (rc >= 0)
            row_copy(ret, 32, org.default_policy_id);
    }
    return rc;
}

int policy_get(struct server *server, struct store_tx *tx, const char *org_id, const char *app_id,
               struct policy_ref *ret, struct err *err)
{
    char policy_id[32], *text = NULL;
    int rc = id_in_force(server, tx, org_id, app_id, policy_id, err);

    if (rc < 0)
        return rc;
    if (policy_id[0])
        return get_named(server, tx, org_id, policy_id, ret, err);
    rc = policy_builtin_text(server, &text, err);
    if (rc == 0)
        rc = policy_parse(server, "", 0, text, ret, err);
    free(text);
    return rc;
}

int policy_is_in_force(struct server *server, struct store_tx *tx, const char *org_id,
                       const char *app_id, const struct policy_ref *ref, struct err *err)
{
    struct policy_row row = { .version = 0 };
    char policy_id[32];
    int rc = id_in_force(server, tx, org_id, app_id, policy_id, err);

    if (rc < 0 || strcmp(policy_id, ref->id) != 0)
        return rc;
    if (policy_id[0])
        rc = policy_row_read(server, tx, org_id, policy_id, &row, err);
    if (rc == -ENOENT)
        return err_set(err, -EBADMSG, "policy %s is missing in the store", policy_id);
    return rc < 0 ? rc : row.version == ref->version;
}

void policy_unref(struct policy_ref *ref)
{
    model_policy_unref(ref->cache_entry);
    ref->cache_entry = NULL;
    ref->policy = NULL;
}
