/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File systems whose files are made when they are read: /proc and /sys are tables of struct pseudo_entry. Trusted.
 * A file's text is made at its first read and kept for the open file until it reads from the start again.
 */
#pragma once

#include "tee/libos/fs/vfs/mode.h"
#include "tee/libos/fs/vfs/vfs.h"

#define PSEUDO_TEXT_SIZE_MAX (16u * 1024 * 1024)

/* Growing text. Zero-initialised is empty. */
struct text {
    char *bytes;
    size_t size, used;
    bool failed; /* no memory, or over the maximum: the read gets -ENOMEM */
};
void text_add(struct text *t, const void *bytes, size_t size);
void text_print(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Which process, thread, descriptor or CPU a node is about. */
struct pseudo_key {
    int32_t pid, tid;
    int64_t number;
};

struct pseudo_entry;

/* A child of a folder whose names are not in a table. */
struct pseudo_child {
    const struct pseudo_entry *entry;
    struct pseudo_key key;
};

struct pseudo_entry {
    const char *name; /* NULL ends a table; "" for children of dynamic folders */
    uint32_t mode;
    /* Regular files: text now. returns: 0 or -errno (-ESRCH: the process is gone). */
    int (*show)(struct text *t, const struct pseudo_key *k);
    /* Regular files: a whole value was written; NUL-ended, without the newline. NULL: -EACCES. */
    int (*store)(const struct pseudo_key *k, const char *value, size_t size);
    /* Regular files that are no text: sets ops and private_data of f. */
    int (*open)(const struct pseudo_key *k, struct file *f);
    /* Folders: fixed entries, then dynamic ones. */
    const struct pseudo_entry *children;
    int (*lookup)(const struct pseudo_key *k, const char *name, size_t name_size,
                  struct pseudo_child *ret); /* -ENOENT */
    /* Dynamic names from `from` on, in rising order of number; fn as readdir_fn with the number in place of the next
     * position (each call passes number + 1). */
    int (*list)(const struct pseudo_key *k, uint64_t from,
                bool (*fn)(void *arg, const char *name, uint64_t number, uint8_t d_type),
                void *arg);
    /* Symlinks. follow NULL: an ordinary one. */
    int64_t (*readlink)(const struct pseudo_key *k, char *dst, size_t size);
    int (*follow)(const struct pseudo_key *k, struct dentry **ret);
    /* Regular files at open, symlinks when read or followed, beside the mode bits; NULL: they suffice. 0; -EACCES. */
    int (*may)(const struct pseudo_key *k);
};

/* What an inode of such a file system shows; NULL: it is another one's. */
const struct pseudo_entry *pseudo_entry_of(struct inode *inode, struct pseudo_key *ret_key);
/* root: the table of the top folder. uncached: names come and go (processes). */
MUST_CHECK int pseudo_fs_new(const char *type, uint32_t magic, const struct pseudo_entry *root,
                             bool uncached, struct super **ret);
