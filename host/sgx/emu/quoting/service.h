/* SPDX-License-Identifier: Apache-2.0 */
/* The emulated quoting service: one quoting enclave, its certification by the emulated PKI, and AESM's protocol. Untrusted side. */
#pragma once

#ifdef TEE_BUILD
#error "host header in measured code"
#endif

#include "abi/evidence.h"
#include "lib/err.h"

#define QUOTING_CLIENT_COUNT_MAX 64u
#define QUOTING_CLIENT_TIMEOUT_S 10

struct quoting_options {
    const char *loader; /* the program */
    const char *image;  /* sealed image of the quoting enclave */
    const char *pki;    /* folder, host/sgx/emu/pki */
};

struct quoting;

/* Starts the enclave and has its identity. Strings must outlive it. returns: 0; -errno. */
MUST_CHECK int quoting_start(const struct quoting_options *options, struct quoting **ret,
                             struct err *err);
/* Ends the enclave; NULL allowed. No other call may be going on. */
void quoting_free(struct quoting *q);
/* Process id of the enclave's loader. */
int quoting_child(const struct quoting *q);

/* What reports must be made for. */
const struct sgx_targetinfo *quoting_target(const struct quoting *q);
/* The largest size that a quote can have now. returns: bytes; -errno. */
MUST_CHECK int64_t quoting_quote_size(struct quoting *q, struct err *err);
/*
 * dst: EVIDENCE_QUOTE_SIZE_MAX bytes. Any thread. returns: bytes of the quote; -EBADMSG the report was not made for the quoting enclave
 * on this machine; -EIO it is gone.
 */
MUST_CHECK int64_t quoting_quote(struct quoting *q, const struct sgx_report *report, uint8_t *dst,
                                 struct err *err);
/* The PKI's collateral as one blob for free(). */
MUST_CHECK int quoting_collateral(struct quoting *q, uint8_t **ret, size_t *ret_size,
                                  struct err *err);

/* 32 bytes: who signed the quoting enclave. */
const uint8_t *quoting_mrsigner(const struct quoting *q);

/* ---- answer.c ---- */

/*
 * The answer to one request, which may be hostile, with its size in front, for free(). What went wrong inside is part of the answer; err says it
 * for the operator. returns: 0; -EINVAL it is no request; -ENOMEM.
 */
MUST_CHECK int quoting_answer(struct quoting *q, const uint8_t *request, size_t size, uint8_t **ret,
                              size_t *ret_size, struct err *err);

/* ---- serve.c ---- */

/* Answers one client until it closes, and closes fd. */
void quoting_serve(struct quoting *q, int fd);
