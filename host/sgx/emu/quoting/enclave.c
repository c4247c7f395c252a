/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The emulated platform's quoting enclave: a program for our library OS. Holds an attestation key that was made in it, verifies that a report
 * was made for it on this CPU, and signs it as an ECDSA quote, version 3. Requests come from its service on the host and are
 * hostile; a quote needs a report that EREPORT made. Source: Intel SGX ECDSA Quote Library API, appendix A.4.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>

#include "host/sgx/emu/quoting/protocol.h"
#include "lib/defs.h"

#define QUOTE_VERSION 3
#define KEY_ECDSA_P256 2
#define CERTIFICATION_PCK_CHAIN 5
#define HEADER_SIZE 48u
#define AUTH_SIZE 32u
#define KEY_SIZE 64u

/* Of Intel's quoting enclave: verifiers look for it. */
static const uint8_t g_vendor_id[16] = { 0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9,
                                         0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07 };

struct enclave {
    int device;
    EVP_PKEY *key;
    uint8_t public_key[KEY_SIZE]; /* x, y */
    uint8_t auth[AUTH_SIZE];
    struct qe_identity_answer identity;
    bool is_certified;
    struct qe_certification certification;
    size_t chain_size;
    uint8_t chain[QE_CHAIN_SIZE_MAX];
};

/* ---- identity ---- */

static int key_make(struct enclave *e)
{
    uint8_t point[1 + KEY_SIZE];
    size_t size = 0;

    e->key = EVP_EC_gen("P-256");
    if (!e->key ||
        EVP_PKEY_get_octet_string_param(e->key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point,
                                        &size) != 1 ||
        size != sizeof point)
        return -EIO;
    memcpy(e->public_key, point + 1, KEY_SIZE);
    for (unsigned i = 0; i < AUTH_SIZE; i++)
        e->auth[i] = (uint8_t)i;
    return 0;
}

static int hash_key(const struct enclave *e, uint8_t ret[32])
{
    uint8_t all[KEY_SIZE + AUTH_SIZE];

    memcpy(all, e->public_key, KEY_SIZE);
    memcpy(all + KEY_SIZE, e->auth, AUTH_SIZE);
    return EVP_Digest(all, sizeof all, ret, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

static int identity_make(struct enclave *e)
{
    struct evidence_report_request request = { 0 };

    if (hash_key(e, request.report_data) < 0)
        return -EIO;
    if (ioctl(e->device, CLOCHE_IOC_TARGETINFO, &e->identity.targetinfo) < 0 ||
        ioctl(e->device, CLOCHE_IOC_REPORT, &request) < 0)
        return -errno;
    e->identity.report = request.report.body;
    return 0;
}

/* ---- quotes ---- */

static int sign(EVP_PKEY *key, const uint8_t *data, size_t size, uint8_t ret[QE_SIGNATURE_SIZE])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t der[80];
    const uint8_t *at = der;
    size_t der_size = sizeof der;
    ECDSA_SIG *sig = NULL;
    bool good = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestSign(ctx, der, &der_size, data, size) == 1;

    if (good)
        sig = d2i_ECDSA_SIG(NULL, &at, (long)der_size);
    good = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret, 32) == 32 &&
           BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret + 32, 32) == 32;
    ECDSA_SIG_free(sig);
    EVP_MD_CTX_free(ctx);
    return good ? 0 : -EIO;
}

static uint8_t *put(uint8_t *dst, const void *data, size_t size)
{
    memcpy(dst, data, size);
    return dst + size;
}

static uint8_t *put_number(uint8_t *dst, size_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        *dst++ = (uint8_t)(value >> 8 * i);
    return dst;
}

/* returns: bytes of the quote; -EBADMSG the report was not made for this enclave. */
static int quote_make(const struct enclave *e, const struct sgx_report *report, uint8_t *dst)
{
    uint8_t *at = dst, *signature;
    size_t signature_data_size = QE_SIGNATURE_SIZE + KEY_SIZE + sizeof e->identity.report +
                                 QE_SIGNATURE_SIZE + 2 + AUTH_SIZE + 6 + e->chain_size;

    if (!e->is_certified)
        return -ENODATA;
    if (ioctl(e->device, CLOCHE_IOC_REPORT_VERIFY, report) < 0)
        return -errno;
    at = put_number(at, QUOTE_VERSION, 2);
    at = put_number(at, KEY_ECDSA_P256, 2);
    at = put_number(at, 0, 4);
    at = put_number(at, e->identity.report.isv_svn, 2);
    at = put_number(at, e->certification.pce_svn, 2);
    at = put(at, g_vendor_id, sizeof g_vendor_id);
    memset(at, 0, 20); /* user data */
    at = put(at + 20, &report->body, sizeof report->body);
    at = put_number(at, signature_data_size, 4);
    signature = at;
    if (sign(e->key, dst, HEADER_SIZE + sizeof report->body, signature) < 0)
        return -EIO;
    at = put(at + QE_SIGNATURE_SIZE, e->public_key, KEY_SIZE);
    at = put(at, &e->identity.report, sizeof e->identity.report);
    at = put(at, e->certification.signature, QE_SIGNATURE_SIZE);
    at = put_number(at, AUTH_SIZE, 2);
    at = put(at, e->auth, AUTH_SIZE);
    at = put_number(at, CERTIFICATION_PCK_CHAIN, 2);
    at = put_number(at, e->chain_size, 4);
    at = put(at, e->chain, e->chain_size);
    return (int)(at - dst);
}

/* ---- requests ---- */

static int certify(struct enclave *e, const uint8_t *data, size_t size)
{
    if (size <= sizeof e->certification || size > sizeof e->certification + QE_CHAIN_SIZE_MAX)
        return -EINVAL;
    memcpy(&e->certification, data, sizeof e->certification);
    e->chain_size = size - sizeof e->certification;
    memcpy(e->chain, data + sizeof e->certification, e->chain_size);
    e->is_certified = true;
    return 0;
}

/* returns: bytes of the answer; negative errno. */
static int perform(struct enclave *e, int32_t kind, const uint8_t *data, size_t size, uint8_t *dst)
{
    struct sgx_report report;

    switch (kind) {
    case QE_IDENTITY:
        memcpy(dst, &e->identity, sizeof e->identity);
        return (int)sizeof e->identity;
    case QE_CERTIFY:
        return certify(e, data, size);
    case QE_QUOTE:
        if (size != sizeof report)
            return -EINVAL;
        memcpy(&report, data, sizeof report);
        return quote_make(e, &report, dst);
    default:
        return -EINVAL;
    }
}

/* false: the end, or an error. */
static bool read_all(uint8_t *dst, size_t size)
{
    while (size > 0) {
        ssize_t count = read(STDIN_FILENO, dst, size);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        dst += count;
        size -= (size_t)count;
    }
    return true;
}

static bool write_all(const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t count = write(STDOUT_FILENO, data, size);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        data += count;
        size -= (size_t)count;
    }
    return true;
}

static bool serve_one(struct enclave *e)
{
    static uint8_t in[QE_MESSAGE_SIZE_MAX];
    static uint8_t out[sizeof(struct qe_header) + QE_MESSAGE_SIZE_MAX];
    struct qe_header header;
    int rc;

    if (!read_all((uint8_t *)&header, sizeof header) || header.size > sizeof in ||
        !read_all(in, header.size))
        return false;
    rc = perform(e, header.kind, in, header.size, out + sizeof header);
    header = (struct qe_header){ .size = rc > 0 ? (uint32_t)rc : 0, .kind = rc < 0 ? rc : 0 };
    memcpy(out, &header, sizeof header);
    return write_all(out, sizeof header + header.size);
}

int main(void)
{
    static struct enclave e;
    int rc;

    e.device = open("/dev/cloche", O_RDWR | O_CLOEXEC);
    rc = e.device < 0 ? -errno : key_make(&e);
    if (rc == 0)
        rc = identity_make(&e);
    if (rc < 0) {
        fprintf(stderr, "quoting enclave: cannot start: %s\n", strerror(-rc));
        return 1;
    }
    while (serve_one(&e))
        continue;
    return 0;
}
