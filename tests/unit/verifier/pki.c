/* SPDX-License-Identifier: Apache-2.0 */
/* Keys, certificates and revocation lists of the tests' own manufacturer. Tests only. */
#include "pki.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "verifier/intel/pck.h"
#include "verifier/x509/chain.h"

#define NOT_BEFORE "20200101000000Z"
#define NOT_AFTER "20490101000000Z"

const uint8_t pki_fmspc[6] = { 0x00, 0x90, 0x6e, 0xd5, 0x00, 0x00 };
const uint8_t pki_pce_id[2] = { 0, 0 };

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "test PKI: %s\n", what);
    abort();
}

/* ---- certificates ---- */

struct cert_plan {
    const char *cn;
    EVP_PKEY *key;
    X509 *issuer; /* NULL: itself */
    EVP_PKEY *issuer_key;
    bool is_ca, is_amd;
    long serial;
};

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    need(extension && X509_add_ext(cert, extension, -1) == 1, "extension");
    X509_EXTENSION_free(extension);
}

static void add_raw_extension(X509 *cert, const char *oid, const uint8_t *content, size_t size)
{
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
    X509_EXTENSION *extension;

    need(object && octets && ASN1_OCTET_STRING_set(octets, content, (int)size) == 1, "octets");
    extension = X509_EXTENSION_create_by_OBJ(NULL, object, 0, octets);
    need(extension && X509_add_ext(cert, extension, -1) == 1, "extension");
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(octets);
    ASN1_OBJECT_free(object);
}

static X509 *begin_cert(const struct cert_plan *plan)
{
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);

    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), plan->serial);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)plan->cn, -1, -1, 0);
    X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const uint8_t *)"Test", -1, -1, 0);
    X509_set_issuer_name(cert, plan->issuer ? X509_get_subject_name(plan->issuer) : name);
    ASN1_TIME_set_string(X509_getm_notBefore(cert), NOT_BEFORE);
    ASN1_TIME_set_string(X509_getm_notAfter(cert), NOT_AFTER);
    X509_set_pubkey(cert, plan->key);
    if (plan->is_ca) {
        add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
        add_extension(cert, NID_key_usage, "critical,keyCertSign,cRLSign");
    }
    return cert;
}

static void sign_cert(X509 *cert, EVP_PKEY *key, bool is_amd)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key_ctx;

    need(EVP_DigestSignInit(ctx, &key_ctx, is_amd ? EVP_sha384() : EVP_sha256(), NULL, key) == 1,
         "signing");
    if (is_amd)
        need(EVP_PKEY_CTX_set_rsa_padding(key_ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
                 EVP_PKEY_CTX_set_rsa_pss_saltlen(key_ctx, 48) == 1,
             "PSS");
    need(X509_sign_ctx(cert, ctx) > 0, "signature of a certificate");
    EVP_MD_CTX_free(ctx);
}

static X509 *make_cert(struct cert_plan plan)
{
    X509 *cert = begin_cert(&plan);

    sign_cert(cert, plan.issuer_key, plan.is_amd);
    return cert;
}

struct verifier_bytes pki_pem(X509 *const *certs)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    struct verifier_bytes bytes;
    uint8_t *copy;

    for (; *certs; certs++)
        need(PEM_write_bio_X509(bio, *certs) == 1, "PEM");
    bytes.size = (size_t)BIO_get_mem_data(bio, &text);
    copy = malloc(bytes.size);
    need(copy != NULL, "memory");
    bytes.data = memcpy(copy, text, bytes.size);
    BIO_free(bio);
    return bytes;
}

X509 *pki_pck_cert(const struct pki *pki, struct verifier_bytes extension)
{
    X509 *cert = begin_cert(&(struct cert_plan){
        .cn = "Intel SGX PCK Certificate", .key = pki->pck_key, .issuer = pki->ca, .serial = 3 });

    if (extension.size)
        add_raw_extension(cert, PCK_EXTENSION_OID, extension.data, extension.size);
    sign_cert(cert, pki->ca_key, false);
    return cert;
}

/* ---- the PCK's extension ---- */

static size_t put_element(uint8_t *dst, uint8_t tag, const uint8_t *content, size_t size)
{
    size_t at = 0;

    dst[at++] = tag;
    if (size >= 0x100) {
        dst[at++] = 0x82;
        dst[at++] = (uint8_t)(size >> 8);
    } else if (size >= 0x80) {
        dst[at++] = 0x81;
    }
    dst[at++] = (uint8_t)size;
    memcpy(dst + at, content, size);
    return at + size;
}

/* SEQUENCE { 1.2.840.113741.1.13.1.<path>, value } */
static size_t put_member(uint8_t *dst, const uint8_t *path, size_t path_size, uint8_t tag,
                         const uint8_t *value, size_t value_size)
{
    uint8_t oid[16] = { 0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01 }, content[512];
    size_t size;

    memcpy(oid + 9, path, path_size);
    size = put_element(content, 0x06, oid, 9 + path_size);
    size += put_element(content + size, tag, value, value_size);
    return put_element(dst, 0x30, content, size);
}

size_t pki_pck_extension(uint8_t dst[PKI_EXTENSION_SIZE_MAX])
{
    static const uint8_t ppid[16] = { 0x11, 0x22, 0x33 }, instance[16] = { 0x44 }, one[] = { 1 },
                         five[] = { 5 }, cpu_svn[16] = { 5, 5, 5, 5 };
    uint8_t list[1024], tcb[400], flags[64];
    size_t tcb_size = 0, size, flags_size = 0;

    for (uint8_t i = 1; i <= 17; i++)
        tcb_size += put_member(tcb + tcb_size, (uint8_t[]){ 2, i }, 2, 0x02, five, 1);
    tcb_size += put_member(tcb + tcb_size, (uint8_t[]){ 2, 18 }, 2, 0x04, cpu_svn, 16);
    for (uint8_t i = 1; i <= 3; i++)
        flags_size += put_member(flags + flags_size, (uint8_t[]){ 7, i }, 2, 0x01,
                                 (uint8_t[]){ i == 3 ? 0xff : 0 }, 1);
    size = put_member(list, (uint8_t[]){ 1 }, 1, 0x04, ppid, 16);
    size += put_member(list + size, (uint8_t[]){ 2 }, 1, 0x30, tcb, tcb_size);
    size += put_member(list + size, (uint8_t[]){ 3 }, 1, 0x04, pki_pce_id, 2);
    size += put_member(list + size, (uint8_t[]){ 4 }, 1, 0x04, pki_fmspc, 6);
    size += put_member(list + size, (uint8_t[]){ 5 }, 1, 0x0a, one, 1);
    size += put_member(list + size, (uint8_t[]){ 6 }, 1, 0x04, instance, 16);
    size += put_member(list + size, (uint8_t[]){ 7 }, 1, 0x30, flags, flags_size);
    return put_element(dst, 0x30, list, size);
}

/* ---- revocation lists ---- */

struct verifier_bytes pki_crl(X509 *issuer, EVP_PKEY *key, unsigned count)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *from = ASN1_TIME_new(), *until = ASN1_TIME_new();
    uint8_t *der = NULL;
    int size;

    ASN1_TIME_set_string(from, NOT_BEFORE);
    ASN1_TIME_set_string(until, NOT_AFTER);
    X509_CRL_set_version(crl, 1);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer));
    X509_CRL_set1_lastUpdate(crl, from);
    X509_CRL_set1_nextUpdate(crl, until);
    for (unsigned i = 0; i < count; i++) {
        X509_REVOKED *entry = X509_REVOKED_new();
        ASN1_INTEGER *serial = ASN1_INTEGER_new();

        ASN1_INTEGER_set(serial, 1000 + (long)i);
        X509_REVOKED_set_serialNumber(entry, serial);
        X509_REVOKED_set_revocationDate(entry, from);
        need(X509_CRL_add0_revoked(crl, entry) == 1, "revoked");
        ASN1_INTEGER_free(serial);
    }
    need(X509_CRL_sign(crl, key, EVP_sha256()) > 0, "signature of a list");
    size = i2d_X509_CRL(crl, &der);
    need(size > 0, "DER of a list");
    X509_CRL_free(crl);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    return (struct verifier_bytes){ der, (size_t)size };
}

/* ---- the whole ---- */

static EVP_PKEY *new_key(const char *group)
{
    EVP_PKEY *key = EVP_EC_gen(group);

    need(key != NULL, "key");
    return key;
}

static void init_intel(struct pki *p)
{
    uint8_t extension[PKI_EXTENSION_SIZE_MAX];
    size_t size = pki_pck_extension(extension);

    p->root_key = new_key("P-256");
    p->ca_key = new_key("P-256");
    p->pck_key = new_key("P-256");
    p->tcb_key = new_key("P-256");
    p->attestation_key = new_key("P-256");
    p->root = make_cert(
        (struct cert_plan){ "Test Root CA", p->root_key, NULL, p->root_key, true, false, 1 });
    p->ca = make_cert((struct cert_plan){ "Intel SGX PCK Platform CA", p->ca_key, p->root,
                                          p->root_key, true, false, 2 });
    p->tcb = make_cert((struct cert_plan){ "Intel SGX TCB Signing", p->tcb_key, p->root,
                                           p->root_key, false, false, 4 });
    p->pck = pki_pck_cert(p, (struct verifier_bytes){ extension, size });
    p->pck_chain = pki_pem((X509 *[]){ p->pck, p->ca, p->root, NULL });
    p->tcb_chain = pki_pem((X509 *[]){ p->tcb, p->root, NULL });
    p->ca_chain = pki_pem((X509 *[]){ p->ca, p->root, NULL });
    p->pck_crl = pki_crl(p->ca, p->ca_key, 2);
    p->root_crl = pki_crl(p->root, p->root_key, 0);
}

static struct pki *get(void)
{
    static struct pki pki;

    if (!pki.root)
        init_intel(&pki);
    return &pki;
}

const struct pki *pki_get(void)
{
    return get();
}

/* Milan; the chip id is 0x11 64 times. */
static X509 *make_vek(struct pki *p, X509 *ask)
{
    static const struct {
        const char *oid;
        uint8_t value;
    } parts[] = { { "1.3.6.1.4.1.3704.1.3.1", 3 },
                  { "1.3.6.1.4.1.3704.1.3.2", 0 },
                  { "1.3.6.1.4.1.3704.1.3.3", 8 },
                  { "1.3.6.1.4.1.3704.1.3.8", 115 } };
    X509 *cert = begin_cert(
        &(struct cert_plan){ .cn = "SEV-VCEK", .key = p->vek_key, .issuer = ask, .serial = 9 });
    uint8_t chip[64];

    memset(chip, 0x11, sizeof chip);
    add_raw_extension(cert, "1.3.6.1.4.1.3704.1.2", (const uint8_t *)"\x16\x08Milan-B0", 10);
    for (unsigned i = 0; i < ARRAY_COUNT(parts); i++)
        add_raw_extension(cert, parts[i].oid, (uint8_t[]){ 0x02, 1, parts[i].value }, 3);
    add_raw_extension(cert, "1.3.6.1.4.1.3704.1.4", chip, sizeof chip);
    sign_cert(cert, p->ark_key, true);
    return cert;
}

const struct pki *pki_get_amd(void)
{
    struct pki *p = get();
    X509 *ark, *ask, *vek;

    if (p->ark_key)
        return p;
    p->ark_key = EVP_RSA_gen(4096);
    need(p->ark_key != NULL, "RSA key");
    p->vek_key = new_key("P-384");
    ark = make_cert((struct cert_plan){ "ARK-Milan", p->ark_key, NULL, p->ark_key, true, true, 7 });
    ask = make_cert((struct cert_plan){ "SEV-Milan", p->ark_key, ark, p->ark_key, true, true, 8 });
    vek = make_vek(p, ask);
    p->vek = pki_pem((X509 *[]){ vek, NULL });
    p->vek_chain = pki_pem((X509 *[]){ ask, ark, NULL });
    X509_free(ark);
    X509_free(ask);
    X509_free(vek);
    return p;
}

static void print_root(struct verifier_bytes chain_bytes, enum x509_profile profile, char ret[65])
{
    struct x509_chain chain;

    need(x509_chain_parse(&chain, profile, &chain_bytes, 1) == 0 && chain.is_signed, "root");
    for (unsigned i = 0; i < 32; i++)
        snprintf(ret + 2 * i, 3, "%02x", chain.root_key_sha256[i]);
    x509_chain_done(&chain);
}

const struct verifier_policy *pki_policy(void)
{
    static struct verifier_policy *policy;
    struct pki *p = get();
    char json[512], intel[65], amd[65] = "";
    struct err err = { 0 };

    if (policy)
        return policy;
    print_root(p->ca_chain, X509_PROFILE_INTEL, intel);
    snprintf(amd, sizeof amd, "%064d", 1);
    if (p->ark_key)
        print_root(p->vek_chain, X509_PROFILE_AMD, amd);
    snprintf(json, sizeof json,
             "{\"version\":1,\"name\":\"test\",\"roots\":[{\"name\":\"Test "
             "Root\",\"key_sha256\":\"%s\"},{\"name\":\"Test ARK\",\"key_sha256\":\"%s\"}]}",
             intel, amd);
    need(verifier_policy_new(json, strlen(json), &policy, &err) == 0, err.text);
    return policy;
}
