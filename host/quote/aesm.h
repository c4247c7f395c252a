/* SPDX-License-Identifier: Apache-2.0 */
/* One request to AESM over its socket, and the answer. Untrusted side; the service may be slow, silent or hostile. */
#pragma once

#include <sys/un.h>

#include "host/quote/aesm_message.h"

/* returns: 0; -ENAMETOOLONG. */
MUST_CHECK int aesm_address_set(const char *path, struct sockaddr_un *ret);

/* Connects, for nothing else than to see that somebody listens. returns: 0; -ENOENT, -ECONNREFUSED, ...; -ETIMEDOUT. */
MUST_CHECK int aesm_probe(const struct sockaddr_un *address);

/*
 * Connects, asks, reads the answer, closes: a service that was started again meanwhile is found. until_ms: of CLOCK_MONOTONIC.
 * returns: 0; -ENODEV nobody listens; -ETIMEDOUT; -EIO; -EAGAIN; -ENOMEM; err says why.
 */
MUST_CHECK int aesm_call(const struct sockaddr_un *address, const struct aesm_request *request,
                         int64_t until_ms, struct aesm_answer *ret, struct err *err);

/* CLOCK_MONOTONIC in milliseconds. */
int64_t aesm_now_ms(void);
