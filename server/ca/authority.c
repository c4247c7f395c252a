/* SPDX-License-Identifier: Apache-2.0 */
/* Authorities as they are kept. Relying party. */
#include "server/ca/authority.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/exchange.h"
#include "server/ca/certificate.h"
#include "server/crypto/keys.h"

#define CONTEXT_SIZE 128u
#define KEY_SIZE_MAX 4096u /* bytes of an encoded private key */

static const char *const g_kinds[] = { "root", "intermediate", "exchange", "cross", "request" };
static const char *const g_states[] = { "next", "current", "old" };
_Static_assert(ARRAY_COUNT(g_kinds) == AUTHORITY_KIND_COUNT, "names");
_Static_assert(ARRAY_COUNT(g_states) == AUTHORITY_STATE_COUNT, "names");

const char *authority_kind_name(enum authority_kind kind)
{
    return g_kinds[kind];
}

const char *authority_state_name(enum authority_state state)
{
    return g_states[state];
}

void authority_done(struct authority *authority)
{
    for (unsigned i = 0; i < authority->chain_count; i++)
        X509_free(authority->chain[i]);
    EVP_PKEY_free(authority->key);
    *authority = (struct authority){ 0 };
}

void authority_freep(struct authority **authority)
{
    if (*authority)
        authority_done(*authority);
    free(*authority);
}

int authority_new(const char *org_id, enum authority_kind kind, enum authority_state state,
                  int64_t now_ms, struct authority **ret, struct err *err)
{
    CLEANUP(authority_freep)
    struct authority *a = calloc(1, sizeof *a);

    if (!a)
        return -ENOMEM;
    id_make("cas", a->id);
    snprintf(a->org_id, sizeof a->org_id, "%s", org_id ? org_id : "");
    a->kind = kind;
    a->state = state;
    a->created_ms = now_ms;
    if (kind != AUTHORITY_CROSS) {
        a->key = EVP_EC_gen("P-256");
        if (!a->key)
            return err_set(err, -EIO, "cannot make a key");
    }
    *ret = TAKE_PTR(a);
    return 0;
}

int authority_certify(struct authority *authority, const struct authority *issuer,
                      const char *trust_domain, int64_t now_s, int64_t lifetime_s, struct err *err)
{
    static const enum certificate_use uses[AUTHORITY_KIND_COUNT] = {
        [AUTHORITY_ROOT] = CERTIFICATE_ROOT,
        [AUTHORITY_INTERMEDIATE] = CERTIFICATE_INTERMEDIATE,
        [AUTHORITY_EXCHANGE] = CERTIFICATE_EXCHANGE,
        [AUTHORITY_CROSS] = CERTIFICATE_ROOT,
    };
    char name[65], uri[300];
    struct certificate_request request = { .use = uses[authority->kind],
                                           .common_name = name,
                                           .organization = "Cloche",
                                           .public_key = authority->key,
                                           .issuer_key = issuer->key,
                                           .uri = uri,
                                           .not_before_s = now_s - CERTIFICATE_BACKDATE_S,
                                           .not_after_s = now_s + lifetime_s };
    int rc;

    /* The id makes each authority's name its own, so that chains are built by name without doubt. */
    snprintf(name, sizeof name, "Cloche %s %s",
             g_kinds[authority->kind == AUTHORITY_CROSS ? AUTHORITY_ROOT : authority->kind],
             authority->id + sizeof "cas");
    snprintf(uri, sizeof uri, "spiffe://%s%s", trust_domain,
             authority->kind == AUTHORITY_EXCHANGE ? EXCHANGE_SPIFFE_PATH : "");
    if (issuer != authority)
        request.issuer = issuer->chain[0];
    rc = certificate_make(&request, &authority->chain[0], err);
    if (rc < 0)
        return rc;
    authority->chain_count = 1;
    authority->expires_ms = certificate_until_s(authority->chain[0]) * 1000;
    return 0;
}

/* ---- rows ---- */

static void context_of(const struct authority *a, char ret[CONTEXT_SIZE])
{
    snprintf(ret, CONTEXT_SIZE, "authority/%s/%s/%s/%s", a->id, a->org_id, g_kinds[a->kind],
             g_states[a->state]);
}

/* SHA-256 of the certificates' text, then the private key, PKCS #8. *ret for secret_free(ret, size). */
static int payload_make(const struct authority *a, const char *pem, uint8_t **ret, size_t *ret_size)
{
    PKCS8_PRIV_KEY_INFO *info = a->key ? EVP_PKEY2PKCS8(a->key) : NULL;
    int key_size = info ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : 0, rc = -EIO;
    uint8_t *data = NULL, *end;

    if ((a->key && !info) || key_size < 0 || key_size > (int)KEY_SIZE_MAX)
        goto out;
    rc = -ENOMEM;
    data = malloc(32 + (size_t)key_size + 1);
    if (!data)
        goto out;
    end = data + 32;
    rc = -EIO;
    if (!EVP_Digest(pem, strlen(pem), data, NULL, EVP_sha256(), NULL) ||
        (info && i2d_PKCS8_PRIV_KEY_INFO(info, &end) != key_size))
        goto out;
    *ret_size = 32 + (size_t)key_size;
    *ret = TAKE_PTR(data);
    rc = 0;
out:
    secret_free(data, data ? 32 + (size_t)MAX(key_size, 0) : 0);
    PKCS8_PRIV_KEY_INFO_free(info);
    return rc;
}

static void text_freep(char **text)
{
    free(*text);
}

static void bytes_freep(uint8_t **bytes)
{
    free(*bytes);
}

int authority_save(struct server *server, struct store_tx *tx, const struct authority *a,
                   struct err *err)
{
    CLEANUP(text_freep)
    char *pem = strdup("");
    CLEANUP(bytes_freep)
    uint8_t *sealed = NULL;
    uint8_t *payload = NULL;
    size_t payload_size = 0, sealed_size;
    char context[CONTEXT_SIZE];
    int rc = pem ? 0 : -ENOMEM;

    for (unsigned i = 0; rc == 0 && i < a->chain_count; i++)
        rc = certificate_pem_add(a->chain[i], &pem);
    if (rc == 0)
        rc = payload_make(a, pem, &payload, &payload_size);
    if (rc < 0)
        return rc;
    context_of(a, context);
    rc = keys_seal(server->keys, a->org_id[0] ? a->org_id : NULL, context, payload, payload_size,
                   &sealed, &sealed_size, err);
    secret_free(payload, payload_size);
    if (rc < 0)
        return rc;
    rc = store_exec(tx,
                    "INSERT INTO authorities (id, org_id, kind, state, certificate, key_sealed, "
                    "created_ms, expires_ms) "
                    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET kind = "
                    "excluded.kind, "
                    "state = excluded.state, certificate = excluded.certificate, key_sealed = "
                    "excluded.key_sealed, expires_ms = excluded.expires_ms",
                    STORE_ARGS(store_text(a->id), store_text(a->org_id),
                               store_text(g_kinds[a->kind]), store_text(g_states[a->state]),
                               store_blob(pem, strlen(pem)), store_blob(sealed, sealed_size),
                               store_int(a->created_ms), store_int(a->expires_ms)),
                    err);
    return MIN(rc, 0);
}

int authority_remove(struct store_tx *tx, const struct authority *a, struct err *err)
{
    int rc = store_exec(tx, "DELETE FROM authorities WHERE org_id = $1 AND id = $2",
                        STORE_ARGS(store_text(a->org_id), store_text(a->id)), err);

    return MIN(rc, 0);
}

static int name_find(const char *const *names, unsigned count, const char *name)
{
    for (unsigned i = 0; name && i < count; i++)
        if (strcmp(names[i], name) == 0)
            return (int)i;
    return -EBADMSG;
}

static int chain_read(const void *pem, size_t size, struct authority *a)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)MIN(size, 1u << 20));
    X509 *cert;

    if (!bio)
        return -ENOMEM;
    while (a->chain_count < AUTHORITY_CHAIN_MAX &&
           (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        a->chain[a->chain_count++] = cert;
    BIO_free(bio);
    ERR_clear_error();
    return a->chain_count == 0 && a->kind != AUTHORITY_REQUEST ? -EBADMSG : 0;
}

static int key_read(const uint8_t *payload, size_t size, struct authority *a)
{
    const unsigned char *p = payload;
    PKCS8_PRIV_KEY_INFO *info;

    if (size == 0)
        return a->kind == AUTHORITY_CROSS ? 0 : -EBADMSG;
    info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)size);
    a->key = info ? EVP_PKCS82PKEY(info) : NULL;
    PKCS8_PRIV_KEY_INFO_free(info);
    return a->key ? 0 : -EBADMSG;
}

/* The seal is opened before a byte of the certificate is believed. */
static int payload_check(struct server *server, const struct store_rows *rows, struct authority *a,
                         struct err *err)
{
    char context[CONTEXT_SIZE];
    uint8_t *payload = NULL, digest[32];
    size_t pem_size, sealed_size, size = 0;
    const void *pem = store_column_blob(rows, 4, &pem_size);
    const void *sealed = store_column_blob(rows, 5, &sealed_size);
    int rc;

    context_of(a, context);
    rc = keys_unseal(server->keys, a->org_id[0] ? a->org_id : NULL, context, sealed, sealed_size,
                     &payload, &size, err);
    if (rc < 0)
        return rc;
    rc = -EBADMSG;
    if (size >= 32 && EVP_Digest(pem ? pem : "", pem_size, digest, NULL, EVP_sha256(), NULL) &&
        CRYPTO_memcmp(digest, payload, 32) == 0) {
        rc = chain_read(pem, pem_size, a);
        if (rc == 0)
            rc = key_read(payload + 32, size - 32, a);
    }
    secret_free(payload, size);
    return rc < 0 ? err_set(err, rc, "certificate or key is damaged") : 0;
}

static int row_read(struct server *server, const struct store_rows *rows, struct authority *a,
                    struct err *err)
{
    const char *id = store_column_text(rows, 0), *org_id = store_column_text(rows, 1);
    int kind = name_find(g_kinds, ARRAY_COUNT(g_kinds), store_column_text(rows, 2));
    int state = name_find(g_states, ARRAY_COUNT(g_states), store_column_text(rows, 3));

    snprintf(a->id, sizeof a->id, "%s", id ? id : "");
    snprintf(a->org_id, sizeof a->org_id, "%s", org_id ? org_id : "");
    if (kind < 0 || state < 0)
        return err_set(err, -EBADMSG, "no such kind or state");
    a->kind = (enum authority_kind)kind;
    a->state = (enum authority_state)state;
    a->created_ms = store_column_int(rows, 6);
    a->expires_ms = store_column_int(rows, 7);
    return payload_check(server, rows, a, err);
}

void authority_list_done(struct authority_list *list)
{
    for (unsigned i = 0; i < list->count; i++)
        authority_freep(&list->items[i]);
    list->count = 0;
}

static int list_add(struct server *server, const struct store_rows *rows,
                    struct authority_list *list, struct err *err)
{
    CLEANUP(authority_freep)
    struct authority *a = calloc(1, sizeof *a);
    struct err why = { "" };
    int rc;

    if (!a)
        return -ENOMEM;
    if (list->count == AUTHORITIES_MAX)
        return err_set(err, -E2BIG, "more than %u authorities", AUTHORITIES_MAX);
    rc = row_read(server, rows, a, &why);
    if (rc == -EBADMSG || rc == -ENOENT) {
        server_log(server, "error", "an authority in the store is not one that this server wrote",
                   "id", a->id, "why", why.text, NULL);
        return 0;
    }
    if (rc < 0)
        return err_set(err, rc, "%s", why.text);
    list->items[list->count++] = TAKE_PTR(a);
    return 0;
}

int authority_list_read(struct server *server, struct store_tx *tx, struct authority_list *ret,
                        struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx,
                         "SELECT id, org_id, kind, state, certificate, key_sealed, created_ms, "
                         "expires_ms FROM authorities "
                         "WHERE org_id >= '' ORDER BY created_ms DESC, id DESC",
                         STORE_NO_ARGS, &rows, err);

    ret->count = 0;
    while (rc == 0) {
        rc = store_rows_next(rows, err);
        if (rc <= 0)
            break;
        rc = list_add(server, rows, ret, err);
    }
    if (rc < 0)
        authority_list_done(ret);
    return rc;
}

struct authority *authority_find(const struct authority_list *list, const char *org_id,
                                 enum authority_kind kind, enum authority_state state)
{
    for (unsigned i = 0; i < list->count; i++) {
        struct authority *a = list->items[i];

        if (a->kind == kind && a->state == state && strcmp(a->org_id, org_id) == 0)
            return a;
    }
    return NULL;
}
