/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files: inodes, open files, descriptors, path lookup, mounts. Trusted.
 *
 * A file system provides struct inode_ops for names and metadata and struct file_ops for open files;
 * everything that is not a path (pipe, socket, eventfd, epoll) is only a struct file with file_ops.
 * References are counted; names say who owns. All errors are negative errno as Linux gives them.
 * Lock order: g_mounts > rename lock > inode->lock (parent before child) > page cache. file->lock (position)
 * is taken before inode->lock. fd_table->lock is a leaf.
 */
#pragma once

#include "tee/libos/mm/user.h"
#include "tee/libos/task/wait.h"

struct file;
struct inode;
struct dentry;
struct super;
struct notify_watch;
struct poll_table;
struct cred;

#define PATH_SIZE_MAX 4096u
#define NAME_SIZE_MAX 255u
#define SYMLINK_DEPTH_MAX 40u
#define FD_COUNT_MAX 65536u

struct timespec64 {
    int64_t sec;
    uint32_t nsec;
};

/* What stat shows. */
struct inode_attr {
    uint64_t ino, size, blocks; /* blocks of 512 bytes */
    uint64_t dev, rdev;         /* Linux's encoding of major and minor */
    uint32_t mode, nlink, uid, gid, blksize;
    struct timespec64 atime, mtime, ctime, btime;
};

/* Which members of an inode_attr a set_attr changes. */
#define ATTR_MODE 0x01u
#define ATTR_UID 0x02u
#define ATTR_GID 0x04u
#define ATTR_SIZE 0x08u
#define ATTR_ATIME 0x10u
#define ATTR_MTIME 0x20u

/* Called for each directory entry; returns false when the buffer is full (the entry is given again). */
typedef bool readdir_fn(void *arg, const char *name, size_t name_size, uint64_t ino, uint8_t d_type,
                        uint64_t next_pos);

struct inode_ops {
    /* Directory operations. name is name_size bytes without NUL or '/', not "." or "..". New inodes come
     * back with one reference. Called with dir->lock held (lookup too). */
    int (*lookup)(struct inode *dir, const char *name, size_t name_size, struct inode **ret);
    int (*create)(struct inode *dir, const char *name, size_t name_size, uint32_t mode,
                  uint64_t rdev, const struct cred *cred,
                  struct inode **ret); /* any type but link and symlink */
    /* A regular file without a name (O_TMPFILE); NULL: -EOPNOTSUPP. */
    int (*tmpfile)(struct inode *dir, uint32_t mode, const struct cred *cred, struct inode **ret);
    int (*symlink)(struct inode *dir, const char *name, size_t name_size, const char *target,
                   const struct cred *cred, struct inode **ret);
    int (*link)(struct inode *dir, const char *name, size_t name_size, struct inode *target);
    int (*unlink)(struct inode *dir, const char *name, size_t name_size, struct inode *target);
    int (*rmdir)(struct inode *dir, const char *name, size_t name_size, struct inode *target);
    int (*rename)(struct inode *from_dir, const char *from, size_t from_size, struct inode *to_dir,
                  const char *to, size_t to_size, struct inode *moved, struct inode *replaced,
                  uint32_t flags);
    /* Positions: 0 and 1 are "." and ".." (the caller gives them); yours begin at 2. */
    int (*readdir)(struct inode *dir, uint64_t pos, readdir_fn *fn, void *arg);
    /* Target of a symlink into dst (no NUL); returns its length. Magic links of /proc set follow instead. */
    int64_t (*readlink)(struct inode *inode, char *dst, size_t size);
    int (*follow)(struct inode *inode, struct dentry **ret_dentry); /* NULL for ordinary symlinks */
    int (*get_attr)(struct inode *inode, struct inode_attr *ret);
    int (*set_attr)(struct inode *inode, const struct inode_attr *attr, uint32_t mask);
    int64_t (*get_xattr)(struct inode *inode, const char *name, void *dst, size_t size);
    int (*set_xattr)(struct inode *inode, const char *name, const void *src, size_t size,
                     int flags);
    int64_t (*list_xattr)(struct inode *inode, char *dst, size_t size);
    int (*remove_xattr)(struct inode *inode, const char *name);
    /* Fills f->ops and f->private_data for an open; f->inode is set. NULL: by the inode's type (folders through
     * readdir, named pipes, devices by number). */
    int (*open)(struct inode *inode, struct file *f);
    /* Instead of open: an existing file, referenced (magic links to pipes, sockets, standard streams). */
    int (*open_file)(struct inode *inode, uint32_t flags, struct file **ret);
    /* Last reference gone. */
    void (*release)(struct inode *inode);
};

struct inode {
    const struct inode_ops *ops;
    struct super *super;
    uint32_t refs;
    uint32_t mode; /* type and permissions; permission checks use mode, uid, gid */
    uint32_t uid, gid;
    uint64_t ino;
    uint64_t rdev;
    struct mutex lock;
    int32_t writers;    /* atomic: files open for writing; below 0: open programs that run */
    void *private_data; /* the file system's */
    struct waitq watch; /* file locks */
    void *locks;        /* vfs: flock and fcntl locks */
    void *bound_socket; /* AF_UNIX name: net/ */
    void *fifo;         /* named pipe: fs/pipe */
    struct notify_watch *watches; /* fs/notify */
    bool is_linkable; /* made without a name, and may get one: O_TMPFILE without O_EXCL */
};

struct file_ops {
    /* *pos is moved by what was done; NULL pos: not seekable. Return bytes, 0 at the end, or -errno.
     * Non-blocking is f->flags & O_NONBLOCK; else they sleep. */
    int64_t (*read)(struct file *f, struct uio *u, uint64_t *pos);
    int64_t (*write)(struct file *f, struct uio *u, uint64_t *pos);
    int64_t (*seek)(struct file *f, int64_t off, int whence);
    /* Ready POLL* bits now; when pt is not NULL registers with every queue that announces changes
     * (poll_add). Host descriptors are added with poll_add_host. */
    uint32_t (*poll)(struct file *f, struct poll_table *pt);
    int64_t (*ioctl)(struct file *f, uint32_t request, uintptr_t arg);
    int (*readdir)(struct file *f, uint64_t *pos, readdir_fn *fn, void *arg);
    int (*sync)(struct file *f, bool data_only);
    int (*truncate)(struct file *f, uint64_t size);
    int (*allocate)(struct file *f, int mode, uint64_t off, uint64_t size);
    /* Memory mapping. map_page copies the page at off (page-aligned) into `page`, enclave memory that is
     * writable now; past the end of file: -EIO beyond the last page, zeros after the end within it. */
    int (*map_page)(struct file *f, uint64_t off, void *page);
    /* Not 0: the file's content is what the verified image holds, and the number tells it from all other such
     * files. Takes no locks; optional. */
    uint64_t (*image_id)(struct file *f);
    /* How many of `size` bytes at off lie in one piece of the root file system's image, verified just now, from *ret_at on; 0:
     * none. -EIO. Optional. */
    int64_t (*image_extent)(struct file *f, uint64_t off, size_t size, uint64_t *ret_at);
    /* Writes bytes of that image from where the host has it, for files that show the host in the clear what is written to them.
     * -EOPNOTSUPP: not this one. Optional. */
    int64_t (*write_image)(struct file *f, uint64_t at, size_t size);
    /* MAP_SHARED: `page` becomes the file's own storage of that page (its content is moved there) until
     * unshare_page moves it back. -EBUSY: another page is the storage, at shared_page (0: none is). NULL: shared
     * writable mappings are refused with -ENODEV. */
    int (*share_page)(struct file *f, uint64_t off, void *page);
    uintptr_t (*shared_page)(struct file *f, uint64_t off);
    bool (*write_sealed)(
        struct file *f); /* F_SEAL_WRITE: no new writable shared mapping; optional */
    void (*unshare_page)(struct file *f, uint64_t off, void *page);
    /* flock(2) as others outside of the enclave see it: F_RDLCK, F_WRLCK, F_UNLCK; never waits, -EAGAIN. Called when the lock is held inside, and for
     * F_UNLCK before that ends; release ends it, too. Optional. */
    int (*lock_outside)(struct file *f, int type);
    /* A descriptor was closed by a process (POSIX locks, epoll); optional. */
    void (*flush)(struct file *f);
    void (*release)(struct file *f); /* last reference gone */
    bool sends_sigio;                /* O_ASYNC; it has a poll operation */
    int32_t (*sigio_group)(
        struct file *f); /* whom O_ASYNC tells when nobody was named; 0: the caller; optional */
};

/*
 * What the host's edges (EPOLLET with EPOLLRDHUP) have told of a file over a host socket. FILE_EDGES_OPEN: one of them found no end, so
 * an end, an error or urgent data that came later is told by another. FILE_EDGES_ENDED: that is not so, or no longer, for good. The
 * rest counts the edges, before the program hears of them.
 */
#define FILE_EDGES_OPEN 0x1u
#define FILE_EDGES_ENDED 0x2u
#define FILE_EDGES_COUNT_SHIFT 2

/* An open file description. */
struct file {
    const struct file_ops *ops;
    uint32_t refs;
    uint32_t flags; /* O_* as F_GETFL shows them */
    uint64_t pos;
    struct mutex lock;     /* pos */
    struct inode *inode;   /* NULL for pipes, sockets and other anonymous files */
    struct dentry *dentry; /* where it was opened; NULL likewise */
    void *private_data;
    const char
        *anon_name; /* "[eventfd]", "pipe:[12]": what /proc/self/fd shows; static or owned by ops */
    struct waitq *epoll_watch; /* poll/: epoll entries that watch this file */
    uint32_t edges;            /* FILE_EDGES_*; atomic; poll/ */
    struct file_async *async;  /* poll/async.c: F_SETOWN, F_SETSIG, O_ASYNC; NULL: none of them */
    bool has_locks;            /* vfs: locks of this open file may exist */
    bool counts_writer;        /* in inode->writers */
    bool denies_write;         /* likewise: a program that runs */
};

/* New file with one reference. */
MUST_CHECK int file_new(const struct file_ops *ops, uint32_t flags, void *private_data,
                        struct file **ret);
void file_ref(struct file *f);
void file_unref(struct file *f);
/* f is a program to run: while it is open nobody opens it for writing. returns: 0; -ETXTBSY somebody has. */
MUST_CHECK int file_deny_write(struct file *f);
/* -ETXTBSY when a program of this inode runs. */
MUST_CHECK int inode_check_text(const struct inode *inode);
/* For the library OS's own use: whole reads into its memory. */
MUST_CHECK int64_t file_read_kernel(struct file *f, void *dst, size_t size, uint64_t off);
/* Opens path in the calling process's context. */
MUST_CHECK int file_open(const char *path, uint32_t flags, uint32_t mode, struct file **ret);

/* ---- descriptors of a process ---- */

struct fd_table;
MUST_CHECK int fd_table_new(struct fd_table **ret);
MUST_CHECK int fd_table_copy(struct fd_table *src, struct fd_table **ret);
void fd_table_ref(struct fd_table *t);
void fd_table_unref(struct fd_table *t); /* the last one closes all */
/* The calling process gets a table of its own when it shares one. -ENOMEM, also when it has other threads. */
MUST_CHECK int fd_table_unshare(void);
void fd_table_close_on_exec(struct fd_table *t);
/* Lowest free descriptor >= from for f (takes over the caller's reference). -EMFILE. */
MUST_CHECK int fd_install(struct file *f, bool cloexec, int from);
/* A reference to the file of fd in the calling process; NULL: -EBADF. */
struct file *fd_get(int fd);
MUST_CHECK int fd_close(int fd);
int fd_table_each(struct fd_table *t, int (*fn)(int fd, struct file *f, bool cloexec, void *arg),
                  void *arg);
void file_unrefp(struct file **f); /* for CLEANUP */

/* ---- names ---- */

struct dentry;
struct fs_context; /* root, working folder; of a process */
MUST_CHECK int fs_context_copy(struct fs_context *src, struct fs_context **ret);
void fs_context_ref(struct fs_context *c);
void fs_context_unref(struct fs_context *c);
void dentry_ref(struct dentry *d);
void dentry_unref(struct dentry *d);
struct inode *dentry_inode(struct dentry *d); /* borrowed; NULL: negative */

#define LOOKUP_FOLLOW 0x1u /* follow a final symlink */
#define LOOKUP_DIRECTORY 0x2u
#define LOOKUP_EMPTY 0x4u /* AT_EMPTY_PATH */
/* dirfd AT_FDCWD or a descriptor. The caller owns the reference. */
MUST_CHECK int path_lookup(int dirfd, const char *path, uint32_t flags, struct dentry **ret);
/* mknod: makes what mode says at path, umask applied; for sockets too. -EEXIST and errors as mknod(2). The caller owns
 * the reference. */
MUST_CHECK int path_make_node(int dirfd, const char *path, uint32_t mode, uint64_t rdev,
                              struct dentry **ret);
/* Absolute path as the process sees it, into dst; " (deleted)" is added when unlinked. Returns length. */
MUST_CHECK int64_t dentry_path(struct dentry *d, char *dst, size_t size);
/* -EACCES unless the calling process may (MAY_READ 4, WRITE 2, EXEC 1). */
MUST_CHECK int inode_permission(struct inode *inode, uint32_t mask);
void inode_ref(struct inode *inode);
void inode_unref(struct inode *inode);
MUST_CHECK int inode_get_attr(struct inode *inode, struct inode_attr *ret);

/* ---- file systems and mounts ---- */

struct super {
    const char *type; /* "erofs", "tmpfs", "proc", ... */
    uint64_t dev;
    uint32_t flags; /* MS_RDONLY, MS_NOSUID, ... */
    uint32_t magic; /* statfs f_type */
    struct inode *root;
    void *private_data;
    bool uncached; /* names may change behind our back (/proc, host folders): ask each time */
    int (*stat)(struct super *s, uint64_t *ret_blocks, uint64_t *ret_free, uint64_t *ret_files);
};
uint64_t super_new_dev(void); /* a fresh anonymous device number */
/* Mounts on an existing folder of the initial process's root; source is text for /proc/mounts. The root file system is mounted with path "/". */
MUST_CHECK int vfs_mount(struct super *s, const char *source, const char *path);
int mounts_each(int (*fn)(const struct super *s, const char *source, const char *path, void *arg),
                void *arg);
/* Context of the first process: root "/", working folder "/". */
MUST_CHECK int fs_context_initial(struct fs_context **ret);
/* The calling process's working folder (chdir from inside the library OS). -ENOENT, -ENOTDIR, -EACCES. */
MUST_CHECK int fs_context_chdir(const char *path);
/* Makes a folder with its missing parents, mode 0755, in the calling process's root: mount points. 0 when it is there. */
MUST_CHECK int vfs_folder_make(const char *path);

/* Constructors of the file systems. */
struct start_info;
/* Root: the verified image below, changes in enclave memory above (fs/tmpfs with a lower layer). */
MUST_CHECK int rootfs_new(const struct start_info *start, struct super **ret);
MUST_CHECK int tmpfs_new(uint64_t size_max, uint32_t root_mode, struct super **ret);
MUST_CHECK int procfs_new(struct super **ret);
MUST_CHECK int devfs_new(const struct start_info *start, struct super **ret);
MUST_CHECK int sysfs_new(struct super **ret);
MUST_CHECK int cgroupfs_new(const struct start_info *start, struct super **ret);
MUST_CHECK int hostfs_new(uint32_t mount, bool read_only, struct super **ret);
/* Standard streams (fs/host): host descriptors 0 to 2. */
MUST_CHECK int stdio_file_new(int host_fd, bool tty, struct file **ret);
/* Anonymous memory file for memfd_create, SysV and POSIX shared memory. */
MUST_CHECK int tmpfs_anon_file(const char *name, struct file **ret);
