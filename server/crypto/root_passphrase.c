/* SPDX-License-Identifier: Apache-2.0 */
/* The root key from a passphrase in a file: Argon2id (RFC 9106), salt and costs in the record. Relying party. */
#include <argon2.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/ct.h"
#include "server/crypto/root.h"

#define PASSPHRASE_LEN_MIN 8u
#define PASSPHRASE_LEN_MAX 1024u
#define SALT_SIZE 16u
/* What new records say (RFC 9106, second recommended option), and what a record may say. */
#define MEMORY_KIB 65536u
#define MEMORY_KIB_MAX (1u << 20)
#define PASSES 3u
#define PASSES_MAX 16u
#define LANES 4u

/* The first line; *ret_len without its end. */
static int read_line(const char *path, char ret[PASSPHRASE_LEN_MAX + 2], size_t *ret_len,
                     struct err *err)
{
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    size_t size = 0;
    ssize_t n = 1;
    char *end;

    if (!path)
        return err_set(err, -EINVAL, "no file is named");
    if (fd < 0)
        return err_set_errno(err, -errno, "%s", path);
    while (size < PASSPHRASE_LEN_MAX + 1 && n > 0) {
        n = read(fd, ret + size, PASSPHRASE_LEN_MAX + 1 - size);
        if (n > 0)
            size += (size_t)n;
    }
    if (n < 0) {
        int rc = -errno;

        close(fd);
        return err_set_errno(err, rc, "%s", path);
    }
    close(fd);
    ret[size] = 0;
    end = memchr(ret, '\n', size);
    *ret_len = end ? (size_t)(end - ret) : size;
    if (*ret_len > 0 && ret[*ret_len - 1] == '\r')
        --*ret_len;
    if (*ret_len < PASSPHRASE_LEN_MIN || *ret_len > PASSPHRASE_LEN_MAX)
        return err_set(err, -EINVAL, "%s: the first line has %zu characters; %u to %u are needed",
                       path, *ret_len, PASSPHRASE_LEN_MIN, PASSPHRASE_LEN_MAX);
    return 0;
}

static int derive(const char *path, const uint8_t salt[SALT_SIZE], uint32_t passes,
                  uint32_t memory_kib, uint8_t ret[ROOT_KEY_SIZE], struct err *err)
{
    char line[PASSPHRASE_LEN_MAX + 2];
    size_t len = 0;
    int rc = read_line(path, line, &len, err), code;

    if (rc == 0) {
        code = argon2id_hash_raw(passes, memory_kib, LANES, line, len, salt, SALT_SIZE, ret,
                                 ROOT_KEY_SIZE);
        if (code != ARGON2_OK)
            rc = err_set(err, code == ARGON2_MEMORY_ALLOCATION_ERROR ? -ENOMEM : -EIO,
                         "Argon2id: %s", argon2_error_message(code));
    }
    ct_wipe(line, sizeof line);
    return rc;
}

static int passphrase_make(const char *path, json_t *record, uint8_t ret[ROOT_KEY_SIZE],
                           struct err *err)
{
    uint8_t salt[SALT_SIZE];

    if (RAND_bytes(salt, sizeof salt) != 1)
        return err_set(err, -EIO, "no random bytes");
    if (root_record_put(record, "salt", salt, sizeof salt) < 0 ||
        json_object_set_new(record, "passes", json_integer(PASSES)) < 0 ||
        json_object_set_new(record, "memory_kib", json_integer(MEMORY_KIB)) < 0)
        return err_set_errno(err, -ENOMEM, "record");
    return derive(path, salt, PASSES, MEMORY_KIB, ret, err);
}

static int passphrase_get(const char *path, const json_t *record, uint8_t ret[ROOT_KEY_SIZE],
                          struct err *err)
{
    int64_t passes = json_integer_value(json_object_get(record, "passes"));
    int64_t memory_kib = json_integer_value(json_object_get(record, "memory_kib"));
    uint8_t salt[SALT_SIZE];
    int size = root_record_take(record, "salt", salt, sizeof salt, err);

    if (size < 0)
        return size;
    if (size != SALT_SIZE || passes < 1 || passes > PASSES_MAX || memory_kib < 8 * LANES ||
        memory_kib > MEMORY_KIB_MAX)
        return err_set(err, -EBADMSG, "the root key's record in the store is damaged");
    return derive(path, salt, (uint32_t)passes, (uint32_t)memory_kib, ret, err);
}

const struct root_kind root_passphrase = { "passphrase", passphrase_make, passphrase_get };
