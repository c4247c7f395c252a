/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All rows of a store as JSON lines, and back: what backup and restore are made of, between engines too. Relying party.
 *
 *     {"format": "cloche-backup-1", "schema": 1}
 *     {"table": "orgs", "columns": ["id", ...]}        then its rows
 *     [null, 5, "text", {"b": base64}]
 *     {"end": true, "rows": N}                         the caller adds a line that authenticates these
 */
#pragma once

#include <stdio.h>

#include "server/store/store.h"

#define DUMP_LINE_SIZE_MAX (64u << 20)

/* One consistent view of all tables but those of passing things (nonces, idempotency). sha256: over all lines. returns: 0; -EIO. */
MUST_CHECK int store_dump(struct store *store, FILE *out, int64_t *ret_rows, uint8_t ret_sha256[32],
                          struct err *err);
/*
 * Reads such lines from the file's beginning into a store that has no rows, in one transaction: into the schema that they name, which is then brought up to date as an older store is. file: hostile; may be anything.
 * *ret_end: the offset behind the last line read.
 * returns: 0; -EBADMSG not such a file; -EPROTONOSUPPORT a newer version of the schema; -EEXIST the store is not empty; -EIO.
 */
MUST_CHECK int store_load(struct store *store, FILE *file, int64_t *ret_rows,
                          uint8_t ret_sha256[32], long *ret_end, struct err *err);
/* Makes it a new store again: what store_load wrote does not stay. */
MUST_CHECK int store_clear(struct store *store, struct err *err);
