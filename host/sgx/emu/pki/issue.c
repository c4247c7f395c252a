/* SPDX-License-Identifier: Apache-2.0 */
/* Keys, certificates and revocation lists of the emulated PKI. Untrusted side. Profiles: see pki.h; RFC 5280. */
#include "host/sgx/emu/pki/issue.h"

#include <errno.h>
#include <time.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#define ORGANIZATION "Cloche emulator, protects nothing"
#define PCK_EXTENSION_OID "1.2.840.113741.1.13.1"
#define DAY_S 86400
#define ROOT_DAYS (30 * 365)
#define LEAF_DAYS (7 * 365)

void issue_keyp(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

void issue_certp(X509 **cert)
{
    X509_free(*cert);
}

EVP_PKEY *issue_key_new(void)
{
    return EVP_EC_gen("P-256");
}

/* ---- certificates ---- */

static bool set_serial(ASN1_INTEGER *serial)
{
    uint8_t bytes[16];
    BIGNUM *number;
    bool good;

    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return false;
    bytes[0] = (uint8_t)((bytes[0] & 0x3f) | 0x40); /* positive, always as long */
    number = BN_bin2bn(bytes, sizeof bytes, NULL);
    good = number && BN_to_ASN1_INTEGER(number, serial) != NULL;
    BN_free(number);
    return good;
}

static bool set_subject(X509_NAME *name, const char *cn)
{
    const struct {
        const char *field, *value;
    } all[] = { { "CN", cn }, { "O", ORGANIZATION }, { "C", "US" } };

    for (unsigned i = 0; i < ARRAY_COUNT(all); i++)
        if (X509_NAME_add_entry_by_txt(name, all[i].field, MBSTRING_UTF8,
                                       (const unsigned char *)all[i].value, -1, -1, 0) != 1)
            return false;
    return true;
}

static bool add_extension(X509 *cert, const X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;
    bool good;

    X509V3_set_ctx(&ctx, (X509 *)(issuer ? issuer : cert), cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    good = extension && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

static bool add_pck_extension(X509 *cert, const struct issue_request *r)
{
    ASN1_OBJECT *oid = OBJ_txt2obj(PCK_EXTENSION_OID, 1);
    ASN1_OCTET_STRING *content = ASN1_OCTET_STRING_new();
    X509_EXTENSION *extension = NULL;
    bool good = oid && content &&
                ASN1_OCTET_STRING_set(content, r->pck_extension, (int)r->pck_extension_size) == 1;

    if (good)
        extension = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, content);
    good = extension && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(content);
    ASN1_OBJECT_free(oid);
    return good;
}

static bool add_extensions(X509 *cert, const struct issue_request *r)
{
    static const char *const constraints[] = {
        [ISSUE_ROOT] = "critical,CA:TRUE,pathlen:1",
        [ISSUE_CA] = "critical,CA:TRUE,pathlen:0",
        [ISSUE_TCB_SIGNING] = "critical,CA:FALSE",
        [ISSUE_PCK] = "critical,CA:FALSE",
    };
    bool is_ca = r->kind == ISSUE_ROOT || r->kind == ISSUE_CA;

    return add_extension(cert, r->issuer, NID_basic_constraints, constraints[r->kind]) &&
           add_extension(cert, r->issuer, NID_key_usage,
                         is_ca ? "critical,keyCertSign,cRLSign"
                               : "critical,digitalSignature,nonRepudiation") &&
           add_extension(cert, r->issuer, NID_subject_key_identifier, "hash") &&
           add_extension(cert, r->issuer, NID_authority_key_identifier, "keyid:always") &&
           (r->kind != ISSUE_PCK || add_pck_extension(cert, r));
}

X509 *issue_cert_new(const struct issue_request *r)
{
    CLEANUP(issue_certp)
    X509 *cert = X509_new();
    const X509_NAME *issuer;
    long days = r->kind == ISSUE_ROOT ? ROOT_DAYS : LEAF_DAYS;

    if (!cert || X509_set_version(cert, X509_VERSION_3) != 1 ||
        !set_serial(X509_get_serialNumber(cert)) ||
        !set_subject(X509_get_subject_name(cert), r->cn) || X509_set_pubkey(cert, r->key) != 1)
        return NULL;
    issuer = X509_get_subject_name(r->issuer ? r->issuer : cert);
    /* From yesterday on: clocks differ. */
    if (X509_set_issuer_name(cert, issuer) != 1 ||
        !X509_gmtime_adj(X509_getm_notBefore(cert), -DAY_S) ||
        !X509_gmtime_adj(X509_getm_notAfter(cert), days * DAY_S) || !add_extensions(cert, r) ||
        X509_sign(cert, r->issuer_key, EVP_sha256()) <= 0)
        return NULL;
    return TAKE_PTR(cert);
}

char *issue_serial_text(const X509 *cert)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    char *text = number ? BN_bn2hex(number) : NULL;

    BN_free(number);
    return text;
}

/* ---- revocation lists ---- */

static bool add_revoked(X509_CRL *crl, const char *serial, const ASN1_TIME *when)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    BIGNUM *number = NULL;
    ASN1_INTEGER *integer = NULL;
    bool good = entry && BN_hex2bn(&number, serial) > 0;

    if (good)
        integer = BN_to_ASN1_INTEGER(number, NULL);
    good = integer && X509_REVOKED_set_serialNumber(entry, integer) == 1 &&
           X509_REVOKED_set_revocationDate(entry, (ASN1_TIME *)when) == 1 &&
           X509_CRL_add0_revoked(crl, entry) == 1;
    if (!good)
        X509_REVOKED_free(entry);
    ASN1_INTEGER_free(integer);
    BN_free(number);
    return good;
}

static bool add_crl_extensions(X509_CRL *crl, const X509 *issuer)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    bool good;

    X509V3_set_ctx(&ctx, (X509 *)issuer, NULL, NULL, crl, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid:always");
    good = extension && X509_CRL_add_ext(crl, extension, -1) == 1 && number &&
           ASN1_INTEGER_set_int64(number, 1) == 1 &&
           X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0) == 1;
    X509_EXTENSION_free(extension);
    ASN1_INTEGER_free(number);
    return good;
}

int issue_crl_der(const struct issue_crl_request *r, uint8_t **ret)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *from = ASN1_TIME_set(NULL, r->this_update_s);
    ASN1_TIME *until = ASN1_TIME_set(NULL, r->next_update_s);
    bool good = crl && from && until && X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
                X509_CRL_set_issuer_name(crl, X509_get_subject_name(r->issuer)) == 1 &&
                X509_CRL_set1_lastUpdate(crl, from) == 1 &&
                X509_CRL_set1_nextUpdate(crl, until) == 1;
    int size = -EIO;

    for (unsigned i = 0; good && i < r->serial_count; i++)
        good = add_revoked(crl, r->serials[i], from);
    *ret = NULL;
    if (good && add_crl_extensions(crl, r->issuer) && X509_CRL_sort(crl) == 1 &&
        X509_CRL_sign(crl, r->key, EVP_sha256()) > 0)
        size = i2d_X509_CRL(crl, ret);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    X509_CRL_free(crl);
    return size > 0 ? size : -EIO;
}

/* ---- signatures ---- */

static int split_signature(const uint8_t *der, size_t size, uint8_t ret[EMU_PKI_SIGNATURE_SIZE])
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)size);
    bool good = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret, 32) == 32 &&
                BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret + 32, 32) == 32;

    ECDSA_SIG_free(sig);
    return good ? 0 : -EIO;
}

int issue_sign(EVP_PKEY *key, const void *data, size_t size, uint8_t ret[EMU_PKI_SIGNATURE_SIZE])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t der[80];
    size_t der_size = sizeof der;
    bool good = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestSign(ctx, der, &der_size, data, size) == 1;

    EVP_MD_CTX_free(ctx);
    return good ? split_signature(der, der_size, ret) : -EIO;
}
