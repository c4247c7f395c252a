/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a tree as an uncompressed EROFS image (kernel: Documentation/filesystems/erofs.rst,
 * fs/erofs/erofs_fs.h): 4 KiB blocks, data either whole blocks (FLAT_PLAIN) or, when it is small,
 * behind its inode in the same block (FLAT_INLINE). The same tree and contents give the same bytes.
 * Relying party.
 */
#pragma once

#include "builder/progress.h"
#include "builder/spool.h"
#include "builder/tree.h"

#define EROFS_UUID_OFF 1072u        /* of the image's UUID; the hash tree has the same */
#define EROFS_INLINE_SIZE_MAX 2048u /* data of at most so many bytes goes behind its inode */

struct erofs;

/* Takes data in order. returns: 0, or what the writer should return. */
typedef int erofs_sink_fn(void *arg, const void *data, size_t size, struct err *err);

/* Lays the image out. Tree and spool must stay as they are until erofs_free. */
MUST_CHECK int erofs_new(struct tree *tree, const struct spool *spool, struct erofs **ret,
                         struct err *err);
void erofs_free(struct erofs *e);
void erofs_freep(struct erofs **e);

uint64_t erofs_size(const struct erofs *e); /* bytes, whole blocks, at least two */
uint64_t erofs_inode_count(const struct erofs *e);
const uint8_t *erofs_uuid(const struct erofs *e); /* 16 bytes, from the image's metadata */

MUST_CHECK int erofs_write(struct erofs *e, erofs_sink_fn *sink, void *arg,
                           struct progress *progress, struct err *err);
