/* SPDX-License-Identifier: Apache-2.0 */
/* Making certificates that carry evidence. Relying party and agent; interoperable RA-TLS. */
#include "attest/cert.h"

#include <errno.h>
#include <string.h>

#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include "attest/cbor.h"
#include "attest/cert_claims.h"
#include "attest/collateral.h"

#define SERIAL_SIZE 16u
#define COMMON_NAME "Cloche attested TLS"

int cert_binding_make(EVP_PKEY *key, struct cert_binding *ret)
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    int rc = cert_key_hash(key, EVP_sha256(), hash);

    if (rc < 0)
        return rc;
    return cert_binding_encode(hash, ret);
}

/* The evidence of a source: the record itself, or the one with its label. */
static const struct cmw_item *evidence_find(const struct cmw *cmw)
{
    int index = cmw_item_count(cmw) > 0 ? 0 : -ENOENT;

    if (index == 0 && cmw_item_get(cmw, 0)->is_collection)
        index = cmw_item_find(cmw, 0, CERT_LABEL_EVIDENCE);
    return index >= 0 && !cmw_item_get(cmw, index)->is_collection ? cmw_item_get(cmw, index) : NULL;
}

static void encode_evidence(const struct cmw_item *evidence, const struct cert_binding *binding,
                            struct buffer *ret)
{
    if (strcmp(evidence->type, CMW_TYPE_INTEL_QUOTE) == 0) {
        cbor_add_head(ret, CBOR_TAG, CERT_TAG_INTEL_QUOTE);
        cbor_add_head(ret, CBOR_ARRAY, 2);
        cbor_add_bytes(ret, evidence->data, evidence->size);
        cbor_add_bytes(ret, binding->claims, binding->claims_size);
    } else {
        cbor_add_head(ret, CBOR_ARRAY, 3);
        cbor_add_text(ret, evidence->type);
        cbor_add_bytes(ret, evidence->data, evidence->size);
        cbor_add_head(ret, CBOR_UINT, CMW_EVIDENCE);
    }
}

/* Adds an extension with these bytes as its content. */
static int extension_add(X509 *cert, const char *oid, const struct buffer *content)
{
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    X509_EXTENSION *extension = NULL;
    bool good = content->rc == 0 && value && object &&
                ASN1_OCTET_STRING_set(value, content->data, (int)content->size) == 1;

    if (good)
        extension = X509_EXTENSION_create_by_OBJ(NULL, object, 0, value);
    good = extension && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    ASN1_OBJECT_free(object);
    ASN1_OCTET_STRING_free(value);
    return content->rc < 0 ? content->rc : good ? 0 : -ENOMEM;
}

static int constraints_add(X509 *cert)
{
    static const struct {
        int nid;
        const char *value;
    } all[] = {
        { NID_basic_constraints, "critical,CA:FALSE" },
        { NID_key_usage, "critical,digitalSignature" },
        { NID_ext_key_usage, "serverAuth,clientAuth" },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(all); i++) {
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, all[i].nid, all[i].value);
        bool good = extension && X509_add_ext(cert, extension, -1) == 1;

        X509_EXTENSION_free(extension);
        if (!good)
            return -ENOMEM;
    }
    return 0;
}

/* Everything but the evidence. */
static int frame_set(X509 *cert, EVP_PKEY *key, int64_t not_before_s, int64_t not_after_s)
{
    uint8_t serial[SERIAL_SIZE];
    X509_NAME *name = X509_get_subject_name(cert);
    ASN1_INTEGER *number = X509_get_serialNumber(cert);
    BIGNUM *value;
    bool good;

    if (RAND_bytes(serial, sizeof serial) != 1)
        return -EIO;
    serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40); /* positive, and of full length */
    value = BN_bin2bn(serial, sizeof serial, NULL);
    good = value && BN_to_ASN1_INTEGER(value, number) != NULL;
    BN_free(value);
    good = good && X509_set_version(cert, X509_VERSION_3) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)COMMON_NAME, -1,
                                      -1, 0) == 1 &&
           X509_set_issuer_name(cert, name) == 1 && X509_set_pubkey(cert, key) == 1 &&
           ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)not_before_s) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)not_after_s) != NULL;
    return good ? constraints_add(cert) : -ENOMEM;
}

static int evidence_add(X509 *cert, const struct cmw_item *evidence,
                        const struct cert_binding *binding)
{
    struct buffer content;
    int rc;

    buffer_init(&content, CERT_SIZE_MAX);
    encode_evidence(evidence, binding, &content);
    rc = extension_add(cert, CERT_OID_EVIDENCE, &content);
    buffer_done(&content);
    return rc;
}

static int collateral_add(X509 *cert, const struct cmw *cmw)
{
    struct verifier_collateral_items items;
    struct buffer content;
    int index = cmw_item_find(cmw, 0, COLLATERAL_LABEL), rc;

    if (index < 0)
        return 0;
    collateral_from_cmw(cmw, index, &items);
    buffer_init(&content, CERT_SIZE_MAX);
    rc = collateral_encode_endorsements(&items, &content);
    if (rc == 0)
        rc = extension_add(cert, CERT_OID_ENDORSEMENTS, &content);
    buffer_done(&content);
    return rc == -ENOENT ? 0 : rc;
}

int cert_evidence_add(X509 *cert, const struct cert_binding *binding, const struct cmw *cmw,
                      struct err *err)
{
    const struct cmw_item *evidence = evidence_find(cmw);
    int rc;

    if (!evidence || (strcmp(evidence->type, CMW_TYPE_INTEL_QUOTE) != 0 &&
                      strcmp(evidence->type, CMW_TYPE_SNP_REPORT) != 0))
        return err_set(err, -EINVAL, "evidence of type %s cannot go into a certificate",
                       evidence ? evidence->type : "(none)");
    rc = evidence_add(cert, evidence, binding);
    return rc < 0 ? rc : collateral_add(cert, cmw);
}

int cert_new(EVP_PKEY *key, const struct cert_binding *binding, const struct cmw *cmw,
             int64_t not_before_s, int64_t not_after_s, X509 **ret, struct err *err)
{
    X509 *cert = X509_new();
    int rc;

    if (!cert)
        return -ENOMEM;
    rc = frame_set(cert, key, not_before_s, not_after_s);
    if (rc == 0)
        rc = cert_evidence_add(cert, binding, cmw, err);
    if (rc == -EINVAL) {
        X509_free(cert);
        return rc;
    }
    if (rc == 0 && X509_sign(cert, key, EVP_sha256()) <= 0)
        rc = -EIO;
    if (rc == 0 && i2d_X509(cert, NULL) > (int)CERT_SIZE_MAX)
        rc = -E2BIG;
    if (rc < 0) {
        X509_free(cert);
        return err_set_errno(err, rc, "cannot make a certificate with this evidence");
    }
    *ret = cert;
    return 0;
}
