/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the emulated PKI's folder: read whole, replaced in one step. Untrusted side. */
#include "host/sgx/emu/pki/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/pem.h>

#include "lib/hosted/whole_file.h"

static int path_of(const char *folder, const char *name, char ret[FOLDER_PATH_MAX], struct err *err)
{
    if (snprintf(ret, FOLDER_PATH_MAX, "%s/%s", folder, name) >= (int)FOLDER_PATH_MAX)
        return err_set(err, -ENAMETOOLONG, "%s: the name is too long", folder);
    return 0;
}

/* ---- bytes ---- */

int folder_read(const char *folder, const char *name, char **ret, size_t *ret_size, struct err *err)
{
    char path[FOLDER_PATH_MAX];
    int rc = path_of(folder, name, path, err);

    return rc < 0 ? rc : whole_file_read(path, EMU_PKI_FILE_SIZE_MAX, ret, ret_size, err);
}

int folder_write(const char *folder, const char *name, const void *data, size_t size, bool secret,
                 struct err *err)
{
    char path[FOLDER_PATH_MAX];
    int rc = path_of(folder, name, path, err);

    return rc < 0 ? rc : whole_file_replace(path, data, size, secret ? 0600 : 0644, err);
}

/* ---- PEM ---- */

static int write_bio(const char *folder, const char *name, BIO *bio, bool good, bool secret,
                     struct err *err)
{
    char *data;
    long size = good ? BIO_get_mem_data(bio, &data) : 0;
    int rc = size > 0 ? folder_write(folder, name, data, (size_t)size, secret, err)
                      : err_set(err, -EIO, "cannot encode %s", name);

    BIO_free(bio);
    return rc;
}

int folder_key_write(const char *folder, const char *name, EVP_PKEY *key, struct err *err)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    bool good = bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    char file[64];

    snprintf(file, sizeof file, "keys/%s.key", name);
    return write_bio(folder, file, bio, good, true, err);
}

int folder_cert_write(const char *folder, const char *name, X509 *cert, struct err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    bool good = bio && PEM_write_bio_X509(bio, cert) == 1;
    char file[64];

    snprintf(file, sizeof file, "certs/%s.pem", name);
    return write_bio(folder, file, bio, good, false, err);
}

int folder_key_read(const char *folder, const char *name, EVP_PKEY **ret, struct err *err)
{
    char file[64], *text;
    size_t size;
    BIO *bio;
    int rc;

    snprintf(file, sizeof file, "keys/%s.key", name);
    rc = folder_read(folder, file, &text, &size, err);
    if (rc < 0)
        return rc;
    bio = BIO_new_mem_buf(text, (int)size);
    *ret = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    OPENSSL_cleanse(text, size);
    free(text);
    return *ret ? 0 : err_set(err, -EINVAL, "%s/%s is not a private key", folder, file);
}

int folder_cert_read(const char *folder, const char *name, X509 **ret, struct err *err)
{
    char file[64], *text;
    size_t size;
    BIO *bio;
    int rc;

    snprintf(file, sizeof file, "certs/%s.pem", name);
    rc = folder_read(folder, file, &text, &size, err);
    if (rc < 0)
        return rc;
    bio = BIO_new_mem_buf(text, (int)size);
    *ret = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    free(text);
    return *ret ? 0 : err_set(err, -EINVAL, "%s/%s is not a certificate", folder, file);
}

/* ---- times ---- */

void folder_time_print(int64_t time_s, char ret[FOLDER_TIME_SIZE])
{
    time_t t = (time_t)time_s;
    struct tm tm;

    if (!gmtime_r(&t, &tm) || strftime(ret, FOLDER_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        ret[0] = 0;
}

int folder_time_parse(const char *text, int64_t *ret_s)
{
    struct tm tm = { 0 };
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);

    if (!end || *end)
        return -EINVAL;
    *ret_s = timegm(&tm);
    return 0;
}
