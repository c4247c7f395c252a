/* SPDX-License-Identifier: Apache-2.0 */
/* An organisation's own intermediate: its key is made here and stays here, its certificate comes from the organisation's CA. Relying party; what is uploaded is hostile. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ca/ca_set.h"
#include "server/ca/certificate.h"

#define REMAINING_MIN_S (30ll * 86400)
#define CHAIN_SIZE_MAX (64u << 10)

static void list_freep(struct authority_list **list)
{
    if (*list)
        authority_list_done(*list);
    free(*list);
}

static char *csr_make(EVP_PKEY *key, const char *org_name)
{
    X509_REQ *request = X509_REQ_new();
    BIO *bio = BIO_new(BIO_s_mem());
    char name[65], *data, *text = NULL;
    long size;

    snprintf(name, sizeof name, "Cloche instances of %.40s", org_name);
    if (request && bio && X509_REQ_set_pubkey(request, key) &&
        X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), "CN", MBSTRING_UTF8,
                                   (const unsigned char *)name, -1, -1, 0) &&
        X509_REQ_sign(request, key, EVP_sha256()) > 0 && PEM_write_bio_X509_REQ(bio, request)) {
        size = BIO_get_mem_data(bio, &data);
        text = strndup(data, (size_t)size);
    }
    BIO_free(bio);
    X509_REQ_free(request);
    return text;
}

int ca_org_request(struct ca *ca, struct store_tx *tx, const char *org_id, const char *org_name,
                   char ret_id[ID_SIZE], char **ret_csr_pem, struct err *err)
{
    CLEANUP(authority_freep)
    struct authority *a = NULL;
    CLEANUP(list_freep)
    struct authority_list *list = calloc(1, sizeof *list);
    char *csr;
    int rc = list ? authority_list_read(ca->server, tx, list, err) : -ENOMEM;

    /* One request at a time: a new one takes the place of one that was never answered. */
    for (unsigned i = 0; rc == 0 && i < list->count; i++)
        if (list->items[i]->kind == AUTHORITY_REQUEST &&
            strcmp(list->items[i]->org_id, org_id) == 0)
            rc = authority_remove(tx, list->items[i], err);
    if (rc == 0)
        rc = authority_new(org_id, AUTHORITY_REQUEST, AUTHORITY_NEXT,
                           server_now_s(ca->server) * 1000, &a, err);
    if (rc == 0)
        rc = authority_save(ca->server, tx, a, err);
    if (rc < 0)
        return rc;
    csr = csr_make(a->key, org_name);
    if (!csr)
        return err_set(err, -EIO, "cannot make a certificate request");
    memcpy(ret_id, a->id, ID_SIZE);
    *ret_csr_pem = csr;
    return 0;
}

/* ---- the certificate that came ---- */

static void chain_free(X509 **chain, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        X509_free(chain[i]);
}

static int chain_parse(const char *pem, X509 *chain[AUTHORITY_CHAIN_MAX], struct err *err)
{
    BIO *bio = strlen(pem) <= CHAIN_SIZE_MAX ? BIO_new_mem_buf(pem, -1) : NULL;
    unsigned count = 0;
    X509 *cert;
    bool is_too_long;

    if (!bio)
        return err_set(err, -EINVAL, "the chain is too long");
    while (count < AUTHORITY_CHAIN_MAX && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        chain[count++] = cert;
    cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    is_too_long = cert != NULL;
    X509_free(cert);
    BIO_free(bio);
    ERR_clear_error();
    if (count < 2 || is_too_long) {
        chain_free(chain, count);
        return err_set(err, -EINVAL,
                       "2 to %u certificates in PEM are expected: intermediate first, root last",
                       AUTHORITY_CHAIN_MAX);
    }
    return (int)count;
}

/* One path, from target over what is between to the chain's last certificate, for a purpose (0: any). */
static int path_verify(X509 *target, X509 *const *between, unsigned count, X509 *root, int purpose,
                       int64_t now_s, const char **ret_why)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *stack = sk_X509_new_null();
    int rc = store && ctx && stack ? 0 : -ENOMEM;

    for (unsigned i = 0; rc == 0 && i < count; i++)
        rc = sk_X509_push(stack, between[i]) ? 0 : -ENOMEM;
    if (rc == 0 &&
        (!X509_STORE_add_cert(store, root) || !X509_STORE_CTX_init(ctx, store, target, stack)))
        rc = -ENOMEM;
    if (rc == 0) {
        X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), now_s);
        X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_X509_STRICT);
        if (purpose)
            X509_VERIFY_PARAM_set_purpose(X509_STORE_CTX_get0_param(ctx), purpose);
        if (X509_verify_cert(ctx) != 1) {
            *ret_why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx));
            rc = -EINVAL;
        }
    }
    ERR_clear_error();
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    sk_X509_free(stack);
    return rc;
}

/* Whether what it would issue is good for clients and servers: path lengths, name constraints and usages of the whole chain tell only then. */
static int probe_check(X509 *const *chain, unsigned count, EVP_PKEY *key, const char *trust_domain,
                       int64_t now_s, struct err *err)
{
    static const int purposes[] = { X509_PURPOSE_SSL_SERVER, X509_PURPOSE_SSL_CLIENT };
    char uri[300];
    struct certificate_request request = { .use = CERTIFICATE_INSTANCE,
                                           .common_name = "probe",
                                           .public_key = key,
                                           .issuer = chain[0],
                                           .issuer_key = key,
                                           .uri = uri,
                                           .not_before_s = now_s - CERTIFICATE_BACKDATE_S,
                                           .not_after_s = now_s + CA_LIFETIME_MIN_S };
    const char *why = "";
    X509 *probe;
    int rc;

    snprintf(uri, sizeof uri, "spiffe://%s/org/probe/app/probe", trust_domain);
    rc = certificate_make(&request, &probe, err);
    if (rc < 0)
        return rc;
    for (unsigned i = 0; rc == 0 && i < ARRAY_COUNT(purposes); i++)
        rc = path_verify(probe, chain, count - 1, chain[count - 1], purposes[i], now_s, &why);
    X509_free(probe);
    return rc == -EINVAL ? err_set(err, rc, "what it would issue does not verify: %s", why) : rc;
}

/* Key, purpose and remaining life of the intermediate; the chain's signatures up to its own last certificate, which the organisation says it trusts. */
static int chain_check(X509 *const *chain, unsigned count, EVP_PKEY *key, int64_t now_s,
                       struct err *err)
{
    const char *why = "";
    int rc;

    if (EVP_PKEY_eq(X509_get0_pubkey(chain[0]), key) != 1)
        return err_set(err, -EINVAL, "the first certificate is not for the key of the request");
    if (X509_check_ca(chain[0]) != 1 || !(X509_get_key_usage(chain[0]) & KU_KEY_CERT_SIGN))
        return err_set(err, -EINVAL,
                       "the first certificate is not that of a CA (CA:TRUE, keyCertSign)");
    if (certificate_until_s(chain[0]) < now_s + REMAINING_MIN_S)
        return err_set(err, -EINVAL, "the first certificate ends within 30 days");
    rc = path_verify(chain[0], chain + 1, count - 2, chain[count - 1], 0, now_s, &why);
    ERR_clear_error();
    return rc == -EINVAL ? err_set(err, rc, "the chain does not verify: %s", why) : rc;
}

static int accept_as(struct ca *ca, struct store_tx *tx, const struct authority_list *list,
                     struct authority *request, struct err *err)
{
    struct authority *was =
        authority_find(list, request->org_id, AUTHORITY_INTERMEDIATE, AUTHORITY_CURRENT);
    int rc = 0;

    if (was) {
        was->state = AUTHORITY_OLD;
        rc = authority_save(ca->server, tx, was, err);
    }
    if (rc < 0)
        return rc;
    request->kind = AUTHORITY_INTERMEDIATE;
    request->state = AUTHORITY_CURRENT;
    request->expires_ms = certificate_until_s(request->chain[0]) * 1000;
    return authority_save(ca->server, tx, request, err);
}

int ca_org_accept(struct ca *ca, struct store_tx *tx, const char *org_id, const char *id,
                  const char *chain_pem, int64_t now_s, struct err *err)
{
    CLEANUP(list_freep)
    struct authority_list *list = calloc(1, sizeof *list);
    struct authority *request = NULL;
    X509 *chain[AUTHORITY_CHAIN_MAX];
    int count, rc = list ? authority_list_read(ca->server, tx, list, err) : -ENOMEM;

    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < list->count; i++)
        if (list->items[i]->kind == AUTHORITY_REQUEST &&
            strcmp(list->items[i]->org_id, org_id) == 0 && strcmp(list->items[i]->id, id) == 0)
            request = list->items[i];
    if (!request)
        return err_set(err, -ENOENT, "no such request");
    count = chain_parse(chain_pem, chain, err);
    if (count < 0)
        return count;
    rc = chain_check(chain, (unsigned)count, request->key, now_s, err);
    if (rc == 0)
        rc = probe_check(chain, (unsigned)count, request->key, ca->trust_domain, now_s, err);
    if (rc < 0) {
        chain_free(chain, (unsigned)count);
        return rc;
    }
    memcpy(request->chain, chain, (unsigned)count * sizeof *chain);
    request->chain_count = (unsigned)count;
    return accept_as(ca, tx, list, request, err);
}

int ca_org_drop(struct ca *ca, struct store_tx *tx, const char *org_id, struct err *err)
{
    CLEANUP(list_freep)
    struct authority_list *list = calloc(1, sizeof *list);
    struct authority *own;
    int rc = list ? authority_list_read(ca->server, tx, list, err) : -ENOMEM;

    if (rc < 0)
        return rc;
    own = authority_find(list, org_id, AUTHORITY_INTERMEDIATE, AUTHORITY_CURRENT);
    if (!own)
        return err_set(err, -ENOENT, "the organisation has no intermediate of its own");
    own->state = AUTHORITY_OLD;
    return authority_save(ca->server, tx, own, err);
}
