/* SPDX-License-Identifier: Apache-2.0 */
/* What was issued, what of it is revoked, and the lists that say so (RFC 5280, section 5). Relying party. */
#include <errno.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "server/ca/ca_set.h"
#include "server/ca/certificate.h"

int ca_issued_add(struct store_tx *tx, const char *org_id, const char *instance_id,
                  const struct ca_issued *issued, struct err *err)
{
    int rc = store_exec(tx,
                        "INSERT INTO certificates (serial, org_id, instance_id, authority_id, "
                        "until_ms) VALUES ($1, $2, $3, $4, $5)",
                        STORE_ARGS(store_text(issued->serial), store_text(org_id),
                                   store_text(instance_id), store_text(issued->authority_id),
                                   store_int(issued->until_s * 1000)),
                        err);

    return MIN(rc, 0);
}

int ca_revoke(struct store_tx *tx, const char *org_id, const char *instance_id, int64_t now_ms,
              struct err *err)
{
    int rc =
        store_exec(tx,
                   "UPDATE certificates SET revoked_ms = $1 WHERE org_id = $2 AND instance_id = $3 "
                   "AND until_ms > $1 AND revoked_ms IS NULL",
                   STORE_ARGS(store_int(now_ms), store_text(org_id), store_text(instance_id)), err);

    return MIN(rc, 0);
}

struct crl_read {
    const char *authority_id;
    int64_t now_s;
    X509_CRL *crl;
};

static int entry_add(X509_CRL *crl, const char *serial, int64_t revoked_s)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *time = ASN1_TIME_set(NULL, revoked_s);
    BIGNUM *number = NULL;
    ASN1_INTEGER *value = BN_hex2bn(&number, serial) > 0 ? BN_to_ASN1_INTEGER(number, NULL) : NULL;
    int ok = entry && time && value && X509_REVOKED_set_serialNumber(entry, value) &&
             X509_REVOKED_set_revocationDate(entry, time) && X509_CRL_add0_revoked(crl, entry);

    if (!ok)
        X509_REVOKED_free(entry);
    ASN1_INTEGER_free(value);
    BN_free(number);
    ASN1_TIME_free(time);
    return ok ? 0 : -EIO;
}

static int entries_read_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct crl_read *r = arg;
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx,
                         "SELECT serial, revoked_ms FROM certificates WHERE org_id >= '' AND "
                         "authority_id = $1 AND revoked_ms IS NOT NULL "
                         "AND until_ms > $2 ORDER BY serial LIMIT $3",
                         STORE_ARGS(store_text(r->authority_id), store_int(r->now_s * 1000),
                                    store_int(CA_CRL_COUNT_MAX)),
                         &rows, err);

    while (rc == 0) {
        rc = store_rows_next(rows, err);
        if (rc <= 0)
            break;
        rc = entry_add(r->crl, store_column_text(rows, 0), store_column_int(rows, 1) / 1000);
    }
    return rc;
}

static int number_set(X509_CRL *crl, int64_t now_s)
{
    ASN1_INTEGER *number = ASN1_INTEGER_new(); /* rises with time (RFC 5280, 5.2.3) */
    int ok = number && ASN1_INTEGER_set_int64(number, now_s) &&
             X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0) == 1;

    ASN1_INTEGER_free(number);
    return ok ? 0 : -EIO;
}

static int key_identifier_set(X509_CRL *crl, X509 *issuer)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;
    int ok;

    X509V3_set_ctx(&ctx, issuer, NULL, NULL, crl, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid:always");
    ok = extension && X509_CRL_add_ext(crl, extension, -1);
    X509_EXTENSION_free(extension);
    return ok ? 0 : -EIO;
}

/* Signs what was read as the authority, which may have gone meanwhile. */
static int crl_sign(struct ca *ca, const struct crl_read *r, uint8_t **ret, size_t *ret_size)
{
    ASN1_TIME *from = ASN1_TIME_set(NULL, r->now_s),
              *until = ASN1_TIME_set(NULL, r->now_s + CA_CRL_LIFETIME_S);
    const struct authority *issuer = NULL;
    unsigned char *der = NULL;
    int size = -ENOENT;

    pthread_rwlock_rdlock(&ca->lock);
    for (unsigned i = 0; i < ca->list.count; i++)
        if (strcmp(ca->list.items[i]->id, r->authority_id) == 0 &&
            ca->list.items[i]->kind == AUTHORITY_INTERMEDIATE)
            issuer = ca->list.items[i];
    if (issuer) {
        size = -EIO;
        if (from && until && X509_CRL_set_version(r->crl, X509_CRL_VERSION_2) &&
            X509_CRL_set_issuer_name(r->crl, X509_get_subject_name(issuer->chain[0])) &&
            X509_CRL_set1_lastUpdate(r->crl, from) && X509_CRL_set1_nextUpdate(r->crl, until) &&
            key_identifier_set(r->crl, issuer->chain[0]) == 0 &&
            number_set(r->crl, r->now_s) == 0 && X509_CRL_sort(r->crl) &&
            X509_CRL_sign(r->crl, issuer->key, EVP_sha256()) > 0)
            size = i2d_X509_CRL(r->crl, &der);
    }
    pthread_rwlock_unlock(&ca->lock);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    if (size < 0)
        return size == -ENOENT ? -ENOENT : -EIO;
    *ret = malloc((size_t)size);
    if (*ret)
        memcpy(*ret, der, (size_t)size);
    *ret_size = (size_t)size;
    OPENSSL_free(der);
    return *ret ? 0 : -ENOMEM;
}

int ca_crl(struct ca *ca, const char *authority_id, int64_t now_s, uint8_t **ret, size_t *ret_size,
           struct err *err)
{
    struct crl_read r = { .authority_id = authority_id, .now_s = now_s, .crl = X509_CRL_new() };
    int rc = r.crl ? store_read(ca->server->store, entries_read_in, &r, err) : -ENOMEM;

    if (rc == 0)
        rc = crl_sign(ca, &r, ret, ret_size);
    X509_CRL_free(r.crl);
    return rc < 0 ? err_set(err, rc, "list of revoked certificates") : 0;
}
