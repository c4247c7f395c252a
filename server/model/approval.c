/* SPDX-License-Identifier: Apache-2.0 */
/* Approvals: statements, signatures, counting them against the roster. Relying party. docs/approvals.md says against whom. */
#include "server/model/approval.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "lib/digest.h"
#include "server/crypto/keys.h"
#include "server/model/model_cache.h"
#include "server/store/id.h"

#define APPROVAL_COUNT_MAX 1024 /* rows of one subject that are looked at */

char *approval_base64(const uint8_t *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char *text = malloc(size / 3 * 4 + 5), *p = text;

    if (!text)
        return NULL;
    for (size_t i = 0; i < size; i += 3) {
        size_t n = size - i < 3 ? size - i : 3;
        uint32_t v = (uint32_t)data[i] << 16 | (n > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                     (n > 2 ? data[i + 2] : 0);

        for (size_t k = 0; k <= n; k++)
            *p++ = digits[v >> (18 - 6 * k) & 63];
    }
    *p = '\0';
    return text;
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int approval_unbase64(const char *text, uint8_t *ret, size_t size)
{
    size_t len = strlen(text), out = 0;
    uint32_t bits = 0;
    unsigned have = 0;

    if (len != (size * 4 + 2) / 3)
        return -EINVAL;
    for (size_t i = 0; i < len; i++) {
        int digit = base64_digit(text[i]);

        if (digit < 0)
            return -EINVAL;
        bits = bits << 6 | (uint32_t)digit;
        have += 6;
        if (have >= 8) {
            have -= 8;
            ret[out++] = (uint8_t)(bits >> have);
        }
    }
    /* Bits left over are zero in the one right encoding. */
    return out == size && (bits & ((1u << have) - 1)) == 0 ? 0 : -EINVAL;
}

int approval_signature_verify(const uint8_t public_key[APPROVAL_KEY_SIZE], const void *data,
                              size_t size, const uint8_t signature[APPROVAL_SIGNATURE_SIZE])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, 32);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool is_good = key && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
                   EVP_DigestVerify(ctx, signature, APPROVAL_SIGNATURE_SIZE, data, size) == 1;

    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return is_good ? 0 : -EBADMSG;
}

static void set_hex(json_t *j, const char *member, const uint8_t *bytes, size_t size)
{
    char text[ROW_HEX_SIZE];

    json_object_set_new(j, member, json_string(row_hex(bytes, size, text)));
}

int approval_statement_build(const struct org_row *org, const struct app_row *app,
                             const struct build_row *b, char **ret)
{
    json_t *j =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:b}", "type", "cloche-approval-1", "action",
                  "allow", "org", org->id, "org_name", org->name, "app", app->id, "app_name",
                  app->name, "build", b->id, "version", b->version, "debug", b->is_debug);

    if (!j)
        return -ENOMEM;
    set_hex(j, "app_digest", b->app_digest, sizeof b->app_digest);
    if (b->has_sgx) {
        set_hex(j, "mrenclave", b->mrenclave, sizeof b->mrenclave);
        set_hex(j, "mrsigner", b->mrsigner, sizeof b->mrsigner);
        json_object_set_new(j, "isv_prod_id", json_integer(b->isv_prod_id));
        json_object_set_new(j, "isv_svn", json_integer(b->isv_svn));
    }
    if (b->has_snp)
        set_hex(j, "snp_measurement", b->snp_measurement, sizeof b->snp_measurement);
    if (b->has_tdx)
        set_hex(j, "tdx_mrtd", b->tdx_mrtd, sizeof b->tdx_mrtd);
    *ret = row_canonical(j);
    json_decref(j);
    return *ret ? 0 : -ENOMEM;
}

/* An approval as it is in the store. */
struct approval {
    const char *id, *key_id, *statement;
    const uint8_t *signature, *mac;
    size_t signature_size, mac_size;
    int64_t created_ms;
};

static struct store_args approval_fields(const struct approval *a, const char *subject_id,
                                         struct store_value values[6])
{
    values[0] = store_text(a->id);
    values[1] = store_text(subject_id);
    values[2] = store_text(a->key_id);
    values[3] = store_text(a->statement);
    values[4] = store_blob(a->signature, a->signature_size);
    values[5] = store_int(a->created_ms);
    return (struct store_args){ values, 6 };
}

/* The same content is verified once; the store cannot make it look verified. */
static int verify_signature(struct model *model, const struct roster_key *key,
                            const struct approval *a)
{
    struct sha256 sha;
    uint8_t digest[32];

    if (a->signature_size != APPROVAL_SIGNATURE_SIZE)
        return -EBADMSG;
    sha256_init(&sha);
    sha256_update(&sha, key->public_key, sizeof key->public_key);
    sha256_update(&sha, a->signature, a->signature_size);
    sha256_update(&sha, a->statement, strlen(a->statement));
    sha256_final(&sha, digest);
    if (model_signature_is_known(model, digest))
        return 0;
    int rc = approval_signature_verify(key->public_key, a->statement, strlen(a->statement),
                                       a->signature);

    if (rc == 0)
        model_signature_add(model, digest);
    return rc;
}

/* returns: NULL it counts, or why not. */
static const char *judge(struct server *server, const struct roster *roster, const char *subject_id,
                         const char *statement, const struct approval *a)
{
    const struct roster_key *key = a->key_id ? roster_find(roster, a->key_id) : NULL;
    struct store_value values[6];

    if (!key || strcmp(key->state, "proposed") == 0)
        return "its key is not in the roster";
    if (strcmp(key->state, "revoked") == 0)
        return "its key was revoked";
    if (!a->statement || strcmp(a->statement, statement) != 0)
        return "another statement was signed";
    if (verify_signature(server->model, key, a) < 0)
        return "the signature is wrong";
    /* Who holds a retired key could still sign: the row must be from when the server took it. */
    if (row_mac_verify(server, roster->org.id, "approvals", a->id,
                       approval_fields(a, subject_id, values), a->mac ? a->mac : (const void *)"",
                       a->mac_size, NULL) < 0)
        return "the row was not written by this server";
    return NULL;
}

static bool is_among(const char (*users)[32], unsigned count, const char *user)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(users[i], user) == 0)
            return true;
    return false;
}

static void read_columns(const struct store_rows *rows, struct approval *a)
{
    a->id = store_column_text(rows, 0) ? store_column_text(rows, 0) : "";
    a->key_id = store_column_text(rows, 1);
    a->statement = store_column_text(rows, 2);
    a->signature = store_column_blob(rows, 3, &a->signature_size);
    a->created_ms = store_column_int(rows, 4);
    a->mac = store_column_blob(rows, 5, &a->mac_size);
}

int approval_count(struct server *server, struct store_tx *tx, const struct roster *roster,
                   const char *subject_id, const char *statement, unsigned *ret, json_t *list,
                   struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    char users[ROSTER_KEY_COUNT_MAX][32];
    unsigned count = 0;
    int rc = store_query(tx,
                         "SELECT id, key_id, statement, signature, created_ms, mac FROM approvals "
                         "WHERE org_id = $1 AND subject_id = $2 ORDER BY id LIMIT $3",
                         STORE_ARGS(store_text(roster->org.id), store_text(subject_id),
                                    store_int(APPROVAL_COUNT_MAX)),
                         &rows, err);

    while (rc >= 0 && (rc = store_rows_next(rows, err)) > 0) {
        struct approval a;

        read_columns(rows, &a);
        const char *reason = judge(server, roster, subject_id, statement, &a);
        const struct roster_key *key = a.key_id ? roster_find(roster, a.key_id) : NULL;

        if (!reason && !is_among(users, count, key->user_id) && count < ROSTER_KEY_COUNT_MAX)
            row_copy(users[count++], sizeof users[0], key->user_id);
        if (reason)
            server_log(server, "warning", "an approval does not count", "approval", a.id, "subject",
                       subject_id, "reason", reason, NULL);
        if (list)
            json_array_append_new(list, json_pack("{s:s?,s:s?,s:o,s:b,s:s?}", "key", a.key_id,
                                                  "user", key ? key->user_id : NULL, "created",
                                                  api_time(a.created_ms), "counts", !reason,
                                                  "reason", reason));
    }
    if (rc < 0)
        return rc;
    *ret = count;
    return 0;
}

bool approval_is_enough(const struct roster *roster, unsigned count)
{
    return count > 0 && count >= roster->org.approvals_needed;
}

int approval_check_build(struct server *server, struct store_tx *tx, const struct app_row *app,
                         const struct build_row *build, struct err *err)
{
    CLEANUP(roster_done)
    struct roster roster = { 0 };
    char *statement = NULL;
    unsigned count;
    int rc = roster_read(server, tx, build->org_id, &roster, err);

    if (rc >= 0)
        rc = approval_statement_build(&roster.org, app, build, &statement);
    if (rc >= 0)
        rc = approval_count(server, tx, &roster, build->id, statement, &count, NULL, err);
    free(statement);
    if (rc < 0)
        return rc;
    if (!approval_is_enough(&roster, count))
        return err_set(err, -EACCES,
                       "build %s has %u valid approvals, and the organisation asks for %lld",
                       build->version, count, (long long)roster.org.approvals_needed);
    return 0;
}

static int insert(struct api_request *rq, struct store_tx *tx, const char *subject_id,
                  const char *key_id, const char *statement,
                  const uint8_t signature[APPROVAL_SIGNATURE_SIZE], struct err *err)
{
    char id[ID_SIZE];
    uint8_t mac[KEYS_MAC_SIZE];
    struct store_value values[6];
    struct approval a = { .id = id,
                          .key_id = key_id,
                          .statement = statement,
                          .signature = signature,
                          .signature_size = APPROVAL_SIGNATURE_SIZE,
                          .created_ms = server_now_ms(rq->server) };

    id_make("apr", id);
    int rc = row_mac(rq->server, rq->who.org_id, "approvals", id,
                     approval_fields(&a, subject_id, values), mac, err);

    if (rc < 0)
        return rc;
    /* Given again, or where somebody changed the row: the new one holds. */
    rc = store_exec(tx,
                    "DELETE FROM approvals WHERE org_id = $1 AND subject_id = $2 AND key_id = $3 "
                    "AND statement = $4",
                    STORE_ARGS(store_text(rq->who.org_id), store_text(subject_id),
                               store_text(key_id), store_text(statement)),
                    err);
    if (rc >= 0)
        rc =
            store_exec(tx,
                       "INSERT INTO approvals (id, org_id, subject_id, key_id, statement, "
                       "signature, created_ms, mac) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                       STORE_ARGS(store_text(id), store_text(rq->who.org_id),
                                  store_text(subject_id), store_text(key_id), store_text(statement),
                                  store_blob(signature, APPROVAL_SIGNATURE_SIZE),
                                  store_int(a.created_ms), store_blob(mac, sizeof mac)),
                       err);
    return rc < 0 ? rc : 0;
}

int approval_add(struct api_request *rq, struct store_tx *tx, const struct roster *roster,
                 const char *subject_id, const char *statement, const struct roster_key **ret_key,
                 struct err *err)
{
    const char *key_id = json_string_value(json_object_get(rq->body, "key"));
    const char *text = json_string_value(json_object_get(rq->body, "signature"));
    uint8_t signature[APPROVAL_SIGNATURE_SIZE];
    const struct roster_key *key = key_id ? roster_find(roster, key_id) : NULL;

    if (!key || strcmp(key->state, "active") != 0)
        return api_problem(rq, 403, "key-not-in-roster",
                           "the key %s is not in the organisation's roster%s%s",
                           key_id ? key_id : "", key ? ": it is " : "", key ? key->state : "");
    if (!text || approval_unbase64(text, signature, sizeof signature) < 0)
        return api_problem(rq, 400, "invalid-member", "signature is not 64 bytes in base64url");
    if (approval_signature_verify(key->public_key, statement, strlen(statement), signature) < 0) {
        int rc = api_problem(rq, 403, "signature-wrong",
                             "this is not the signature of key %s over the statement", key->name);

        api_problem_set(rq, "step", json_string("approval-signature"));
        api_problem_set(rq, "expected", json_string(statement));
        api_problem_set(rq, "fix",
                        json_string("read the statement again and sign exactly its bytes"));
        return rc;
    }
    int rc = insert(rq, tx, subject_id, key->id, statement, signature, err);

    if (rc < 0)
        return rc;
    *ret_key = key;
    return 0;
}

int approval_show(struct server *server, struct store_tx *tx, const struct roster *roster,
                  const char *subject_id, const char *statement, unsigned *ret_given, json_t *j,
                  struct err *err)
{
    json_t *list = json_array();
    unsigned count;
    int rc = approval_count(server, tx, roster, subject_id, statement, &count, list, err);

    json_object_set_new(j, "approvals", list);
    if (rc < 0)
        return rc;
    json_object_set_new(j, "statement", json_string(statement));
    json_object_set_new(j, "needed", json_integer(roster->org.approvals_needed));
    json_object_set_new(j, "given", json_integer(count));
    *ret_given = count;
    return 0;
}
