/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificate of the server's TLS: from PEM files, or issued by its own authority for `names` and issued anew when a third of its time is left. A handshake takes
 * the one that holds at that moment. Relying party.
 */
#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/hosted/whole_file.h"
#include "attest/attest.h"
#include "attest/cert.h"
#include "lib/ct.h"
#include "server/api/request.h"
#include "server/ca/ca.h"
#include "server/config.h"

#define CHAIN_MAX 8u
#define PEM_SIZE_MAX (256u << 10)
#define RETRY_S 60

struct http_tls {
    struct server *server;
    pthread_mutex_t
        making; /* one certificate is made at a time; before lock; guards evidence_problem and until_s */
    pthread_mutex_t lock; /* guards all below */
    gnutls_x509_crt_t chain[CHAIN_MAX];
    unsigned chain_count;
    gnutls_x509_privkey_t key;
    int64_t renew_s;                      /* 0: never, it is of files */
    int64_t until_s;                      /* of one that carries evidence; 0: it carries none */
    char evidence_problem[ERR_TEXT_SIZE]; /* why there was none last time */
};

/* libmicrohttpd's callback has no argument: a process serves one HTTP server. Set before its threads, cleared after them. */
static struct http_tls *g_tls;

static void chain_free(gnutls_x509_crt_t *chain, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        gnutls_x509_crt_deinit(chain[i]);
}

/* Takes a certificate chain and its key in PEM into use. */
static int pem_use(struct http_tls *tls, const char *chain_pem, size_t chain_size,
                   const char *key_pem, size_t key_size, struct err *err)
{
    gnutls_datum_t chain_data = { (void *)chain_pem, (unsigned)chain_size };
    gnutls_datum_t key_data = { (void *)key_pem, (unsigned)key_size };
    gnutls_x509_crt_t chain[CHAIN_MAX];
    unsigned count = CHAIN_MAX;
    gnutls_x509_privkey_t key = NULL;
    uint8_t id_1[20], id_2[20];
    size_t size_1 = sizeof id_1, size_2 = sizeof id_2;
    int rc = gnutls_x509_crt_list_import(chain, &count, &chain_data, GNUTLS_X509_FMT_PEM,
                                         GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);

    if (rc < 1)
        return err_set(err, -EINVAL, "the certificate chain: %s", gnutls_strerror(rc));
    rc = gnutls_x509_privkey_init(&key);
    if (rc == 0)
        rc = gnutls_x509_privkey_import(key, &key_data, GNUTLS_X509_FMT_PEM);
    if (rc == 0)
        rc = gnutls_x509_crt_get_key_id(chain[0], 0, id_1, &size_1);
    if (rc == 0)
        rc = gnutls_x509_privkey_get_key_id(key, 0, id_2, &size_2);
    if (rc == 0 && (size_1 != size_2 || memcmp(id_1, id_2, size_1) != 0))
        rc = GNUTLS_E_CERTIFICATE_KEY_MISMATCH;
    if (rc < 0) {
        chain_free(chain, count);
        gnutls_x509_privkey_deinit(key);
        return err_set(err, -EINVAL, "the certificate's key: %s", gnutls_strerror(rc));
    }
    pthread_mutex_lock(&tls->lock);
    chain_free(tls->chain, tls->chain_count);
    gnutls_x509_privkey_deinit(tls->key);
    memcpy(tls->chain, chain, count * sizeof chain[0]);
    tls->chain_count = count;
    tls->key = key;
    pthread_mutex_unlock(&tls->lock);
    return 0;
}

static int files_use(struct http_tls *tls, struct err *err)
{
    const struct server_config *config = tls->server->config;
    char *chain = NULL, *key = NULL;
    size_t chain_size = 0, key_size = 0;
    int rc = whole_file_read(config->tls_certificate, PEM_SIZE_MAX, &chain, &chain_size, err);

    if (rc == 0)
        rc = whole_file_read(config->tls_key, PEM_SIZE_MAX, &key, &key_size, err);
    if (rc == 0)
        rc = pem_use(tls, chain, chain_size, key, key_size, err);
    if (key)
        ct_wipe(key, key_size);
    free(key);
    free(chain);
    return rc;
}

/* What is in the evidence's place goes into the log once, not at each try. */
static void evidence_fail(struct http_tls *tls, const struct err *err)
{
    if (strcmp(tls->evidence_problem, err->text) != 0)
        server_log(tls->server, "warning", "the TLS certificate carries no evidence", "error",
                   err->text, NULL);
    memcpy(tls->evidence_problem, err->text, sizeof tls->evidence_problem);
}

/*
 * Evidence about the key, where this server runs in a TEE. A quoting service that is away for a while costs nothing as long as the present certificate is valid; after
 * that the server goes on without evidence, and clients with a policy refuse it. returns: 0, *ret NULL: none; -EAGAIN keep the present one.
 */
static int evidence_get(struct http_tls *tls, EVP_PKEY *key, struct cert_binding *ret_binding,
                        struct cmw **ret, struct err *err)
{
    struct attest_source source = attest_source_tsm(ATTEST_TSM_FOLDER);
    struct err problem = { "" };
    int rc;

    *ret = NULL;
    if (access(ATTEST_TSM_FOLDER, F_OK) < 0)
        return 0;
    rc = cert_binding_make(key, ret_binding);
    if (rc == 0)
        rc = source.get(source.arg, ret_binding->report_data, ret, &problem);
    if (rc == 0) {
        tls->evidence_problem[0] = 0;
        return 0;
    }
    if (!problem.text[0])
        err_set_errno(&problem, rc, "evidence");
    if (tls->until_s > server_now_s(tls->server) + 2 * RETRY_S)
        return err_set(err, -EAGAIN, "%s", problem.text);
    evidence_fail(tls, &problem);
    return 0;
}

static int issue(struct http_tls *tls, EVP_PKEY *key, struct ca_issued *ret, bool *ret_is_attested,
                 struct err *err)
{
    const struct server *server = tls->server;
    struct cert_binding binding;
    struct cmw *evidence = NULL;
    struct ca_server_request request = { .public_key = key,
                                         .names = server->config->names,
                                         .name_count = server->config->name_count,
                                         .binding = &binding };
    int rc = evidence_get(tls, key, &binding, &evidence, err);

    request.evidence = evidence;
    if (rc == 0)
        rc = ca_issue_server(server->ca, &request, ret, err);
    *ret_is_attested = evidence != NULL;
    cmw_free(evidence);
    return rc;
}

static int issued_use(struct http_tls *tls, struct err *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *bio = BIO_new(BIO_s_secmem());
    struct ca_issued issued = { NULL };
    int64_t now_s = server_now_s(tls->server);
    bool is_attested = false;
    char *pem;
    long pem_size;
    int rc = key && bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1
                 ? 0
                 : err_set(err, -ENOMEM, "cannot make a key");

    if (rc == 0)
        rc = issue(tls, key, &issued, &is_attested, err);
    if (rc == 0) {
        pem_size = BIO_get_mem_data(bio, &pem);
        rc = pem_use(tls, issued.chain_pem, strlen(issued.chain_pem), pem, (size_t)pem_size, err);
    }
    if (rc == 0) {
        tls->renew_s = now_s + (issued.until_s - now_s) * 2 / 3;
        tls->until_s = is_attested ? issued.until_s : 0;
        if (tls->evidence_problem[0]) /* it may be had soon */
            tls->renew_s = now_s + RETRY_S;
    }
    free(issued.chain_pem);
    EVP_PKEY_free(key);
    BIO_free(bio);
    return rc;
}

int http_tls_reload(struct http_tls *tls, struct err *err)
{
    int rc;

    pthread_mutex_lock(&tls->making);
    rc = tls->server->config->tls_certificate ? files_use(tls, err) : issued_use(tls, err);
    pthread_mutex_unlock(&tls->making);
    return rc < 0 ? err_wrap(err, rc, "TLS certificate") : 0;
}

void http_tls_renew(struct http_tls *tls, int64_t now_s)
{
    struct err err = { "" };

    if (tls->renew_s == 0 || now_s < tls->renew_s)
        return;
    if (http_tls_reload(tls, &err) < 0) {
        tls->renew_s = now_s + RETRY_S;
        server_log(tls->server, "error", "the TLS certificate was not renewed", "error", err.text,
                   NULL);
    }
}

/* ---- handshakes ---- */

/* Copies, for GnuTLS to free: what it was given may be replaced at any moment. */
static int certificate_retrieve(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
                                gnutls_pcert_st **certs, unsigned *certs_length,
                                gnutls_ocsp_data_st **ocsp, unsigned *ocsp_length,
                                gnutls_privkey_t *privkey, unsigned *flags)
{
    struct http_tls *tls = g_tls;
    gnutls_pcert_st *list = gnutls_calloc(CHAIN_MAX, sizeof *list);
    gnutls_privkey_t key = NULL;
    unsigned count = 0;
    int rc = list ? gnutls_privkey_init(&key) : GNUTLS_E_MEMORY_ERROR;

    pthread_mutex_lock(&tls->lock);
    if (rc == 0)
        rc = gnutls_privkey_import_x509(key, tls->key, GNUTLS_PRIVKEY_IMPORT_COPY);
    for (; rc == 0 && count < tls->chain_count; count += rc == 0)
        rc = gnutls_pcert_import_x509(&list[count], tls->chain[count], 0);
    pthread_mutex_unlock(&tls->lock);
    if (rc < 0) {
        for (unsigned i = 0; i < count; i++)
            gnutls_pcert_deinit(&list[i]);
        gnutls_free(list);
        if (key)
            gnutls_privkey_deinit(key);
        return -1;
    }
    *certs = list;
    *certs_length = count;
    *ocsp = NULL;
    *ocsp_length = 0;
    *privkey = key;
    *flags = GNUTLS_CERT_RETR_DEINIT_ALL;
    return 0;
}

void *http_tls_callback(void)
{
    return (void *)certificate_retrieve;
}

int http_tls_new(struct server *server, struct http_tls **ret, struct err *err)
{
    struct http_tls *tls = calloc(1, sizeof *tls);
    int rc;

    if (!tls)
        return -ENOMEM;
    tls->server = server;
    pthread_mutex_init(&tls->making, NULL);
    pthread_mutex_init(&tls->lock, NULL);
    rc = http_tls_reload(tls, err);
    if (rc < 0) {
        http_tls_free(tls);
        return rc;
    }
    g_tls = tls;
    *ret = tls;
    return 0;
}

void http_tls_free(struct http_tls *tls)
{
    if (!tls)
        return;
    if (g_tls == tls)
        g_tls = NULL;
    chain_free(tls->chain, tls->chain_count);
    gnutls_x509_privkey_deinit(tls->key);
    pthread_mutex_destroy(&tls->lock);
    pthread_mutex_destroy(&tls->making);
    free(tls);
}
