/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files in memory, with a limit. Relying party side. */
#pragma once

#include "lib/err.h"

struct file_bytes {
    uint8_t *data; /* one NUL more than size */
    size_t size;
};

/* returns: 0; -E2BIG longer than max, and err says so; another errno of open and read, -ENOENT included. */
MUST_CHECK int file_bytes_read(const char *path, size_t max, struct file_bytes *ret,
                               struct err *err);
void file_bytes_done(struct file_bytes *file);
