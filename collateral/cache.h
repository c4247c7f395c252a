/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache's folder: one file an entry, replaced whole. Relying party; within collateral/. Knows nothing of what is in the files.
 * Writers of all processes take turns by a lock on the file "lock"; readers need none.
 */
#pragma once

#include "collateral/collateral.h"

struct cache {
    int folder_fd, lock_fd;
    char folder[COLLATERAL_SOURCE_SIZE]; /* for messages */
};

/* Makes the folder and those above it. returns: 0; errno. */
MUST_CHECK int cache_open(const char *folder, struct cache *ret, struct err *err);
void cache_close(struct cache *cache);

/* The text of an entry, NUL-ended, for free(). returns: 0; -ENOENT; -EBADMSG longer than an entry can be; errno. */
MUST_CHECK int cache_read(struct cache *cache, const char *name, char **ret, size_t *ret_size,
                          struct err *err);
/* One writer at a time, of all processes. returns: 0; errno, -EROFS when the folder may only be read. */
MUST_CHECK int cache_lock(struct cache *cache, struct err *err);
void cache_unlock(struct cache *cache);
/*
 * Replaces the entry, with the lock held; after a crash the old one or the new one is there. Makes room by removing those that were written longest ago.
 * returns: 0; errno of the folder.
 */
MUST_CHECK int cache_write(struct cache *cache, const char *name, const char *text, size_t size,
                           struct err *err);
/* returns: 0; -ENOENT; errno. */
MUST_CHECK int cache_remove(struct cache *cache, const char *name, struct err *err);

struct cache_names {
    unsigned count;
    char (*names)[COLLATERAL_NAME_SIZE]; /* in order; for free() */
};
/* Files that are no entries are passed over. returns: 0; errno. */
MUST_CHECK int cache_names_get(struct cache *cache, struct cache_names *ret, struct err *err);

/* Helpers for other folders. */
MUST_CHECK int folder_open(const char *folder, int *ret_fd, struct err *err); /* makes it */
/* Replaces folder_fd's file. returns: 0; errno, and the old file is as it was. */
MUST_CHECK int folder_file_replace(int folder_fd, const char *name, const void *data, size_t size);
