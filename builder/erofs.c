/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EROFS writer. Relying party. Order in the image: superblock, inodes with small data behind them,
 * large folders, file data; each in the depth-first order of the tree, so that neighbours lie together.
 */
#include "builder/erofs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "abi/image.h"
#include "lib/digest.h"

#define BLOCK 4096u
#define SUPER_OFF 1024u
#define SUPER_MAGIC 0xe0f5e1e2u
#define COMPAT_CHECKSUM 0x1u
#define COMPAT_MTIME 0x2u
#define SLOT 32u /* inodes are numbered by their place, in slots */
#define META_OFF BLOCK
#define LAYOUT_PLAIN 0u
#define LAYOUT_INLINE 2u
#define COPY_SIZE (1u << 20)

struct super {
    uint32_t magic;
    uint32_t checksum;
    uint32_t feature_compat;
    uint8_t block_bits;
    uint8_t ext_slots;
    uint16_t root_nid;
    uint64_t inodes;
    uint64_t build_time_s;
    uint32_t build_time_ns;
    uint32_t blocks;
    uint32_t meta_block;
    uint32_t xattr_block;
    uint8_t uuid[16];
    uint8_t volume_name[16];
    uint32_t feature_incompat;
    uint8_t reserved[44];
};
_Static_assert(sizeof(struct super) == 128, "EROFS superblock");
_Static_assert(SUPER_OFF + offsetof(struct super, uuid) == EROFS_UUID_OFF, "EROFS UUID");

struct inode_compact {
    uint16_t format;
    uint16_t xattr_count;
    uint16_t mode;
    uint16_t links;
    uint32_t size;
    uint32_t reserved;
    uint32_t data; /* first block, or device */
    uint32_t number;
    uint16_t uid, gid;
    uint32_t reserved2;
};
_Static_assert(sizeof(struct inode_compact) == 32, "EROFS compact inode");

struct inode_extended {
    uint16_t format;
    uint16_t xattr_count;
    uint16_t mode;
    uint16_t reserved;
    uint64_t size;
    uint32_t data;
    uint32_t number;
    uint32_t uid, gid;
    uint64_t mtime_s;
    uint32_t mtime_ns;
    uint32_t links;
    uint8_t reserved2[16];
};
_Static_assert(sizeof(struct inode_extended) == 64, "EROFS extended inode");

struct dirent {
    uint64_t nid;
    uint16_t name_off;
    uint8_t kind;
    uint8_t reserved;
} PACKED;
_Static_assert(sizeof(struct dirent) == 12, "EROFS dirent");

struct node {
    struct tree_inode *inode;
    struct tree_entry **entries; /* folder: sorted, with "." and ".." */
    uint32_t entry_count;
    uint32_t xattr_size; /* bytes behind the inode */
    uint64_t size;       /* bytes of data */
    uint64_t off;        /* of the inode in the image */
    uint64_t block;      /* of the data, when it is not inline */
    bool extended;
    bool inlined;
};

struct erofs {
    struct tree *tree;
    const struct spool *spool;
    struct arena arena;
    struct node *nodes;
    size_t count, room;
    uint8_t *meta;      /* superblock and inodes */
    uint64_t meta_size; /* whole blocks */
    uint64_t blocks;
    uint8_t uuid[16];
};

/* ---- Collecting ---- */

static struct node *node_of(const struct erofs *e, const struct tree_inode *inode)
{
    uint64_t id = inode->image_id;

    return id > 0 && id <= e->count && e->nodes[id - 1].inode == inode ? &e->nodes[id - 1] : NULL;
}

static int entry_compare(const void *a, const void *b)
{
    const struct tree_entry *x = *(struct tree_entry *const *)a,
                            *y = *(struct tree_entry *const *)b;
    int order = memcmp(x->name, y->name, MIN(x->name_len, y->name_len));

    return order != 0 ? order : x->name_len < y->name_len ? -1 : x->name_len > y->name_len;
}

/* Bytes of a folder: each block has its entries' heads, then their names. */
static uint64_t folder_size(const struct node *n)
{
    uint64_t size = 0, used = 0;

    for (uint32_t i = 0; i < n->entry_count; i++) {
        size_t need = sizeof(struct dirent) + n->entries[i]->name_len;

        if (used + need > BLOCK) {
            size += BLOCK;
            used = 0;
        }
        used += need;
    }
    return size + used;
}

static int folder_list(struct erofs *e, struct node *n)
{
    struct tree_entry *dots = arena_alloc(&e->arena, 2 * sizeof *dots), **listed, **entries;
    uint32_t count;

    if (!dots || tree_list(n->inode, &listed, &count) < 0)
        return -ENOMEM;
    entries = arena_alloc(&e->arena, (count + 2) * sizeof *entries);
    if (entries) {
        memcpy(entries, listed, count * sizeof *entries);
        dots[0] = (struct tree_entry){ ".", 1, 0, n->inode };
        dots[1] = (struct tree_entry){ "..", 2, 0, n->inode->parent };
        entries[count] = &dots[0];
        entries[count + 1] = &dots[1];
        qsort(entries, count + 2, sizeof *entries, entry_compare);
    }
    free(listed);
    n->entries = entries;
    n->entry_count = count + 2;
    return entries ? 0 : -ENOMEM;
}

static const struct {
    const char *prefix;
    uint8_t index;
    bool whole; /* the prefix is the whole name */
} g_xattr_prefixes[] = {
    { "user.", 1, false },
    { "system.posix_acl_access", 2, true },
    { "system.posix_acl_default", 3, true },
    { "trusted.", 4, false },
    { "security.", 6, false },
};

/* returns: the rest of the name, or NULL for a namespace that EROFS has not. */
static const char *xattr_name(const char *name, uint8_t *ret_index)
{
    for (size_t i = 0; i < ARRAY_COUNT(g_xattr_prefixes); i++) {
        size_t len = strlen(g_xattr_prefixes[i].prefix);

        if (strncmp(name, g_xattr_prefixes[i].prefix, len) != 0 ||
            (g_xattr_prefixes[i].whole && name[len]))
            continue;
        *ret_index = g_xattr_prefixes[i].index;
        return name + len;
    }
    return NULL;
}

#define XATTR_HEADER_SIZE 12u
#define XATTR_AREA_MAX (XATTR_HEADER_SIZE + 4u * (UINT16_MAX - 1))

static int xattrs_size(const struct tree_inode *inode, uint32_t *ret)
{
    uint64_t size = XATTR_HEADER_SIZE;
    uint8_t index;

    *ret = 0;
    for (uint32_t i = 0; i < inode->xattr_count; i++) {
        const char *name = xattr_name(inode->xattrs[i].name, &index);

        if (!name || strlen(name) > UINT8_MAX)
            return -EINVAL;
        size += ALIGN_UP(4 + strlen(name) + inode->xattrs[i].value_size, 4);
    }
    if (size > XATTR_AREA_MAX)
        return -E2BIG;
    if (inode->xattr_count > 0)
        *ret = (uint32_t)size;
    return 0;
}

static int node_add(struct erofs *e, struct tree_inode *inode, struct err *err)
{
    if (e->count == e->room) {
        size_t room = e->room ? 2 * e->room : 1024;
        struct node *nodes = realloc(e->nodes, room * sizeof *nodes);

        if (!nodes)
            return -ENOMEM;
        e->nodes = nodes;
        e->room = room;
    }
    struct node *n = &e->nodes[e->count++];

    *n = (struct node){ .inode = inode, .size = inode->size };
    inode->image_id = e->count;
    if (S_ISDIR(inode->mode)) {
        if (folder_list(e, n) < 0)
            return -ENOMEM;
        n->size = folder_size(n);
    } else if (!S_ISREG(inode->mode) && !S_ISLNK(inode->mode)) {
        n->size = 0;
    }
    if (xattrs_size(inode, &n->xattr_size) < 0)
        return err_set(err, -E2BIG, "extended attributes of a file are too large for EROFS");
    n->extended = inode->mtime_s != 0 || inode->mtime_ns != 0 || inode->uid > UINT16_MAX ||
                  inode->gid > UINT16_MAX || inode->links > UINT16_MAX || n->size > UINT32_MAX;
    return 0;
}

/* Nesting is bounded by TREE_DEPTH_MAX. */
static int nodes_collect(struct erofs *e, struct tree_inode *inode, struct err *err)
{
    int rc = node_add(e, inode, err);
    size_t self = e->count - 1;

    for (uint32_t i = 0; rc == 0 && i < e->nodes[self].entry_count; i++) {
        struct tree_entry *entry = e->nodes[self].entries[i];

        if (!node_of(e, entry->inode))
            rc = nodes_collect(e, entry->inode, err);
    }
    return rc;
}

/* ---- Layout ---- */

static uint32_t inode_size(const struct node *n)
{
    return n->extended ? sizeof(struct inode_extended) : sizeof(struct inode_compact);
}

static uint64_t blocks_of(uint64_t size)
{
    return (size + BLOCK - 1) / BLOCK;
}

static int image_lay_out(struct erofs *e, struct err *err)
{
    uint64_t off = META_OFF;

    for (size_t i = 0; i < e->count; i++) {
        struct node *n = &e->nodes[i];
        uint64_t head = inode_size(n), whole = head + n->xattr_size + n->size;

        n->inlined = n->size > 0 && n->size <= EROFS_INLINE_SIZE_MAX && whole <= BLOCK;
        off = ALIGN_UP(off, SLOT);
        /* An inode, and what is inline behind it, lies within one block. */
        if (off % BLOCK + (n->inlined ? whole : head) > BLOCK)
            off = ALIGN_UP(off, BLOCK);
        n->off = off;
        off += n->inlined ? whole : head + n->xattr_size;
    }
    e->meta_size = ALIGN_UP(off, BLOCK);
    e->blocks = e->meta_size / BLOCK;
    for (unsigned files = 0; files < 2; files++)
        for (size_t i = 0; i < e->count; i++) {
            struct node *n = &e->nodes[i];

            if (n->inlined || n->size == 0 || S_ISDIR(n->inode->mode) != (files == 0))
                continue;
            n->block = e->blocks;
            e->blocks += blocks_of(n->size);
        }
    if (e->blocks > UINT32_MAX || e->blocks * BLOCK > IMAGE_ROOTFS_SIZE_MAX)
        return err_set(err, -EFBIG, "the root file system is too large");
    return 0;
}

/* ---- Encoding ---- */

static uint8_t dirent_kind(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return 1;
    case S_IFDIR:
        return 2;
    case S_IFCHR:
        return 3;
    case S_IFBLK:
        return 4;
    case S_IFIFO:
        return 5;
    case S_IFSOCK:
        return 6;
    default:
        return 7; /* symbolic link */
    }
}

/* A folder's data into dst, which is zero and has room for whole blocks, or for n->size inline. */
static void folder_encode(const struct erofs *e, const struct node *n, uint8_t *dst)
{
    for (uint32_t first = 0, end; first < n->entry_count; first = end, dst += BLOCK) {
        size_t used = 0, name_off;

        for (end = first; end < n->entry_count; end++) {
            size_t need = sizeof(struct dirent) + n->entries[end]->name_len;

            if (used + need > BLOCK)
                break;
            used += need;
        }
        name_off = (end - first) * sizeof(struct dirent);
        for (uint32_t i = first; i < end; i++) {
            const struct tree_entry *entry = n->entries[i];
            struct dirent d = { node_of(e, entry->inode)->off / SLOT, (uint16_t)name_off,
                                dirent_kind(entry->inode->mode), 0 };

            memcpy(dst + (i - first) * sizeof d, &d, sizeof d);
            memcpy(dst + name_off, entry->name, entry->name_len);
            name_off += entry->name_len;
        }
    }
}

static void xattrs_encode(const struct tree_inode *inode, uint8_t *dst)
{
    dst += XATTR_HEADER_SIZE;
    for (uint32_t i = 0; i < inode->xattr_count; i++) {
        const struct tree_xattr *x = &inode->xattrs[i];
        const char *name = xattr_name(x->name, &dst[1]);
        size_t name_len = strlen(name);
        uint16_t value_size = (uint16_t)x->value_size;

        dst[0] = (uint8_t)name_len;
        memcpy(dst + 2, &value_size, sizeof value_size);
        memcpy(dst + 4, name, name_len);
        memcpy(dst + 4 + name_len, x->value, x->value_size);
        dst += ALIGN_UP(4 + name_len + x->value_size, 4);
    }
}

/* The kernel's encoding of device numbers on disk. */
static uint32_t device_encode(const struct tree_inode *inode)
{
    return (inode->device_minor & 0xff) | inode->device_major << 8 |
           (inode->device_minor & ~0xffu) << 12;
}

static void inode_encode(const struct node *n, uint32_t number, uint8_t *dst)
{
    const struct tree_inode *i = n->inode;
    uint16_t format = (uint16_t)((n->inlined ? LAYOUT_INLINE : LAYOUT_PLAIN) << 1 | n->extended);
    uint16_t xattr_count =
        n->xattr_size ? (uint16_t)((n->xattr_size - XATTR_HEADER_SIZE) / 4 + 1) : 0;
    bool device = S_ISCHR(i->mode) || S_ISBLK(i->mode);
    uint32_t data = device ? device_encode(i) : (uint32_t)n->block;

    if (n->extended) {
        struct inode_extended x = {
            .format = format,
            .xattr_count = xattr_count,
            .mode = (uint16_t)i->mode,
            .size = n->size,
            .data = data,
            .number = number,
            .uid = i->uid,
            .gid = i->gid,
            .mtime_s = (uint64_t)i->mtime_s,
            .mtime_ns = i->mtime_ns,
            .links = i->links,
        };
        memcpy(dst, &x, sizeof x);
    } else {
        struct inode_compact c = {
            .format = format,
            .xattr_count = xattr_count,
            .mode = (uint16_t)i->mode,
            .links = (uint16_t)i->links,
            .size = (uint32_t)n->size,
            .data = data,
            .number = number,
            .uid = (uint16_t)i->uid,
            .gid = (uint16_t)i->gid,
        };
        memcpy(dst, &c, sizeof c);
    }
}

static uint32_t crc32c(const uint8_t *data, size_t size)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return crc;
}

static void super_encode(struct erofs *e)
{
    uint8_t digest[SHA256_SIZE];
    struct super s = {
        .magic = SUPER_MAGIC,
        .feature_compat = COMPAT_CHECKSUM | COMPAT_MTIME,
        .block_bits = 12,
        .root_nid = (uint16_t)(e->nodes[0].off / SLOT),
        .inodes = e->count,
        .blocks = (uint32_t)e->blocks,
    };

    /* A name for what is in it (RFC 9562, version 8), not a random one. */
    sha256_digest(e->meta, e->meta_size, digest);
    memcpy(e->uuid, digest, sizeof e->uuid);
    e->uuid[6] = (uint8_t)((e->uuid[6] & 0x0f) | 0x80);
    e->uuid[8] = (uint8_t)((e->uuid[8] & 0x3f) | 0x80);
    memcpy(s.uuid, e->uuid, sizeof s.uuid);
    memcpy(e->meta + SUPER_OFF, &s, sizeof s);
    s.checksum = crc32c(e->meta + SUPER_OFF, BLOCK - SUPER_OFF);
    memcpy(e->meta + SUPER_OFF, &s, sizeof s);
}

static int meta_encode(struct erofs *e, struct err *err)
{
    int rc = 0;

    e->meta = calloc(1, e->meta_size);
    if (!e->meta)
        return err_set_errno(err, -ENOMEM, "image metadata");
    for (size_t i = 0; i < e->count && rc == 0; i++) {
        const struct node *n = &e->nodes[i];
        uint8_t *at = e->meta + n->off;

        inode_encode(n, (uint32_t)i + 1, at);
        if (n->xattr_size)
            xattrs_encode(n->inode, at + inode_size(n));
        at += inode_size(n) + n->xattr_size;
        if (!n->inlined)
            continue;
        if (S_ISDIR(n->inode->mode))
            folder_encode(e, n, at);
        else if (S_ISLNK(n->inode->mode))
            memcpy(at, n->inode->target, n->size);
        else
            rc = spool_read(e->spool, n->inode->spool_off, at, n->size, err);
    }
    if (rc == 0)
        super_encode(e);
    return rc;
}

/* ---- Interface ---- */

void erofs_free(struct erofs *e)
{
    if (!e)
        return;
    arena_done(&e->arena);
    free(e->nodes);
    free(e->meta);
    free(e);
}

void erofs_freep(struct erofs **e)
{
    erofs_free(*e);
}

int erofs_new(struct tree *tree, const struct spool *spool, struct erofs **ret, struct err *err)
{
    CLEANUP(erofs_freep)
    struct erofs *e = calloc(1, sizeof *e);
    int rc = e ? tree_count_links(tree) : -ENOMEM;

    if (rc < 0)
        return err_set_errno(err, rc, "image layout");
    e->tree = tree;
    e->spool = spool;
    rc = nodes_collect(e, tree->root, err);
    if (rc == 0)
        rc = image_lay_out(e, err);
    if (rc == 0)
        rc = meta_encode(e, err);
    if (rc < 0)
        return rc == -ENOMEM ? err_set_errno(err, rc, "image layout") : rc;
    *ret = TAKE_PTR(e);
    return 0;
}

uint64_t erofs_size(const struct erofs *e)
{
    return e->blocks * BLOCK;
}

uint64_t erofs_inode_count(const struct erofs *e)
{
    return e->count;
}

const uint8_t *erofs_uuid(const struct erofs *e)
{
    return e->uuid;
}

struct output {
    erofs_sink_fn *sink;
    void *arg;
    struct progress *progress;
    struct err *err;
    uint8_t *buffer; /* COPY_SIZE */
};

static int output_put(struct output *o, const void *data, size_t size)
{
    progress_add(o->progress, size);
    return o->sink(o->arg, data, size, o->err);
}

static int folder_write(struct erofs *e, const struct node *n, struct output *o)
{
    size_t size = blocks_of(n->size) * BLOCK;
    uint8_t *data = calloc(1, size);

    if (!data)
        return err_set_errno(o->err, -ENOMEM, "folder");
    folder_encode(e, n, data);
    int rc = output_put(o, data, size);

    free(data);
    return rc;
}

static int file_write(struct erofs *e, const struct node *n, struct output *o)
{
    for (uint64_t done = 0; done < n->size;) {
        size_t size = MIN(n->size - done, COPY_SIZE), padded = ALIGN_UP(size, (size_t)BLOCK);
        int rc = spool_read(e->spool, n->inode->spool_off + done, o->buffer, size, o->err);

        memset(o->buffer + size, 0, padded - size);
        if (rc == 0)
            rc = output_put(o, o->buffer, padded);
        if (rc < 0)
            return rc;
        done += size;
    }
    return 0;
}

static int link_write(const struct node *n, struct output *o)
{
    memset(o->buffer, 0, BLOCK);
    memcpy(o->buffer, n->inode->target, n->size);
    return output_put(o, o->buffer, BLOCK);
}

int erofs_write(struct erofs *e, erofs_sink_fn *sink, void *arg, struct progress *progress,
                struct err *err)
{
    struct output o = { sink, arg, progress, err, malloc(COPY_SIZE) };
    int rc =
        o.buffer ? output_put(&o, e->meta, e->meta_size) : err_set_errno(err, -ENOMEM, "image");

    for (unsigned files = 0; files < 2; files++)
        for (size_t i = 0; i < e->count && rc == 0; i++) {
            const struct node *n = &e->nodes[i];

            if (n->inlined || n->size == 0 || S_ISDIR(n->inode->mode) != (files == 0))
                continue;
            rc = S_ISDIR(n->inode->mode)   ? folder_write(e, n, &o)
                 : S_ISLNK(n->inode->mode) ? link_write(n, &o)
                                           : file_write(e, n, &o);
        }
    free(o.buffer);
    return rc;
}
