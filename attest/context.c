/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts of attested TLS: the certificate and its renewal. Relying party and agent. */
#include "attest/context.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/ec.h>

#include "attest/cert.h"

#define RETRY_S 10 /* after a renewal that failed */

int attest_context_new(const struct attest_options *options, struct attest_context **ret,
                       struct err *err)
{
    struct attest_context *context;
    unsigned lifetime_s = options->lifetime_s ? options->lifetime_s : ATTEST_LIFETIME_DEFAULT_S;

    if (!options->source.get && !options->policy)
        return err_set(
            err, -EINVAL,
            "attested TLS needs evidence of its own, a policy for the other end, or both");
    if (lifetime_s < ATTEST_LIFETIME_MIN_S || lifetime_s > ATTEST_LIFETIME_MAX_S)
        return err_set(err, -EINVAL, "certificates live %u to %u seconds, not %u",
                       ATTEST_LIFETIME_MIN_S, ATTEST_LIFETIME_MAX_S, lifetime_s);
    context = calloc(1, sizeof *context);
    if (!context)
        return -ENOMEM;
    context->options = *options;
    context->options.lifetime_s = lifetime_s;
    pthread_mutex_init(&context->lock, NULL);
    *ret = context;
    return 0;
}

void attest_context_free(struct attest_context *context)
{
    if (!context)
        return;
    EVP_PKEY_free(context->key);
    X509_free(context->cert);
    pthread_mutex_destroy(&context->lock);
    free(context);
}

int64_t attest_context_now(const struct attest_context *context)
{
    return context->options.now_s ? context->options.now_s() : (int64_t)time(NULL);
}

/* A fresh key, evidence over it, and a certificate of both. The lock is held. */
static int cert_make(struct attest_context *context, int64_t now_s, struct err *err)
{
    struct cert_binding binding;
    struct cmw *cmw = NULL;
    X509 *cert = NULL;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    int rc = key ? cert_binding_make(key, &binding) : -EIO;

    if (rc == 0)
        rc = context->options.source.get(context->options.source.arg, binding.report_data, &cmw,
                                         err);
    if (rc == 0)
        rc = cert_new(key, &binding, cmw, now_s, now_s + context->options.lifetime_s, &cert, err);
    cmw_free(cmw);
    if (rc < 0) {
        EVP_PKEY_free(key);
        return err_wrap(err, rc, "cannot make an attested certificate");
    }
    EVP_PKEY_free(context->key);
    X509_free(context->cert);
    context->key = key;
    context->cert = cert;
    context->until_s = now_s + context->options.lifetime_s;
    context->renew_s = context->until_s - context->options.lifetime_s / 3;
    return 0;
}

/* The lock is held. */
static int cert_renew(struct attest_context *context, struct err *err)
{
    int64_t now_s = attest_context_now(context);
    bool is_valid = context->cert && now_s < context->until_s;
    int rc;

    /* A clock that was set back far would let a certificate live for ever. */
    if (is_valid && now_s < context->renew_s &&
        now_s >= context->until_s - (int64_t)context->options.lifetime_s - ATTEST_CLOCK_SKEW_S)
        return 0;
    rc = cert_make(context, now_s, err);
    if (rc < 0 && is_valid) {
        context->renew_s = now_s + RETRY_S;
        return 0;
    }
    return rc;
}

int attest_context_cert(struct attest_context *context, X509 **ret_cert, EVP_PKEY **ret_key,
                        struct err *err)
{
    int rc;

    if (!context->options.source.get)
        return err_set(err, -EINVAL, "this end has no source of evidence");
    pthread_mutex_lock(&context->lock);
    rc = cert_renew(context, err);
    if (rc == 0 && (X509_up_ref(context->cert) != 1 || EVP_PKEY_up_ref(context->key) != 1))
        rc = -EIO;
    if (rc == 0) {
        *ret_cert = context->cert;
        *ret_key = context->key;
    }
    pthread_mutex_unlock(&context->lock);
    return rc;
}

int attest_context_prepare(struct attest_context *context, struct err *err)
{
    X509 *cert;
    EVP_PKEY *key;
    int rc = attest_context_cert(context, &cert, &key, err);

    if (rc < 0)
        return rc;
    X509_free(cert);
    EVP_PKEY_free(key);
    return 0;
}
