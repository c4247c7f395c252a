/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the blob of collateral: RATS CMW (draft-ietf-rats-msg-wrap), a JSON collection of records. Untrusted side. */
#include "host/quote/collateral.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/evidence.h"

#define PATH_SIZE 4096u
#define INDICATOR "2" /* endorsements */
#define JSON "application/json"
#define CHAIN "application/pem-certificate-chain"
#define CRL "application/pkix-crl"

static const struct {
    const char *label, *file, *type;
} g_records[] = {
    { "tcb_info", "tcb_info.json", JSON },
    { "tcb_info_issuer_chain", "tcb_info_issuer_chain.pem", CHAIN },
    { "qe_identity", "qe_identity.json", JSON },
    { "qe_identity_issuer_chain", "qe_identity_issuer_chain.pem", CHAIN },
    { "pck_crl", "pck_crl.der", CRL },
    { "pck_crl_issuer_chain", "pck_crl_issuer_chain.pem", CHAIN },
    { "root_ca_crl", "root_ca_crl.der", CRL },
    { "pck_chain", "pck_chain.pem", CHAIN },
};

struct blob {
    uint8_t *data; /* EVIDENCE_COLLATERAL_SIZE_MAX bytes */
    size_t size;
    bool is_full; /* something did not fit */
};

static void put(struct blob *b, const void *data, size_t size)
{
    if (size > EVIDENCE_COLLATERAL_SIZE_MAX - b->size) {
        b->is_full = true;
        return;
    }
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void put_text(struct blob *b, const char *text)
{
    put(b, text, strlen(text));
}

/* base64url without padding, RFC 4648 section 5. */
static void put_base64url(struct blob *b, const uint8_t *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    for (size_t i = 0; i < size; i += 3) {
        size_t left = MIN(size - i, (size_t)3);
        uint32_t group = (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                         (left > 2 ? data[i + 2] : 0);
        char out[4];

        for (unsigned n = 0; n < 4; n++)
            out[n] = digits[group >> (18 - 6 * n) & 63];
        put(b, out, left + 1);
    }
}

/* returns: bytes read, at most max; -E2BIG; -errno. */
static int64_t read_file(const char *path, uint8_t *dst, size_t max)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t size = 0;
    uint8_t more;
    ssize_t count = 1;

    if (fd < 0)
        return -errno;
    while (size < max && (count = read(fd, dst + size, max - size)) > 0)
        size += (size_t)count;
    if (count > 0)
        count = read(fd, &more, 1);
    close(fd);
    return count < 0 ? -EIO : count > 0 ? -E2BIG : (int64_t)size;
}

static int read_folder(const char *folder, struct blob *b, struct err *err)
{
    uint8_t *file = malloc(EVIDENCE_COLLATERAL_SIZE_MAX);
    char path[PATH_SIZE];
    unsigned count = 0;
    int64_t size = file ? 0 : -ENOMEM;

    for (unsigned i = 0; size >= 0 && i < ARRAY_COUNT(g_records); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, g_records[i].file);
        size = read_file(path, file, EVIDENCE_COLLATERAL_SIZE_MAX);
        if (size == -ENOENT) {
            size = 0;
            continue;
        }
        if (size < 0)
            break;
        put_text(b, count++ ? ",\"" : "{\"");
        put_text(b, g_records[i].label);
        put_text(b, "\":[\"");
        put_text(b, g_records[i].type);
        put_text(b, "\",\"");
        put_base64url(b, file, (size_t)size);
        put_text(b, "\"," INDICATOR "]");
    }
    put_text(b, "}");
    free(file);
    if (size < 0)
        return err_set_errno(err, (int)size, "cannot read %s", path);
    if (count == 0)
        return err_set(err, -ENODATA, "%s holds no collateral", folder);
    return b->is_full ? err_set(err, -E2BIG, "the collateral in %s is larger than %u bytes", folder,
                                EVIDENCE_COLLATERAL_SIZE_MAX)
                      : 0;
}

int collateral_read(const char *path, uint8_t **ret, size_t *ret_size, struct err *err)
{
    struct blob b = { .data = malloc(EVIDENCE_COLLATERAL_SIZE_MAX) };
    struct stat st;
    int rc = b.data ? 0 : err_set_errno(err, -ENOMEM, "cannot read %s", path);

    if (rc == 0 && stat(path, &st) < 0)
        rc = err_set_errno(err, -errno, "cannot read %s", path);
    if (rc == 0 && S_ISDIR(st.st_mode) && strlen(path) + 64 > PATH_SIZE)
        rc = err_set(err, -ENAMETOOLONG, "%s: the name is too long", path);
    if (rc == 0 && S_ISDIR(st.st_mode)) {
        rc = read_folder(path, &b, err);
    } else if (rc == 0) {
        int64_t size = read_file(path, b.data, EVIDENCE_COLLATERAL_SIZE_MAX);

        b.size = size < 0 ? 0 : (size_t)size;
        rc = size < 0    ? err_set_errno(err, (int)size, "cannot read %s", path)
             : size == 0 ? err_set(err, -ENODATA, "%s is empty", path)
                         : 0;
    }
    if (rc < 0) {
        free(b.data);
        return rc;
    }
    *ret = b.data;
    *ret_size = b.size;
    return 0;
}
