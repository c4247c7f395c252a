/* SPDX-License-Identifier: Apache-2.0 */
/* Attested TLS: what OpenSSL is told. Relying party and agent; RFC 8446, interoperable RA-TLS. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <openssl/err.h>

#include "attest/cert.h"
#include "attest/context.h"

static pthread_once_t g_peer_once = PTHREAD_ONCE_INIT;
static int g_peer_index = -1; /* of an SSL's struct attest_peer; written once */

static void peer_free(void *parent, void *peer, CRYPTO_EX_DATA *data, int index, long arg,
                      void *argp)
{
    free(peer);
}

static void peer_index_init(void)
{
    g_peer_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, peer_free);
}

const struct attest_peer *attest_peer_result(const SSL *ssl)
{
    return g_peer_index >= 0 ? SSL_get_ex_data(ssl, g_peer_index) : NULL;
}

/* The SSL's result, made when it is needed first. */
static struct attest_peer *peer_of(SSL *ssl)
{
    struct attest_peer *peer = SSL_get_ex_data(ssl, g_peer_index);

    if (peer)
        return peer;
    peer = calloc(1, sizeof *peer);
    if (peer && SSL_set_ex_data(ssl, g_peer_index, peer) != 1) {
        free(peer);
        return NULL;
    }
    return peer;
}

/* Takes the place of OpenSSL's verification of chains. returns: 1 accepted, 0 not. */
static int verify_cb(X509_STORE_CTX *store, void *arg)
{
    struct attest_context *context = arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    X509 *cert = X509_STORE_CTX_get0_cert(store);
    struct attest_peer *peer = ssl ? peer_of(ssl) : NULL;
    int rc = peer && cert ? attest_judge(context, cert, peer) : -ENOMEM;

    if (peer && context->options.on_verdict)
        context->options.on_verdict(context->options.on_verdict_arg, peer);
    X509_STORE_CTX_set_error(store, rc == 0 ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
    return rc == 0 ? 1 : 0;
}

/* Called when a certificate is about to be sent. returns: 1 go on; 0 the handshake fails. */
static int cert_cb(SSL *ssl, void *arg)
{
    X509 *cert;
    EVP_PKEY *key;
    bool good;

    if (attest_context_cert(arg, &cert, &key, NULL) < 0)
        return 0;
    good = SSL_use_certificate(ssl, cert) == 1 && SSL_use_PrivateKey(ssl, key) == 1;
    X509_free(cert);
    EVP_PKEY_free(key);
    return good;
}

static int setup(struct attest_context *context, SSL_CTX *ssl_ctx, struct err *err)
{
    pthread_once(&g_peer_once, peer_index_init);
    if (g_peer_index < 0 || SSL_CTX_set_min_proto_version(ssl_ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_num_tickets(ssl_ctx, 0) != 1)
        return err_set(err, -EIO, "OpenSSL refuses TLS 1.3");
    SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(ssl_ctx, CERT_SIZE_MAX + 1024);
    if (context->options.source.get)
        SSL_CTX_set_cert_cb(ssl_ctx, cert_cb, context);
    if (context->options.policy) {
        SSL_CTX_set_verify(ssl_ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        SSL_CTX_set_cert_verify_callback(ssl_ctx, verify_cb, context);
    }
    return 0;
}

int attest_tls_server(struct attest_context *context, SSL_CTX *ssl_ctx, struct err *err)
{
    if (!context->options.source.get)
        return err_set(err, -EINVAL, "a server of attested TLS needs a source of evidence");
    return setup(context, ssl_ctx, err);
}

int attest_tls_client(struct attest_context *context, SSL_CTX *ssl_ctx, struct err *err)
{
    if (!context->options.policy)
        return err_set(err, -EINVAL,
                       "a client of attested TLS needs a policy: it would accept anyone");
    return setup(context, ssl_ctx, err);
}
