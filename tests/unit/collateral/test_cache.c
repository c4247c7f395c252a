/* SPDX-License-Identifier: Apache-2.0 */
/* The cache's folder: its limits, what it passes over, and what a crash leaves. */
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

#include "collateral/cache.h"
#include "collateral/entry.h"

static char g_folder[64];
static struct cache g_cache;

static int set_up(void **state)
{
    char deep[128];

    snprintf(g_folder, sizeof g_folder, "/tmp/cloche-cache-XXXXXX");
    assert_non_null(mkdtemp(g_folder));
    snprintf(deep, sizeof deep, "%s/a/b", g_folder);
    return cache_open(deep, &g_cache, NULL);
}

static int tear_down(void **state)
{
    char path[128];
    struct cache_names names;

    assert_int_equal(cache_names_get(&g_cache, &names, NULL), 0);
    for (unsigned i = 0; i < names.count; i++)
        assert_int_equal(cache_remove(&g_cache, names.names[i], NULL), 0);
    free(names.names);
    unlinkat(g_cache.folder_fd, "lock", 0);
    cache_close(&g_cache);
    snprintf(path, sizeof path, "%s/a/b", g_folder);
    assert_int_equal(rmdir(path), 0);
    snprintf(path, sizeof path, "%s/a", g_folder);
    assert_int_equal(rmdir(path), 0);
    return rmdir(g_folder);
}

/* A file as if it had been written `age` seconds after the first. */
static void make_file(const char *name, off_t size, time_t age)
{
    struct timespec times[2] = { { 1000000000 + age, 0 }, { 1000000000 + age, 0 } };
    int fd = openat(g_cache.folder_fd, name, O_CREAT | O_WRONLY, 0666);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static bool is_there(const char *name)
{
    return faccessat(g_cache.folder_fd, name, F_OK, 0) == 0;
}

static unsigned count_names(void)
{
    struct cache_names names;

    assert_int_equal(cache_names_get(&g_cache, &names, NULL), 0);
    free(names.names);
    return names.count;
}

static int put(const char *name, const char *text)
{
    int rc = cache_lock(&g_cache, NULL);

    if (rc == 0) {
        rc = cache_write(&g_cache, name, text, strlen(text), NULL);
        cache_unlock(&g_cache);
    }
    return rc;
}

static void what_is_written_is_read(void **state)
{
    char *text;
    size_t size;

    assert_int_equal(cache_read(&g_cache, "intel-root-crl", &text, &size, NULL), -ENOENT);
    assert_int_equal(put("intel-root-crl", "first"), 0);
    assert_int_equal(put("intel-root-crl", "second"), 0);
    assert_int_equal(cache_read(&g_cache, "intel-root-crl", &text, &size, NULL), 0);
    assert_string_equal(text, "second");
    assert_int_equal(size, 6);
    free(text);
    assert_int_equal(cache_remove(&g_cache, "pck-crl-platform", NULL), -ENOENT);
}

static void other_files_are_passed_over(void **state)
{
    static const char *const others[] = { "notes.txt",      "sgx-tcb-.json",
                                          "intel-root-crl", "intel-root-crl.json.json",
                                          ".json",          ".new" };
    char *text;
    size_t size;

    for (unsigned i = 0; i < ARRAY_COUNT(others); i++)
        make_file(others[i], 10, 0);
    assert_int_equal(count_names(), 0);
    /* A crash while writing left ".new": it does not stop the next writer. */
    assert_int_equal(put("intel-root-crl", "text"), 0);
    assert_int_equal(count_names(), 1);
    assert_false(is_there(".new"));
    for (unsigned i = 0; i + 1 < ARRAY_COUNT(others); i++)
        assert_int_equal(unlinkat(g_cache.folder_fd, others[i], 0), 0);
    /* Nor is what is no plain file, or too long, followed or read. */
    assert_int_equal(symlinkat("/etc/passwd", g_cache.folder_fd, "pck-crl-platform.json"), 0);
    assert_int_equal(cache_read(&g_cache, "pck-crl-platform", &text, &size, NULL), -ELOOP);
    assert_int_equal(mkfifoat(g_cache.folder_fd, "pck-crl-processor.json", 0666), 0);
    assert_int_equal(cache_read(&g_cache, "pck-crl-processor", &text, &size, NULL), -EBADMSG);
    make_file("sgx-qe-identity.json", ENTRY_TEXT_SIZE_MAX, 0);
    assert_int_equal(cache_read(&g_cache, "sgx-qe-identity", &text, &size, NULL), 0);
    free(text);
    make_file("sgx-qe-identity.json", ENTRY_TEXT_SIZE_MAX + 1, 0);
    assert_int_equal(cache_read(&g_cache, "sgx-qe-identity", &text, &size, NULL), -EBADMSG);
}

static void one_entry_too_many_removes_the_oldest(void **state)
{
    char name[64];

    for (unsigned i = 0; i < COLLATERAL_ENTRY_COUNT_MAX - 1; i++) {
        snprintf(name, sizeof name, "sgx-tcb-%012x.json", i);
        make_file(name, 1, i == 77 ? 0 : 1000 + (time_t)i);
    }
    assert_int_equal(put("intel-root-crl", "text"), 0);
    assert_int_equal(count_names(), COLLATERAL_ENTRY_COUNT_MAX);
    /* What is there is replaced without that. */
    assert_int_equal(put("intel-root-crl", "again"), 0);
    assert_true(is_there("sgx-tcb-00000000004d.json"));
    assert_int_equal(put("pck-crl-platform", "text"), 0);
    assert_int_equal(count_names(), COLLATERAL_ENTRY_COUNT_MAX);
    assert_false(is_there("sgx-tcb-00000000004d.json"));
    assert_true(is_there("sgx-tcb-000000000000.json") && is_there("pck-crl-platform.json"));
}

static void one_byte_too_many_removes_the_oldest(void **state)
{
    unsigned count = COLLATERAL_CACHE_SIZE_MAX / ENTRY_TEXT_SIZE_MAX;
    char name[64];

    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "sgx-tcb-%012x.json", i);
        make_file(name, ENTRY_TEXT_SIZE_MAX - (i == 0 ? 4 : 0), (time_t)(count - i));
    }
    assert_int_equal(put("intel-root-crl", "text"), 0);
    assert_int_equal(count_names(), count + 1);
    assert_int_equal(put("intel-root-crl", "longer"), 0);
    assert_int_equal(count_names(), count);
    snprintf(name, sizeof name, "sgx-tcb-%012x.json", count - 1);
    assert_false(is_there(name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_files_are_passed_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_entry_too_many_removes_the_oldest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_byte_too_many_removes_the_oldest, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
