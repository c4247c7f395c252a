/* SPDX-License-Identifier: Apache-2.0 */
/* Chains of certificates, RFC 5280 section 6 for closed paths. Relying party; input may be hostile. */
#include "verifier/x509/chain.h"

#include <errno.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "lib/der_pull.h"
#include "lib/digest.h"
#include "verifier/x509/pem.h"

#define CERT_SIZE_MAX 4096u
/* Elements of DER in one certificate, extensions' contents included; PCK certificates have about 190. OpenSSL allocates for each. */
#define CERT_ELEMENT_COUNT_MAX 320u
#define CERT_DEPTH_MAX 16u
#define PSS_SALT_SIZE 48

/* ---- reading ---- */

/* A level of nesting. In an octet string any bytes may stand: what is no DER there counts as the elements that it might be to OpenSSL. */
struct level {
    struct der_pull rest;
    bool is_octets;
};

/* Takes an element of the last level; descends into it. returns: how many elements that was; CERT_ELEMENT_COUNT_MAX + 1: no certificate. */
static size_t pull_element(struct level *levels, unsigned *depth)
{
    struct level *level = &levels[*depth - 1];
    size_t unread = level->rest.size;
    struct der_pull content;
    uint8_t tag;

    if (der_pull_any(&level->rest, &tag, &content) < 0) {
        --*depth;
        return level->is_octets ? unread / 2 : CERT_ELEMENT_COUNT_MAX + 1;
    }
    if (!(tag & DER_CONSTRUCTED) && tag != DER_OCTET_STRING)
        return 1;
    if (*depth == CERT_DEPTH_MAX)
        return level->is_octets ? 1 + content.size / 2 : CERT_ELEMENT_COUNT_MAX + 1;
    levels[*depth] = (struct level){ content, level->is_octets || tag == DER_OCTET_STRING };
    ++*depth;
    return 1;
}

/* Whether the first element is DER with no more elements than certificates have: what it costs to parse is bounded then. */
static bool is_modest(const uint8_t *der, size_t size)
{
    struct level levels[CERT_DEPTH_MAX];
    struct der_pull d = { der, size };
    unsigned depth = 1;
    size_t count = 0;

    if (der_pull_element(&d, DER_SEQUENCE, &levels[0].rest) < 0)
        return false;
    levels[0].is_octets = false;
    while (depth > 0 && count <= CERT_ELEMENT_COUNT_MAX)
        if (der_pull_is_end(&levels[depth - 1].rest))
            depth--;
        else
            count += pull_element(levels, &depth);
    return count <= CERT_ELEMENT_COUNT_MAX;
}

static int add_cert(struct x509_chain *chain, const uint8_t *der, size_t size, size_t *ret_used)
{
    const uint8_t *end = der;
    X509 *cert;

    if (chain->count == VERIFIER_CHAIN_COUNT_MAX || size == 0 || !is_modest(der, size))
        return -EINVAL;
    cert = d2i_X509(NULL, &end, (long)MIN(size, (size_t)CERT_SIZE_MAX));
    if (!cert)
        return -EINVAL;
    chain->certs[chain->count++] = cert;
    *ret_used = (size_t)(end - der);
    return 0;
}

static int add_pem(struct x509_chain *chain, struct verifier_bytes text)
{
    uint8_t der[CERT_SIZE_MAX];
    size_t size, used;
    int rc;

    while ((rc = pem_next(&text, "CERTIFICATE", der, sizeof der, &size)) > 0) {
        rc = add_cert(chain, der, size, &used);
        if (rc < 0 || used != size)
            return -EINVAL;
    }
    return rc;
}

static int add_part(struct x509_chain *chain, struct verifier_bytes part)
{
    if (part.size == 0)
        return 0;
    if (part.data[0] != 0x30) /* no SEQUENCE: PEM */
        return add_pem(chain, part);
    while (part.size > 0) {
        size_t used;
        int rc = add_cert(chain, part.data, part.size, &used);

        if (rc < 0)
            return rc;
        part.data += used;
        part.size -= used;
    }
    return 0;
}

/* ---- order ---- */

static bool is_issuer(const X509 *issuer, const X509 *cert)
{
    return X509_NAME_cmp(X509_get_subject_name(issuer), X509_get_issuer_name(cert)) == 0;
}

static bool is_self_issued(const X509 *cert)
{
    return is_issuer(cert, cert);
}

/* The one that issued none of the others. */
static unsigned find_leaf(const struct x509_chain *chain)
{
    for (unsigned i = 0; i < chain->count; i++) {
        bool issues = false;

        for (unsigned j = 0; j < chain->count; j++)
            issues |= j != i && is_issuer(chain->certs[i], chain->certs[j]);
        if (!issues)
            return i;
    }
    return chain->count;
}

static void swap_certs(struct x509_chain *chain, unsigned i, unsigned j)
{
    X509 *cert = chain->certs[i];

    chain->certs[i] = chain->certs[j];
    chain->certs[j] = cert;
}

/* Leaf first, each followed by its issuer. returns: 0; -EINVAL there is no such order. */
static int sort_certs(struct x509_chain *chain)
{
    unsigned leaf = find_leaf(chain);

    if (leaf == chain->count)
        return -EINVAL;
    swap_certs(chain, 0, leaf);
    for (unsigned i = 1; i < chain->count; i++) {
        unsigned next = i;

        while (next < chain->count && !is_issuer(chain->certs[next], chain->certs[i - 1]))
            next++;
        if (next == chain->count)
            return -EINVAL;
        swap_certs(chain, i, next);
    }
    return 0;
}

/* ---- signatures ---- */

static bool is_p256(const EVP_PKEY *key)
{
    char group[32];
    size_t len;

    return EVP_PKEY_get_group_name(key, group, sizeof group, &len) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

/* The algorithm that the profile asks for, parameters and all. */
static bool is_pss_sha384(const X509_ALGOR *algorithm)
{
    RSA_PSS_PARAMS *pss;
    bool good = false;

    if (!algorithm->parameter || algorithm->parameter->type != V_ASN1_SEQUENCE)
        return false;
    pss = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(RSA_PSS_PARAMS), algorithm->parameter);
    if (!pss)
        return false;
    good = pss->hashAlgorithm && OBJ_obj2nid(pss->hashAlgorithm->algorithm) == NID_sha384 &&
           pss->saltLength && ASN1_INTEGER_get(pss->saltLength) == PSS_SALT_SIZE &&
           (!pss->trailerField || ASN1_INTEGER_get(pss->trailerField) == 1);
    RSA_PSS_PARAMS_free(pss);
    return good;
}

static bool algorithm_fits(const X509_ALGOR *algorithm, const EVP_PKEY *key,
                           enum x509_profile profile)
{
    int nid = OBJ_obj2nid(algorithm->algorithm);

    if (profile == X509_PROFILE_INTEL)
        return nid == NID_ecdsa_with_SHA256 && is_p256(key);
    return nid == NID_rsassaPss && is_pss_sha384(algorithm) &&
           EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) == 4096;
}

static bool may_issue(X509 *issuer, unsigned cas_below)
{
    uint32_t usage = X509_get_key_usage(issuer);
    long depth = X509_get_pathlen(issuer);

    return X509_check_ca(issuer) == 1 && (usage & KU_KEY_CERT_SIGN) &&
           (depth < 0 || (unsigned long)depth >= cas_below);
}

/* One extension more than OpenSSL knows is no fault unless it is critical. */
static bool has_unknown_critical(X509 *cert)
{
    uint32_t flags = X509_get_extension_flags(cert);

    return (flags & EXFLAG_INVALID) || (flags & EXFLAG_CRITICAL);
}

static bool cert_is_signed(X509 *cert, X509 *issuer, unsigned cas_below, enum x509_profile profile)
{
    EVP_PKEY *key = X509_get0_pubkey(issuer);
    const X509_ALGOR *algorithm;

    X509_get0_signature(NULL, &algorithm, cert);
    return key && algorithm_fits(algorithm, key, profile) && may_issue(issuer, cas_below) &&
           X509_verify(cert, key) == 1;
}

static bool chain_is_signed(const struct x509_chain *chain, enum x509_profile profile)
{
    for (unsigned i = 0; i < chain->count; i++) {
        unsigned issuer = MIN(i + 1, chain->count - 1);
        unsigned cas_below = MIN(i, issuer ? issuer - 1 : 0);

        if (has_unknown_critical(chain->certs[i]) ||
            !cert_is_signed(chain->certs[i], chain->certs[issuer], cas_below, profile))
            return false;
    }
    return is_self_issued(chain->certs[chain->count - 1]);
}

/* ---- the whole ---- */

int64_t x509_time_s(const ASN1_TIME *time)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days, seconds;
    int64_t result = INT64_MIN;

    if (epoch && time && ASN1_TIME_diff(&days, &seconds, epoch, time) == 1)
        result = (int64_t)days * 86400 + seconds;
    ASN1_TIME_free(epoch);
    return result;
}

static int note_dates(struct x509_chain *chain)
{
    chain->not_before_s = INT64_MIN;
    chain->not_after_s = INT64_MAX;
    for (unsigned i = 0; i < chain->count; i++) {
        int64_t from = x509_time_s(X509_get0_notBefore(chain->certs[i]));
        int64_t until = x509_time_s(X509_get0_notAfter(chain->certs[i]));

        if (from == INT64_MIN || until == INT64_MIN)
            return -EINVAL;
        chain->not_before_s = MAX(chain->not_before_s, from);
        chain->not_after_s = MIN(chain->not_after_s, until);
    }
    return 0;
}

int x509_key_sha256(const X509 *cert, uint8_t ret[32])
{
    uint8_t *der = NULL;
    int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);

    if (size <= 0)
        return -EINVAL;
    sha256_digest(der, (size_t)size, ret);
    OPENSSL_free(der);
    return 0;
}

int x509_chain_parse(struct x509_chain *chain, enum x509_profile profile,
                     const struct verifier_bytes *parts, unsigned part_count)
{
    int rc = 0;

    *chain = (struct x509_chain){ 0 };
    for (unsigned i = 0; i < part_count && rc == 0; i++)
        rc = add_part(chain, parts[i]);
    if (rc == 0 && chain->count == 0)
        rc = -EINVAL;
    if (rc == 0)
        rc = sort_certs(chain);
    if (rc == 0)
        rc = note_dates(chain);
    if (rc == 0)
        rc = x509_key_sha256(chain->certs[chain->count - 1], chain->root_key_sha256);
    if (rc == 0)
        chain->is_signed = chain_is_signed(chain, profile);
    else
        x509_chain_done(chain);
    ERR_clear_error();
    return rc;
}

void x509_chain_done(struct x509_chain *chain)
{
    for (unsigned i = 0; i < chain->count; i++)
        X509_free(chain->certs[i]);
    *chain = (struct x509_chain){ 0 };
}

int x509_extension_find(const X509 *cert, const char *oid, struct verifier_bytes *ret)
{
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    int index, again;
    const ASN1_OCTET_STRING *content;

    if (!object)
        return -EINVAL;
    index = X509_get_ext_by_OBJ(cert, object, -1);
    again = index < 0 ? -1 : X509_get_ext_by_OBJ(cert, object, index);
    ASN1_OBJECT_free(object);
    if (index < 0)
        return -ENOENT;
    if (again >= 0)
        return -EINVAL;
    content = X509_EXTENSION_get_data(X509_get_ext(cert, index));
    *ret = (struct verifier_bytes){ ASN1_STRING_get0_data(content),
                                    (size_t)ASN1_STRING_length(content) };
    return 0;
}

int x509_name_cn(const X509_NAME *name, char *dst, size_t size)
{
    int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    unsigned char *text = NULL;
    int len;

    if (index < 0)
        return -ENOENT;
    len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)));
    if (len < 0)
        return -ENOENT;
    len = (int)MIN((size_t)len, size - 1);
    memcpy(dst, text, (size_t)len);
    dst[len] = 0;
    OPENSSL_free(text);
    return 0;
}
