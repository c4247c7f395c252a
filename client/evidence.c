/* SPDX-License-Identifier: Apache-2.0 */
/* Judging the server's evidence in the handshake, through libcurl's hook for OpenSSL. Relying party; what the server shows is hostile. */
#include "client/evidence.h"

#include <errno.h>
#include <string.h>

#include "attest/cert.h"
#include "verifier/x509/chain.h"

int evidence_init(struct evidence *ret, const char *policy, bool has_ca, struct err *err)
{
    struct attest_options options = { 0 };
    int rc = 0;

    *ret = (struct evidence){ .has_ca = has_ca || !policy };
    if (!policy)
        return 0;
    rc = verifier_policy_new(policy, strlen(policy), &ret->policy, err);
    options.policy = ret->policy;
    if (rc == 0)
        rc = attest_context_new(&options, &ret->context, err);
    if (rc < 0) {
        evidence_done(ret);
        return err_wrap(err, rc, "the policy for the server");
    }
    return 0;
}

void evidence_done(struct evidence *evidence)
{
    attest_context_free(evidence->context);
    verifier_policy_free(evidence->policy);
    *evidence = (struct evidence){ 0 };
}

static bool judge(struct evidence *e, X509 *cert)
{
    struct attest_peer peer;
    struct verifier_bytes content;

    if (!e->policy) {
        e->state = x509_extension_find(cert, CERT_OID_EVIDENCE, &content) == 0 ? EVIDENCE_SHOWN
                                                                               : EVIDENCE_ABSENT;
        return true;
    }
    e->state =
        attest_judge_issued(e->context, cert, &peer) == 0 ? EVIDENCE_ACCEPTED : EVIDENCE_REFUSED;
    memcpy(e->reason, peer.reason, sizeof e->reason);
    return e->state == EVIDENCE_ACCEPTED;
}

/* OpenSSL's place for verifying the other end's chain. returns: 1 accepted. */
static int verify(X509_STORE_CTX *store, void *arg)
{
    struct evidence *e = arg;
    X509 *cert = X509_STORE_CTX_get0_cert(store);

    e->state = EVIDENCE_UNKNOWN;
    if (e->has_ca && X509_verify_cert(store) != 1)
        return 0;
    if (!cert || !judge(e, cert)) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

static CURLcode set_up(CURL *curl UNUSED, void *ssl_ctx, void *arg)
{
    SSL_CTX_set_cert_verify_callback(ssl_ctx, verify, arg);
    return CURLE_OK;
}

int evidence_watch(struct evidence *evidence, CURL *curl, struct err *err)
{
    /* A resumed session would not show its certificate again. */
    bool is_watched =
        curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, set_up) == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, evidence) == CURLE_OK &&
        (!evidence->policy || curl_easy_setopt(curl, CURLOPT_SSL_SESSIONID_CACHE, 0L) == CURLE_OK);

    if (!is_watched && evidence->policy)
        return err_set(
            err, -EOPNOTSUPP,
            "this libcurl cannot judge a server's evidence: it is not built over OpenSSL");
    return 0;
}
