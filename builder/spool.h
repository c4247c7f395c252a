/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File contents on their way from the source to the image: one temporary file without a name, in
 * $TMPDIR or /var/tmp, that is gone when the build ends however it ends. Relying party.
 */
#pragma once

#include "lib/err.h"

#define SPOOL_SIZE_MAX (64ull << 30) /* bytes: what a build takes from a source, at most */

struct spool {
    int fd;
    uint64_t size; /* bytes */
};

MUST_CHECK int spool_init(struct spool *s, struct err *err);
void spool_done(struct spool *s);

/* returns: 0; -EFBIG beyond SPOOL_SIZE_MAX; -errno of the write. */
MUST_CHECK int spool_append(struct spool *s, const void *data, size_t size, struct err *err);
/* Appends what fd holds from its position on, size bytes; -EIO when there are fewer. */
MUST_CHECK int spool_append_file(struct spool *s, int fd, uint64_t size, struct err *err);
/* Reads back, exactly. */
MUST_CHECK int spool_read(const struct spool *s, uint64_t off, void *dst, size_t size,
                          struct err *err);
