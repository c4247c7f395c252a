/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quoting service of this machine, as the loader uses it: the platform's AESM behind its socket, or the emulated
 * quoting enclave. Untrusted side: whatever comes from here is checked by whoever verifies the quote.
 *
 * quote_open runs before the loader's seccomp list is in force; what needs more than the rows of abi/ocall.def name
 * (opening files, starting a service) happens there. All other calls run under the list, by any number of
 * threads at once, and end within QUOTE_TIMEOUT_MS.
 */
#pragma once

#ifdef TEE_BUILD
#error "host header in measured code"
#endif

#include "abi/evidence.h"
#include "lib/err.h"

#define QUOTE_SOCKET_DEFAULT "/var/run/aesmd/aesm.socket"
#define QUOTE_SOCKET_EMULATED "/run/cloche/emu-quoting.socket" /* of `cloche emu quoting` */
#define QUOTE_SOCKET_ENV "CLOCHE_QUOTE_SOCKET"
#define QUOTE_COLLATERAL_ENV "CLOCHE_COLLATERAL"
#define QUOTE_TIMEOUT_MS 10000u

struct quote_options {
    const char *socket_path; /* NULL: QUOTE_SOCKET_ENV, else the machine's own service */
    const char
        *collateral_path; /* NULL: QUOTE_COLLATERAL_ENV, else what the service gives, if anything */
    bool emulated;        /* the enclave is the emulator's: only an emulated service can quote it */
};

struct quote_service;

/*
 * Finds the service. Strings of options need not outlive the call.
 * returns: 0; -ENODEV there is none on this machine (nobody asked for one by name); another -errno, with err set, when
 *          one was asked for and cannot be had.
 */
MUST_CHECK int quote_open(const struct quote_options *options, struct quote_service **ret,
                          struct err *err);
void quote_free(struct quote_service *q);

/* What a report must be made for to be quoted, and which key will sign. q may be NULL: -ENODEV.
 * returns: 0; -ENODEV no service; -EAGAIN it is busy; -ETIMEDOUT; -EIO it answered with nonsense or an error. */
MUST_CHECK int quote_target(struct quote_service *q, struct evidence_target *ret);

/* Quotes the report. dst: EVIDENCE_QUOTE_SIZE_MAX bytes. request comes from the enclave: hostile as far as this side is
 * concerned. returns: bytes of the quote; errors as quote_target's. */
MUST_CHECK int64_t quote_get(struct quote_service *q, const struct evidence_quote_request *request,
                             void *dst);

/*
 * Collateral for the platform that the quote names, as one blob in the format of docs/evidence.md, from byte `off` on.
 * dst: size bytes. ret_total: size of the whole blob, at most EVIDENCE_COLLATERAL_SIZE_MAX.
 * returns: bytes written, 0 at the end; -ENODATA the host has none; errors as quote_target's.
 */
MUST_CHECK int64_t quote_collateral(struct quote_service *q, const void *quote, size_t quote_size,
                                    uint64_t off, void *dst, size_t size, uint64_t *ret_total);
