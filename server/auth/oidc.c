/* SPDX-License-Identifier: Apache-2.0 */
/* Bearer tokens of OpenID Connect issuers: the file of issuers, their keys, claims, and the users that tokens stand for. Relying party. */
#include "server/auth/oidc.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/digest.h"
#include "server/audit/audit.h"
#include "server/auth/jwks.h"
#include "server/auth/user.h"
#include "server/config.h"
#include "server/model/row.h"

#define ISSUERS_MAX 32u
#define SKEW_S 60
#define KEYS_FRESH_S 3600
#define FETCH_EVERY_S 30

struct issuer {
    json_t *settings; /* the file's object */
    const char *name, *audience, *org, *keys_url, *roles_claim, *name_claim;
    json_t *keys; /* NULL: not had yet */
    int64_t fetched_s, tried_s;
    bool is_fetching;
};
struct oidc {
    struct server *server;
    pthread_mutex_t lock; /* guards all below */
    struct issuer issuers[ISSUERS_MAX];
    unsigned count;
};

/* ---- the file ---- */

static void issuers_free(struct issuer *issuers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        json_decref(issuers[i].settings);
        json_decref(issuers[i].keys);
    }
}

static int issuer_read(json_t *settings, struct issuer *ret, struct err *err)
{
    struct issuer issuer = { .name_claim = "preferred_username", .roles_claim = "groups" };
    const char *keys_file = NULL;
    json_t *roles = NULL, *names;
    json_error_t error;
    const char *value;
    unsigned bits;
    int rc = 0;

    if (json_unpack_ex(settings, &error, JSON_STRICT, "{s:s, s:s, s:s, s?s, s?s, s?s, s?s, s:o}",
                       "issuer", &issuer.name, "audience", &issuer.audience, "org", &issuer.org,
                       "jwks_file", &keys_file, "jwks_url", &issuer.keys_url, "roles_claim",
                       &issuer.roles_claim, "name_claim", &issuer.name_claim, "roles", &roles) < 0)
        return err_set(err, -EINVAL, "%s", error.text);
    if (!keys_file == !issuer.keys_url)
        return err_set(err, -EINVAL, "%s: one of jwks_file and jwks_url is expected", issuer.name);
    if (issuer.keys_url && strncmp(issuer.keys_url, "https://", 8) != 0 &&
        strncmp(issuer.keys_url, "http://127.0.0.1:", 17) != 0)
        return err_set(err, -EINVAL, "%s: jwks_url does not begin with https://", issuer.name);
    json_object_foreach(
        roles, value, names) if (!json_is_array(names) ||
                                 roles_parse(names, &bits) <
                                     0) return err_set(err, -EINVAL,
                                                       "%s: roles: %s: names of roles are expected",
                                                       issuer.name, value);
    if (keys_file)
        rc = jwks_read(keys_file, &issuer.keys, err);
    if (rc < 0)
        return rc;
    issuer.settings = json_incref(settings);
    *ret = issuer;
    return 0;
}

static int file_read(const char *path, struct issuer *ret, unsigned *ret_count, struct err *err)
{
    json_error_t error;
    json_t *file = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    json_t *list = json_object_get(file, "issuers"), *settings;
    unsigned count = 0;
    size_t i;
    int rc = 0;

    if (!file)
        return err_set(err, -EINVAL, "%s:%d: %s", path, error.line, error.text);
    if (!json_is_array(list) || json_array_size(list) > ISSUERS_MAX)
        rc = err_set(err, -EINVAL, "%s: issuers: an array of at most %u is expected", path,
                     ISSUERS_MAX);
    json_array_foreach(list, i, settings)
    {
        if (rc == 0)
            rc = issuer_read(settings, &ret[count], err);
        count += rc == 0;
    }
    json_decref(file);
    if (rc < 0) {
        issuers_free(ret, count);
        return err_wrap(err, rc, "OIDC issuers");
    }
    *ret_count = count;
    return 0;
}

int oidc_reload(struct oidc *oidc, struct err *err)
{
    const char *path = oidc->server->config->oidc_issuers_file;
    struct issuer issuers[ISSUERS_MAX] = { { NULL } };
    unsigned count = 0;
    int rc = path ? file_read(path, issuers, &count, err) : 0;

    if (rc < 0)
        return rc;
    pthread_mutex_lock(&oidc->lock);
    issuers_free(oidc->issuers, oidc->count);
    memcpy(oidc->issuers, issuers, sizeof issuers);
    oidc->count = count;
    pthread_mutex_unlock(&oidc->lock);
    return 0;
}

int oidc_open(struct server *server, struct oidc **ret, struct err *err)
{
    struct oidc *oidc = calloc(1, sizeof *oidc);
    int rc;

    if (!oidc)
        return -ENOMEM;
    oidc->server = server;
    pthread_mutex_init(&oidc->lock, NULL);
    rc = oidc_reload(oidc, err);
    if (rc < 0) {
        oidc_close(oidc);
        return rc;
    }
    *ret = oidc;
    return 0;
}

void oidc_close(struct oidc *oidc)
{
    if (!oidc)
        return;
    issuers_free(oidc->issuers, oidc->count);
    pthread_mutex_destroy(&oidc->lock);
    free(oidc);
}

/* ---- keys ---- */

/* With the lock; *ret for json_decref, settings too. */
static struct issuer *issuer_find(struct oidc *oidc, const char *name)
{
    for (unsigned i = 0; name && i < oidc->count; i++)
        if (strcmp(oidc->issuers[i].name, name) == 0)
            return &oidc->issuers[i];
    return NULL;
}

/* Fetches the keys anew, without the lock; one thread at a time for an issuer, and not more often than FETCH_EVERY_S. returns: 0; -EAGAIN. */
static int keys_renew(struct oidc *oidc, const char *name, int64_t now_s, struct err *err)
{
    char url[1024] = "";
    json_t *keys = NULL;
    struct issuer *issuer;
    int rc = -EAGAIN;

    pthread_mutex_lock(&oidc->lock);
    issuer = issuer_find(oidc, name);
    if (issuer && issuer->keys_url && !issuer->is_fetching &&
        now_s - issuer->tried_s >= FETCH_EVERY_S && strlen(issuer->keys_url) < sizeof url) {
        issuer->is_fetching = true;
        issuer->tried_s = now_s;
        memcpy(url, issuer->keys_url, strlen(issuer->keys_url) + 1);
        rc = 0;
    }
    pthread_mutex_unlock(&oidc->lock);
    if (rc < 0)
        return rc;
    rc = jwks_fetch(url, &keys, err);
    if (rc < 0)
        server_log(oidc->server, "warning", "an issuer's keys cannot be had", "error", err->text,
                   NULL);
    pthread_mutex_lock(&oidc->lock);
    issuer = issuer_find(oidc, name);
    if (issuer) {
        issuer->is_fetching = false;
        if (rc == 0) {
            json_decref(issuer->keys);
            issuer->keys = TAKE_PTR(keys);
            issuer->fetched_s = now_s;
        }
    }
    pthread_mutex_unlock(&oidc->lock);
    json_decref(keys);
    return rc < 0 ? -EAGAIN : 0;
}

/* What a token is judged by: copies, since a reload may come at any time. */
struct judge {
    json_t *settings, *keys; /* keys NULL: none yet */
    bool are_old;
};

static int judge_get(struct oidc *oidc, const char *name, int64_t now_s, struct judge *ret,
                     struct err *err)
{
    struct issuer *issuer;
    int rc = 0;

    pthread_mutex_lock(&oidc->lock);
    issuer = issuer_find(oidc, name);
    if (issuer) {
        ret->settings = json_deep_copy(issuer->settings);
        ret->keys = issuer->keys ? json_deep_copy(issuer->keys) : NULL;
        ret->are_old = issuer->keys_url && now_s - issuer->fetched_s > KEYS_FRESH_S;
    } else {
        rc = err_set(err, -EACCES, "the token's issuer is not known here");
    }
    pthread_mutex_unlock(&oidc->lock);
    return rc;
}

static void judge_done(struct judge *judge)
{
    json_decref(judge->settings);
    json_decref(judge->keys);
    *judge = (struct judge){ NULL };
}

static int signature_check(struct oidc *oidc, const char *token, const json_t *header,
                           const char *name, int64_t now_s, struct judge *ret, struct err *err)
{
    int rc = judge_get(oidc, name, now_s, ret, err);

    if (rc == 0)
        rc = ret->keys && !ret->are_old ? jwt_verify(token, header, ret->keys, err) : -ENOENT;
    if (rc != -ENOENT)
        return rc;
    rc = keys_renew(oidc, name, now_s, err); /* a key that came new, or keys that are old */
    if (rc < 0 && !ret->keys)
        return err_set(err, -EAGAIN, "the issuer's keys cannot be had");
    judge_done(ret);
    rc = judge_get(oidc, name, now_s, ret, err);
    if (rc == 0)
        rc = ret->keys ? jwt_verify(token, header, ret->keys, err) : -EAGAIN;
    return rc == -ENOENT ? -EACCES : rc;
}

/* ---- claims ---- */

static bool has_text(const json_t *value, const char *text)
{
    size_t i;
    json_t *item;

    if (json_is_string(value))
        return strcmp(json_string_value(value), text) == 0;
    json_array_foreach((json_t *)value, i,
                       item) if (json_is_string(item) &&
                                 strcmp(json_string_value(item), text) == 0) return true;
    return false;
}

static int claims_check(const json_t *settings, const json_t *claims, int64_t now_s,
                        struct err *err)
{
    const json_t *exp = json_object_get(claims, "exp"), *nbf = json_object_get(claims, "nbf");
    const char *sub = json_string_value(json_object_get(claims, "sub"));
    const char *audience = json_string_value(json_object_get(settings, "audience"));

    if (!has_text(json_object_get(claims, "aud"), audience))
        return err_set(err, -EACCES, "the token is for another audience");
    if (!json_is_integer(exp) || json_integer_value(exp) <= now_s - SKEW_S)
        return err_set(err, -EACCES, "the token has expired");
    if (nbf && (!json_is_integer(nbf) || json_integer_value(nbf) > now_s + SKEW_S))
        return err_set(err, -EACCES, "the token is not valid yet");
    if (!sub || !sub[0] || strlen(sub) > 250)
        return err_set(err, -EACCES, "the token has no subject");
    return 0;
}

static unsigned claims_roles(const json_t *settings, const json_t *claims)
{
    const char *claim = json_string_value(json_object_get(settings, "roles_claim"));
    const json_t *given = json_object_get(claims, claim ? claim : "groups");
    unsigned roles = 0, some;
    const char *value;
    json_t *names;

    json_object_foreach(json_object_get(settings, "roles"), value,
                        names) if (has_text(given, value) && roles_parse(names, &some) == 0)
        roles |= some;
    return roles;
}

/* ---- users ---- */

struct entry {
    struct server *server;
    const char *org, *issuer, *subject, *wanted_name;
    unsigned roles;
    struct user_row user;
    char org_id[ID_SIZE];
    bool is_there;
};

/* A name as rows have them, out of what the issuer calls the user; made unique by the subject. */
static void name_make(const struct entry *e, char ret[USER_NAME_LEN_MAX + 1])
{
    const char *from = e->wanted_name ? e->wanted_name : e->subject;
    char hash_text[ROW_HEX_SIZE];
    uint8_t hash[SHA256_SIZE];
    unsigned len = 0;

    for (; *from && *from != '@' && len < 40; from++) {
        char c = *from >= 'A' && *from <= 'Z' ? (char)(*from + 32) : *from;
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

        if (is_plain || (len > 0 && ret[len - 1] != '-'))
            ret[len++] = is_plain ? c : '-';
    }
    if (len > 0 && ret[len - 1] == '-')
        len--;
    sha256_digest(e->subject, strlen(e->subject), hash);
    snprintf(ret + len, USER_NAME_LEN_MAX + 1 - len, "%s%s", len ? "-" : "u",
             row_hex(hash, 6, hash_text));
}

static int entry_read(struct store_tx *tx, void *arg, struct err *err)
{
    struct entry *e = arg;
    struct store_rows *rows = NULL;
    int rc = store_query(tx, "SELECT id FROM orgs WHERE name = $1", STORE_ARGS(store_text(e->org)),
                         &rows, err);

    if (rc == 0)
        rc = store_rows_next(rows, err);
    if (rc == 1)
        row_copy(e->org_id, sizeof e->org_id, store_column_text(rows, 0));
    store_rows_free(rows);
    if (rc <= 0)
        return rc < 0 ? rc : err_set(err, -EACCES, "the issuer's organisation does not exist");
    rc = user_find_oidc(e->server, tx, e->issuer, e->subject, &e->user, err);
    e->is_there = rc == 0;
    return rc == -ENOENT ? 0 : rc;
}

static int entry_write(struct store_tx *tx, void *arg, struct err *err)
{
    struct entry *e = arg;
    struct audit_entry audit = { .actor = "server", .decision = "done" };
    int rc = entry_read(tx, e, err);

    if (rc < 0 || (e->is_there && e->user.roles == e->roles))
        return rc;
    audit.action = e->is_there ? "user.change" : "user.create";
    if (e->is_there) {
        e->user.roles = e->roles;
        rc = user_write(e->server, tx, &e->user, err);
    } else {
        e->user = (struct user_row){ .roles = e->roles };
        row_copy(e->user.org_id, sizeof e->user.org_id, e->org_id);
        row_copy(e->user.oidc_issuer, sizeof e->user.oidc_issuer, e->issuer);
        row_copy(e->user.oidc_subject, sizeof e->user.oidc_subject, e->subject);
        name_make(e, e->user.name);
        rc = user_add(e->server, tx, &e->user, err);
    }
    audit.org_id = e->org_id;
    audit.object = e->user.id;
    audit.detail = json_pack("{s:s, s:o}", "issuer", e->issuer, "roles", roles_json(e->roles));
    if (rc == 0)
        rc = audit_append(tx, &audit, err);
    json_decref(audit.detail);
    return rc;
}

static int user_get(struct entry *e, struct err *err)
{
    int rc = store_read(e->server->store, entry_read, e, err);

    if (rc == 0 && (!e->is_there || e->user.roles != e->roles))
        rc = store_write(e->server->store, entry_write, e, err);
    if (rc == 0 && strcmp(e->user.org_id, e->org_id) != 0)
        rc = err_set(err, -EACCES, "the user is of another organisation");
    if (rc == 0 && e->user.disabled_ms)
        rc = err_set(err, -EACCES, "the user is disabled");
    return rc == -EBADMSG ? err_set(err, -EACCES, "the user is not known") : rc;
}

/* ---- tokens ---- */

bool oidc_is_token(const char *token)
{
    const char *dot = strchr(token, '.');

    return strncmp(token, "eyJ", 3) == 0 && dot && strchr(dot + 1, '.');
}

static int claims_enter(struct oidc *oidc, const json_t *settings, const json_t *claims,
                        struct auth_who *ret, struct err *err)
{
    const char *name_claim = json_string_value(json_object_get(settings, "name_claim"));
    struct entry e = {
        .server = oidc->server,
        .org = json_string_value(json_object_get(settings, "org")),
        .issuer = json_string_value(json_object_get(settings, "issuer")),
        .subject = json_string_value(json_object_get(claims, "sub")),
        .wanted_name = json_string_value(
            json_object_get(claims, name_claim ? name_claim : "preferred_username")),
        .roles = claims_roles(settings, claims),
    };
    int rc;

    if (e.roles == 0)
        return err_set(err, -EACCES, "the token's claims give no role here");
    rc = user_get(&e, err);
    if (rc < 0)
        return rc;
    *ret = (struct auth_who){ .kind = API_USER,
                              .roles = e.roles,
                              .expires_ms =
                                  json_integer_value(json_object_get(claims, "exp")) * 1000 };
    row_copy(ret->id, sizeof ret->id, e.user.id);
    row_copy(ret->user_id, sizeof ret->user_id, e.user.id);
    row_copy(ret->org_id, sizeof ret->org_id, e.user.org_id);
    return 0;
}

int oidc_bearer(struct oidc *oidc, const char *token, struct auth_who *ret, struct err *err)
{
    json_t *header = NULL, *claims = NULL;
    struct judge judge = { NULL };
    int64_t now_s = server_now_s(oidc->server);
    int rc = jwt_parse(token, &header, &claims, err);

    if (rc == 0)
        rc = signature_check(oidc, token, header, json_string_value(json_object_get(claims, "iss")),
                             now_s, &judge, err);
    if (rc == 0)
        rc = claims_check(judge.settings, claims, now_s, err);
    if (rc == 0)
        rc = claims_enter(oidc, judge.settings, claims, ret, err);
    judge_done(&judge);
    json_decref(header);
    json_decref(claims);
    return rc == -EINVAL ? -EACCES : rc;
}
