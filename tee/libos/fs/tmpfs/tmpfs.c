/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpfs and the root file system: nodes, the table of lower inodes, constructors. Trusted. The root file
 * system is a tmpfs whose root has the image's root folder as its lower inode.
 */
#include "tee/libos/fs/tmpfs/tmpfs.h"

#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/log.h"
#include "tee/enclave/start.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/tmpfs/tmpfs_internal.h"
#include "tee/libos/task/task.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/magic.h>

#define TABLE_SIZE_MIN 256u
#define TABLE_SIZE_MAX (64u * 1024)
#define CACHE_PAGES_MAX                                                                            \
    (16u * 1024 * 1024 / PAGE_SIZE) /* with the rest of the runtime: below 24 MiB */
#define MEMORY_RESERVE_SHARE 16u    /* of the memory limit that files cannot take */
#define CACHE_MEMORY_SHARE 8u       /* the page cache may take an eighth of the memory limit */

struct timespec64 tmpfs_now(void)
{
    uint64_t ns = clock_realtime_ns();

    return (struct timespec64){ (int64_t)(ns / 1000000000), (uint32_t)(ns % 1000000000) };
}

/* Files leave programs some memory to run with: who fills a file system gets ENOSPC, not killed. */
static bool memory_left(void)
{
    size_t limit = enclave_pages_limit(), used = enclave_pages_used();

    return limit > used && limit - used > limit / MEMORY_RESERVE_SHARE;
}

bool tmpfs_page_charge(struct tmpfs *fs)
{
    uint64_t used = __atomic_add_fetch(&fs->pages_used, 1, __ATOMIC_RELAXED);

    if ((fs->pages_max == 0 || used <= fs->pages_max) && memory_left())
        return true;
    tmpfs_page_uncharge(fs);
    return false;
}

void tmpfs_page_uncharge(struct tmpfs *fs)
{
    __atomic_fetch_sub(&fs->pages_used, 1, __ATOMIC_RELAXED);
}

static const struct inode_ops *ops_for(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return &tmpfs_dir_inode_ops;
    case S_IFREG:
        return &tmpfs_file_inode_ops;
    case S_IFLNK:
        return &tmpfs_symlink_inode_ops;
    default:
        return &tmpfs_special_inode_ops;
    }
}

int node_new(struct tmpfs *fs, uint32_t mode, uint64_t rdev, const struct cred *cred,
             struct inode *dir, struct node **ret)
{
    struct node *n = mem_zalloc(sizeof *n);

    if (!n)
        return -ENOSPC;
    n->inode.ops = ops_for(mode);
    n->inode.super = &fs->super;
    n->inode.refs = 1;
    n->inode.mode = mode;
    n->inode.rdev = rdev;
    n->inode.ino = __atomic_fetch_add(&fs->next_ino, 1, __ATOMIC_RELAXED);
    if (cred) {
        n->inode.uid = cred->fsuid;
        n->inode.gid = cred->fsgid;
    }
    if (dir && (dir->mode & S_ISGID) != 0) {
        n->inode.gid = dir->gid;
        if (S_ISDIR(mode))
            n->inode.mode |= S_ISGID;
    }
    n->fs = fs;
    n->nlink = S_ISDIR(mode) ? 2 : 1;
    n->atime = n->mtime = n->ctime = n->btime = tmpfs_now();
    n->xattrs_own = true;
    __atomic_fetch_add(&fs->inodes, 1, __ATOMIC_RELAXED);
    *ret = n;
    return 0;
}

/* ---- lower inodes ---- */

static struct node **table_bucket(struct tmpfs *fs, uint64_t nid)
{
    return &fs->table[(nid * 0x9e3779b97f4a7c15ull >> 40) & (fs->table_size - 1)];
}

/* Under fs->lock. A node whose last reference is going is passed over. */
static struct node *table_find(struct tmpfs *fs, uint64_t nid)
{
    for (struct node *n = *table_bucket(fs, nid); n; n = n->hash_next) {
        uint32_t refs = __atomic_load_n(&n->inode.refs, __ATOMIC_RELAXED);

        if (n->lower.nid != nid)
            continue;
        while (refs > 0)
            if (__atomic_compare_exchange_n(&n->inode.refs, &refs, refs + 1, true, __ATOMIC_ACQUIRE,
                                            __ATOMIC_RELAXED))
                return n;
    }
    return NULL;
}

static void table_remove(struct node *n)
{
    struct node **at;

    spin_lock(&n->fs->lock);
    for (at = table_bucket(n->fs, n->lower.nid); *at; at = &(*at)->hash_next)
        if (*at == n) {
            *at = n->hash_next;
            break;
        }
    spin_unlock(&n->fs->lock);
}

static struct node *node_from_lower(struct tmpfs *fs, const struct erofs_inode *lower)
{
    struct node *n = mem_zalloc(sizeof *n);

    if (!n)
        return NULL;
    n->inode.ops = ops_for(lower->mode);
    n->inode.super = &fs->super;
    n->inode.refs = 1;
    n->inode.mode = lower->mode;
    n->inode.uid = lower->uid;
    n->inode.gid = lower->gid;
    n->inode.rdev = lower->rdev;
    n->inode.ino = lower->nid + 1;
    n->fs = fs;
    n->nlink = lower->nlink;
    n->size = lower->size;
    n->atime = n->mtime = n->ctime = n->btime =
        (struct timespec64){ lower->mtime_s, lower->mtime_ns };
    n->has_lower = true;
    n->lower = *lower;
    if (S_ISREG(lower->mode))
        n->file.lower_size = lower->size;
    if (!S_ISREG(lower->mode) && !S_ISLNK(lower->mode))
        n->size = 0;
    return n;
}

int node_get_lower(struct tmpfs *fs, uint64_t nid, struct node **ret)
{
    struct erofs_inode lower;
    struct node *n, *other, **bucket;
    int rc;

    spin_lock(&fs->lock);
    n = table_find(fs, nid);
    spin_unlock(&fs->lock);
    if (n) {
        *ret = n;
        return 0;
    }
    rc = erofs_inode_get(fs->lower, nid, &lower);
    if (rc < 0)
        return rc;
    n = node_from_lower(fs, &lower);
    if (!n)
        return -ENOMEM;
    spin_lock(&fs->lock);
    other = table_find(fs, nid);
    if (!other) {
        bucket = table_bucket(fs, nid);
        n->hash_next = *bucket;
        *bucket = n;
    }
    spin_unlock(&fs->lock);
    if (other)
        mem_free(n);
    *ret = other ? other : n;
    return 0;
}

void node_changed(struct node *n)
{
    if (!n->has_lower || n->kept || n->nlink == 0)
        return;
    n->kept = true;
    inode_ref(&n->inode);
}

void node_touch(struct node *n)
{
    struct timespec64 now = tmpfs_now();

    node_attr_begin(n);
    n->mtime = n->ctime = now;
    node_attr_end(n);
    node_changed(n);
}

void node_link_add(struct node *n, int delta)
{
    bool let_go;

    mutex_lock(&n->inode.lock);
    node_attr_begin(n);
    if (delta < 0 && n->nlink < (uint32_t)-delta)
        n->nlink = 0;
    else
        n->nlink += (uint32_t)delta;
    n->ctime = tmpfs_now();
    node_attr_end(n);
    let_go = n->kept && n->nlink == 0;
    if (let_go)
        n->kept = false;
    else
        node_changed(n);
    mutex_unlock(&n->inode.lock);
    if (let_go)
        inode_unref(&n->inode);
}

void node_release(struct inode *inode)
{
    struct node *n = node_of(inode);

    if (n->has_lower)
        table_remove(n);
    else
        __atomic_fetch_sub(&n->fs->inodes, 1, __ATOMIC_RELAXED);
    switch (inode->mode & S_IFMT) {
    case S_IFDIR:
        directory_free(n);
        break;
    case S_IFREG:
        file_data_free(n);
        break;
    case S_IFLNK:
        mem_free(n->target);
        break;
    }
    node_xattr_free(n);
    mem_free(n->anon_name);
    mem_free(n);
}

/* ---- special files: opened by the vfs ---- */

const struct inode_ops tmpfs_special_inode_ops = {
    .get_attr = node_get_attr,
    .set_attr = node_set_attr,
    .get_xattr = node_xattr_get,
    .set_xattr = node_xattr_set,
    .list_xattr = node_xattr_list,
    .remove_xattr = node_xattr_remove,
    .release = node_release,
};

/* ---- file systems ---- */

static int super_stat(struct super *s, uint64_t *ret_blocks, uint64_t *ret_free,
                      uint64_t *ret_files)
{
    struct tmpfs *fs = CONTAINER_OF(s, struct tmpfs, super);
    uint64_t used = __atomic_load_n(&fs->pages_used, __ATOMIC_RELAXED);
    uint64_t limit = enclave_pages_limit(), now = enclave_pages_used();
    uint64_t room = limit > now ? limit - now : 0;

    room -= MIN(room, limit / MEMORY_RESERVE_SHARE);
    if (fs->pages_max != 0) {
        *ret_blocks = fs->pages_max;
        *ret_free = MIN(room, fs->pages_max > used ? fs->pages_max - used : 0);
    } else {
        *ret_blocks = used + room + (fs->lower ? erofs_block_count(fs->lower) : 0);
        *ret_free = room;
    }
    *ret_files = __atomic_load_n(&fs->inodes, __ATOMIC_RELAXED) +
                 (fs->lower ? erofs_inode_count(fs->lower) : 0);
    return 0;
}

static struct tmpfs *fs_create(uint64_t size_max)
{
    struct tmpfs *fs = mem_zalloc(sizeof *fs);

    if (!fs)
        return NULL;
    fs->super.type = "tmpfs";
    fs->super.magic = TMPFS_MAGIC;
    fs->super.dev = super_new_dev();
    fs->super.stat = super_stat;
    fs->pages_max = ALIGN_UP(MIN(size_max, UINT64_MAX - PAGE_SIZE), PAGE_SIZE) / PAGE_SIZE;
    fs->next_ino = 2;
    return fs;
}

int tmpfs_new(uint64_t size_max, uint32_t root_mode, struct super **ret)
{
    struct tmpfs *fs = fs_create(size_max);
    struct node *root;
    int rc;

    if (!fs)
        return -ENOMEM;
    rc = node_new(fs, S_IFDIR | (root_mode & MODE_PERMISSIONS), 0, NULL, NULL, &root);
    if (rc < 0) {
        mem_free(fs);
        return rc;
    }
    root->inode.ino = 1;
    fs->super.root = &root->inode;
    *ret = &fs->super;
    return 0;
}

int tmpfs_with_lower(struct erofs *lower, struct super **ret)
{
    struct tmpfs *fs = fs_create(0);
    struct node *root;
    size_t size = TABLE_SIZE_MIN;
    int rc = -ENOMEM;

    if (!fs)
        return -ENOMEM;
    while (size < TABLE_SIZE_MAX && size < erofs_inode_count(lower) / 2)
        size *= 2;
    fs->super.type = "overlay";
    fs->super.magic = OVERLAYFS_SUPER_MAGIC;
    fs->lower = lower;
    fs->table_size = size;
    fs->table = mem_calloc(size, sizeof(void *));
    fs->next_ino = (erofs_block_count(lower) << (PAGE_SHIFT - 5)) + 2;
    if (fs->table)
        rc = node_get_lower(fs, erofs_root(lower), &root);
    if (rc < 0) {
        mem_free(fs->table);
        mem_free(fs);
        return rc;
    }
    fs->super.root = &root->inode;
    *ret = &fs->super;
    return 0;
}

int rootfs_new(const struct start_info *start, struct super **ret)
{
    const struct descriptor *d = start->descriptor;
    struct image_source source = {
        .data = start->rootfs,
        .data_size = d->rootfs_size,
        .tree = start->verity,
        .tree_size = start->verity_size,
        .root = d->verity_root,
        .salt = d->verity_salt,
        .salt_size = d->verity_salt_size,
        .cache_pages = MIN(d->memory_size / CACHE_MEMORY_SHARE / PAGE_SIZE, CACHE_PAGES_MAX),
    };
    struct image *img;
    struct erofs *lower;
    int rc = image_new(&source, &img);

    if (rc < 0) {
        log_line("the root file system cannot be used: its hash tree does not fit the descriptor "
                 "(error %d)",
                 -rc);
        return rc;
    }
    rc = erofs_open(img, &lower);
    if (rc < 0) {
        image_free(img);
        return rc;
    }
    rc = tmpfs_with_lower(lower, ret);
    if (rc < 0) {
        erofs_free(lower);
        image_free(img);
    }
    return rc;
}

/* ---- anonymous files ---- */

static struct tmpfs *g_anon;    /* set once */
static struct spin g_anon_lock; /* guards the setting */

static struct tmpfs *anon_fs(void)
{
    struct tmpfs *fs = __atomic_load_n(&g_anon, __ATOMIC_ACQUIRE);

    if (fs)
        return fs;
    fs = fs_create(0);
    if (!fs)
        return NULL;
    spin_lock(&g_anon_lock);
    if (!g_anon)
        __atomic_store_n(&g_anon, TAKE_PTR(fs), __ATOMIC_RELEASE);
    spin_unlock(&g_anon_lock);
    mem_free(fs);
    return g_anon;
}

int tmpfs_anon_file(const char *name, struct file **ret)
{
    struct tmpfs *fs = anon_fs();
    size_t size = strlen(name) + sizeof "/memfd: (deleted)";
    struct node *n;
    struct file *f;
    int rc;

    if (!fs)
        return -ENOMEM;
    rc = node_new(fs, S_IFREG | 0777, 0, process_cred(), NULL, &n);
    if (rc < 0)
        return -ENOMEM;
    n->nlink = 0;
    n->file.seals = F_SEAL_SEAL;
    n->anon_name = mem_alloc(size);
    if (!n->anon_name) {
        inode_unref(&n->inode);
        return -ENOMEM;
    }
    format(n->anon_name, size, "/memfd:%s (deleted)", name);
    rc = file_new(&tmpfs_file_ops, O_RDWR, NULL, &f);
    if (rc < 0) {
        inode_unref(&n->inode);
        return rc;
    }
    f->inode = &n->inode;
    f->anon_name = n->anon_name;
    *ret = f;
    return 0;
}

bool tmpfs_is_file(const struct inode *inode)
{
    return inode->ops == &tmpfs_file_inode_ops;
}
