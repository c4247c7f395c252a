/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGSTRUCT: the publisher's signature over an enclave (SDM vol. 3D, 35.14 and EINIT). Relying party.
 * RSA-3072 with exponent 3, PKCS #1 v1.5 over SHA-256, so the same key and enclave give the same bytes.
 */
#pragma once

#include "abi/sgx_arch.h"
#include "lib/err.h"

#include <openssl/bn.h>
#include <openssl/evp.h>

#define SIGSTRUCT_DATE_DEFAULT 0x20260101u /* BCD; not the clock's: builds are reproducible */

/*
 * path: a private key in PEM, RSA with 3072 bits and exponent 3. NULL: ~/.config/cloche/sign.pem, which is
 * made, readable by its owner only, when it is not there (*ret_made).
 * returns: 0; -EINVAL another kind of key; -errno. *ret is given back with EVP_PKEY_free.
 */
MUST_CHECK int sigstruct_key_load(const char *path, EVP_PKEY **ret, bool *ret_made,
                                  const char **ret_path, struct err *err);

/* What the publisher says about an enclave, beside its measurement. */
struct sigstruct_terms {
    uint32_t date;        /* yyyymmdd in BCD */
    uint16_t isv_prod_id; /* which of the signer's products */
    uint16_t
        isv_svn; /* its security version: higher ones can have the sealing keys of lower ones */
    bool debug;
};
MUST_CHECK int sigstruct_sign(EVP_PKEY *key, const uint8_t mrenclave[32],
                              const struct sigstruct_terms *terms, struct sgx_sigstruct *ret,
                              struct err *err);

/* What EINIT would refuse about a SIGSTRUCT: bits. */
#define SIGSTRUCT_FAULT_FORM 0x1u      /* fixed fields */
#define SIGSTRUCT_FAULT_EXPONENT 0x2u  /* is not 3 */
#define SIGSTRUCT_FAULT_SIGNATURE 0x4u /* does not verify with the exponent that is stated */
#define SIGSTRUCT_FAULT_QUOTIENTS 0x8u /* Q1 or Q2 */
/* returns: all that apply, 0: none; -ENOMEM. The bytes may be hostile. */
MUST_CHECK int sigstruct_faults(const struct sgx_sigstruct *s);

/*
 * Whether the bytes are a SIGSTRUCT that EINIT would accept: fixed fields, exponent, signature, Q1 and Q2.
 * returns: 0; -EBADMSG.
 */
MUST_CHECK int sigstruct_verify(const struct sgx_sigstruct *s, struct err *err);

/* Q1 and Q2 (little-endian) for signature s under modulus n; n is not 0. returns: 0; -EIO they do not fit, or no memory. */
MUST_CHECK int sigstruct_quotients(const BIGNUM *s, const BIGNUM *n,
                                   uint8_t ret_q1[SGX_SIGSTRUCT_KEY_SIZE],
                                   uint8_t ret_q2[SGX_SIGSTRUCT_KEY_SIZE]);

/* SHA-256 of the modulus. */
void sigstruct_mrsigner(const struct sgx_sigstruct *s, uint8_t ret[32]);
