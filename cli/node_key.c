/* SPDX-License-Identifier: Apache-2.0 */
/* The node's key: what its evidence is about. Relying party side. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "attest/base64url.h"
#include "cli/file.h"
#include "cli/node_attest.h"
#include "client/contexts.h"

#define PATH_SIZE 4096u
#define KEY_SIZE_MAX 16384u

static int key_store(const char *path, EVP_PKEY *key, struct err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    long size;
    int rc;

    if (!bio || PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1) {
        BIO_free(bio);
        return err_set(err, -EIO, "cannot write the node's key");
    }
    size = BIO_get_mem_data(bio, &text);
    rc = contexts_file_write(path, text, (size_t)size, err);
    explicit_bzero(text, (size_t)size);
    BIO_free(bio);
    return rc;
}

static int key_load(const char *path, EVP_PKEY **ret, struct err *err)
{
    struct file_bytes file;
    BIO *bio;
    int rc = file_bytes_read(path, KEY_SIZE_MAX, &file, err);

    if (rc < 0)
        return rc;
    bio = BIO_new_mem_buf(file.data, (int)file.size);
    *ret = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    explicit_bzero(file.data, file.size);
    file_bytes_done(&file);
    return *ret ? 0 : err_set(err, -EBADMSG, "%s holds no private key", path);
}

int node_key_read(const char *folder, char ret[NODE_KEY_TEXT_SIZE], struct err *err)
{
    char path[PATH_SIZE];
    uint8_t der[NODE_KEY_TEXT_SIZE / 2], *end = der;
    struct buffer text;
    EVP_PKEY *key = NULL;
    int rc, size;

    snprintf(path, sizeof path, "%.4000s/key.pem", folder);
    rc = access(path, F_OK) == 0 ? key_load(path, &key, err) : 0;
    if (rc == 0 && !key) {
        key = EVP_EC_gen("P-256");
        rc = key ? key_store(path, key, err) : err_set(err, -EIO, "cannot make a key");
    }
    size = rc == 0 ? i2d_PUBKEY(key, NULL) : 0;
    if (rc == 0 && (size <= 0 || (size_t)size > sizeof der || i2d_PUBKEY(key, &end) != size))
        rc = err_set(err, -EBADMSG, "%s holds no key of P-256", path);
    EVP_PKEY_free(key);
    if (rc < 0)
        return rc;
    buffer_init(&text, NODE_KEY_TEXT_SIZE - 1);
    base64url_add(&text, der, (size_t)size);
    if (text.rc < 0)
        rc = err_set_errno(err, text.rc, "the node's key");
    else
        snprintf(ret, NODE_KEY_TEXT_SIZE, "%.*s", (int)text.size, (char *)text.data);
    buffer_done(&text);
    return rc;
}
