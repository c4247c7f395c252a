/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Untrusted host folders as a file system. Trusted code over untrusted contents: names, attributes and bytes are the host's
 * word; what is checked is their shape, so that nothing of it confuses the library OS. An inode is a place in the
 * folder (parent and name), and keeps the type that it was found with: an object that has become another type is -ESTALE.
 * Nothing is cached but the type, permissions and owner of the last look.
 */
#pragma once

#include "tee/enclave/ocall.h"
#include "tee/libos/fs/vfs/vfs.h"

#define HOSTFS_DIR_SIZE_MAX (16u * 1024 * 1024) /* bytes of one listing */

struct hostfs {
    struct super super;
    uint32_t mount; /* index of the descriptor's mount */
    bool read_only;
};

struct host_node {
    struct inode inode;
    struct hostfs *fs;
    struct host_node *parent; /* counted; NULL: the folder itself */
    char *name;               /* under g_hostfs_names */
    /* Listing that is being read; under inode.lock. */
    uint8_t *listing; /* struct linux_dirent64 records, checked */
    size_t listing_size;
};

/* Guards parent and name of all nodes: a rename changes them. */
extern struct mutex g_hostfs_names;

static inline struct host_node *hostfs_node(struct inode *inode)
{
    return CONTAINER_OF(inode, struct host_node, inode);
}
/* Path of n, or of `name` within it, relative to the mount, NUL-ended, in dst of PATH_SIZE_MAX bytes.
 * returns: 0; -ENAMETOOLONG. */
MUST_CHECK int hostfs_path(struct host_node *n, const char *name, size_t name_size, char *dst);
/* The inode of what the host showed under that name. */
MUST_CHECK int hostfs_node_new(struct hostfs *fs, struct host_node *parent, const char *name,
                               size_t name_size, const struct ocall_stat *st, struct inode **ret);
/* Asks the host anew; -ESTALE when the type changed. */
MUST_CHECK int hostfs_stat(struct host_node *n, struct ocall_stat *ret);
/* hostfs_file.c: opens a regular file. */
MUST_CHECK int hostfs_open(struct inode *inode, struct file *f);
