/* SPDX-License-Identifier: Apache-2.0 */
/* Keys, certificates and revocation lists of the emulated PKI, with OpenSSL. Untrusted side; within host/sgx/emu/pki. */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "host/sgx/emu/pki/pki.h"

enum issue_kind { ISSUE_ROOT, ISSUE_CA, ISSUE_TCB_SIGNING, ISSUE_PCK };

struct issue_request {
    enum issue_kind kind;
    const char *cn;
    EVP_PKEY *key;      /* of the new certificate; has the public part */
    const X509 *issuer; /* NULL: itself */
    EVP_PKEY *issuer_key;
    const uint8_t *pck_extension; /* ISSUE_PCK: content of the SGX extension */
    size_t pck_extension_size;
};

void issue_keyp(EVP_PKEY **key);
void issue_certp(X509 **cert);

/* returns: a P-256 key, or NULL. */
EVP_PKEY *issue_key_new(void);
/* returns: the certificate, or NULL. */
X509 *issue_cert_new(const struct issue_request *request);

struct issue_crl_request {
    const X509 *issuer;
    EVP_PKEY *key;
    int64_t this_update_s, next_update_s;
    unsigned serial_count;
    const char *const *serials; /* hexadecimal */
};
/* Full list, version 2, as DER for OPENSSL_free(). returns: its size; negative: it could not be made. */
int issue_crl_der(const struct issue_crl_request *request, uint8_t **ret);

/* ECDSA with SHA-256 as r, s. returns: 0; -EIO. */
MUST_CHECK int issue_sign(EVP_PKEY *key, const void *data, size_t size,
                          uint8_t ret[EMU_PKI_SIGNATURE_SIZE]);
/* Serial number in hexadecimal, for OPENSSL_free(). NULL: no memory. */
char *issue_serial_text(const X509 *cert);

/* ---- pck_extension.c ---- */

#define PCK_EXTENSION_SIZE_MAX 1024u
struct pck_extension {
    uint8_t ppid[16], cpu_svn[16], fmspc[6], pce_id[2], platform_instance_id[16];
    uint8_t svn[EMU_PKI_SVN_COUNT];
    uint16_t pce_svn;
    bool is_platform; /* with platform instance and configuration */
};
/* Content of extension 1.2.840.113741.1.13.1. returns: its size, at most PCK_EXTENSION_SIZE_MAX. */
size_t pck_extension_encode(const struct pck_extension *extension,
                            uint8_t ret[PCK_EXTENSION_SIZE_MAX]);
