/* SPDX-License-Identifier: Apache-2.0 */
/* Evidence and collateral of the tests' own manufacturer. Tests only. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>

#include "lib/digest.h"
#include "pki.h"
#include "verifier/intel/quote.h"
#include "verifier/snp/report.h"

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "test PKI: %s\n", what);
    abort();
}

/* ---- signatures ---- */

void pki_ecdsa_sign(EVP_PKEY *key, const uint8_t *digest, size_t digest_size, uint8_t *ret,
                    size_t size)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    uint8_t der[160];
    const uint8_t *at = der;
    size_t der_size = sizeof der;
    ECDSA_SIG *signature;

    need(ctx && EVP_PKEY_sign_init(ctx) == 1 &&
             EVP_PKEY_sign(ctx, der, &der_size, digest, digest_size) == 1,
         "ECDSA");
    signature = d2i_ECDSA_SIG(NULL, &at, (long)der_size);
    need(signature && BN_bn2binpad(ECDSA_SIG_get0_r(signature), ret, (int)size) == (int)size &&
             BN_bn2binpad(ECDSA_SIG_get0_s(signature), ret + size, (int)size) == (int)size,
         "ECDSA numbers");
    ECDSA_SIG_free(signature);
    EVP_PKEY_CTX_free(ctx);
}

static void sign_sha256(EVP_PKEY *key, const uint8_t *data, size_t size, uint8_t ret[64])
{
    uint8_t digest[SHA256_SIZE];

    sha256_digest(data, size, digest);
    pki_ecdsa_sign(key, digest, sizeof digest, ret, 32);
}

bool pki_quote_sign(const struct pki *pki, uint8_t *quote, size_t size)
{
    struct quote q;
    const char *why;
    uint8_t point[65], *qe_report;
    size_t point_size;
    struct sha256 hash;

    if (quote_parse((struct verifier_bytes){ quote, size }, &q, &why) < 0)
        return false;
    need(EVP_PKEY_get_octet_string_param(pki->attestation_key, OSSL_PKEY_PARAM_PUB_KEY, point,
                                         sizeof point, &point_size) == 1 &&
             point_size == sizeof point,
         "attestation key");
    qe_report = quote + (q.qe_report - quote);
    memcpy(quote + (q.attestation_key - quote), point + 1, 64);
    memset(qe_report + 320, 0, 64);
    sha256_init(&hash);
    sha256_update(&hash, q.attestation_key, 64);
    sha256_update(&hash, q.qe_auth_data.data, q.qe_auth_data.size);
    sha256_final(&hash, qe_report + 320);
    sign_sha256(pki->pck_key, qe_report, QUOTE_SGX_REPORT_SIZE, quote + (q.qe_signature - quote));
    sign_sha256(pki->attestation_key, q.signed_part.data, q.signed_part.size,
                quote + (q.signature - quote));
    return true;
}

void pki_report_sign(const struct pki *pki, uint8_t *report)
{
    uint8_t digest[SHA384_SIZE], numbers[96];

    sha384_digest(report, SNP_SIGNED_SIZE, digest);
    pki_ecdsa_sign(pki->vek_key, digest, sizeof digest, numbers, 48);
    memset(report + SNP_SIGNED_SIZE, 0, 144);
    for (unsigned i = 0; i < 48; i++) {
        report[SNP_SIGNED_SIZE + i] = numbers[47 - i];
        report[SNP_SIGNED_SIZE + 72 + i] = numbers[95 - i];
    }
}

/* ---- quotes ---- */

static void put_le(uint8_t *dst, uint64_t value, size_t size)
{
    memcpy(dst, &value, size); /* the tests' hosts are little-endian */
}

static uint8_t *put_header(uint8_t *dst, unsigned version, bool is_tdx)
{
    static const uint8_t vendor[16] = { 0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9,
                                        0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07 };

    put_le(dst, version, 2);
    put_le(dst + 2, 2, 2);
    put_le(dst + 4, is_tdx ? QUOTE_TEE_TDX : 0, 4);
    memcpy(dst + 12, vendor, sizeof vendor);
    return dst + QUOTE_HEADER_SIZE;
}

static uint8_t *put_sgx_report(uint8_t *dst, const char *signer)
{
    dst[48] = 0x05; /* INIT, MODE64BIT */
    dst[56] = 0xe7; /* XFRM */
    memset(dst + 64, 0xaa, 32);
    memcpy(dst + 128, signer, 32);
    put_le(dst + 256, 1, 2);
    put_le(dst + 258, 4, 2);
    return dst + QUOTE_SGX_REPORT_SIZE;
}

static uint8_t *put_body(uint8_t *dst, unsigned version, unsigned body_type)
{
    size_t size = body_type == 1   ? QUOTE_SGX_REPORT_SIZE
                  : body_type == 2 ? QUOTE_TDX_1_0_SIZE
                                   : QUOTE_TDX_1_5_SIZE;

    if (version == 5) {
        put_le(dst, body_type, 2);
        put_le(dst + 2, size, 4);
        dst += 6;
    }
    if (body_type == 1)
        return put_sgx_report(dst, "the signer of an application!!!!");
    memset(dst, 5, 16); /* tee_tcb_svn */
    dst[1] = 1;         /* module version 1 */
    memset(dst + 16, 0x51, 48);
    dst[120 + 3] = 0x10; /* td_attributes: SEPT_VE_DISABLE */
    dst[128] = 0xe7;     /* xfam */
    memset(dst + 136, 0xbb, 48);
    if (body_type == 3)
        memset(dst + 584, 5, 16);
    return dst + size;
}

size_t pki_quote(const struct pki *pki, unsigned version, unsigned body_type,
                 uint8_t dst[PKI_QUOTE_SIZE_MAX])
{
    size_t chain = pki->pck_chain.size, inner = QUOTE_SGX_REPORT_SIZE + 64 + 2 + 32 + 6 + chain;
    uint8_t *p = dst;

    memset(dst, 0, PKI_QUOTE_SIZE_MAX);
    need(chain < PKI_QUOTE_SIZE_MAX / 2, "chain");
    p = put_body(put_header(p, version, body_type != 1), version, body_type);
    put_le(p, 128 + inner + (version == 3 ? 0 : 6), 4);
    p += 4 + 128;
    if (version != 3) {
        put_le(p, QUOTE_CERT_QE_REPORT, 2);
        put_le(p + 2, inner, 4);
        p += 6;
    }
    p = put_sgx_report(p, "the signer of quoting enclaves!!") + 64;
    put_le(p, 32, 2);
    p += 2 + 32;
    put_le(p, QUOTE_CERT_PCK_CHAIN, 2);
    put_le(p + 2, chain, 4);
    memcpy(p + 6, pki->pck_chain.data, chain);
    p += 6 + chain;
    need(pki_quote_sign(pki, dst, (size_t)(p - dst)), "quote");
    return (size_t)(p - dst);
}

/* ---- collateral ---- */

static void put_hex(FILE *f, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        fprintf(f, "%02x", bytes[i]);
}

size_t pki_sign_json(const struct pki *pki, const char *name, struct verifier_bytes value,
                     char *dst, size_t dst_size)
{
    uint8_t signature[64];
    size_t size;
    FILE *f;

    if (value.size + strlen(name) + 200 > dst_size)
        return 0;
    sign_sha256(pki->tcb_key, value.data, value.size, signature);
    f = fmemopen(dst, dst_size, "w");
    need(f != NULL, "memory file");
    fprintf(f, "{\"%s\":", name);
    fwrite(value.data, 1, value.size, f);
    fputs(",\"signature\":\"", f);
    put_hex(f, signature, sizeof signature);
    fputs("\"}", f);
    size = (size_t)ftell(f);
    need(fclose(f) == 0, "signed JSON");
    return size;
}

static void put_components(FILE *f, const char *name, unsigned svn)
{
    fprintf(f, "\"%s\":[", name);
    for (unsigned i = 0; i < VERIFIER_SVN_COUNT; i++)
        fprintf(f, "%s{\"svn\":%u}", i ? "," : "", svn);
    fputs("],", f);
}

static void put_level(FILE *f, bool is_tdx, unsigned svn, const char *date, const char *status)
{
    fputs("{\"tcb\":{", f);
    put_components(f, "sgxtcbcomponents", svn);
    if (is_tdx)
        put_components(f, "tdxtcbcomponents", svn);
    fprintf(f, "\"pcesvn\":%u},\"tcbDate\":\"%s\",\"tcbStatus\":\"%s\",\"advisoryIDs\":[%s]}", svn,
            date, status, svn < 5 ? "\"INTEL-SA-00001\",\"INTEL-SA-00002\"" : "");
}

static const char g_dates[] = "\"issueDate\":\"2025-01-01T00:00:00Z\",\"nextUpdate\":\"2030-01-"
                              "01T00:00:00Z\",\"tcbEvaluationDataNumber\":17,";
static const char g_isv_levels[] =
    "\"tcbLevels\":[{\"tcb\":{\"isvsvn\":4},\"tcbDate\":\"2024-03-13T00:00:00Z\",\"tcbStatus\":"
    "\"UpToDate\"},"
    "{\"tcb\":{\"isvsvn\":2},\"tcbDate\":\"2023-03-13T00:00:00Z\",\"tcbStatus\":\"OutOfDate\","
    "\"advisoryIDs\":[\"INTEL-SA-00003\"]}]";

void pki_tcb_info(bool is_tdx, char dst[PKI_JSON_SIZE_MAX])
{
    FILE *f = fmemopen(dst, PKI_JSON_SIZE_MAX, "w");

    need(f != NULL, "memory file");
    fprintf(f, "{\"id\":\"%s\",\"version\":3,%s\"fmspc\":\"", is_tdx ? "TDX" : "SGX", g_dates);
    put_hex(f, pki_fmspc, sizeof pki_fmspc);
    fputs("\",\"pceId\":\"0000\",\"tcbType\":0,", f);
    if (is_tdx)
        fprintf(f,
                "\"tdxModule\":{\"mrsigner\":\"%096d\",\"attributes\":\"%016d\",\"attributesMask\":"
                "\"ffffffffffffffff\"},"
                "\"tdxModuleIdentities\":[{\"id\":\"TDX_01\",\"mrsigner\":\"%096d\",\"attributes\":"
                "\"%016d\",\"attributesMask\":\"ffffffffffffffff\",%s}],",
                0, 0, 0, 0, g_isv_levels);
    fputs("\"tcbLevels\":[", f);
    put_level(f, is_tdx, 5, "2024-03-13T00:00:00Z", "UpToDate");
    fputc(',', f);
    put_level(f, is_tdx, 2, "2023-03-13T00:00:00Z", "OutOfDate");
    fputs("]}", f);
    need(fclose(f) == 0, "TCB info");
}

void pki_qe_identity(bool is_tdx, char dst[PKI_JSON_SIZE_MAX])
{
    FILE *f = fmemopen(dst, PKI_JSON_SIZE_MAX, "w");

    need(f != NULL, "memory file");
    fprintf(f,
            "{\"id\":\"%s\",\"version\":2,%s\"miscselect\":\"00000000\",\"miscselectMask\":"
            "\"ffffffff\","
            "\"attributes\":\"11000000000000000000000000000000\",\"attributesMask\":"
            "\"02000000000000000000000000000000\",\"mrsigner\":\"",
            is_tdx ? "TD_QE" : "QE", g_dates);
    put_hex(f, (const uint8_t *)"the signer of quoting enclaves!!", 32);
    fprintf(f, "\",\"isvprodid\":1,%s}", g_isv_levels);
    need(fclose(f) == 0, "QE identity");
}

struct verifier_collateral *pki_collateral(const struct pki *pki, struct verifier_bytes tcb_info,
                                           struct verifier_bytes qe_identity)
{
    size_t tcb_size = tcb_info.size + 256, qe_size = qe_identity.size + 256;
    char *tcb = malloc(tcb_size), *qe = malloc(qe_size);
    struct verifier_collateral_items items = { 0 };
    struct verifier_collateral *collateral = NULL;
    struct err err = { 0 };

    need(tcb && qe, "memory");
    tcb_size = pki_sign_json(pki, "tcbInfo", tcb_info, tcb, tcb_size);
    qe_size = pki_sign_json(pki, "enclaveIdentity", qe_identity, qe, qe_size);
    items.tcb_info = (struct verifier_bytes){ (uint8_t *)tcb, tcb_size };
    items.qe_identity = (struct verifier_bytes){ (uint8_t *)qe, qe_size };
    items.tcb_info_chain = items.qe_identity_chain = pki->tcb_chain;
    items.pck_crl = pki->pck_crl;
    items.pck_crl_chain = pki->ca_chain;
    items.root_crl = pki->root_crl;
    items.pck_chain = pki->pck_chain;
    items.vek = pki->vek;
    items.vek_chain = pki->vek_chain;
    need(verifier_collateral_new(&items, &collateral, &err) == 0, err.text);
    free(tcb);
    free(qe);
    return collateral;
}
