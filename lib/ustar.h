/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers of tar archives (POSIX.1-2017, pax): reader for what a sealed image is kept in, writer for
 * making it. Not for container layers, which have every dialect: the builder reads these with libarchive.
 * Shared; no I/O, no allocation. Input may be hostile.
 */
#pragma once

#include "lib/defs.h"

#define USTAR_BLOCK_SIZE 512u
#define USTAR_PATH_MAX 255u /* prefix, slash, name */
#define USTAR_TYPE_FILE '0'
#define USTAR_TYPE_FOLDER '5'
#define USTAR_TYPE_PAX 'x' /* records for the next entry */

struct ustar_entry {
    char path[USTAR_PATH_MAX + 2]; /* NUL-ended */
    char type; /* USTAR_TYPE_*, or any other byte; old archives' NUL becomes '0' */
    uint32_t mode;
    uint64_t size; /* bytes of data that follow, padded to blocks */
};

/* returns: 1 an entry; 0 a block of zeros, the end; -EINVAL no tar header, or wrong checksum. */
MUST_CHECK int ustar_parse(const uint8_t block[USTAR_BLOCK_SIZE], struct ustar_entry *ret);

/* Header with owner 0, time 0. returns: 0; -EINVAL path longer than 100 bytes. */
MUST_CHECK int ustar_encode(const struct ustar_entry *e, uint8_t ret[USTAR_BLOCK_SIZE]);

/* One record of a pax header, "len key=value\n"; pointers into text. */
struct ustar_pax {
    const char *key;
    size_t key_len;
    const char *value;
    size_t value_size;
};

/* *pos: where to go on; 0 at first. returns: 1 a record; 0 the end; -EINVAL malformed. */
MUST_CHECK int ustar_pax_next(const char *text, size_t size, size_t *pos, struct ustar_pax *ret);
