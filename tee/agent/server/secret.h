/* SPDX-License-Identifier: Apache-2.0 */
/* The secrets of an answer: what a JWE held. Trusted; hosted. They are signed and encrypted, and still every bound is checked. */
#pragma once

#include "lib/err.h"

#define SECRET_COUNT_MAX 256u
#define SECRET_NAME_SIZE 129u /* with NUL */
#define SECRET_VERSION_SIZE 65u
#define SECRET_PATH_SIZE 512u
#define SECRET_VALUE_SIZE_MAX (1u << 20)
#define SECRET_ENV_VALUE_MAX (96u << 10) /* Linux takes 128 KiB for one string */

enum secret_delivery { SECRET_ENV, SECRET_FILE, SECRET_SOCKET };

struct secret {
    char name[SECRET_NAME_SIZE];
    char version[SECRET_VERSION_SIZE];
    enum secret_delivery delivery;
    char target[SECRET_PATH_SIZE]; /* variable, or absolute path */
    uint32_t mode, uid, gid;       /* of a file */
    bool has_owner;                /* else the workload's user */
    uint8_t *value;                /* wipe_free; NUL behind it */
    size_t size;
};

struct secret_list {
    unsigned count;
    struct secret *items;
};

/* nonce: the text that the plaintext must repeat. returns: 0; -EINVAL malformed, err says what; -E2BIG; -ENOMEM. */
MUST_CHECK int secret_list_parse(const uint8_t *plain, size_t size, const char *nonce,
                                 struct secret_list *ret, struct err *err);
/* Wipes all. Twice does no harm. */
void secret_list_done(struct secret_list *list);
/* NULL: none of that name and delivery. */
const struct secret *secret_list_find(const struct secret_list *list, const char *name,
                                      enum secret_delivery delivery);
