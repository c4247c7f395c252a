/* SPDX-License-Identifier: Apache-2.0 */
/* Quotes for tests of attested TLS. */
#include "tests/unit/attest/quoter.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "abi/sgx_arch.h"
#include "attest/cert.h"
#include "attest/collateral.h"
#include "host/sgx/emu/pki/issue.h"
#include "lib/digest.h"

#define HEADER_SIZE 48u
#define MRSIGNER 0x5a
#define ISV_PROD_ID 1
#define ISV_SVN 2

static uint64_t g_more_attributes;

void quoter_attributes_add(uint64_t flags)
{
    g_more_attributes = flags;
}

static void put_u16(uint8_t *dst, size_t value)
{
    dst[0] = (uint8_t)value;
    dst[1] = (uint8_t)(value >> 8);
}

static void put_u32(uint8_t *dst, size_t value)
{
    put_u16(dst, value & 0xffff);
    put_u16(dst + 2, value >> 16);
}

static void fill_report(struct sgx_report_body *body, uint8_t mrenclave)
{
    memset(body, 0, sizeof *body);
    body->attributes.flags = SGX_ATTR_INIT | SGX_ATTR_MODE64BIT;
    body->attributes.xfrm = 3;
    memset(body->mrenclave, mrenclave, sizeof body->mrenclave);
    memset(body->mrsigner, MRSIGNER, sizeof body->mrsigner);
    body->isv_prod_id = ISV_PROD_ID;
    body->isv_svn = ISV_SVN;
}

/* Signature data behind the body: signature, key, QE report and its signature, authentication data, chain. returns: its size; -errno. */
static int sign(struct emu_pki *pki, const uint8_t *quote, size_t signed_size, uint8_t *dst,
                struct err *err)
{
    EVP_PKEY *key = issue_key_new();
    uint8_t point[65];
    struct sgx_report_body qe;
    size_t size, chain_size;
    char *chain;
    int rc;

    if (EVP_PKEY_get_octet_string_param(key, "pub", point, sizeof point, &size) != 1 ||
        issue_sign(key, quote, signed_size, dst) < 0) {
        EVP_PKEY_free(key);
        return -EIO;
    }
    EVP_PKEY_free(key);
    memcpy(dst + 64, point + 1, 64);
    fill_report(&qe, 0x22);
    sha256_digest(point + 1, 64, qe.report_data);
    memcpy(dst + 128, &qe, sizeof qe);
    rc = emu_pki_pck_sign(pki, &qe, sizeof qe, dst + 128 + sizeof qe, err);
    if (rc < 0)
        return rc;
    rc = emu_pki_collateral_read(pki, "pck_chain.pem", &chain, &chain_size, err);
    if (rc < 0)
        return rc;
    dst += 128 + sizeof qe + 64;
    put_u16(dst, 0); /* no authentication data */
    put_u16(dst + 2, 5);
    put_u32(dst + 4, chain_size);
    memcpy(dst + 8, chain, chain_size);
    free(chain);
    return (int)(128 + sizeof qe + 64 + 8 + chain_size);
}

static int make_quote(struct emu_pki *pki, uint8_t mrenclave, const uint8_t report_data[64],
                      uint8_t quote[QUOTER_QUOTE_SIZE_MAX], struct err *err)
{
    static const uint8_t vendor[] = { 0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9,
                                      0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07 };
    struct sgx_report_body body;
    size_t signed_size = HEADER_SIZE + sizeof body;
    int size;

    memset(quote, 0, HEADER_SIZE);
    put_u16(quote, 3);
    put_u16(quote + 2, 2); /* ECDSA P-256 */
    memcpy(quote + 12, vendor, sizeof vendor);
    fill_report(&body, mrenclave);
    body.attributes.flags |= g_more_attributes;
    memcpy(body.report_data, report_data, sizeof body.report_data);
    memcpy(quote + HEADER_SIZE, &body, sizeof body);
    size = sign(pki, quote, signed_size, quote + signed_size + 4, err);
    if (size < 0)
        return size;
    put_u32(quote + signed_size, (size_t)size);
    return (int)signed_size + 4 + size;
}

static int add_collateral(struct emu_pki *pki, struct cmw *cmw, struct err *err)
{
    int parent = cmw_add_collection(cmw, 0, COLLATERAL_LABEL, NULL), rc = parent;

    for (unsigned i = 0; i < COLLATERAL_KIND_COUNT && rc >= 0; i++) {
        const struct collateral_kind *kind = &g_collateral_kinds[i];
        char *data;
        size_t size;

        if (emu_pki_collateral_read(pki, kind->file, &data, &size, err) < 0)
            continue; /* AMD's */
        rc = cmw_add_record(cmw, parent, kind->label, kind->type, CMW_ENDORSEMENTS, data, size);
        free(data);
    }
    return rc < 0 ? rc : 0;
}

int quoter_get_from(const char *folder, uint8_t mrenclave, bool staples,
                    const uint8_t report_data[64], struct cmw **ret, struct err *err)
{
    CLEANUP(cmw_freep)
    struct cmw *cmw = NULL;
    CLEANUP(emu_pki_freep)
    struct emu_pki *pki = NULL;
    uint8_t quote[QUOTER_QUOTE_SIZE_MAX];
    int rc = emu_pki_open(folder, &pki, err), size;

    if (rc < 0)
        return rc;
    size = make_quote(pki, mrenclave, report_data, quote, err);
    if (size < 0)
        return size;
    rc = cmw_new(&cmw);
    if (rc == 0)
        rc = cmw_add_collection(cmw, CMW_TOP, "", NULL);
    if (rc >= 0)
        rc = cmw_add_record(cmw, 0, CERT_LABEL_EVIDENCE, CMW_TYPE_INTEL_QUOTE, CMW_EVIDENCE, quote,
                            (size_t)size);
    if (rc >= 0 && staples)
        rc = add_collateral(pki, cmw, err);
    if (rc < 0)
        return rc;
    *ret = TAKE_PTR(cmw);
    return 0;
}

int quoter_get(void *arg, const uint8_t report_data[64], struct cmw **ret, struct err *err)
{
    const struct quoter *q = arg;

    return quoter_get_from(q->folder, q->mrenclave, q->staples, report_data, ret, err);
}

static int qe_set(const char *folder, struct err *err)
{
    CLEANUP(emu_pki_freep)
    struct emu_pki *pki = NULL;
    struct emu_pki_qe qe = { .isv_prod_id = ISV_PROD_ID, .isv_svn = ISV_SVN };
    int rc = emu_pki_open(folder, &pki, err);

    memset(qe.mrsigner, MRSIGNER, sizeof qe.mrsigner);
    if (rc == 0)
        rc = emu_pki_qe_set(pki, &qe, err);
    return rc < 0 ? rc : emu_pki_publish(pki, err);
}

int quoter_init(struct quoter *q)
{
    struct emu_pki_platform platform = { 0 };
    struct err err = { 0 };
    int rc;

    *q = (struct quoter){ .mrenclave = 0x11, .staples = true };
    snprintf(q->folder, sizeof q->folder, "/tmp/cloche-test-quoter-XXXXXX");
    rc = mkdtemp(q->folder) ? emu_pki_init(q->folder, &platform, &err) : -errno;
    if (rc == 0)
        rc = qe_set(q->folder, &err);
    if (rc < 0)
        fprintf(stderr, "quoter: %s\n", err.text);
    return rc;
}

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *walk)
{
    return remove(path);
}

void quoter_done(struct quoter *q)
{
    if (nftw(q->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
        fprintf(stderr, "quoter: cannot remove %s\n", q->folder);
}
