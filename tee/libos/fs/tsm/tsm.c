/* SPDX-License-Identifier: Apache-2.0 */
/* The names of configfs-tsm: tsm, report, entries and their attributes. Trusted; see tsm.h. */
#include "tee/libos/fs/tsm/tsm.h"

#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/vfs/mode.h"

#include <linux/errno.h>

#define CONFIGFS_MAGIC 0x62656570u
#define ATTRIBUTE_SIZE 4096u /* what stat shows of a text; a blob shows 0 */
#define POSITION_FIRST 2u
#define INO_ROOT 1u
#define INO_TSM 2u
#define INO_REPORT 3u
#define INO_ENTRY_STEP 16u /* entry n: 16 n; its attributes follow */

struct tsm_node {
    struct inode inode;        /* first */
    struct tsm_report *report; /* a reference; NULL: one of the three fixed folders */
    struct timespec64 made;
};

const struct tsm_attribute_info tsm_attributes[TSM_ATTRIBUTE_COUNT] = {
    [TSM_AUXBLOB] = { "auxblob", 0444 },     [TSM_GENERATION] = { "generation", 0444 },
    [TSM_INBLOB] = { "inblob", 0200 },       [TSM_OUTBLOB] = { "outblob", 0444 },
    [TSM_PRIVLEVEL] = { "privlevel", 0200 }, [TSM_PRIVLEVEL_FLOOR] = { "privlevel_floor", 0444 },
    [TSM_PROVIDER] = { "provider", 0444 },
};

static struct super g_configfs = { .type = "configfs", .magic = CONFIGFS_MAGIC, .uncached = true };
static struct tsm_node g_root, g_tsm, g_report;

static struct tsm_node *node_of(struct inode *inode)
{
    return CONTAINER_OF(inode, struct tsm_node, inode);
}

static struct timespec64 now(void)
{
    uint64_t ns = clock_realtime_ns();

    return (struct timespec64){ (int64_t)(ns / 1000000000u), (uint32_t)(ns % 1000000000u) };
}

static bool is_named(const char *name, size_t size, const char *wanted)
{
    return strlen(wanted) == size && memcmp(name, wanted, size) == 0;
}

/* ---- all inodes ---- */

/* Which attribute an inode is; by its number. */
static enum tsm_attribute attribute_of(const struct inode *inode)
{
    return (enum tsm_attribute)(inode->ino % INO_ENTRY_STEP - 1);
}

static int get_attr(struct inode *inode, struct inode_attr *ret)
{
    struct tsm_node *n = node_of(inode);
    bool is_blob = false;

    if (S_ISREG(inode->mode))
        is_blob = attribute_of(inode) == TSM_INBLOB || attribute_of(inode) == TSM_OUTBLOB ||
                  attribute_of(inode) == TSM_AUXBLOB;
    *ret = (struct inode_attr){
        .ino = inode->ino,
        .dev = g_configfs.dev,
        .mode = inode->mode,
        .nlink = S_ISDIR(inode->mode) ? 2 : 1,
        .size = S_ISREG(inode->mode) && !is_blob ? ATTRIBUTE_SIZE : 0,
        .blksize = PAGE_SIZE,
        .atime = n->made,
        .mtime = n->made,
        .ctime = n->made,
    };
    return 0;
}

/* open(O_TRUNC) is no change; nothing else can be changed. */
static int set_attr(struct inode *inode UNUSED, const struct inode_attr *attr UNUSED, uint32_t mask)
{
    return mask == ATTR_SIZE ? 0 : -EPERM;
}

/* No folder takes files, and only one takes folders. */
static int refuse_create(struct inode *dir UNUSED, const char *name UNUSED, size_t size UNUSED,
                         uint32_t mode, uint64_t rdev UNUSED, const struct cred *cred UNUSED,
                         struct inode **ret UNUSED)
{
    return S_ISREG(mode) ? -EACCES : -EPERM;
}

static void release(struct inode *inode)
{
    struct tsm_node *n = node_of(inode);

    tsm_report_unref(n->report);
    mem_free(n);
}

/* Takes over the reference to r, also on failure. */
static int node_new(struct tsm_report *r, const struct inode_ops *ops, uint32_t mode, uint64_t ino,
                    struct inode **ret)
{
    struct tsm_node *n = mem_zalloc(sizeof *n);

    if (!n) {
        tsm_report_unref(r);
        return -ENOMEM;
    }
    n->inode.ops = ops;
    n->inode.super = &g_configfs;
    n->inode.refs = 1;
    n->inode.mode = mode;
    n->inode.ino = ino;
    n->report = r;
    n->made = now();
    *ret = &n->inode;
    return 0;
}

/* ---- an entry and its attributes ---- */

static int attribute_open(struct inode *inode, struct file *f)
{
    return tsm_file_open(node_of(inode)->report, attribute_of(inode), f);
}

static const struct inode_ops g_attribute_ops = {
    .open = attribute_open,
    .get_attr = get_attr,
    .set_attr = set_attr,
    .release = release,
};

static int entry_lookup(struct inode *dir, const char *name, size_t size, struct inode **ret)
{
    struct tsm_report *r = node_of(dir)->report;

    for (unsigned i = 0; i < TSM_ATTRIBUTE_COUNT; i++) {
        if (!is_named(name, size, tsm_attributes[i].name))
            continue;
        tsm_report_ref(r);
        return node_new(r, &g_attribute_ops, S_IFREG | tsm_attributes[i].mode, dir->ino + 1 + i,
                        ret);
    }
    return -ENOENT;
}

static int entry_readdir(struct inode *dir, uint64_t pos, readdir_fn *fn, void *arg)
{
    for (uint64_t i = MAX(pos, (uint64_t)POSITION_FIRST) - POSITION_FIRST; i < TSM_ATTRIBUTE_COUNT;
         i++)
        if (!fn(arg, tsm_attributes[i].name, strlen(tsm_attributes[i].name), dir->ino + 1 + i,
                mode_dirent_type(S_IFREG), POSITION_FIRST + i + 1))
            break;
    return 0;
}

static const struct inode_ops g_entry_ops = {
    .create = refuse_create,
    .lookup = entry_lookup,
    .readdir = entry_readdir,
    .get_attr = get_attr,
    .set_attr = set_attr,
    .release = release,
};

/* ---- report ---- */

static int entry_new(struct tsm_report *r, struct inode **ret)
{
    return node_new(r, &g_entry_ops, S_IFDIR | 0755, tsm_report_number(r) * INO_ENTRY_STEP, ret);
}

static int report_lookup(struct inode *dir UNUSED, const char *name, size_t size,
                         struct inode **ret)
{
    struct tsm_report *r = tsm_report_find(name, size);

    return r ? entry_new(r, ret) : -ENOENT;
}

static int report_create(struct inode *dir UNUSED, const char *name, size_t size, uint32_t mode,
                         uint64_t rdev UNUSED, const struct cred *cred UNUSED, struct inode **ret)
{
    struct tsm_report *r;
    int rc;

    if (!S_ISDIR(mode))
        return S_ISREG(mode) ? -EACCES : -EPERM;
    rc = tsm_report_add(name, size, &r);
    return rc < 0 ? rc : entry_new(r, ret);
}

/* With its attributes, which nobody else removes. */
static int report_rmdir(struct inode *dir UNUSED, const char *name UNUSED, size_t size UNUSED,
                        struct inode *target)
{
    tsm_report_remove(node_of(target)->report);
    return 0;
}

static int report_readdir(struct inode *dir UNUSED, uint64_t pos, readdir_fn *fn, void *arg)
{
    uint64_t from = MAX(pos, (uint64_t)POSITION_FIRST) - POSITION_FIRST;
    struct tsm_report *r = tsm_report_next(from);
    bool more = true;

    for (; r && more; r = more ? tsm_report_next(from) : NULL) {
        const char *name = tsm_report_name(r);

        from = tsm_report_number(r) + 1;
        more = fn(arg, name, strlen(name), tsm_report_number(r) * INO_ENTRY_STEP,
                  mode_dirent_type(S_IFDIR), POSITION_FIRST + from);
        tsm_report_unref(r);
    }
    return 0;
}

static const struct inode_ops g_report_ops = {
    .create = report_create,
    .lookup = report_lookup,
    .rmdir = report_rmdir,
    .readdir = report_readdir,
    .get_attr = get_attr,
    .set_attr = set_attr,
};

/* ---- the folders above: one child each ---- */

static struct tsm_node *child_of(const struct inode *dir, const char **ret_name)
{
    bool is_root = dir == &g_root.inode;

    *ret_name = is_root ? "tsm" : "report";
    return is_root ? &g_tsm : &g_report;
}

static int fixed_lookup(struct inode *dir, const char *name, size_t size, struct inode **ret)
{
    const char *wanted;
    struct tsm_node *child = child_of(dir, &wanted);

    if (!is_named(name, size, wanted))
        return -ENOENT;
    inode_ref(&child->inode);
    *ret = &child->inode;
    return 0;
}

static int fixed_readdir(struct inode *dir, uint64_t pos, readdir_fn *fn, void *arg)
{
    const char *name;
    struct tsm_node *child = child_of(dir, &name);

    if (pos <= POSITION_FIRST)
        fn(arg, name, strlen(name), child->inode.ino, mode_dirent_type(S_IFDIR),
           POSITION_FIRST + 1);
    return 0;
}

static const struct inode_ops g_fixed_ops = {
    .create = refuse_create,
    .lookup = fixed_lookup,
    .readdir = fixed_readdir,
    .get_attr = get_attr,
    .set_attr = set_attr,
};

static int fs_stat(struct super *s UNUSED, uint64_t *ret_blocks, uint64_t *ret_free,
                   uint64_t *ret_files)
{
    *ret_blocks = *ret_free = *ret_files = 0;
    return 0;
}

static void fixed_init(struct tsm_node *n, const struct inode_ops *ops, uint64_t ino)
{
    n->inode = (struct inode){
        .ops = ops, .super = &g_configfs, .refs = 1, .mode = S_IFDIR | 0755, .ino = ino
    };
    n->made = now();
}

int configfs_new(struct super **ret)
{
    fixed_init(&g_root, &g_fixed_ops, INO_ROOT);
    fixed_init(&g_tsm, &g_fixed_ops, INO_TSM);
    fixed_init(&g_report, &g_report_ops, INO_REPORT);
    g_configfs.dev = super_new_dev();
    g_configfs.root = &g_root.inode;
    g_configfs.stat = fs_stat;
    *ret = &g_configfs;
    return 0;
}
