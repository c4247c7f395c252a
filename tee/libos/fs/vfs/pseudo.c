/* SPDX-License-Identifier: Apache-2.0 */
/* Tables as file systems; see pseudo.h. Trusted. */
#include "tee/libos/fs/vfs/pseudo.h"

#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/log.h"
#include "tee/enclave/string.h"
#include "tee/libos/task/task.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#define TEXT_SIZE_FIRST 1024u
#define STORE_SIZE_MAX 1024u
#define POSITION_CHILDREN 2u          /* of a fixed entry: 2 + index */
#define POSITION_DYNAMIC (1ull << 32) /* of a dynamic one: this + number */

struct pseudo_node {
    struct inode inode; /* first */
    const struct pseudo_entry *entry;
    struct pseudo_key key;
    uint64_t made_ns;
};

/* private_data of an open regular file. */
struct content {
    struct text text;
    bool made;
};

static const struct inode_ops g_dir_ops, g_file_ops, g_link_ops, g_magic_ops;

/* ---- text ---- */

static bool text_reserve(struct text *t, size_t more)
{
    size_t size = t->size ? t->size : TEXT_SIZE_FIRST;
    char *bytes;

    if (t->failed)
        return false;
    if (more <= t->size - t->used)
        return true;
    while (size - t->used < more && size < PSEUDO_TEXT_SIZE_MAX)
        size *= 2;
    bytes = size - t->used >= more ? mem_realloc(t->bytes, size) : NULL;
    if (!bytes) {
        t->failed = true;
        return false;
    }
    t->bytes = bytes;
    t->size = size;
    return true;
}

void text_add(struct text *t, const void *bytes, size_t size)
{
    if (!text_reserve(t, size))
        return;
    memcpy(t->bytes + t->used, bytes, size);
    t->used += size;
}

void text_print(struct text *t, const char *fmt, ...)
{
    va_list args, again;
    int len;

    va_start(args, fmt);
    va_copy(again, args);
    len = format_v(NULL, 0, fmt, args);
    if (len >= 0 && text_reserve(t, (size_t)len + 1)) {
        format_v(t->bytes + t->used, (size_t)len + 1, fmt, again);
        t->used += (size_t)len;
    }
    va_end(again);
    va_end(args);
}

/* ---- nodes ---- */

static struct pseudo_node *node_of(struct inode *inode)
{
    return CONTAINER_OF(inode, struct pseudo_node, inode);
}

const struct pseudo_entry *pseudo_entry_of(struct inode *inode, struct pseudo_key *ret_key)
{
    const struct pseudo_node *n = node_of(inode);

    if (inode->ops != &g_dir_ops && inode->ops != &g_file_ops && inode->ops != &g_link_ops &&
        inode->ops != &g_magic_ops)
        return NULL;
    *ret_key = n->key;
    return n->entry;
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 31;
    x *= 0x7fb5d329728ea185ull;
    x ^= x >> 27;
    x *= 0x81dadef4bc2dd44dull;
    return x ^ x >> 33;
}

/* The same node gets the same number each time. */
static uint64_t node_ino(const struct pseudo_entry *entry, const struct pseudo_key *key)
{
    uint64_t ino =
        mix((uintptr_t)entry) ^ mix((uint64_t)(uint32_t)key->pid << 32 | (uint32_t)key->tid);

    return (mix(ino + (uint64_t)key->number) & 0xffffffffff) + 2;
}

static const struct inode_ops *ops_for(const struct pseudo_entry *e)
{
    if (S_ISDIR(e->mode))
        return &g_dir_ops;
    if (S_ISLNK(e->mode))
        return e->follow ? &g_magic_ops : &g_link_ops;
    return &g_file_ops;
}

/* The process's user; root's what a process that may not be dumped does not show to its user, but it finds its own
 * descriptors in any case. */
static void key_owner(struct inode *inode, const struct pseudo_key *key)
{
    struct process *p = key->pid ? process_find(key->pid) : NULL;

    if (!p)
        return;
    if (p->cred && (p->dumpable == 1 || inode->mode == (S_IFDIR | 0555) ||
                    (S_ISDIR(inode->mode) && p == process_current()))) {
        inode->uid = p->cred->euid;
        inode->gid = p->cred->egid;
    }
    process_unref(p);
}

static int node_new(struct super *s, const struct pseudo_entry *entry, const struct pseudo_key *key,
                    struct inode **ret)
{
    struct pseudo_node *n = mem_zalloc(sizeof *n);

    if (!n)
        return -ENOMEM;
    n->inode.ops = ops_for(entry);
    n->inode.super = s;
    n->inode.refs = 1;
    n->inode.mode = entry->mode;
    n->inode.ino = node_ino(entry, key);
    n->entry = entry;
    n->key = *key;
    n->made_ns = clock_realtime_ns();
    key_owner(&n->inode, key);
    *ret = &n->inode;
    return 0;
}

static void node_release(struct inode *inode)
{
    mem_free(node_of(inode));
}

static int node_get_attr(struct inode *inode, struct inode_attr *ret)
{
    struct pseudo_node *n = node_of(inode);
    struct timespec64 t = { (int64_t)(n->made_ns / 1000000000),
                            (uint32_t)(n->made_ns % 1000000000) };

    *ret = (struct inode_attr){ .ino = inode->ino,
                                .dev = inode->super->dev,
                                .mode = inode->mode,
                                .nlink = S_ISDIR(inode->mode) ? 2 : 1,
                                .uid = inode->uid,
                                .gid = inode->gid,
                                .blksize = 1024,
                                .atime = t,
                                .mtime = t,
                                .ctime = t };
    return 0;
}

/* chmod and the like are accepted by nothing here; truncation by open(O_TRUNC) is no change. */
static int file_set_attr(struct inode *inode UNUSED, const struct inode_attr *attr UNUSED,
                         uint32_t mask)
{
    return mask == ATTR_SIZE ? 0 : -EPERM;
}

/* ---- folders ---- */

static int dir_lookup(struct inode *inode, const char *name, size_t size, struct inode **ret)
{
    struct pseudo_node *n = node_of(inode);
    struct pseudo_child child = { .key = n->key };
    int rc;

    for (const struct pseudo_entry *e = n->entry->children; e && e->name; e++)
        if (strlen(e->name) == size && memcmp(e->name, name, size) == 0)
            return node_new(inode->super, e, &n->key, ret);
    if (!n->entry->lookup)
        return -ENOENT;
    rc = n->entry->lookup(&n->key, name, size, &child);
    return rc < 0 ? rc : node_new(inode->super, child.entry, &child.key, ret);
}

struct list_arg {
    struct pseudo_node *dir;
    readdir_fn *fn;
    void *arg;
};

static bool list_one(void *arg, const char *name, uint64_t number, uint8_t d_type)
{
    struct list_arg *l = arg;
    struct pseudo_key key = l->dir->key;

    key.number = (int64_t)number;
    return l->fn(l->arg, name, strlen(name), node_ino(l->dir->entry, &key), d_type,
                 POSITION_DYNAMIC + number + 1);
}

static int dir_readdir(struct inode *inode, uint64_t pos, readdir_fn *fn, void *arg)
{
    struct pseudo_node *n = node_of(inode);
    struct list_arg l = { n, fn, arg };
    uint64_t at = POSITION_CHILDREN;

    for (const struct pseudo_entry *e = n->entry->children; e && e->name; e++, at++)
        if (at >= pos && !fn(arg, e->name, strlen(e->name), node_ino(e, &n->key),
                             mode_dirent_type(e->mode), at + 1))
            return 0;
    if (!n->entry->list)
        return 0;
    return n->entry->list(&n->key, pos > POSITION_DYNAMIC ? pos - POSITION_DYNAMIC : 0, list_one,
                          &l);
}

static const struct inode_ops g_dir_ops = {
    .lookup = dir_lookup,
    .readdir = dir_readdir,
    .get_attr = node_get_attr,
    .release = node_release,
};

static int check(const struct pseudo_node *n)
{
    return n->entry->may ? n->entry->may(&n->key) : 0;
}

/* ---- symlinks ---- */

static int64_t link_readlink(struct inode *inode, char *dst, size_t size)
{
    struct pseudo_node *n = node_of(inode);

    int rc = check(n);

    if (rc < 0)
        return rc;
    return n->entry->readlink ? n->entry->readlink(&n->key, dst, size) : -EINVAL;
}

static int link_follow(struct inode *inode, struct dentry **ret)
{
    struct pseudo_node *n = node_of(inode);

    int rc = check(n);

    return rc < 0 ? rc : n->entry->follow(&n->key, ret);
}

static const struct inode_ops g_link_ops = {
    .readlink = link_readlink,
    .get_attr = node_get_attr,
    .release = node_release,
};

static const struct inode_ops g_magic_ops = {
    .readlink = link_readlink,
    .follow = link_follow,
    .get_attr = node_get_attr,
    .release = node_release,
};

/* ---- regular files ---- */

static int content_make(struct file *f, struct content *c)
{
    struct pseudo_node *n = node_of(f->inode);
    int rc;

    c->text.used = 0;
    c->text.failed = false;
    rc = n->entry->show ? n->entry->show(&c->text, &n->key) : 0;
    if (rc == 0 && c->text.failed)
        rc = -ENOMEM;
    c->made = rc == 0;
    return rc;
}

static int64_t file_read(struct file *f, struct uio *u, uint64_t *pos)
{
    struct content *c = f->private_data;
    int64_t rc = 0;

    mutex_lock(&f->inode->lock);
    if (!c->made || *pos == 0)
        rc = content_make(f, c);
    if (rc == 0 && *pos < c->text.used) {
        rc = uio_put(u, c->text.bytes + *pos, MIN(u->left, c->text.used - *pos));
        if (rc > 0)
            *pos += (uint64_t)rc;
    }
    mutex_unlock(&f->inode->lock);
    return rc;
}

static int64_t file_write(struct file *f, struct uio *u, uint64_t *pos)
{
    struct pseudo_node *n = node_of(f->inode);
    char value[STORE_SIZE_MAX];
    int64_t size;
    size_t len;
    int rc;

    if (!n->entry->store)
        return -EINVAL;
    if (u->left >= sizeof value)
        return -EINVAL;
    size = uio_get(u, value, u->left);
    if (size < 0)
        return size;
    len = (size_t)size;
    if (len > 0 && value[len - 1] == '\n')
        len--;
    value[len] = 0;
    rc = n->entry->store(&n->key, value, len);
    if (rc < 0)
        return rc;
    *pos += (uint64_t)size;
    return size;
}

static int64_t file_seek(struct file *f, int64_t off, int whence)
{
    if (whence == SEEK_CUR)
        off += (int64_t)f->pos;
    else if (whence != SEEK_SET)
        return -EINVAL;
    if (off < 0)
        return -EINVAL;
    f->pos = (uint64_t)off;
    return off;
}

static int file_truncate(struct file *f UNUSED, uint64_t size UNUSED)
{
    return 0;
}

static int file_sync(struct file *f UNUSED, bool data_only UNUSED)
{
    return -EINVAL;
}

static void file_release(struct file *f)
{
    struct content *c = f->private_data;

    mem_free(c->text.bytes);
    mem_free(c);
}

static const struct file_ops g_file_file_ops = {
    .read = file_read,
    .write = file_write,
    .seek = file_seek,
    .truncate = file_truncate,
    .sync = file_sync,
    .release = file_release,
};

static int file_open_op(struct inode *inode, struct file *f)
{
    int rc = check(node_of(inode));

    if (rc < 0)
        return rc;
    if (node_of(inode)->entry->open)
        return node_of(inode)->entry->open(&node_of(inode)->key, f);
    f->private_data = mem_zalloc(sizeof(struct content));
    if (!f->private_data)
        return -ENOMEM;
    f->ops = &g_file_file_ops;
    return 0;
}

static const struct inode_ops g_file_ops = {
    .open = file_open_op,
    .get_attr = node_get_attr,
    .set_attr = file_set_attr,
    .release = node_release,
};

/* ---- file system ---- */

int pseudo_fs_new(const char *type, uint32_t magic, const struct pseudo_entry *root, bool uncached,
                  struct super **ret)
{
    struct super *s = mem_zalloc(sizeof *s);
    struct pseudo_key key = { 0 };
    int rc;

    if (!s)
        return -ENOMEM;
    s->type = type;
    s->magic = magic;
    s->dev = super_new_dev();
    s->uncached = uncached;
    rc = node_new(s, root, &key, &s->root);
    if (rc < 0) {
        mem_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}
