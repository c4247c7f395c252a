/* SPDX-License-Identifier: Apache-2.0 */
/* Reading certificates that carry evidence. Relying party and agent; every byte may be hostile. Interoperable RA-TLS. */
#include <errno.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "attest/cbor.h"
#include "attest/cert_claims.h"
#include "attest/collateral.h"
#include "verifier/x509/chain.h"

#define SECURITY_BITS_MIN 112 /* of the key and of the signature */

static int key_check(EVP_PKEY *key, struct err *err)
{
    if (!key || EVP_PKEY_get_security_bits(key) < SECURITY_BITS_MIN)
        return err_set(err, -EBADMSG, "the certificate's key is of an unknown kind, or too weak");
    return 0;
}

static int signature_verify(X509 *cert, EVP_PKEY *key, struct err *err)
{
    int bits = 0;

    if (X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) != 0)
        return err_set(err, -EBADMSG,
                       "the certificate is not self-signed: issuer and subject differ");
    if (X509_get_signature_info(cert, NULL, NULL, &bits, NULL) != 1 || bits < SECURITY_BITS_MIN)
        return err_set(err, -EBADMSG,
                       "the certificate's signature is of an unknown kind, or too weak");
    if (X509_verify(cert, key) != 1)
        return err_set(err, -EBADMSG, "the certificate is not signed by its own key");
    return 0;
}

static int flags_check(X509 *cert, struct err *err)
{
    if (X509_get_extension_flags(cert) & (EXFLAG_CRITICAL | EXFLAG_INVALID))
        return err_set(
            err, -EBADMSG,
            "the certificate has a critical extension that is unknown, or a malformed one");
    return 0;
}

static int parse_quote(struct verifier_bytes content, EVP_PKEY *key, struct cert_content *ret,
                       struct err *err)
{
    struct cbor_pull c = { content.data, content.size };
    struct verifier_bytes claims;
    uint64_t tag, count;

    if (cbor_pull_head(&c, CBOR_TAG, &tag) < 0)
        return err_set(err, -EINVAL, "the evidence in the certificate is malformed");
    if (tag != CERT_TAG_INTEL_QUOTE)
        return err_set(err, -EINVAL,
                       "the evidence in the certificate has the CBOR tag %llu; %u is known",
                       (unsigned long long)tag, CERT_TAG_INTEL_QUOTE);
    if (cbor_pull_head(&c, CBOR_ARRAY, &count) < 0 || count != 2 ||
        cbor_pull_string(&c, CBOR_BYTES, &ret->evidence.data, &ret->evidence.size) < 0 ||
        cbor_pull_string(&c, CBOR_BYTES, &claims.data, &claims.size) < 0 || c.size > 0)
        return err_set(err, -EINVAL, "the evidence in the certificate is malformed");
    return cert_claims_verify(claims, key, ret->report_data, err);
}

/* A record without claims: they are those that this library would have written. */
static int parse_record(struct verifier_bytes content, EVP_PKEY *key, struct cert_content *ret,
                        struct err *err)
{
    struct cert_binding binding;
    const struct cmw_item *item;
    int rc = cmw_parse(content.data, content.size, &ret->evidence_cmw, err);

    if (rc < 0)
        return rc == -ENOMEM ? rc : -EINVAL;
    item = cmw_item_get(ret->evidence_cmw, 0);
    if (item->is_collection || strcmp(item->type, CMW_TYPE_SNP_REPORT) != 0)
        return err_set(err, -EINVAL, "the evidence in the certificate is of an unknown type");
    rc = cert_binding_make(key, &binding);
    if (rc < 0)
        return rc;
    ret->evidence = (struct verifier_bytes){ item->data, item->size };
    memcpy(ret->report_data, binding.report_data, sizeof ret->report_data);
    return 0;
}

static int evidence_read(X509 *cert, EVP_PKEY *key, struct cert_content *ret, struct err *err)
{
    struct verifier_bytes content;
    struct cbor_pull c;
    int rc = x509_extension_find(cert, CERT_OID_EVIDENCE, &content);

    if (rc == -ENOENT)
        return err_set(err, rc,
                       "the certificate carries no evidence (extension " CERT_OID_EVIDENCE ")");
    if (rc < 0)
        return err_set(err, rc, "the certificate carries evidence twice");
    c = (struct cbor_pull){ content.data, content.size };
    rc = cbor_pull_peek(&c) == CBOR_TAG ? parse_quote(content, key, ret, err)
                                        : parse_record(content, key, ret, err);
    if (rc == 0 && (ret->evidence.size == 0 || ret->evidence.size > VERIFIER_EVIDENCE_SIZE_MAX))
        rc = err_set(err, -EINVAL,
                     "the evidence in the certificate has %zu bytes; 1 to %u are possible",
                     ret->evidence.size, VERIFIER_EVIDENCE_SIZE_MAX);
    return rc;
}

static int endorsements_read(X509 *cert, struct cert_content *ret, struct err *err)
{
    struct verifier_bytes content;
    int rc = x509_extension_find(cert, CERT_OID_ENDORSEMENTS, &content);

    if (rc == -ENOENT)
        return 0;
    if (rc == 0)
        rc = collateral_parse_endorsements(content.data, content.size, &ret->collateral,
                                           &ret->collateral_cmw);
    return rc < 0 && rc != -ENOMEM
               ? err_set(err, -EINVAL, "the endorsements in the certificate are malformed")
               : rc;
}

static int content_read(X509 *cert, bool is_issued, struct cert_content *ret, struct err *err)
{
    struct cert_content content = { 0 };
    EVP_PKEY *key = X509_get0_pubkey(cert);
    int rc = key_check(key, err);

    if (rc == 0 && !is_issued)
        rc = signature_verify(cert, key, err);
    if (rc == 0)
        rc = flags_check(cert, err);
    if (rc == 0)
        rc = evidence_read(cert, key, &content, err);
    if (rc == 0)
        rc = endorsements_read(cert, &content, err);
    content.not_before_s = x509_time_s(X509_get0_notBefore(cert));
    content.not_after_s = x509_time_s(X509_get0_notAfter(cert));
    if (rc == 0 && (content.not_before_s == INT64_MIN || content.not_after_s == INT64_MIN))
        rc = err_set(err, -EINVAL, "the certificate's dates are malformed");
    if (rc < 0) {
        cert_content_done(&content);
        return rc;
    }
    *ret = content;
    return 0;
}

int cert_read(X509 *cert, struct cert_content *ret, struct err *err)
{
    return content_read(cert, false, ret, err);
}

int cert_read_issued(X509 *cert, struct cert_content *ret, struct err *err)
{
    return content_read(cert, true, ret, err);
}

void cert_content_done(struct cert_content *content)
{
    cmw_free(content->evidence_cmw);
    cmw_free(content->collateral_cmw);
    *content = (struct cert_content){ 0 };
}
