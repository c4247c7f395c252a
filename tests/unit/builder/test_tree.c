/* SPDX-License-Identifier: Apache-2.0 */
/* builder/tree: paths that stay inside, layers that hide what is below them, bounds. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include <sys/stat.h>

#include "builder/tree.h"

static int put(struct tree *t, const char *path, unsigned layer, uint32_t mode)
{
    const struct tree_inode attrs = { .mode = mode };
    struct tree_inode *inode;

    return tree_put(t, path, layer, &attrs, &inode, NULL);
}

static int put_file(struct tree *t, const char *path, unsigned layer)
{
    return put(t, path, layer, S_IFREG | 0644);
}

static int put_link(struct tree *t, const char *path, const char *target)
{
    const struct tree_inode attrs = { .mode = S_IFLNK | 0777, .target = target };
    struct tree_inode *inode;

    return tree_put(t, path, 1, &attrs, &inode, NULL);
}

static void test_paths(void **state)
{
    struct tree t;

    assert_int_equal(tree_init(&t), 0);
    assert_int_equal(put_file(&t, "/a//b/./c", 1), 0);
    assert_int_equal(put_file(&t, "../../../up", 1), 0);
    assert_int_equal(put_file(&t, "a/../side", 1), 0);
    assert_ptr_equal(tree_find(&t, "up")->parent, t.root);
    assert_non_null(tree_find(&t, "/a/b/c"));
    assert_ptr_equal(tree_find(&t, "a/b/../../side"), tree_find(&t, "side"));
    assert_null(tree_find(&t, "a/c"));
    assert_null(tree_find(&t, "a/b/c/d"));
    assert_int_equal(put_file(&t, "a/b/c/d", 1), -ENOTDIR);
    assert_int_equal(put_file(&t, "", 1), -EISDIR);
    assert_int_equal(put_file(&t, "..", 1), -EISDIR);
    assert_int_equal(put(&t, ".", 1, S_IFDIR | 0700), 0);
    assert_int_equal(t.root->mode, S_IFDIR | 0700);
    assert_ptr_equal(tree_find(&t, "/"), t.root);
    tree_done(&t);
}

static void test_links_stay_inside(void **state)
{
    struct tree t;

    assert_int_equal(tree_init(&t), 0);
    assert_int_equal(put_link(&t, "lib", "usr/lib"), 0);
    assert_int_equal(put_link(&t, "out", "/../../.."), 0);
    assert_int_equal(put_link(&t, "x", "y"), 0);
    assert_int_equal(put_link(&t, "y", "x"), 0);
    assert_int_equal(put_file(&t, "lib/one", 1), 0);
    assert_non_null(tree_find(&t, "usr/lib/one"));
    assert_int_equal(put_file(&t, "out/etc", 1), 0);
    assert_non_null(tree_find(&t, "etc"));
    assert_int_equal(put_file(&t, "x/file", 1), -ELOOP);
    assert_null(tree_find(&t, "x"));
    /* The link itself is replaced, not what it leads to. */
    assert_int_equal(put_file(&t, "lib", 2), 0);
    assert_true(S_ISREG(tree_find(&t, "lib")->mode));
    assert_non_null(tree_find(&t, "usr/lib/one"));
    assert_int_equal(tree_make_folder(&t, "x", NULL), -ELOOP);
    assert_int_equal(tree_make_folder(&t, "usr/lib/one", NULL), -ENOTDIR);
    assert_int_equal(tree_make_folder(&t, "srv/a/b", NULL), 0);
    assert_true(S_ISDIR(tree_find(&t, "srv/a/b")->mode));
    tree_done(&t);
}

static void test_bounds(void **state)
{
    static char path[2 * TREE_PATH_MAX];
    struct tree t;

    assert_int_equal(tree_init(&t), 0);
    memset(path, 'n', TREE_NAME_MAX + 1);
    assert_int_equal(put_file(&t, path, 1), -ENAMETOOLONG);
    path[TREE_NAME_MAX] = '\0';
    assert_int_equal(put_file(&t, path, 1), 0);
    for (size_t depth = TREE_DEPTH_MAX; depth <= TREE_DEPTH_MAX + 1; depth++) {
        for (size_t i = 0; i < depth; i++)
            memcpy(path + 2 * i, "d/", 2);
        memcpy(path + 2 * depth, "f", 2);
        assert_int_equal(put_file(&t, path, 1), depth <= TREE_DEPTH_MAX ? 0 : -ENAMETOOLONG);
    }
    memset(path, '/', sizeof path - 1);
    path[TREE_PATH_MAX + 1] = '\0';
    assert_int_equal(put_file(&t, path, 1), -ENAMETOOLONG);
    tree_done(&t);
}

static void test_whiteouts(void **state)
{
    struct tree t;

    assert_int_equal(tree_init(&t), 0);
    assert_int_equal(put_file(&t, "a/old", 1), 0);
    assert_int_equal(put_file(&t, "a/sub/deep", 1), 0);
    assert_int_equal(put_file(&t, "b", 1), 0);
    /* Its own layer's files stay, whichever comes first. */
    assert_int_equal(put_file(&t, "a/new", 2), 0);
    assert_int_equal(put_file(&t, "a/sub/new", 2), 0);
    assert_int_equal(tree_whiteout(&t, "a/.wh..wh..opq", 2, NULL), 1);
    assert_null(tree_find(&t, "a/old"));
    assert_null(tree_find(&t, "a/sub/deep"));
    assert_non_null(tree_find(&t, "a/new"));
    assert_non_null(tree_find(&t, "a/sub/new"));
    assert_int_equal(tree_whiteout(&t, ".wh.b", 2, NULL), 1);
    assert_null(tree_find(&t, "b"));
    assert_int_equal(put_file(&t, "c", 3), 0);
    assert_int_equal(tree_whiteout(&t, "./.wh.c", 3, NULL), 1);
    assert_non_null(tree_find(&t, "c"));
    assert_int_equal(tree_whiteout(&t, "none/.wh.x", 3, NULL), 1);
    assert_int_equal(tree_whiteout(&t, "c/.wh.x", 3, NULL), 1);
    assert_int_equal(tree_whiteout(&t, ".wh..wh.plnk", 3, NULL), 1);
    assert_int_equal(tree_whiteout(&t, "a/wh.new", 3, NULL), 0);
    assert_int_equal(tree_whiteout(&t, ".wh.", 3, NULL), -EINVAL);
    assert_int_equal(tree_whiteout(&t, "a/.wh...", 3, NULL), -EINVAL);
    assert_int_equal(tree_whiteout(&t, ".wh..", 3, NULL), -EINVAL);
    tree_done(&t);
}

static void test_replace(void **state)
{
    struct tree t;

    assert_int_equal(tree_init(&t), 0);
    assert_int_equal(put_file(&t, "d/inside", 1), 0);
    assert_int_equal(put(&t, "d", 2, S_IFDIR | 0711), 0);
    assert_int_equal(tree_find(&t, "d")->mode, S_IFDIR | 0711);
    assert_non_null(tree_find(&t, "d/inside"));
    assert_int_equal(put_file(&t, "d", 3), 0);
    assert_null(tree_find(&t, "d/inside"));
    assert_int_equal(put(&t, "d", 4, S_IFDIR | 0755), 0);
    assert_null(tree_find(&t, "d/inside"));
    tree_done(&t);
}

static void test_hard_links(void **state)
{
    struct tree t;

    assert_int_equal(tree_init(&t), 0);
    assert_int_equal(put_file(&t, "one", 1), 0);
    assert_int_equal(tree_link(&t, "d/two", 1, "one", NULL), 0);
    assert_int_equal(tree_link(&t, "one", 1, "one", NULL), 0);
    assert_ptr_equal(tree_find(&t, "d/two"), tree_find(&t, "one"));
    assert_int_equal(tree_link(&t, "x", 1, "none", NULL), -ENOENT);
    assert_int_equal(tree_link(&t, "x", 1, "d", NULL), -EISDIR);
    assert_int_equal(tree_link(&t, "x", 1, "/", NULL), -EISDIR);
    assert_int_equal(tree_count_links(&t), 0);
    assert_int_equal(tree_find(&t, "one")->links, 2);
    assert_int_equal(t.root->links, 3);
    /* A name that is replaced leaves the other alone. */
    assert_int_equal(put_file(&t, "one", 2), 0);
    assert_ptr_not_equal(tree_find(&t, "d/two"), tree_find(&t, "one"));
    assert_int_equal(tree_count_links(&t), 0);
    assert_int_equal(tree_find(&t, "d/two")->links, 1);
    tree_done(&t);
}

static void test_order(void **state)
{
    static const char *const names[] = { "b", "a", "ab", "\xff", "B", "a-", "a b" };
    static const char *const sorted[] = { "B", "a", "a b", "a-", "ab", "b", "\xff" };
    struct tree_entry **entries;
    uint32_t count;
    struct tree t;

    assert_int_equal(tree_init(&t), 0);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        assert_int_equal(put_file(&t, names[i], 1), 0);
    assert_int_equal(tree_list(t.root, &entries, &count), 0);
    assert_int_equal(count, ARRAY_COUNT(sorted));
    for (size_t i = 0; i < count; i++)
        assert_string_equal(entries[i]->name, sorted[i]);
    free(entries);
    tree_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),   cmocka_unit_test(test_links_stay_inside),
        cmocka_unit_test(test_bounds),  cmocka_unit_test(test_whiteouts),
        cmocka_unit_test(test_replace), cmocka_unit_test(test_hard_links),
        cmocka_unit_test(test_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
