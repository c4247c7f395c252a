/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /dev/pts: a node a terminal, and ptmx, whose every open makes a terminal. Trusted.
 */
#include <asm/errno.h>
#include <asm/stat.h>
#include <linux/capability.h>
#include <linux/stat.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/log.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/tty/tty_private.h"
#include "tee/libos/fs/vfs/vfs_internal.h"

#define DEVPTS_MAGIC 0x1cd1u
#define PTMX_DEVICE (5u << 8 | 2u)
#define TTY_GROUP 5u      /* as container engines mount it: gid=5,mode=620 */
#define INO_PTMX 2u       /* terminal N is number N + 3 */
#define POSITION_FIRST 2u /* of ptmx; terminal N follows at N + 3 */

struct pts_node {
    struct inode inode; /* first */
    struct tty *tty;    /* a reference; NULL: the root, ptmx */
    struct timespec64 made;
};

static struct super g_devpts = { .type = "devpts", .magic = DEVPTS_MAGIC, .uncached = true };
static struct pts_node g_root, g_ptmx;

static struct pts_node *node_of(struct inode *inode)
{
    return CONTAINER_OF(inode, struct pts_node, inode);
}

static struct timespec64 now(void)
{
    uint64_t ns = clock_realtime_ns();

    return (struct timespec64){ (int64_t)(ns / 1000000000u), (uint32_t)(ns % 1000000000u) };
}

static int get_attr(struct inode *inode, struct inode_attr *ret)
{
    struct pts_node *n = node_of(inode);

    *ret = (struct inode_attr){
        .ino = inode->ino,
        .dev = g_devpts.dev,
        .rdev = inode->rdev,
        .mode = inode->mode,
        .nlink = S_ISDIR(inode->mode) ? 2 : 1,
        .uid = inode->uid,
        .gid = inode->gid,
        .blksize = 1024,
        .atime = n->made,
        .mtime = n->made,
        .ctime = n->made,
    };
    return 0;
}

static int set_attr(struct inode *inode, const struct inode_attr *attr, uint32_t mask)
{
    if (mask & ATTR_SIZE)
        return -EINVAL;
    if (mask & ATTR_MODE)
        inode->mode = (inode->mode & S_IFMT) | (attr->mode & ~(uint32_t)S_IFMT);
    if (mask & ATTR_UID)
        inode->uid = attr->uid;
    if (mask & ATTR_GID)
        inode->gid = attr->gid;
    return 0;
}

static void release(struct inode *inode)
{
    struct pts_node *n = node_of(inode);

    tty_unref(n->tty);
    mem_free(n);
}

static int open_terminal(struct inode *inode, struct file *f)
{
    return tty_slave_open(node_of(inode)->tty, f);
}

static const struct inode_ops g_pts_ops = {
    .get_attr = get_attr,
    .set_attr = set_attr,
    .open = open_terminal,
    .release = release,
};

static int open_ptmx(struct inode *inode UNUSED, struct file *f)
{
    return tty_open_ptmx(f);
}

static const struct inode_ops g_ptmx_ops = {
    .get_attr = get_attr,
    .set_attr = set_attr,
    .open = open_ptmx,
};

int tty_node_new(struct tty *t, uint32_t uid)
{
    struct pts_node *n = mem_zalloc(sizeof *n);

    if (!n)
        return -ENOMEM;
    n->inode.ops = &g_pts_ops;
    n->inode.super = &g_devpts;
    n->inode.refs = 1;
    n->inode.mode = S_IFCHR | 0620;
    n->inode.uid = uid;
    n->inode.gid = TTY_GROUP;
    n->inode.ino = t->index + 3;
    n->inode.rdev = tty_device(t);
    n->made = now();
    n->tty = t;
    tty_ref(t);
    __atomic_store_n(&t->node, &n->inode, __ATOMIC_RELEASE);
    return 0;
}

/* ---- the folder ---- */

/* The terminal that a name says; without leading zeros. returns: -1: none. */
static int64_t parse_index(const char *name, size_t size)
{
    int64_t index = 0;

    if (size == 0 || size > 4 || (name[0] == '0' && size > 1))
        return -1;
    for (size_t i = 0; i < size; i++) {
        if (name[i] < '0' || name[i] > '9')
            return -1;
        index = index * 10 + (name[i] - '0');
    }
    return index;
}

static int root_lookup(struct inode *dir UNUSED, const char *name, size_t size, struct inode **ret)
{
    struct inode *node = NULL;
    struct tty *t;

    if (size == 4 && memcmp(name, "ptmx", 4) == 0) {
        inode_ref(&g_ptmx.inode);
        *ret = &g_ptmx.inode;
        return 0;
    }
    int64_t index = parse_index(name, size);
    t = index < 0 ? NULL : tty_find((uint32_t)index);
    if (!t)
        return -ENOENT;
    tty_lock(t);
    node = t->node;
    if (node)
        inode_ref(node);
    tty_unlock(t, 0);
    tty_unref(t);
    *ret = node;
    return node ? 0 : -ENOENT;
}

static int root_readdir(struct inode *dir UNUSED, uint64_t pos, readdir_fn *fn, void *arg)
{
    int index;

    if (pos <= POSITION_FIRST &&
        !fn(arg, "ptmx", 4, INO_PTMX, mode_dirent_type(S_IFCHR), POSITION_FIRST + 1))
        return 0;
    pos = MAX(pos, POSITION_FIRST + 1ull) - POSITION_FIRST - 1;
    for (; pos < TTY_COUNT_MAX; pos = (uint64_t)index + 1) {
        char name[12];
        int size;

        index = tty_next_index((uint32_t)pos);
        if (index < 0)
            break;
        size = format(name, sizeof name, "%d", index);
        if (!fn(arg, name, (size_t)size, (uint64_t)index + 3, mode_dirent_type(S_IFCHR),
                (uint64_t)index + POSITION_FIRST + 2))
            break;
    }
    return 0;
}

/* Only terminals come here. */
static int root_create(struct inode *dir UNUSED, const char *name UNUSED, size_t size UNUSED,
                       uint32_t mode, uint64_t rdev UNUSED, const struct cred *cred UNUSED,
                       struct inode **ret UNUSED)
{
    return S_ISREG(mode) ? -EACCES : -EPERM;
}

static const struct inode_ops g_root_ops = {
    .create = root_create,
    .lookup = root_lookup,
    .readdir = root_readdir,
    .get_attr = get_attr,
    .set_attr = set_attr,
};

static int fs_stat(struct super *s UNUSED, uint64_t *ret_blocks, uint64_t *ret_free,
                   uint64_t *ret_files)
{
    *ret_blocks = *ret_free = *ret_files = 0;
    return 0;
}

int devptsfs_new(struct super **ret)
{
    g_root.inode = (struct inode){
        .ops = &g_root_ops, .super = &g_devpts, .refs = 1, .mode = S_IFDIR | 0755, .ino = 1
    };
    g_ptmx.inode = (struct inode){ .ops = &g_ptmx_ops,
                                   .super = &g_devpts,
                                   .refs = 1,
                                   .mode = S_IFCHR | 0666,
                                   .rdev = PTMX_DEVICE,
                                   .ino = INO_PTMX };
    g_root.made = g_ptmx.made = now();
    g_devpts.dev = super_new_dev();
    tty_job_init();
    g_devpts.root = &g_root.inode;
    g_devpts.stat = fs_stat;
    *ret = &g_devpts;
    return 0;
}

/* ---- opening by device ---- */

int tty_open_ptmx(struct file *f)
{
    struct tty *t;
    int rc = tty_new(&t);

    if (rc < 0)
        return rc;
    rc = tty_node_new(t, process_cred()->fsuid);
    if (rc < 0) {
        tty_unref(t);
        return rc;
    }
    t->locked = true;
    f->ops = &g_tty_master_ops;
    f->private_data = t;
    return 0;
}
