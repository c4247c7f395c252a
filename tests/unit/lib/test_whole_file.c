/* SPDX-License-Identifier: Apache-2.0 */
/* Files as a whole: limits, replacing, what an interrupted writer left. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/hosted/whole_file.h"

static char g_folder[] = "/tmp/cloche-whole-file-XXXXXX";

static int set_up(void **state)
{
    return mkdtemp(g_folder) && chdir(g_folder) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)!chdir("/");
    return rmdir(g_folder);
}

static void assert_holds(const char *path, const char *text)
{
    struct err err = { "" };
    char *data;
    size_t size;

    assert_int_equal(whole_file_read(path, 1000, &data, &size, &err), 0);
    assert_int_equal(size, strlen(text));
    assert_string_equal(data, text); /* with its NUL */
    free(data);
}

static void test_limit(void **state)
{
    struct err err = { "" };
    char *data;
    size_t size;

    assert_int_equal(whole_file_read("none", 10, &data, &size, &err), -ENOENT);
    assert_non_null(strstr(err.text, "none"));
    assert_int_equal(whole_file_replace("ten", "0123456789", 10, 0600, &err), 0);
    assert_int_equal(whole_file_read("ten", 10, &data, &size, &err), 0);
    assert_int_equal(size, 10);
    free(data);
    assert_int_equal(whole_file_read("ten", 9, &data, &size, &err), -E2BIG);
    assert_int_equal(whole_file_read(".", 9, &data, &size, &err), -EISDIR);
    assert_int_equal(whole_file_replace("empty", "", 0, 0600, &err), 0);
    assert_holds("empty", "");
    assert_int_equal(unlink("ten") | unlink("empty"), 0);
}

static void test_replace(void **state)
{
    struct err err = { "" };
    struct stat st;
    char beside[64];

    assert_int_equal(whole_file_replace("file", "old", 3, 0600, &err), 0);
    assert_int_equal(stat("file", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    /* What a writer of this number left is not written through: it may be a link to somewhere else. */
    snprintf(beside, sizeof beside, "file.%ld", (long)getpid());
    assert_int_equal(whole_file_replace("other", "untouched", 9, 0600, &err), 0);
    assert_int_equal(symlink("other", beside), 0);
    assert_int_equal(whole_file_replace("file", "new", 3, 0600, &err), 0);
    assert_holds("file", "new");
    assert_holds("other", "untouched");
    assert_int_equal(access(beside, F_OK), -1);
    assert_int_equal(unlink("file") | unlink("other"), 0);
}

static void test_refused(void **state)
{
    struct err err = { "" };
    char path[5000];

    assert_int_equal(whole_file_replace("no/such/folder", "x", 1, 0600, &err), -ENOENT);
    assert_int_equal(mkdir("folder", 0700), 0);
    assert_int_equal(whole_file_replace("folder", "x", 1, 0600, &err), -EISDIR);
    assert_int_equal(rmdir("folder"),
                     0); /* and nothing is left beside it: tear_down removes the folder */
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = 0;
    assert_int_equal(whole_file_replace(path, "x", 1, 0600, &err), -ENAMETOOLONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
