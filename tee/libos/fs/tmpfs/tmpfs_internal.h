/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of tmpfs share. A node is a file in enclave memory; it may have a lower inode in the
 * verified image, whose data, entries and xattrs show through until they are changed. Trusted.
 *
 * Locks: inode.lock guards everything in a node but write_lock; attributes are written under it and
 * under seq, so that readers need no lock. write_lock serialises writers, is taken before inode.lock and
 * held while program memory is read. tmpfs.lock (spin) guards the table of lower inodes.
 */
#pragma once

#include "tee/libos/fs/erofs/erofs.h"
#include "tee/libos/fs/tmpfs/page_index.h"
#include "tee/libos/fs/vfs/mode.h"
#include "tee/libos/fs/vfs/vfs.h"

#define TMPFS_SIZE_FILE_MAX ((1ull << 51) - 1) /* bytes; page numbers stay within the index */
#define TMPFS_XATTR_SIZE_MAX 65536u
#define TMPFS_XATTR_TOTAL_MAX (1024u * 1024) /* names and values of one inode */

/* Values of a file's page index, in the low bits: a page of our own has none set. */
#define PAGE_TAG_SHARED 1u    /* the program's own mapped page */
#define PAGE_HOLE ((void *)2) /* zeros that hide the lower file */

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20 /* chmod cannot change who may execute */
#endif

struct node;

struct entry {
    struct entry *hash_next;
    struct entry *prev, *next; /* in order of creation */
    uint64_t id;               /* position for readdir */
    struct node *node;         /* one reference; NULL: the lower entry is hidden */
    uint32_t hash;
    uint16_t name_size;
    char name[];
};

struct directory {
    struct entry **buckets;
    struct entry *first, *last;
    size_t bucket_count, count, live; /* live: entries that are no whiteouts */
    size_t hidden;                    /* lower names that an entry replaces or hides */
    uint64_t next_id;
};

struct limbo_page {
    struct limbo_page *next;
    void *page;
};

struct file_data {
    struct page_index pages;
    uint64_t page_count;      /* pages of our own or shared */
    uint64_t lower_size;      /* bytes of the lower file that show through */
    uint32_t pins;            /* readers copying without the lock */
    struct limbo_page *limbo; /* pages to free with the last pin */
    uint32_t seals;           /* F_SEAL_* */
};

struct xattr {
    struct xattr *next;
    size_t value_size;
    uint8_t *value; /* in the same block */
    char name[];
};

struct node {
    struct inode inode; /* first */
    struct tmpfs *fs;
    struct mutex write_lock;
    uint32_t seq; /* odd while attributes change */
    uint32_t nlink;
    uint64_t size;
    struct timespec64 atime, mtime, ctime, btime;
    bool has_lower;
    bool kept;       /* the table holds a reference, as something was changed */
    bool xattrs_own; /* xattrs are all there; else the lower's show through */
    struct erofs_inode lower;
    struct node *hash_next; /* table of lower inodes */
    struct xattr *xattrs;
    size_t xattr_total;
    char *anon_name; /* memfd: what /proc/self/fd shows; owned */
    union {
        struct directory dir;
        struct file_data file;
        char *target; /* symlink; NUL-ended; owned */
    };
};

struct tmpfs {
    struct super super;
    struct erofs *lower; /* NULL: plain tmpfs */
    struct spin lock;
    struct node **table; /* by lower nid */
    size_t table_size;   /* power of two */
    uint64_t pages_max;  /* 0: bounded by the enclave's memory only */
    uint64_t pages_used; /* atomic */
    uint64_t inodes;     /* atomic, made here */
    uint64_t next_ino;   /* atomic */
};

extern const struct inode_ops tmpfs_dir_inode_ops, tmpfs_file_inode_ops, tmpfs_symlink_inode_ops,
    tmpfs_special_inode_ops;
extern const struct file_ops tmpfs_file_ops;

static inline struct node *node_of(struct inode *inode)
{
    return CONTAINER_OF(inode, struct node, inode);
}

/* Around changes of attributes, with inode.lock held. */
static inline void node_attr_begin(struct node *n)
{
    __atomic_store_n(&n->seq, n->seq + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}
static inline void node_attr_end(struct node *n)
{
    __atomic_store_n(&n->seq, n->seq + 1, __ATOMIC_RELEASE);
}

struct timespec64 tmpfs_now(void);
/* A fresh node with one reference, no name. */
MUST_CHECK int node_new(struct tmpfs *fs, uint32_t mode, uint64_t rdev, const struct cred *cred,
                        struct inode *dir, struct node **ret);
/* The node of a lower inode, with a reference. */
MUST_CHECK int node_get_lower(struct tmpfs *fs, uint64_t nid, struct node **ret);
/* The node differs from its lower inode now: it must not be dropped. */
void node_changed(struct node *n);
/* Changes the link count and ctime; at 0 the table lets go of it. Takes inode.lock. */
void node_link_add(struct node *n, int delta);
/* mtime and ctime; inode.lock is held. */
void node_touch(struct node *n);
void node_release(struct inode *inode);

int node_get_attr(struct inode *inode, struct inode_attr *ret);
int node_set_attr(struct inode *inode, const struct inode_attr *attr, uint32_t mask);
int64_t node_xattr_get(struct inode *inode, const char *name, void *dst, size_t size);
int node_xattr_set(struct inode *inode, const char *name, const void *src, size_t size, int flags);
int64_t node_xattr_list(struct inode *inode, char *dst, size_t size);
int node_xattr_remove(struct inode *inode, const char *name);
void node_xattr_free(struct node *n);

void directory_free(struct node *n);
void file_data_free(struct node *n);
/* inode.lock and write_lock are held. */
MUST_CHECK int file_data_resize(struct node *n, uint64_t size);
/* Accounts for one page. false: the file system is full. */
bool tmpfs_page_charge(struct tmpfs *fs);
void tmpfs_page_uncharge(struct tmpfs *fs);

/* file_ops of mappings (tmpfs_map.c). */
uint64_t tmpfs_image_id(struct file *f);
int64_t tmpfs_image_extent(struct file *f, uint64_t off, size_t size, uint64_t *ret_at);
MUST_CHECK int tmpfs_map_page(struct file *f, uint64_t off, void *page);
MUST_CHECK int tmpfs_share_page(struct file *f, uint64_t off, void *page);
uintptr_t tmpfs_shared_page(struct file *f, uint64_t off);
bool tmpfs_write_sealed(struct file *f);
void tmpfs_unshare_page(struct file *f, uint64_t off, void *page);
