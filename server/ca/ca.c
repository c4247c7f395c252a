/* SPDX-License-Identifier: Apache-2.0 */
/* The certificate authority: opening, issuing, what is trusted. Relying party. */
#include "server/ca/ca.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ca/ca_set.h"
#include "server/ca/certificate.h"
#include "server/config.h"

int ca_make_root(struct ca *ca, struct store_tx *tx, enum authority_state state, int64_t now_s,
                 struct authority **ret, struct err *err)
{
    CLEANUP(authority_freep)
    struct authority *root = NULL;
    int rc = authority_new("", AUTHORITY_ROOT, state, now_s * 1000, &root, err);

    if (rc == 0)
        rc = authority_certify(root, root, ca->trust_domain, now_s, CA_ROOT_S, err);
    if (rc == 0)
        rc = authority_save(ca->server, tx, root, err);
    if (rc == 0)
        *ret = TAKE_PTR(root);
    return rc;
}

int ca_make_exchange(struct ca *ca, struct store_tx *tx, const struct authority *intermediate,
                     int64_t now_s, struct err *err)
{
    CLEANUP(authority_freep)
    struct authority *exchange = NULL;
    int rc =
        authority_new("", AUTHORITY_EXCHANGE, intermediate->state, now_s * 1000, &exchange, err);

    if (rc == 0)
        rc = authority_certify(exchange, intermediate, ca->trust_domain, now_s, CA_EXCHANGE_S, err);
    return rc < 0 ? rc : authority_save(ca->server, tx, exchange, err);
}

int ca_make_below(struct ca *ca, struct store_tx *tx, const struct authority *root,
                  enum authority_state state, int64_t now_s, struct err *err)
{
    CLEANUP(authority_freep)
    struct authority *intermediate = NULL;
    int rc = authority_new("", AUTHORITY_INTERMEDIATE, state, now_s * 1000, &intermediate, err);

    if (rc == 0)
        rc = authority_certify(intermediate, root, ca->trust_domain, now_s, CA_INTERMEDIATE_S, err);
    if (rc == 0)
        rc = authority_save(ca->server, tx, intermediate, err);
    return rc < 0 ? rc : ca_make_exchange(ca, tx, intermediate, now_s, err);
}

/* ---- open and reload ---- */

static int list_read_in(struct store_tx *tx, void *arg, struct err *err)
{
    void **args = arg;

    authority_list_done(args[1]);
    return authority_list_read(args[0], tx, args[1], err);
}

static int make_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct ca *ca = arg;
    CLEANUP(authority_freep)
    struct authority *root = NULL;
    int64_t count;
    int rc = store_get_int(tx, "SELECT COUNT(*) FROM authorities WHERE org_id = ''", STORE_NO_ARGS,
                           &count, err);

    if (rc < 0 || count > 0)
        return rc; /* another server was faster */
    rc = ca_make_root(ca, tx, AUTHORITY_CURRENT, server_now_s(ca->server), &root, err);
    return rc < 0 ? rc
                  : ca_make_below(ca, tx, root, AUTHORITY_CURRENT, server_now_s(ca->server), err);
}

unsigned ca_path(const struct authority_list *list, const X509 *ret[CA_PATH_MAX])
{
    const struct authority *i = authority_find(list, "", AUTHORITY_INTERMEDIATE, AUTHORITY_CURRENT);
    const struct authority *cross = authority_find(list, "", AUTHORITY_CROSS, AUTHORITY_CURRENT);
    const struct authority *old = authority_find(list, "", AUTHORITY_ROOT, AUTHORITY_OLD);
    unsigned count = 0;

    ret[count++] = i->chain[0];
    if (cross && old) {
        ret[count++] = cross->chain[0];
        ret[count++] = old->chain[0];
    }
    ret[count++] = authority_find(list, "", AUTHORITY_ROOT, AUTHORITY_CURRENT)->chain[0];
    return count;
}

/* JSON array of base64 DER, leaf first (RFC 7515, x5c). For free(). */
static char *x5c_make(const struct authority_list *list, const struct authority *exchange)
{
    const X509 *path[CA_PATH_MAX + 1] = { exchange->chain[0] };
    unsigned count = 1 + ca_path(list, path + 1);
    json_t *array = json_array();
    char *text;

    for (unsigned i = 0; i < count; i++) {
        unsigned char *der = NULL;
        int size = i2d_X509(path[i], &der);
        char *base64 = size > 0 ? malloc(4 * ((size_t)size + 2) / 3 + 4) : NULL;

        if (base64) {
            EVP_EncodeBlock((unsigned char *)base64, der, size);
            json_array_append_new(array, json_string(base64));
        }
        free(base64);
        OPENSSL_free(der);
    }
    text = json_array_size(array) == count ? json_dumps(array, JSON_COMPACT) : NULL;
    json_decref(array);
    return text;
}

/* Replaces what is held by list; its emptied old contents are left there. */
static int set_replace(struct ca *ca, struct authority_list *list, struct err *err)
{
    struct authority *root = authority_find(list, "", AUTHORITY_ROOT, AUTHORITY_CURRENT);
    struct authority *exchange = authority_find(list, "", AUTHORITY_EXCHANGE, AUTHORITY_CURRENT);
    struct authority *between = authority_find(list, "", AUTHORITY_INTERMEDIATE, AUTHORITY_CURRENT);
    char *x5c;
    void *jwk;
    int rc;

    if (!root || !exchange || !between)
        return err_set(err, -EBADMSG, "the store has no whole certificate authority");
    rc = ca_jwk_new(exchange->key, &jwk, err);
    if (rc < 0)
        return rc;
    x5c = x5c_make(list, exchange);
    if (!x5c) {
        ca_jwk_free(jwk);
        return -ENOMEM;
    }
    pthread_rwlock_wrlock(&ca->lock);
    authority_list_done(&ca->list);
    ca_jwk_free(ca->jwk);
    free(ca->x5c);
    ca->list = *list;
    list->count = 0;
    ca->root = root;
    ca->intermediate = between;
    ca->exchange = exchange;
    ca->x5c = x5c;
    ca->jwk = jwk;
    pthread_rwlock_unlock(&ca->lock);
    return 0;
}

int ca_reload(struct ca *ca, struct err *err)
{
    struct authority_list *list = calloc(1, sizeof *list);
    int rc = list ? 0 : -ENOMEM;

    pthread_mutex_lock(&ca->reload_lock);
    if (rc == 0)
        rc = store_read(ca->server->store, list_read_in, (void *[]){ ca->server, list }, err);
    if (rc == 0)
        rc = set_replace(ca, list, err);
    pthread_mutex_unlock(&ca->reload_lock);
    if (list)
        authority_list_done(list);
    free(list);
    return rc < 0 ? err_wrap(err, rc, "certificate authority") : 0;
}

int ca_open(struct server *server, struct ca **ret, struct err *err)
{
    struct ca *ca = calloc(1, sizeof *ca);
    int rc;

    if (!ca)
        return -ENOMEM;
    ca->server = server;
    ca->trust_domain = server->config->trust_domain ? server->config->trust_domain : "cloche.local";
    pthread_rwlock_init(&ca->lock, NULL);
    pthread_mutex_init(&ca->sign_lock, NULL);
    pthread_mutex_init(&ca->reload_lock, NULL);
    rc = store_write(server->store, make_in, ca, err);
    if (rc == 0)
        rc = ca_reload(ca, err);
    if (rc < 0) {
        ca_close(ca);
        return rc;
    }
    *ret = ca;
    return 0;
}

void ca_close(struct ca *ca)
{
    if (!ca)
        return;
    authority_list_done(&ca->list);
    ca_jwk_free(ca->jwk);
    free(ca->x5c);
    pthread_mutex_destroy(&ca->sign_lock);
    pthread_mutex_destroy(&ca->reload_lock);
    pthread_rwlock_destroy(&ca->lock);
    free(ca);
}

/* ---- issuing ---- */

static bool spiffe_path_is_valid(const char *path)
{
    size_t len = strlen(path);

    if (len < 2 || len > 512 || strncmp(path, "/org/", 5) != 0 || path[len - 1] == '/')
        return false;
    for (const char *p = path; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/", *p) ||
            (*p == '/' && (p[1] == '/' || p[1] == '.')))
            return false;
    return true;
}

/* The certificate itself and what certifies it, as PEM. */
static int issued_fill(X509 *leaf, const X509 *const *path, unsigned count,
                       const struct authority *issuer, struct ca_issued *ret)
{
    struct ca_issued issued = { .until_s = certificate_until_s(leaf) };
    int rc = certificate_serial(leaf, issued.serial);

    memcpy(issued.authority_id, issuer->id, sizeof issued.authority_id);
    if (rc == 0)
        rc = certificate_pem_add(leaf, &issued.chain_pem);
    for (unsigned i = 0; rc == 0 && i < count; i++)
        rc = certificate_pem_add(path[i], &issued.chain_pem);
    if (rc == 0)
        *ret = issued;
    else
        free(issued.chain_pem);
    return rc;
}

/* Self-signed certificates are what the other end has already: they stay out, but at the end of the server's own chain. */
static bool is_self_signed(const X509 *cert)
{
    return X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) == 0;
}

static int issue_below(struct ca *ca, const struct authority *issuer, bool with_roots,
                       struct certificate_request *request, struct ca_issued *ret, struct err *err)
{
    const X509 *path[CA_PATH_MAX];
    unsigned count = 0, kept = 0;
    char url[400];
    X509 *leaf = NULL;
    int rc;

    request->issuer = issuer->chain[0];
    request->issuer_key = issuer->key;
    if (ca->server->config->url_count > 0 &&
        snprintf(url, sizeof url, "%s/v1/ca/crl/%s", ca->server->config->urls[0], issuer->id) <
            (int)sizeof url)
        request->crl_url = url;
    if (issuer->org_id[0])
        for (; count < issuer->chain_count; count++)
            path[count] = issuer->chain[count];
    else
        count = ca_path(&ca->list, path);
    for (unsigned i = 0; i < count; i++)
        if (with_roots || !is_self_signed(path[i]))
            path[kept++] = path[i];
    rc = certificate_make(request, &leaf, err);
    if (rc == 0)
        rc = issued_fill(leaf, path, kept, issuer, ret);
    X509_free(leaf);
    return rc;
}

int ca_issue(struct ca *ca, const struct ca_request *request, struct ca_issued *ret,
             struct err *err)
{
    int64_t now_s = server_now_s(ca->server);
    const struct authority *issuer;
    char uri[1024];
    struct certificate_request certificate = { .use = CERTIFICATE_INSTANCE,
                                               .common_name = strrchr(request->spiffe_path, '/'),
                                               .public_key = request->public_key,
                                               .uri = uri,
                                               .names = request->dns_names,
                                               .name_count = request->dns_name_count,
                                               .not_before_s = now_s - CERTIFICATE_BACKDATE_S,
                                               .not_after_s = now_s + request->lifetime_s };
    int rc;

    if (!spiffe_path_is_valid(request->spiffe_path))
        return err_set(err, -EINVAL, "%.128s: not the path of a SPIFFE ID", request->spiffe_path);
    if (request->lifetime_s < CA_LIFETIME_MIN_S || request->lifetime_s > CA_LIFETIME_MAX_S ||
        request->dns_name_count > CA_DNS_NAMES_MAX)
        return err_set(err, -EINVAL, "lifetime %u s or %u names: out of bounds",
                       request->lifetime_s, request->dns_name_count);
    for (unsigned i = 0; i < request->dns_name_count; i++)
        if (!certificate_dns_name_is_valid(request->dns_names[i]))
            return err_set(err, -EINVAL, "%.64s: not a DNS name", request->dns_names[i]);
    certificate.common_name++;
    snprintf(uri, sizeof uri, "spiffe://%s%s", ca->trust_domain, request->spiffe_path);
    pthread_rwlock_rdlock(&ca->lock);
    issuer = authority_find(&ca->list, request->org_id, AUTHORITY_INTERMEDIATE, AUTHORITY_CURRENT);
    if (!issuer || issuer->expires_ms / 1000 < now_s + CA_LIFETIME_MIN_S)
        issuer = ca->intermediate;
    rc = issue_below(ca, issuer, false, &certificate, ret, err);
    pthread_rwlock_unlock(&ca->lock);
    return rc;
}

int ca_issue_server(struct ca *ca, const struct ca_server_request *request, struct ca_issued *ret,
                    struct err *err)
{
    int64_t now_s = server_now_s(ca->server);
    int64_t lifetime_s = request->evidence ? CA_SERVER_ATTESTED_LIFETIME_S : CA_SERVER_LIFETIME_S;
    struct certificate_request certificate = { .use = CERTIFICATE_SERVER,
                                               .common_name = "cloched",
                                               .public_key = request->public_key,
                                               .names = request->names,
                                               .name_count = request->name_count,
                                               .evidence = request->evidence,
                                               .binding = request->binding,
                                               .not_before_s = now_s - CERTIFICATE_BACKDATE_S,
                                               .not_after_s = now_s + lifetime_s };
    int rc;

    pthread_rwlock_rdlock(&ca->lock);
    rc = issue_below(ca, ca->intermediate, true, &certificate, ret, err);
    pthread_rwlock_unlock(&ca->lock);
    return rc;
}

/* ---- what is trusted ---- */

static int roots_add(const struct authority_list *list, char **text)
{
    static const enum authority_state order[] = { AUTHORITY_CURRENT, AUTHORITY_NEXT,
                                                  AUTHORITY_OLD };
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < ARRAY_COUNT(order); i++) {
        const struct authority *root = authority_find(list, "", AUTHORITY_ROOT, order[i]);

        if (root)
            rc = certificate_pem_add(root->chain[0], text);
    }
    return rc;
}

char *ca_org_roots_pem(struct ca *ca, const char *org_id)
{
    const struct authority *own;
    char *text = NULL;
    int rc = 0;

    pthread_rwlock_rdlock(&ca->lock);
    own = org_id ? authority_find(&ca->list, org_id, AUTHORITY_INTERMEDIATE, AUTHORITY_CURRENT)
                 : NULL;
    if (own)
        rc = certificate_pem_add(own->chain[own->chain_count - 1], &text);
    if (rc == 0)
        rc = roots_add(&ca->list, &text);
    pthread_rwlock_unlock(&ca->lock);
    if (rc < 0) {
        free(text);
        return NULL;
    }
    return text;
}

char *ca_roots_pem(struct ca *ca)
{
    return ca_org_roots_pem(ca, NULL);
}

void ca_root_pin(struct ca *ca, uint8_t ret[32])
{
    pthread_rwlock_rdlock(&ca->lock);
    if (certificate_pin(ca->root->chain[0], ret) < 0)
        abort(); /* no memory for a few bytes */
    pthread_rwlock_unlock(&ca->lock);
}
