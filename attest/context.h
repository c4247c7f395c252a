/* SPDX-License-Identifier: Apache-2.0 */
/* What an attest_context holds. Relying party and agent; within attest/. */
#pragma once

#include <pthread.h>

#include "attest/attest.h"

struct attest_context {
    struct attest_options options; /* immutable */
    pthread_mutex_t lock;          /* guards what follows */
    EVP_PKEY *key;                 /* NULL: none yet */
    X509 *cert;
    int64_t renew_s, until_s; /* when to make the next one, and when this one ends */
};

int64_t attest_context_now(const struct attest_context *context);
/* A certificate that is valid, with references of its own. returns: 0; errors as attest_context_prepare. */
MUST_CHECK int attest_context_cert(struct attest_context *context, X509 **ret_cert,
                                   EVP_PKEY **ret_key, struct err *err);
