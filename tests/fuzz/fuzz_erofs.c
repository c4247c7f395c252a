/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The EROFS reader on an image that verifies but whose content is anything: every folder is listed and searched, every
 * file read, every xattr looked at, up to a bound. Input: the image; it is padded to whole blocks.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tee/libos/fs/erofs/erofs.h"
#include "tests/unit/libos/fake_fs.h"

#define IMAGE_SIZE_MAX (512u * 1024)
#define VISIT_COUNT_MAX 256u
#define READ_SIZE_MAX (256u * 1024)

struct visit {
    struct erofs *fs;
    struct erofs_inode dir;
    uint64_t todo[VISIT_COUNT_MAX];
    unsigned count, entries;
};

static bool visit_entry(void *arg, const char *name, size_t name_size, uint64_t nid, uint8_t type,
                        uint64_t pos, uint64_t next_pos)
{
    struct visit *v = arg;
    uint64_t found;
    uint8_t found_type;

    if (name_size == 0 || name_size > EROFS_NAME_SIZE_MAX || next_pos <= pos)
        abort();
    /* In a folder out of order the name may not be found; the search must end all the same. */
    (void)!erofs_lookup(v->fs, &v->dir, name, name_size, &found, &found_type);
    if (v->count < VISIT_COUNT_MAX)
        v->todo[v->count++] = nid;
    return ++v->entries < 4096;
}

static int visit_xattr(void *arg, const char *name, size_t value_size)
{
    struct visit *v = arg;
    static uint8_t value[65536];
    int64_t size = erofs_xattr_get(v->fs, &v->dir, name, value, sizeof value);

    (void)value_size;
    if (size > (int64_t)sizeof value)
        abort();
    return 0;
}

static void visit(struct visit *v, uint64_t nid)
{
    static uint8_t bytes[READ_SIZE_MAX];
    int64_t size;

    if (erofs_inode_get(v->fs, nid, &v->dir) < 0)
        return;
    (void)!erofs_xattr_each(v->fs, &v->dir, visit_xattr, v);
    if (S_ISDIR(v->dir.mode)) {
        (void)!erofs_readdir(v->fs, &v->dir, 0, visit_entry, v);
    } else if (S_ISREG(v->dir.mode) || S_ISLNK(v->dir.mode)) {
        size = erofs_read(v->fs, &v->dir, 0, bytes, sizeof bytes);
        if (size > (int64_t)sizeof bytes || (size >= 0 && (uint64_t)size > v->dir.size))
            abort();
        (void)!erofs_read(v->fs, &v->dir, v->dir.size / 2 + 1, bytes, 1000);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct visit v;
    struct image_source source = { .cache_pages = 1 };
    size_t padded, tree_size;
    uint8_t *copy, *tree, root[32];
    struct image *img;

    if (size > IMAGE_SIZE_MAX)
        return 0;
    padded = MAX(ALIGN_UP(size, (size_t)VERITY_BLOCK_SIZE), 2u * VERITY_BLOCK_SIZE);
    copy = calloc(1, padded);
    memcpy(copy, data, size);
    tree = fake_fs_tree(copy, padded, NULL, 0, &tree_size, root);
    source.data.addr = (uintptr_t)copy;
    source.data_size = padded;
    source.tree.addr = (uintptr_t)tree;
    source.tree_size = tree_size;
    source.root = root;
    source.salt = root;
    if (image_new(&source, &img) < 0)
        abort();
    memset(&v, 0, sizeof v);
    if (erofs_open(img, &v.fs) == 0) {
        v.todo[v.count++] = erofs_root(v.fs);
        for (unsigned i = 0; i < v.count; i++)
            visit(&v, v.todo[i]);
        erofs_free(v.fs);
    }
    image_free(img);
    free(tree);
    free(copy);
    if (fake_fs_pages() != 0)
        abort(); /* a page stayed pinned or was lost */
    return 0;
}
