/* SPDX-License-Identifier: Apache-2.0 */
/* Collateral from the host's files as one blob: a CMW collection in JSON (docs/evidence.md). Untrusted side. */
#pragma once

#ifdef TEE_BUILD
#error "host header in measured code"
#endif

#include "lib/err.h"

/*
 * path: a file, taken as it is; or a folder as `cloche verify --collateral` reads it, of which each file becomes a record.
 * returns: 0, *ret is for free(); -ENODATA the folder has none of the files; -E2BIG more than EVIDENCE_COLLATERAL_SIZE_MAX; -errno.
 */
MUST_CHECK int collateral_read(const char *path, uint8_t **ret, size_t *ret_size, struct err *err);
