/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of tee/libos/mm: mappings of files, private and shared. Hosted. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "abi/image.h"
#include "tee/enclave/alloc.h"
#include "tee/libos/mm/page.h"
#include "tee/libos/mm/tree.h"
#include "tee/libos/rewrite/rewrite.h"
#include "tee/libos/task/task.h"
#include "tests/unit/libos/fake_enclave.h"
#include "tests/unit/libos/mm_world.h"

static void test_file_private(void **state)
{
    struct file f = { .ops = &g_private_ops,
                      .refs = 1,
                      .flags = O_RDONLY,
                      .private_data = (void *)(20 * PAGE_SIZE + 100) };
    char *p = mm_world_map(40 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, &f, 0);
    char byte;

    assert_non_null(p);
    assert_int_equal(f.refs, 2);
    assert_int_equal(user_copy_in(&byte, (uintptr_t)p + 3 * PAGE_SIZE, 1), 0);
    assert_int_equal(byte, 4);
    byte = 99;
    assert_int_equal(user_copy_out((uintptr_t)p + 3 * PAGE_SIZE, &byte, 1), 0);
    mm_world_fault_read(p + 20 * PAGE_SIZE, 0);
    assert_int_equal(p[20 * PAGE_SIZE + 99], 21);
    assert_int_equal(p[20 * PAGE_SIZE + 100], 0);
    mm_world_fault_read(p + 21 * PAGE_SIZE, -EIO);
    assert_int_equal(p[3 * PAGE_SIZE], 99);
    assert_int_equal(mm_discard(g_mm, (uintptr_t)p, 4 * PAGE_SIZE), 0);
    mm_world_fault_read(p + 3 * PAGE_SIZE, 0);
    assert_int_equal(p[3 * PAGE_SIZE], 4);
    assert_int_equal(mm_unmap(g_mm, (uintptr_t)p + PAGE_SIZE, PAGE_SIZE), 0);
    assert_int_equal(f.refs, 3);
    assert_int_equal(mm_unmap(g_mm, (uintptr_t)p, 40 * PAGE_SIZE), 0);
    assert_int_equal(f.refs, 1);
    assert_null(mm_world_map(PAGE_SIZE, PROT_WRITE, MAP_SHARED, &f, 0));
    p = mm_world_map(PAGE_SIZE, PROT_READ, MAP_SHARED, &f, 0);
    assert_non_null(p);
    assert_int_equal(mm_protect(g_mm, (uintptr_t)p, PAGE_SIZE, PROT_READ | PROT_WRITE), -EACCES);
    assert_int_equal(mm_unmap(g_mm, (uintptr_t)p, PAGE_SIZE), 0);
}

static void *protect_page(void *page)
{
    fake_enclave_thread_init();
    return (void *)(intptr_t)mm_protect(g_mm, (uintptr_t)page, PAGE_SIZE, PROT_NONE);
}

static pthread_t g_protector;

static void protect_meanwhile(void *page)
{
    assert_int_equal(pthread_create(&g_protector, NULL, protect_page, page), 0);
    usleep(100000); /* enough to get in between if nothing holds it back */
}

/* One thread touches a page of a shared file while another takes its permissions away. */
static void test_file_shared_protect(void **state)
{
    struct file f = {
        .ops = &g_shared_ops, .refs = 1, .flags = O_RDWR, .private_data = (void *)(10 * PAGE_SIZE)
    };
    char *p = mm_world_map(10 * PAGE_SIZE, PROT_NONE, MAP_SHARED, &f, 0);
    unsigned before = g_shared_now;
    void *rc;
    int code;

    assert_non_null(p);
    assert_int_equal(mm_protect(g_mm, (uintptr_t)p, 10 * PAGE_SIZE, PROT_READ), 0);
    g_on_share = protect_meanwhile;
    assert_int_equal(mm_fault(g_mm, (uintptr_t)p, 0, &code), 0);
    assert_int_equal(pthread_join(g_protector, &rc), 0);
    assert_null(rc);
    assert_int_equal(g_shared_now, before + 1);
    assert_int_equal(mm_fault(g_mm, (uintptr_t)p, 0, &code), -EFAULT);
    assert_int_equal(page_state((uintptr_t)p) & PAGE_PROT, 0);
    assert_int_equal(mm_unmap(g_mm, (uintptr_t)p, 10 * PAGE_SIZE), 0);
    assert_int_equal(g_shared_now, before);
}

static int write_to(struct mm *mm, char *p, const char *text)
{
    int rc;

    g_mm = fake_enclave_process()->mm = mm;
    rc = user_copy_out((uintptr_t)p, text, strlen(text) + 1);
    return rc;
}

static void expect_at(struct mm *mm, char *p, const char *text)
{
    char found[16] = "";

    g_mm = fake_enclave_process()->mm = mm;
    assert_int_equal(user_copy_in(found, (uintptr_t)p, sizeof found), 0);
    assert_string_equal(found, text);
}

/* Two processes map a file: what one writes the other reads, though the page is at one place at a time. */
static void test_file_shared_by_processes(void **state)
{
    struct file f = {
        .ops = &g_shared_ops, .refs = 1, .flags = O_RDWR, .private_data = (void *)(10 * PAGE_SIZE)
    };
    struct mm *first = g_mm, *second;
    uintptr_t at = 0;
    char *p = mm_world_map(10 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, &f, 0), *q;

    assert_non_null(p);
    assert_int_equal(write_to(first, p + PAGE_SIZE, "from the first"), 0);
    assert_int_equal(mm_new(&second), 0);
    g_mm = fake_enclave_process()->mm = second;
    assert_int_equal(mm_map(second, &at, 10 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, &f, 0),
                     0);
    q = (char *)at;
    expect_at(second, q + PAGE_SIZE, "from the first");
    assert_int_equal(write_to(second, q + PAGE_SIZE, "and back"), 0);
    expect_at(first, p + PAGE_SIZE, "and back");
    assert_int_equal(g_shared_now, 10);

    /* One that may not look does not keep the other from it; the end of one leaves the content. */
    assert_int_equal(mm_protect(first, (uintptr_t)p, 10 * PAGE_SIZE, PROT_NONE), 0);
    expect_at(second, q + PAGE_SIZE, "and back");
    assert_int_equal(write_to(second, q + 2 * PAGE_SIZE, "last words"), 0);
    g_mm = fake_enclave_process()->mm = first;
    mm_unref(second);
    assert_int_equal(mm_protect(first, (uintptr_t)p, 10 * PAGE_SIZE, PROT_READ), 0);
    expect_at(first, p + 2 * PAGE_SIZE, "last words");
    assert_int_equal(mm_unmap(first, (uintptr_t)p, 10 * PAGE_SIZE), 0);
    assert_int_equal(g_shared_now, 0);
    assert_int_equal(f.refs, 1);
}

static void test_file_shared(void **state)
{
    struct file f = {
        .ops = &g_shared_ops, .refs = 1, .flags = O_RDWR, .private_data = (void *)(10 * PAGE_SIZE)
    };
    uintptr_t moved = 0;
    char *p = mm_world_map(10 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, &f, 0);

    assert_non_null(p);
    assert_int_equal(g_shared_now, 10);
    memcpy(p + 2 * PAGE_SIZE, "shared", sizeof "shared");
    assert_int_equal(mm_discard(g_mm, (uintptr_t)p, 10 * PAGE_SIZE), 0);
    assert_string_equal(p + 2 * PAGE_SIZE, "shared");
    assert_int_equal(mm_protect(g_mm, (uintptr_t)p, 10 * PAGE_SIZE, PROT_NONE), 0);
    assert_int_equal(mm_unmap(g_mm, (uintptr_t)p + 2 * PAGE_SIZE, PAGE_SIZE), 0);
    assert_string_equal(g_storage[2], "shared");
    assert_int_equal(g_shared_now, 9);
    assert_int_equal(
        mm_remap(g_mm, (uintptr_t)p, 2 * PAGE_SIZE, 20 * PAGE_SIZE, MREMAP_MAYMOVE, &moved), 0);
    assert_int_equal(mm_protect(g_mm, moved, 20 * PAGE_SIZE, PROT_READ), 0);
    mm_world_fault_read((char *)moved + 2 * PAGE_SIZE, 0);
    assert_string_equal((char *)moved + 2 * PAGE_SIZE, "shared");
    assert_int_equal(mm_unmap(g_mm, moved, 20 * PAGE_SIZE), 0);
    assert_int_equal(mm_unmap(g_mm, (uintptr_t)p, 10 * PAGE_SIZE), 0);
    assert_int_equal(g_shared_now, 0);
    assert_int_equal(f.refs, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, mm_world_set_up, mm_world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_file_private),
        TEST(test_file_shared_protect),
        TEST(test_file_shared_by_processes),
        TEST(test_file_shared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
