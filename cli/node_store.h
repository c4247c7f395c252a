/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images that a node has pulled: FOLDER/images/APP_DIGEST, an OCI layout, each checked whole before it got that name; FOLDER/images/pull.PID while process PID pulls. Relying party side; what a registry gives is hostile.
 */
#pragma once

#include "lib/defs.h"
#include "lib/err.h"

#define NODE_IMAGES_MIB_DEFAULT 20480
#define NODE_IMAGES_MIB_MAX (64 << 20)

/*
 * Gets the image of the build with this app digest (96 hexadecimal digits) from `place` (what skopeo reads), unless it is there. size_max: of one image, in bytes. ret: its path.
 * returns: 0; -EBADMSG it is another image, or not whole: nothing of it is kept; -ENOSPC the disk is full; -EFBIG; -EIO skopeo could not get it.
 */
MUST_CHECK int node_store_pull(const char *folder, const char *digest, const char *place,
                               uint64_t size_max, char *ret, size_t ret_size, struct err *err);

/* Removes one: it was damaged on the disk. */
void node_store_remove(const char *path);
/* Removes what a pull that was killed has left, and, least recently used first, images whose digest is not in use until all take at most size_max bytes. */
void node_store_trim(const char *folder, uint64_t size_max, const char *const *in_use,
                     unsigned in_use_count);
