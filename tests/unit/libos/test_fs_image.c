/* SPDX-License-Identifier: Apache-2.0 */
/* The verified image, its page cache and the EROFS reader, on images that mkfs.erofs made (the fuzzers' seeds). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tee/libos/fs/erofs/erofs.h"
#include "tests/unit/libos/fake_fs.h"

struct host_image {
    uint8_t *data, *tree, root[32];
    size_t size, tree_size, salt_size;
};

static const uint8_t g_salt[32] = "salt of thirty-two bytes.......";

static struct host_image seal(uint8_t *data, size_t size, size_t salt_size)
{
    struct host_image h = { .data = data, .size = size, .salt_size = salt_size };

    h.tree = fake_fs_tree(data, size, g_salt, salt_size, &h.tree_size, h.root);
    assert_non_null(h.tree);
    return h;
}

static struct host_image pattern(size_t blocks, size_t salt_size)
{
    uint8_t *data = malloc(blocks * VERITY_BLOCK_SIZE);

    for (size_t i = 0; i < blocks * VERITY_BLOCK_SIZE; i++)
        data[i] = (uint8_t)(i >> 12 ^ i * 31);
    return seal(data, blocks * VERITY_BLOCK_SIZE, salt_size);
}

static struct host_image seed(const char *name)
{
    char path[512];
    long size;
    uint8_t *data;
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", getenv("CORPUS"), name);
    f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    size = ftell(f);
    rewind(f);
    data = malloc((size_t)size);
    assert_int_equal(fread(data, 1, (size_t)size, f), size);
    fclose(f);
    return seal(data, (size_t)size, 0);
}

static int open_image(struct host_image *h, size_t cache_pages, struct image **ret)
{
    struct image_source s = { .data.addr = (uintptr_t)h->data,
                              .data_size = h->size,
                              .tree.addr = (uintptr_t)h->tree,
                              .tree_size = h->tree_size,
                              .root = h->root,
                              .salt = g_salt,
                              .salt_size = h->salt_size,
                              .cache_pages = cache_pages };

    return image_new(&s, ret);
}

static void host_image_free(struct host_image *h)
{
    free(h->data);
    free(h->tree);
    assert_int_equal(fake_fs_pages(), 0);
}

/* ---- verified image ---- */

static void test_image_reads_all(void **state)
{
    static const size_t counts[] = { 2, 127, 128, 129, 700 };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(counts) * 2; i++) {
        struct host_image h = pattern(counts[i / 2], i % 2 ? 32 : 0);
        uint8_t *copy = malloc(h.size);
        struct image *img;
        struct cached_page *p;

        assert_int_equal(open_image(&h, 1, &img), 0);
        assert_int_equal(image_read(img, 0, copy, h.size), 0);
        assert_memory_equal(copy, h.data, h.size);
        assert_int_equal(image_read(img, 4000, copy, 200), 0);
        assert_memory_equal(copy, h.data + 4000, 200);
        assert_int_equal(image_block_get(img, counts[i / 2], 0, &p), -EINVAL);
        image_free(img);
        free(copy);
        host_image_free(&h);
    }
}

static void test_image_cache_is_bounded(void **state)
{
    struct host_image h = pattern(2000, 0);
    struct cached_page *p, *kept;
    struct image *img;

    (void)state;
    assert_int_equal(open_image(&h, 1, &img), 0);
    assert_int_equal(image_block_get(img, 7, 0, &kept), 0);
    for (uint64_t i = 0; i < 2000; i++) {
        assert_int_equal(image_block_get(img, i, 1, &p), 0);
        assert_memory_equal(p->data, h.data + i * 4096, 4096);
        page_cache_put(p);
        assert_true(image_cached_pages(img) <= PAGE_CACHE_COUNT_MIN);
    }
    assert_memory_equal(kept->data, h.data + 7 * 4096, 4096); /* a pinned page stays */
    page_cache_put(kept);
    assert_true(fake_fs_pages() <= (long)PAGE_CACHE_COUNT_MIN);
    image_free(img);
    host_image_free(&h);
}

static void test_image_changed_block(void **state)
{
    struct host_image h = pattern(300, 32);
    struct cached_page *p;
    struct image *img;
    unsigned lines;

    (void)state;
    assert_int_equal(open_image(&h, 1, &img), 0);
    assert_int_equal(image_block_get(img, 3, 0, &p), 0);
    page_cache_put(p);
    h.data[200 * 4096 + 17] ^= 1;
    lines = fake_fs_log_count();
    assert_int_equal(image_block_get(img, 200, 0, &p), -EIO);
    assert_int_equal(fake_fs_log_count(), lines + 1);
    assert_non_null(strstr(fake_fs_log_last(), "block 200 "));
    /* Poisoned: also what was right before, and with no second line. */
    assert_int_equal(image_block_get(img, 3, 0, &p), -EIO);
    assert_int_equal(image_block_get(img, 200, 0, &p), -EIO);
    assert_int_equal(fake_fs_log_count(), lines + 1);
    image_free(img);
    host_image_free(&h);
}

static void test_image_changed_neighbour(void **state)
{
    struct host_image h = pattern(300, 0);
    struct cached_page *p;
    struct image *img;

    (void)state;
    assert_int_equal(open_image(&h, 1, &img), 0);
    h.data[5 * 4096] ^= 0x80;
    assert_int_equal(image_block_get(img, 4, 1, &p), -EIO); /* read ahead finds it */
    image_free(img);
    host_image_free(&h);
}

static void test_image_changed_tree(void **state)
{
    (void)state;
    for (size_t where = 0; where < 3; where++) {
        struct host_image h = pattern(300, 0);
        struct cached_page *p;
        struct image *img;
        int rc;

        h.tree[4096 * (where + 1) + 32 * (where == 2 ? 3 : 0)] ^= 1;
        rc = open_image(&h, 1, &img);
        if (where == 0) {
            assert_int_equal(rc, -EIO); /* the root of the tree */
        } else {
            assert_int_equal(rc, 0);
            rc = image_block_get(img, where == 1 ? 0 : 128, 0, &p);
            assert_int_equal(rc, -EIO);
            image_free(img);
        }
        host_image_free(&h);
    }
}

static void test_image_host_changes_after_copy(void **state)
{
    struct host_image h = pattern(10, 0);
    struct cached_page *p;
    struct image *img;
    uint8_t first;

    (void)state;
    first = h.data[4096];
    assert_int_equal(open_image(&h, 1, &img), 0);
    assert_int_equal(image_block_get(img, 1, 0, &p), 0);
    h.data[4096] ^= 0xff;
    assert_int_equal(p->data[0], first);
    page_cache_put(p);
    assert_int_equal(image_block_get(img, 1, 0, &p), 0);
    assert_int_equal(p->data[0], first);
    page_cache_put(p);
    image_free(img);
    host_image_free(&h);
}

static void test_image_sizes_that_do_not_fit(void **state)
{
    struct host_image h = pattern(300, 0);
    struct image *img;

    (void)state;
    h.tree_size -= 4096;
    assert_int_equal(open_image(&h, 1, &img), -EINVAL);
    h.tree_size += 4096;
    h.size -= 1;
    assert_int_equal(open_image(&h, 1, &img), -EINVAL);
    host_image_free(&h);
}

static void test_image_without_memory(void **state)
{
    struct host_image h = pattern(300, 32);
    struct cached_page *p;
    struct image *img;

    (void)state;
    assert_int_equal(open_image(&h, 1, &img), 0);
    fake_fs_fail_after(0);
    assert_int_equal(image_block_get(img, 150, 1, &p), -ENOMEM);
    fake_fs_fail_after(-1);
    assert_int_equal(image_block_get(img, 150, 1, &p), 0); /* that was no tampering */
    page_cache_put(p);
    image_free(img);
    host_image_free(&h);
}

/* ---- EROFS ---- */

static struct erofs *open_seed(const char *name, struct host_image *h, struct image **ret_img)
{
    struct erofs *fs;

    *h = seed(name);
    assert_int_equal(open_image(h, 1, ret_img), 0);
    assert_int_equal(erofs_open(*ret_img, &fs), 0);
    return fs;
}

static struct erofs_inode find(struct erofs *fs, const char *path)
{
    struct erofs_inode inode;
    uint64_t nid = erofs_root(fs);
    uint8_t type;

    assert_int_equal(erofs_inode_get(fs, nid, &inode), 0);
    while (*path) {
        size_t size = strcspn(path, "/");

        assert_int_equal(erofs_lookup(fs, &inode, path, size, &nid, &type), 0);
        assert_int_equal(erofs_inode_get(fs, nid, &inode), 0);
        assert_int_equal(type, (inode.mode & S_IFMT) >> 12);
        path += size + (path[size] == '/');
    }
    return inode;
}

static void check_tree(const char *name)
{
    struct host_image h;
    struct image *img;
    struct erofs *fs = open_seed(name, &h, &img);
    struct erofs_inode i = find(fs, "a");
    char bytes[6000];

    assert_int_equal(i.mode & S_IFMT, S_IFREG);
    assert_int_equal(erofs_read(fs, &i, 0, bytes, sizeof bytes), 6);
    assert_memory_equal(bytes, "hello\n", 6);
    assert_int_equal(erofs_read(fs, &i, 6, bytes, sizeof bytes), 0);
    assert_int_equal(erofs_xattr_get(fs, &i, "user.mime", bytes, sizeof bytes), 10);
    assert_memory_equal(bytes, "text/plain", 10);
    assert_int_equal(erofs_xattr_get(fs, &i, "user.mime", bytes, 0), 10);
    assert_int_equal(erofs_xattr_get(fs, &i, "user.mime", bytes, 9), -ERANGE);
    assert_int_equal(erofs_xattr_get(fs, &i, "user.none", bytes, 9), -ENODATA);
    i = find(fs, "b");
    assert_int_equal(i.nlink, 2);
    assert_int_equal(i.nid, find(fs, "hard").nid);
    assert_int_equal(erofs_read(fs, &i, 4000, bytes, sizeof bytes), 1000);
    for (int at = 0; at < 1000; at++)
        assert_int_equal(bytes[at], 'x');
    i = find(fs, "link");
    assert_int_equal(erofs_read(fs, &i, 0, bytes, sizeof bytes), 7);
    assert_memory_equal(bytes, "dir/sub", 7);
    i = find(fs, "null");
    assert_int_equal(i.mode & S_IFMT, S_IFCHR);
    assert_int_equal(i.rdev, 0x103);
    i = find(fs, "dir/file4");
    assert_int_equal(erofs_read(fs, &i, 0, bytes, sizeof bytes), 2);
    assert_memory_equal(bytes, "4\n", 2);
    erofs_free(fs);
    image_free(img);
    host_image_free(&h);
}

static void test_erofs_inline(void **state)
{
    (void)state;
    check_tree("small");
}

static void test_erofs_extended_plain(void **state)
{
    (void)state;
    check_tree("extended");
}

struct list {
    unsigned count, stop_after;
    uint64_t next;
    bool seen[301];
};

static bool list_entry(void *arg, const char *name, size_t size, uint64_t nid, uint8_t type,
                       uint64_t pos, uint64_t next_pos)
{
    struct list *l = arg;
    unsigned number;

    (void)nid, (void)pos;
    if (l->stop_after == 0)
        return false;
    l->stop_after--;
    assert_true(size > 22);
    assert_memory_equal(name, "some-longer-file-name-", 22);
    number = (unsigned)strtoul(name + 22, NULL, 10);
    assert_true(number >= 1 && number <= 300 && !l->seen[number]);
    assert_int_equal(type, 8);
    l->seen[number] = true;
    l->count++;
    l->next = next_pos;
    return true;
}

static void test_erofs_large_folder(void **state)
{
    struct host_image h;
    struct image *img;
    struct erofs *fs = open_seed("many", &h, &img);
    struct erofs_inode dir = find(fs, "");
    struct list l = { 0 };
    uint64_t nid;
    uint8_t type;
    char name[64];

    (void)state;
    assert_true(dir.size > 4096);
    while (l.count < 300) {
        l.stop_after = 7;
        assert_int_equal(erofs_readdir(fs, &dir, l.next, list_entry, &l), 0);
        assert_int_equal(l.stop_after, l.count < 300 ? 0 : 7 - (300 % 7 ? 300 % 7 : 7));
    }
    for (int i = 1; i <= 300; i++) {
        int size = snprintf(name, sizeof name, "some-longer-file-name-%d", i);

        assert_int_equal(erofs_lookup(fs, &dir, name, (size_t)size, &nid, &type), 0);
    }
    assert_int_equal(erofs_lookup(fs, &dir, "some", 4, &nid, &type), -ENOENT);
    assert_int_equal(erofs_lookup(fs, &dir, "zzz", 3, &nid, &type), -ENOENT);
    assert_int_equal(erofs_lookup(fs, &dir, "some-longer-file-name-1500", 26, &nid, &type),
                     -ENOENT);
    erofs_free(fs);
    image_free(img);
    host_image_free(&h);
}

/* A change that the hash tree covers: the publisher's own doing. */
static int open_changed(size_t off, uint8_t what, unsigned size)
{
    struct host_image h = seed("small");
    struct erofs *fs;
    struct image *img;
    int rc;

    memset(h.data + off, what, size);
    free(h.tree);
    h = seal(h.data, h.size, 0);
    assert_int_equal(open_image(&h, 1, &img), 0);
    rc = erofs_open(img, &fs);
    if (rc == 0)
        erofs_free(fs);
    image_free(img);
    host_image_free(&h);
    return rc;
}

static void test_erofs_refuses(void **state)
{
    (void)state;
    assert_int_equal(open_changed(1024, 0, 4), -EINVAL);          /* magic */
    assert_int_equal(open_changed(1024 + 12, 9, 1), -EOPNOTSUPP); /* block size */
    assert_int_equal(open_changed(1024 + 80, 4, 1), -EOPNOTSUPP); /* chunked files */
    assert_non_null(strstr(fake_fs_log_last(), "0x4"));
    assert_int_equal(open_changed(1024 + 36, 0xff, 4), -EUCLEAN); /* more blocks than there are */
    assert_int_equal(open_changed(1024 + 14, 0xff, 2), -EUCLEAN); /* root beyond the end */
    assert_int_equal(open_changed(1024 + 36, 0, 4), -EUCLEAN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_image_reads_all),
        cmocka_unit_test(test_image_cache_is_bounded),
        cmocka_unit_test(test_image_changed_block),
        cmocka_unit_test(test_image_changed_neighbour),
        cmocka_unit_test(test_image_changed_tree),
        cmocka_unit_test(test_image_host_changes_after_copy),
        cmocka_unit_test(test_image_sizes_that_do_not_fit),
        cmocka_unit_test(test_image_without_memory),
        cmocka_unit_test(test_erofs_inline),
        cmocka_unit_test(test_erofs_extended_plain),
        cmocka_unit_test(test_erofs_large_folder),
        cmocka_unit_test(test_erofs_refuses),
    };

    fake_fs_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
