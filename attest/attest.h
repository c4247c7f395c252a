/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attested TLS in one call, for OpenSSL 3: a TLS 1.3 connection whose end proves by its certificate what it runs on and what it is
 * (interoperable RA-TLS, docs/attested-tls.md). Relying party, and inside a TEE; the other end may be hostile.
 *
 *     attest_context_new(&(struct attest_options){ .policy = policy }, &context, &err);
 *     attest_tls_client(context, ssl_ctx, &err);
 *     ...
 *     if (SSL_connect(ssl) != 1)
 *         puts(attest_peer_result(ssl)->reason);
 *
 *     struct attest_source source = attest_source_tsm(ATTEST_TSM_FOLDER);
 *     attest_context_new(&(struct attest_options){ .source = source }, &context, &err);
 *     attest_tls_server(context, ssl_ctx, &err);
 *
 * With a source an end has a certificate; with a policy it asks the other for one. Both ends with both: mutual.
 * A context may be used by many threads and connections at once; it must outlive every SSL_CTX that it was given to.
 */
#pragma once

#include <openssl/ssl.h>

#include "attest/cmw.h"
#include "verifier/verifier.h"

#define ATTEST_LIFETIME_DEFAULT_S 3600u
#define ATTEST_LIFETIME_MIN_S 60u
#define ATTEST_LIFETIME_MAX_S (7u * 24 * 3600)
#define ATTEST_CLOCK_SKEW_S 300 /* by so much the other end's clock may be ahead of ours */
#define ATTEST_REPORT_DATA_SIZE 64u

/* ---- where evidence comes from ---- */

/*
 * Gets evidence over report_data: a record, or a collection with "evidence" and maybe "collateral". Called by one thread at a time.
 * returns: 0, and *ret is for cmw_free; a negative errno, and err says why.
 */
typedef int attest_source_fn(void *arg, const uint8_t report_data[ATTEST_REPORT_DATA_SIZE],
                             struct cmw **ret, struct err *err);
struct attest_source {
    attest_source_fn *get; /* NULL: no evidence, so no certificate */
    void *arg;
};

/* Linux's configfs-tsm (Documentation/ABI/testing/configfs-tsm-report), which enclaves have as well. */
#define ATTEST_TSM_FOLDER "/sys/kernel/config/tsm/report"
/* folder: of the reports; or, where it has an `inblob` itself, one report that others made. It must stay. */
struct attest_source attest_source_tsm(const char *folder);

/* ---- contexts ---- */

struct attest_peer;
struct attest_options {
    struct attest_source source;
    const struct verifier_policy *policy;         /* NULL: the other end is not asked; borrowed */
    const struct verifier_collateral *collateral; /* NULL: what the other end staples; borrowed */
    unsigned lifetime_s; /* of certificates; 0: ATTEST_LIFETIME_DEFAULT_S */
    /* Told of each verdict, also in the middle of a handshake, from whatever thread that runs on; or NULL. */
    void (*on_verdict)(void *arg, const struct attest_peer *peer);
    void *on_verdict_arg;
    int64_t (*now_s)(void); /* seconds since 1970; NULL: the system's clock */
};

struct attest_context;
/* returns: 0; -EINVAL neither source nor policy, or a lifetime that is out of bounds; -ENOMEM. */
MUST_CHECK int attest_context_new(const struct attest_options *options, struct attest_context **ret,
                                  struct err *err);
void attest_context_free(struct attest_context *context); /* NULL allowed */

/*
 * Makes a certificate now, so that a missing source is told at the start; without it the first connection does. A certificate is renewed
 * when a third of its life is left; while that fails, the old one serves to its end. returns: 0; the source's error; -EIO, -ENOMEM.
 */
MUST_CHECK int attest_context_prepare(struct attest_context *context, struct err *err);

/*
 * Sets up one end: TLS 1.3 alone, no session tickets (each connection judges anew), the certificate, what is asked of the other end. A server needs a
 * source, a client a policy. returns: 0; -EINVAL it lacks that; -EIO OpenSSL refuses.
 */
MUST_CHECK int attest_tls_server(struct attest_context *context, SSL_CTX *ssl_ctx, struct err *err);
MUST_CHECK int attest_tls_client(struct attest_context *context, SSL_CTX *ssl_ctx, struct err *err);

/* ---- results ---- */

struct attest_peer {
    int rc; /* 0 accepted; -EBADMSG refused by verification or policy; -ENOENT, -EINVAL it showed no, or no readable, evidence */
    char reason[ERR_TEXT_SIZE]; /* for people, one line; also when it was accepted */
    bool is_judged;             /* the verifier was asked: result holds its answer */
    int64_t judged_s;
    int64_t certificate_from_s, certificate_until_s; /* 0: not readable */
    struct verifier_result result;
};
/* What was found about the other end of this connection, or NULL: nothing was asked, or the handshake is not so far. Lives with the SSL. */
const struct attest_peer *attest_peer_result(const SSL *ssl);

/* Judges a certificate as a connection would. *ret is always written. returns: ret->rc; -ENOMEM. */
MUST_CHECK int attest_judge(const struct attest_context *context, X509 *cert,
                            struct attest_peer *ret);
/* The same of a certificate that an authority signed, whose chain is the caller's to check (attest/cert.h, cert_read_issued). */
MUST_CHECK int attest_judge_issued(const struct attest_context *context, X509 *cert,
                                   struct attest_peer *ret);
