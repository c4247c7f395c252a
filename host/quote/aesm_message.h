/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between a client of AESM and the service: encodes requests, reads answers. Untrusted side; pure; answers may be hostile. The
 * service's side is host/sgx/emu/quoting.
 */
#pragma once

#ifdef TEE_BUILD
#error "host header in measured code"
#endif

#include "abi/evidence.h"
#include "lib/err.h"

#define AESM_SIZE_SIZE 4u /* in front of each message */
#define AESM_REQUEST_SIZE_MAX (EVIDENCE_QUOTE_SIZE_MAX + 1024u)
#define AESM_RESPONSE_SIZE_MAX (EVIDENCE_COLLATERAL_SIZE_MAX + 1024u)
#define AESM_KEY_ID_SIZE 256u
#define AESM_KEY_COUNT_MAX 32u
#define AESM_PUBLIC_KEY_ID_SIZE 32u
#define AESM_KEY_ALGORITHM_OFF 154u /* in a key id, 32 bits */
#define AESM_ALGORITHM_ECDSA_P256 2u

enum aesm_kind {
    AESM_KEY_COUNT,  /* answer: number */
    AESM_KEYS,       /* number: how many; answer: bytes, AESM_KEY_ID_SIZE each */
    AESM_INIT,       /* key; answer: bytes, a TARGETINFO */
    AESM_QUOTE_SIZE, /* key; answer: number */
    AESM_QUOTE,      /* key, payload: REPORT, number: size of the quote; answer: bytes */
    AESM_COLLATERAL, /* payload: quote; answer: bytes */
};

struct aesm_request {
    enum aesm_kind kind;
    uint32_t number;
    uint32_t timeout_ms;
    const uint8_t *key; /* AESM_KEY_ID_SIZE bytes, or NULL */
    const uint8_t *payload;
    size_t payload_size;
};

/* Message without its size in front. returns: its size; -E2BIG. dst: AESM_REQUEST_SIZE_MAX bytes. */
MUST_CHECK int64_t aesm_request_encode(const struct aesm_request *request, uint8_t *dst);

struct aesm_answer {
    uint32_t number;
    uint8_t *data; /* for free(); NULL when the kind has none */
    size_t size;
};
/*
 * Reads the answer to a request of that kind: sizes are checked against what was asked for. returns: 0; -EIO it is no such answer; what
 * aesm_error_errno says of the service's own error, with its text in err; -ENOMEM.
 */
MUST_CHECK int aesm_answer_parse(const struct aesm_request *request, const uint8_t *data,
                                 size_t size, struct aesm_answer *ret, struct err *err);

/* Of a code that is not 0: what it means, static; and the errno of host/quote/quote.h that fits. */
const char *aesm_error_text(uint32_t code);
int aesm_error_errno(uint32_t code);
