/* SPDX-License-Identifier: Apache-2.0 */
/* X.509 certificates as the server's CA writes them (RFC 5280; SPIFFE X.509-SVID). Relying party. */
#include "server/ca/certificate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMON_NAME_LEN_MAX 64u /* RFC 5280, ub-common-name */

struct use {
    const char *constraints, *key_usage, *extended;
};
static const struct use g_uses[] = {
    [CERTIFICATE_ROOT] = { "critical,CA:TRUE", "critical,keyCertSign,cRLSign", NULL },
    [CERTIFICATE_INTERMEDIATE] = { "critical,CA:TRUE,pathlen:0", "critical,keyCertSign,cRLSign",
                                   NULL },
    [CERTIFICATE_EXCHANGE] = { "critical,CA:FALSE", "critical,digitalSignature", NULL },
    [CERTIFICATE_SERVER] = { "critical,CA:FALSE", "critical,digitalSignature", "serverAuth" },
    [CERTIFICATE_INSTANCE] = { "critical,CA:FALSE", "critical,digitalSignature",
                               "serverAuth,clientAuth" },
};

static int failed(struct err *err)
{
    return err_set(err, -EIO, "cannot make a certificate");
}

static bool label_char_is_valid(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

bool certificate_dns_name_is_valid(const char *name)
{
    size_t label = 0, i = strncmp(name, "*.", 2) == 0 ? 2 : 0, len = strlen(name);

    if (len == 0 || len > 253)
        return false;
    for (; i <= len; i++) {
        if (name[i] == '.' || !name[i]) {
            if (label == 0 || label > 63 || name[i - 1] == '-')
                return false;
            label = 0;
        } else if (!label_char_is_valid(name[i]) || (label == 0 && name[i] == '-')) {
            return false;
        } else {
            label++;
        }
    }
    return true;
}

static int add_extension(X509 *cert, X509V3_CTX *ctx, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
    int ok = extension && X509_add_ext(cert, extension, -1);

    X509_EXTENSION_free(extension);
    return ok ? 0 : -EIO;
}

/* Takes the bytes over into a name of this type. */
static int add_name(GENERAL_NAMES *names, int type, const void *data, size_t size)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *text = type == GEN_IPADD ? (ASN1_STRING *)ASN1_OCTET_STRING_new()
                                          : (ASN1_STRING *)ASN1_IA5STRING_new();

    if (!name || !text || !ASN1_STRING_set(text, data, (int)size)) {
        ASN1_STRING_free(text);
        GENERAL_NAME_free(name);
        return -ENOMEM;
    }
    GENERAL_NAME_set0_value(name, type, text);
    if (sk_GENERAL_NAME_push(names, name) == 0) {
        GENERAL_NAME_free(name);
        return -ENOMEM;
    }
    return 0;
}

static int add_host(GENERAL_NAMES *names, const char *host, struct err *err)
{
    uint8_t address[16];

    if (inet_pton(AF_INET, host, address) == 1)
        return add_name(names, GEN_IPADD, address, 4);
    if (inet_pton(AF_INET6, host, address) == 1)
        return add_name(names, GEN_IPADD, address, 16);
    if (!certificate_dns_name_is_valid(host))
        return err_set(err, -EINVAL, "%.64s: not a host name or address", host);
    return add_name(names, GEN_DNS, host, strlen(host));
}

static void names_freep(GENERAL_NAMES **names)
{
    GENERAL_NAMES_free(*names);
}

static int add_names(X509 *cert, const struct certificate_request *request, struct err *err)
{
    CLEANUP(names_freep)
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    int rc = names ? 0 : -ENOMEM;

    if (rc == 0 && request->uri)
        rc = add_name(names, GEN_URI, request->uri, strlen(request->uri));
    for (unsigned i = 0; rc == 0 && i < request->name_count; i++)
        rc = add_host(names, request->names[i], err);
    if (rc < 0 || sk_GENERAL_NAME_num(names) == 0)
        return rc;
    return X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1 ? 0
                                                                                            : -EIO;
}

static int add_extensions(X509 *cert, const struct certificate_request *request, struct err *err)
{
    const struct use *use = &g_uses[request->use];
    X509V3_CTX ctx;
    char url[512];
    int rc;

    X509V3_set_ctx(&ctx, request->issuer ? request->issuer : cert, cert, NULL, NULL, 0);
    rc = add_extension(cert, &ctx, NID_basic_constraints, use->constraints);
    if (rc == 0)
        rc = add_extension(cert, &ctx, NID_key_usage, use->key_usage);
    if (rc == 0 && use->extended)
        rc = add_extension(cert, &ctx, NID_ext_key_usage, use->extended);
    if (rc == 0)
        rc = add_extension(cert, &ctx, NID_subject_key_identifier, "hash");
    if (rc == 0 && request->issuer)
        rc = add_extension(cert, &ctx, NID_authority_key_identifier, "keyid:always");
    if (rc == 0 && request->crl_url &&
        snprintf(url, sizeof url, "URI:%s", request->crl_url) < (int)sizeof url)
        rc = add_extension(cert, &ctx, NID_crl_distribution_points, url);
    if (rc < 0)
        return failed(err);
    rc = request->evidence ? cert_evidence_add(cert, request->binding, request->evidence, err) : 0;
    return rc < 0 ? err_wrap(err, rc, "evidence") : add_names(cert, request, err);
}

static int set_subject(X509 *cert, const struct certificate_request *request)
{
    X509_NAME *name = X509_get_subject_name(cert);
    char common[COMMON_NAME_LEN_MAX + 1];

    snprintf(common, sizeof common, "%s", request->common_name);
    if (request->organization &&
        !X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8,
                                    (const unsigned char *)request->organization, -1, -1, 0))
        return -EIO;
    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common, -1,
                                      -1, 0) == 1
               ? 0
               : -EIO;
}

/* 127 random bits: positive, 16 bytes at most. */
static int set_serial(X509 *cert)
{
    uint8_t bytes[16];
    BIGNUM *number;
    int ok;

    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return -EIO;
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    number = BN_bin2bn(bytes, sizeof bytes, NULL);
    ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    return ok ? 0 : -EIO;
}

static void x509_freep(X509 **cert)
{
    X509_free(*cert);
}

int certificate_make(const struct certificate_request *request, X509 **ret, struct err *err)
{
    CLEANUP(x509_freep)
    X509 *cert = X509_new();
    int64_t until_s = request->not_after_s;
    int rc;

    if (request->issuer)
        until_s = MIN(until_s, certificate_until_s(request->issuer));
    if (until_s <= request->not_before_s)
        return err_set(err, -EINVAL, "the certificate would have no life");
    if (!cert || !X509_set_version(cert, X509_VERSION_3) || set_serial(cert) < 0 ||
        !ASN1_TIME_set(X509_getm_notBefore(cert), request->not_before_s) ||
        !ASN1_TIME_set(X509_getm_notAfter(cert), until_s) ||
        !X509_set_pubkey(cert, request->public_key) || set_subject(cert, request) < 0 ||
        !X509_set_issuer_name(cert,
                              X509_get_subject_name(request->issuer ? request->issuer : cert)))
        return failed(err);
    rc = add_extensions(cert, request, err);
    if (rc < 0)
        return rc;
    if (X509_sign(cert, request->issuer_key, EVP_sha256()) == 0)
        return failed(err);
    *ret = TAKE_PTR(cert);
    return 0;
}

int certificate_serial(const X509 *certificate, char ret[CERTIFICATE_SERIAL_SIZE])
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
    int len = ASN1_STRING_length((const ASN1_STRING *)serial);
    const unsigned char *data = ASN1_STRING_get0_data((const ASN1_STRING *)serial);

    if (len < 1 || len > 20)
        return -EIO;
    for (int i = 0; i < len; i++)
        snprintf(ret + 2 * i, 3, "%02x", data[i]);
    return 0;
}

int64_t certificate_until_s(const X509 *certificate)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days = 0, seconds = 0;

    if (!epoch || !ASN1_TIME_diff(&days, &seconds, epoch, X509_get0_notAfter(certificate)))
        days = seconds = 0;
    ASN1_TIME_free(epoch);
    return (int64_t)days * 86400 + seconds;
}

int certificate_pem_add(const X509 *certificate, char **text)
{
    BIO *bio = BIO_new(BIO_s_mem());
    size_t old = *text ? strlen(*text) : 0;
    char *data, *grown = NULL;
    long size;

    if (bio && PEM_write_bio_X509(bio, certificate) == 1) {
        size = BIO_get_mem_data(bio, &data);
        grown = realloc(*text, old + (size_t)size + 1);
        if (grown) {
            memcpy(grown + old, data, (size_t)size);
            grown[old + (size_t)size] = 0;
            *text = grown;
        }
    }
    BIO_free(bio);
    return grown ? 0 : -ENOMEM;
}

int certificate_pin(const X509 *certificate, uint8_t ret[32])
{
    unsigned char *der = NULL;
    int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    int ok = size > 0 && EVP_Digest(der, (size_t)size, ret, NULL, EVP_sha256(), NULL);

    OPENSSL_free(der);
    return ok ? 0 : -EIO;
}
