/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the vfs share. Trusted.
 *
 * A dentry is a name in a folder: positive (it has an inode, for good) or negative (the name is known to be
 * absent). Dentries that can be found are in the table and on the clock list; others carry DENTRY_GONE in refs and
 * are freed with their last reference. g_dcache.lock (spin) guards table, list, names, parents, the mount links of
 * dentries and the folders of every fs_context; a walk along cached names takes it once.
 */
#pragma once

#include "tee/libos/fs/vfs/mode.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/task/task.h"

#define DENTRY_GONE 0x80000000u
#define DENTRY_NAME_INLINE 40u
#define DENTRY_COUNT_MAX 8192u /* with their inodes about 5 MiB */

struct dentry {
    uint32_t refs; /* atomic; raised from 0 only under the lock */
    uint32_t hash;
    struct dentry *parent;  /* a reference; NULL: root of a file system, or anonymous */
    struct inode *inode;    /* a reference; NULL: negative */
    struct mount *mount;    /* NULL: anonymous */
    struct dentry *mounted; /* root of what is mounted here */
    struct dentry *hash_next, *list_prev, *list_next;
    bool hashed, referenced;
    bool deleted; /* the name is gone */
    uint16_t name_size;
    char *name; /* no NUL; inline_name or heap */
    char inline_name[DENTRY_NAME_INLINE];
};

struct mount {
    struct mount *next;
    struct super *super;
    struct dentry *root;
    struct dentry *point; /* NULL: the root file system */
    char *source, *path;
};

struct fs_context {
    uint32_t refs;
    struct dentry *root, *cwd; /* references; under g_dcache.lock */
};

struct dcache {
    struct spin lock;
    struct dentry **buckets;
    struct dentry *list; /* circular; the clock hand */
    size_t count;
    struct mount *root;
};
extern struct dcache g_dcache;

/* ---- dentry.c ---- */

uint32_t dentry_hash_name(const char *name, size_t size);
MUST_CHECK int dcache_init(void);
/* With the lock held: the cached child, no reference. */
struct dentry *dentry_find_locked(struct dentry *parent, const char *name, size_t size,
                                  uint32_t hash);
/* The child, maybe negative, with a reference; asks the file system when it is not cached. */
MUST_CHECK int dentry_lookup(struct dentry *parent, const char *name, size_t size,
                             struct dentry **ret);
/* The same with the folder's inode->lock held. */
MUST_CHECK int dentry_lookup_dir_locked(struct dentry *parent, const char *name, size_t size,
                                        struct dentry **ret);
/* A dentry that no walk finds (roots, memory files, magic links). Takes over the inode's reference. */
MUST_CHECK int dentry_new_anon(struct inode *inode, const char *name, struct dentry **ret);
/* A negative dentry becomes positive; takes over the inode's reference. */
void dentry_instantiate(struct dentry *d, struct inode *inode);
/* The name is gone: no walk finds d any more. */
void dentry_delete(struct dentry *d);
/* Gives d the name and parent of `to`, which goes away. name_copy: mem_alloc'd storage for a long name. */
struct dentry_move {
    char *from_name, *to_name; /* spare storage; NULL when inline storage will do */
};
MUST_CHECK int dentry_move_prepare(struct dentry_move *m, const struct dentry *from,
                                   const struct dentry *to);
void dentry_move(struct dentry_move *m, struct dentry *from, struct dentry *to, bool exchange);
void dentry_move_done(struct dentry_move *m);
/* True when a is b or above it, across mounts. */
bool dentry_is_above(struct dentry *a, struct dentry *b);
void dentry_unrefp(struct dentry **d);
/* Path as seen from root, under the lock; from any thread. */
MUST_CHECK int64_t dentry_path_from(struct dentry *root, struct dentry *d, char *dst, size_t size);

/* ---- lookup.c ---- */

#define LOOKUP_PARENT 0x100u      /* stop before the last component */
#define LOOKUP_NO_MAGIC 0x200u    /* RESOLVE_NO_MAGICLINKS */
#define LOOKUP_NO_SYMLINKS 0x400u /* RESOLVE_NO_SYMLINKS */
#define LOOKUP_NO_XDEV 0x800u     /* RESOLVE_NO_XDEV */
#define LOOKUP_BENEATH 0x1000u    /* RESOLVE_BENEATH */
#define LOOKUP_IN_ROOT 0x2000u    /* RESOLVE_IN_ROOT */

enum lookup_last {
    LOOKUP_LAST_NAME,
    LOOKUP_LAST_DOT, /* "." or the path was only slashes */
    LOOKUP_LAST_DOTDOT,
};

struct lookup {
    /* in */
    int dirfd;
    uint32_t flags;
    const char *path;
    /* out */
    struct dentry *dentry; /* result, or the parent; one reference */
    const char *last;      /* LOOKUP_PARENT: valid until lookup_done */
    size_t last_size;
    enum lookup_last last_kind;
    bool last_slash; /* slashes follow the last component */
    /* private */
    char *buffer;
    unsigned links;
    struct dentry *top; /* BENEATH, IN_ROOT: the start; one reference */
};
/* returns: 0; errors as path_resolution(7). With LOOKUP_PARENT l->dentry is a folder. lookup_done always. */
MUST_CHECK int lookup_run(struct lookup *l);
/* After LOOKUP_PARENT: the last component turned out to be the symlink `link`: goes on along it, again up to the last
 * component. */
MUST_CHECK int lookup_follow_last(struct lookup *l, struct dentry *link);
void lookup_done(struct lookup *l);

/* ---- permission.c ---- */

#define CAP_BIT(cap) (1ull << (cap))
static inline bool cred_has_cap(const struct cred *c, unsigned cap)
{
    return (c->cap_effective & CAP_BIT(cap)) != 0;
}
bool permission_granted(const struct inode *inode, const struct cred *cred, uint32_t mask);
/* The caller owns the inode or may act as if. */
bool permission_is_owner(const struct inode *inode, const struct cred *cred);
/* Drops setuid and setgid after a write by somebody without CAP_FSETID. */
void permission_drop_privileges(struct inode *inode);
/* -EROFS when the file system takes no changes. */
MUST_CHECK int inode_check_writable(const struct inode *inode);

/* ---- names.c: what changes the tree. Paths are library-OS memory ---- */

MUST_CHECK int vfs_create(int dirfd, const char *path, uint32_t mode,
                          uint64_t rdev); /* mkdir, mknod */
MUST_CHECK int vfs_symlink(const char *target, int dirfd, const char *path);
MUST_CHECK int vfs_link(int from_dirfd, const char *from, int to_dirfd, const char *to, int flags);
MUST_CHECK int vfs_unlink(int dirfd, const char *path, bool directory);
MUST_CHECK int vfs_rename(int from_dirfd, const char *from, int to_dirfd, const char *to,
                          uint32_t flags);
/* With the parent's lock held: -EPERM, -EACCES, -EISDIR, -ENOTDIR. */
MUST_CHECK int vfs_may_create(struct dentry *parent);
struct vfs_open {
    uint32_t flags;        /* O_* */
    uint32_t mode;         /* of a new file, umask not yet applied */
    uint32_t lookup_flags; /* LOOKUP_* of openat2 */
};
MUST_CHECK int vfs_open(int dirfd, const char *path, const struct vfs_open *how, struct file **ret);
/* Opens what d names. Takes over the caller's reference of d. */
MUST_CHECK int vfs_open_dentry(struct dentry *d, const struct vfs_open *how, bool created,
                               struct file **ret);
MUST_CHECK int vfs_truncate(struct inode *inode, uint64_t size);

/* ---- file.c ---- */

extern const struct file_ops dir_file_ops;
MUST_CHECK int file_get_attr(struct file *f, struct inode_attr *ret);
static inline bool file_can_read(const struct file *f)
{
    return (f->flags & 3) != 1 && (f->flags & 3) != 3 && (f->flags & 010000000) == 0;
}
static inline bool file_can_write(const struct file *f)
{
    return (f->flags & 3) != 0 && (f->flags & 3) != 3 && (f->flags & 010000000) == 0;
}

/* ---- fd.c ---- */

/* A file during one system call: borrowed from a table that nobody else can change, or referenced. */
struct fd_ref {
    struct file *file;
    bool owned;
};
/* false: -EBADF. O_PATH files are found too. */
MUST_CHECK bool fd_borrow(int fd, struct fd_ref *ret);
static inline void fd_ref_done(struct fd_ref *r)
{
    if (r->file && r->owned)
        file_unref(r->file);
}
/* f is being opened for writing. returns: 0; -ETXTBSY its program runs. */
MUST_CHECK int file_count_writer(struct file *f);
struct fd_table *fd_table_current(void);
/* Descriptor flags. returns: 0, 1 (close on exec) or -EBADF. */
MUST_CHECK int fd_get_cloexec(int fd);
MUST_CHECK int fd_set_cloexec(int fd, bool cloexec);
/* dup2 and dup3. returns: to; -EBADF. Takes over a reference of f. */
MUST_CHECK int fd_install_at(struct file *f, bool cloexec, int to);

/* ---- lock.c ---- */

struct flock_request {
    uint64_t start, end; /* end: last byte, INT64_MAX: to the end */
    int type;            /* F_RDLCK, F_WRLCK, F_UNLCK */
    const void *owner;   /* struct fd_table or struct file */
    int32_t pid;         /* for F_GETLK; -1 for OFD locks */
    bool is_flock;
};
MUST_CHECK int lock_set(struct inode *inode, const struct flock_request *r, bool wait);
/* returns: 0 and *ret_blocker with the first lock in the way, its type F_UNLCK when there is none. */
void lock_test(struct inode *inode, const struct flock_request *r,
               struct flock_request *ret_blocker);
/* Ends all locks of the owner on the inode. */
void lock_drop_owner(struct inode *inode, const void *owner);
/* Last reference of the inode is gone. */
void lock_inode_gone(struct inode *inode);
/* Calls fn for each lock (for /proc/locks). */

/* ---- context.c ---- */

/* A reference each. */
struct dentry *fs_context_root(struct fs_context *c);
struct dentry *fs_context_cwd(struct fs_context *c);
void fs_context_set_cwd(struct fs_context *c, struct dentry *d); /* takes the reference over */
void fs_context_set_root(struct fs_context *c, struct dentry *d);

/* ---- paths of system calls ---- */

#define USER_PATH_INLINE 448u
struct user_path {
    char *str; /* NUL-ended; inline_bytes or heap */
    char inline_bytes[USER_PATH_INLINE];
};
/* returns: length; -EFAULT, -ENAMETOOLONG, -ENOMEM. user_path_done always. */
MUST_CHECK int64_t user_path_get(struct user_path *p, uintptr_t addr);
static inline void user_path_init(struct user_path *p)
{
    p->str = p->inline_bytes;
}
void user_path_done(struct user_path *p);
