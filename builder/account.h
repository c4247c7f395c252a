/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who the program runs as: "user[:group]", names or numbers, as container engines read them, names
 * through the image's own /etc/passwd and /etc/group. Relying party; these files may be hostile.
 */
#pragma once

#include "builder/source.h"

#define ACCOUNT_FILE_SIZE_MAX (4u << 20)

struct account {
    uint32_t uid, gid;
    const uint32_t *groups; /* supplementary */
    uint32_t groups_count;
    const char *home; /* "/" when nothing is known */
};

/* "" is root. returns: 0; -ENOENT a name that the image does not have; -EINVAL. */
MUST_CHECK int account_resolve(struct source *s, const char *user, struct account *ret,
                               struct err *err);
