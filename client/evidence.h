/* SPDX-License-Identifier: Apache-2.0 */
/* What a context asks of its server besides a certificate: evidence under a policy (docs/attested-tls.md). Relying party; within client/; what the server shows is hostile. */
#pragma once

#include <curl/curl.h>

#include "attest/attest.h"

enum evidence_state {
    EVIDENCE_UNKNOWN, /* no connection yet, or none by TLS */
    EVIDENCE_ABSENT,  /* the certificate carries none */
    EVIDENCE_SHOWN,   /* it carries some; without a policy it is not judged */
    EVIDENCE_ACCEPTED,
    EVIDENCE_REFUSED,
};

struct evidence {
    struct verifier_policy *policy; /* NULL: nothing is asked */
    struct attest_context *context;
    bool
        has_ca; /* the chain is verified up to the context's or the system's authorities; else the evidence alone decides */
    enum evidence_state state;  /* of the last handshake */
    char reason[ERR_TEXT_SIZE]; /* of ACCEPTED and REFUSED */
};

/* policy: text of a verifier's policy, or NULL. returns: 0; -EINVAL, -EBADMSG the policy. */
MUST_CHECK int evidence_init(struct evidence *ret, const char *policy, bool has_ca,
                             struct err *err);
void evidence_done(struct evidence *evidence);
/*
 * Judges every handshake of this handle: what is refused ends it before anything was sent. evidence must outlive the handle.
 * returns: 0; -EOPNOTSUPP libcurl is built over another library than OpenSSL, and there is a policy.
 */
MUST_CHECK int evidence_watch(struct evidence *evidence, CURL *curl, struct err *err);
