/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an image's own config and cloche.yaml to the descriptor: what runs, as whom, with what, and what
 * the host may set. Relying party.
 */
#pragma once

#include "builder/build_file.h"
#include "builder/source.h"

#define SPEC_MEMORY_DEFAULT (2ull << 30) /* bytes */
#define SPEC_THREADS_DEFAULT 256u
#define SPEC_HOSTNAME_DEFAULT "cloche"
#define SPEC_START_LIMIT_DEFAULT_S 120u

/*
 * Everything but rootfs_size and the verity members. Strings live in the source's arena or the file's.
 * Adds to the tree what must be there at start: working folder, mount points, /proc, /sys, /dev.
 * returns: 0; -EINVAL, -ENOENT and err says which member and why.
 */
MUST_CHECK int spec_make(struct source *s, const struct build_file *file, struct descriptor *ret,
                         struct err *err);
