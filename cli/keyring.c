/* SPDX-License-Identifier: Apache-2.0 */
/* Approval keys on disk. Relying party side. */
#include "cli/keyring.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/pem.h>

#include "attest/base64url.h"
#include "cli/file.h"
#include "cli/remote.h"
#include "client/contexts.h"

#define PATH_SIZE 4096u
#define KEY_FILE_SIZE_MAX 16384u

static bool is_name(const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && (i == 0 || !strchr("-_.", name[i])))
            return false;
    return len > 0 && len <= KEYRING_NAME_MAX;
}

/* Path of a file of the key; name NULL: of the folder. */
static int key_path(const char *name, const char *suffix, char ret[PATH_SIZE], struct err *err)
{
    char folder[PATH_SIZE - 128];
    int rc;

    if (name && !is_name(name))
        return err_set(err, -EINVAL,
                       "\"%.70s\" is no name of a key: letters, digits, '-', '_' and '.', at most "
                       "%u",
                       name, KEYRING_NAME_MAX);
    rc = contexts_folder(folder, sizeof folder - 8, err);
    if (rc < 0)
        return rc;
    memcpy(folder + strlen(folder), "/keys", sizeof "/keys");
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return err_set_errno(err, -errno, "cannot make %s", folder);
    snprintf(ret, PATH_SIZE, "%s%s%s%s", folder, name ? "/" : "", name ? name : "",
             name ? suffix : "");
    return 0;
}

static char *base64url(const void *data, size_t size)
{
    struct buffer b;
    uint8_t *text;
    size_t text_size;

    buffer_init(&b, 4096);
    base64url_add(&b, data, size);
    if (buffer_take(&b, &text, &text_size) == 0)
        return (char *)text;
    buffer_done(&b);
    return NULL;
}

static int fill(EVP_PKEY *key, struct keyring_key *ret, struct err *err)
{
    size_t size = KEYRING_PUBLIC_SIZE;
    char *text;

    *ret = (struct keyring_key){ .key = key };
    if (EVP_PKEY_get_id(key) != EVP_PKEY_ED25519 ||
        EVP_PKEY_get_raw_public_key(key, ret->public_key, &size) != 1) {
        keyring_done(ret);
        return err_set(err, -EBADMSG, "the key is no Ed25519 key");
    }
    text = base64url(ret->public_key, size);
    if (!text) {
        keyring_done(ret);
        return -ENOMEM;
    }
    snprintf(ret->public_text, sizeof ret->public_text, "%s", text);
    free(text);
    return 0;
}

void keyring_done(struct keyring_key *key)
{
    EVP_PKEY_free(key->key);
    *key = (struct keyring_key){ 0 };
}

/* A secret memory BIO with the key in PEM. */
static BIO *encode(EVP_PKEY *key, const char *passphrase)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    int len = passphrase ? (int)strlen(passphrase) : 0;

    if (bio && PEM_write_bio_PKCS8PrivateKey(bio, key, passphrase ? EVP_aes_256_cbc() : NULL,
                                             passphrase, len, NULL, NULL) == 1)
        return bio;
    BIO_free(bio);
    return NULL;
}

int keyring_create(const char *name, const char *passphrase, struct keyring_key *ret,
                   struct err *err)
{
    char path[PATH_SIZE], public_path[PATH_SIZE], line[64];
    EVP_PKEY *key;
    BIO *bio;
    char *text;
    long size;
    int rc = key_path(name, ".pem", path, err);

    if (rc == 0)
        rc = key_path(name, ".pub", public_path, err);
    if (rc < 0)
        return rc;
    if (access(path, F_OK) == 0)
        return err_set(err, -EEXIST, "%s is there already", path);
    key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    bio = key ? encode(key, passphrase) : NULL;
    if (!bio) {
        EVP_PKEY_free(key);
        return err_set_errno(err, -ENOMEM, "cannot make a key");
    }
    size = BIO_get_mem_data(bio, &text);
    rc = contexts_file_write(path, text, (size_t)size, err);
    BIO_free(bio);
    if (rc < 0) {
        EVP_PKEY_free(key);
        return rc;
    }
    rc = fill(key, ret, err);
    if (rc < 0)
        return rc;
    snprintf(line, sizeof line, "%s\n", ret->public_text);
    rc = contexts_file_write(public_path, line, strlen(line), err);
    if (rc < 0)
        keyring_done(ret);
    return rc;
}

struct passphrase {
    const char *file, *name;
    struct err *err;
    int rc;
};

static int give_passphrase(char *buffer, int size, int for_writing, void *arg)
{
    struct passphrase *p = arg;
    char question[KEYRING_NAME_MAX + 32];
    char *text;
    size_t len;

    snprintf(question, sizeof question, "passphrase of the key %s", p->name);
    p->rc = ask_secret(p->file, question, &text, p->err);
    if (p->rc < 0)
        return -1;
    len = strlen(text);
    if (len > (size_t)size)
        len = 0;
    memcpy(buffer, text, len);
    ask_free(text);
    return (int)len;
}

int keyring_open(const char *name, const char *passphrase_file, struct keyring_key *ret,
                 struct err *err)
{
    struct passphrase passphrase = { passphrase_file, name, err, 0 };
    char path[PATH_SIZE];
    struct file_bytes file;
    struct stat st;
    EVP_PKEY *key;
    BIO *bio;
    int rc = key_path(name, ".pem", path, err);

    if (rc < 0)
        return rc;
    if (stat(path, &st) < 0)
        return err_set(err, -errno, "there is no key %s: `cloche key create %s`", name, name);
    if (st.st_mode & 077)
        return err_set(err, -EACCES, "others may read %s: chmod 600 it, and enrol a new key", path);
    rc = file_bytes_read(path, KEY_FILE_SIZE_MAX, &file, err);
    if (rc < 0)
        return rc;
    bio = BIO_new_mem_buf(file.data, (int)file.size);
    key = bio ? PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, &passphrase) : NULL;
    BIO_free(bio);
    explicit_bzero(file.data, file.size);
    file_bytes_done(&file);
    if (passphrase.rc < 0)
        return passphrase.rc;
    if (!key)
        return err_set(err, -EACCES, "%s: wrong passphrase, or no key", path);
    return fill(key, ret, err);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(DIR *folder, char **names, unsigned max)
{
    unsigned count = 0;

    for (struct dirent *e = readdir(folder); e && count < max; e = readdir(folder)) {
        size_t len = strlen(e->d_name);

        if (len > 4 && strcmp(e->d_name + len - 4, ".pem") == 0) {
            names[count] = strndup(e->d_name, len - 4);
            if (!names[count])
                break;
            count++;
        }
    }
    return (int)count;
}

int keyring_each(int (*fn)(void *arg, const char *name), void *arg, struct err *err)
{
    char path[PATH_SIZE];
    char *names[256];
    DIR *folder;
    int count, rc = key_path(NULL, "", path, err);

    if (rc < 0)
        return rc;
    folder = opendir(path);
    if (!folder)
        return err_set_errno(err, -errno, "cannot read %s", path);
    count = read_names(folder, names, ARRAY_COUNT(names));
    closedir(folder);
    qsort(names, (size_t)count, sizeof names[0], compare_names);
    for (int i = 0; i < count; i++) {
        if (rc == 0 && is_name(names[i]))
            rc = fn(arg, names[i]);
        free(names[i]);
    }
    return rc;
}

int keyring_public(const char *name, char ret[44], struct err *err)
{
    char path[PATH_SIZE];
    struct file_bytes file;
    int rc = key_path(name, ".pub", path, err);

    if (rc == 0)
        rc = file_bytes_read(path, 64, &file, err);
    if (rc < 0)
        return rc;
    if (file.size < 43)
        rc = err_set(err, -EBADMSG, "%s is no public key", path);
    else
        snprintf(ret, 44, "%.43s", (const char *)file.data);
    file_bytes_done(&file);
    return rc;
}

int keyring_sign(const struct keyring_key *key, const void *data, size_t size, char **ret,
                 struct err *err)
{
    uint8_t signature[KEYRING_SIGNATURE_SIZE];
    size_t signature_size = sizeof signature;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_signed = context && EVP_DigestSignInit(context, NULL, NULL, NULL, key->key) == 1 &&
                     EVP_DigestSign(context, signature, &signature_size, data, size) == 1;

    EVP_MD_CTX_free(context);
    if (!is_signed)
        return err_set(err, -EIO, "cannot sign");
    *ret = base64url(signature, signature_size);
    return *ret ? 0 : -ENOMEM;
}
