/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of tee/libos/mm: areas, faults, limits, user copies. Mappings of files: test_mm_file.c. Hosted. */
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

static void test_tree_random(void **state)
{
    enum { COUNT = 300 };
    struct range_node nodes[COUNT];
    bool in[COUNT] = { false };
    struct range_tree t = { NULL };

    srand(1);
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = rand() % COUNT, expected = 0, seen = 0;
        struct range_node *n, *highest = NULL;
        size_t want = rand() % 900;

        if (in[i]) {
            range_tree_remove(&t, &nodes[i]);
        } else {
            nodes[i].start = i * 1000;
            nodes[i].end = i * 1000 + 1 + rand() % 1000;
            range_tree_add(&t, &nodes[i]);
        }
        in[i] = !in[i];
        if (in[i] && step % 3 == 0)
            range_tree_resize(&nodes[i], nodes[i].start, nodes[i].start + 1 + rand() % 1000);
        for (unsigned k = 0; k < COUNT; k++) {
            expected += in[k];
            if (in[k] && nodes[k].end - nodes[k].start >= want)
                highest = &nodes[k];
        }
        for (n = range_tree_first(&t); n; n = range_tree_next(n))
            seen++;
        assert_int_equal(seen, expected);
        assert_ptr_equal(range_tree_find_highest_fit(&t, want), highest);
        assert_ptr_equal(range_tree_find(&t, i * 1000), in[i] ? &nodes[i] : NULL);
        if (t.root)
            assert_true(t.root->height <= 12);
    }
}

static void test_anon(void **state)
{
    struct mm_stats stats;
    char *p = mm_world_map_anon(100 * PAGE_SIZE);

    assert_non_null(p);
    assert_int_equal(enclave_pages_used(), 0);
    mm_world_fault_read(p + 5 * PAGE_SIZE, 0);
    assert_int_equal(p[5 * PAGE_SIZE], 0);
    assert_in_range(enclave_pages_used(), 1, 32);
    assert_int_equal(user_zero((uintptr_t)p, 100 * PAGE_SIZE), 0);
    assert_int_equal(enclave_pages_used(), 100);
    memset(p, 1, 100 * PAGE_SIZE);
    mm_stats(g_mm, &stats);
    assert_int_equal(stats.resident_pages, 100);
    assert_int_equal(stats.total_pages, 100);
    assert_int_equal(mm_unmap(g_mm, (uintptr_t)p + 10 * PAGE_SIZE, 20 * PAGE_SIZE), 0);
    assert_true(keep_unmapped_drop(g_mm));
    assert_false(keep_unmapped_drop(g_mm));
    assert_int_equal(enclave_pages_used(), 80);
    mm_world_fault_read(p + 10 * PAGE_SIZE, -EFAULT);
    assert_int_equal(p[9 * PAGE_SIZE], 1);
    assert_int_equal(p[30 * PAGE_SIZE], 1);
    assert_int_equal(mm_discard(g_mm, (uintptr_t)p, 10 * PAGE_SIZE), 0);
    mm_world_fault_read(p, 0);
    assert_int_equal(p[0], 0);
    assert_int_equal(mm_discard(g_mm, (uintptr_t)p, 20 * PAGE_SIZE), -ENOMEM);
}

/* What the program unmaps stays committed for a while: out of reach, zero when it is mapped again, and bounded. */
static void test_unmapped_is_kept(void **state)
{
    size_t size = 16 * PAGE_SIZE, used = enclave_pages_used();
    uintptr_t addr = 0, more[12];
    uint8_t byte;

    assert_int_equal(
        mm_map(g_mm, &addr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0), 0);
    assert_int_equal(user_prefault(addr, size, true), 0);
    memset((void *)addr, 0x5a, size);
    assert_int_equal(mm_unmap(g_mm, addr, size), 0);
    assert_int_equal(enclave_pages_used(), used + 16);
    assert_int_equal(page_state(addr) & (PAGE_READ | PAGE_WRITE | PAGE_EXEC), 0);
    assert_int_equal(user_copy_in(&byte, addr, 1), -EFAULT);
    /* A part of it. */
    addr += 4 * PAGE_SIZE;
    assert_int_equal(mm_map(g_mm, &addr, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, NULL, 0),
                     0);
    for (size_t i = 0; i < 4 * PAGE_SIZE; i++)
        assert_int_equal(((uint8_t *)addr)[i], 0);
    assert_int_equal(user_copy_in(&byte, addr - 1, 1), -EFAULT);
    assert_int_equal(user_copy_in(&byte, addr + 4 * PAGE_SIZE, 1), -EFAULT);
    assert_int_equal(mm_unmap(g_mm, addr, 4 * PAGE_SIZE), 0);
    for (size_t i = 0; i < ARRAY_COUNT(more); i++) {
        more[i] = 0;
        assert_int_equal(mm_map(g_mm, &more[i], size, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0),
                         0);
        assert_int_equal(user_prefault(more[i], size, true), 0);
    }
    for (size_t i = 0; i < ARRAY_COUNT(more); i++)
        assert_int_equal(mm_unmap(g_mm, more[i], size), 0);
    assert_true(enclave_pages_used() <= used + UNMAPPED_PAGES_MAX);
}

static void test_fixed(void **state)
{
    uintptr_t at = 0x400000;
    struct mm *other;

    assert_int_equal(mm_map(g_mm, &at, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED, NULL, 0), 0);
    assert_int_equal(at, 0x400000);
    assert_int_equal(
        mm_map(g_mm, &at, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, NULL, 0),
        -EEXIST);
    assert_int_equal(
        mm_map(g_mm, &at, 3 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, NULL, 0),
        0);
    assert_int_equal(user_zero(at, 3 * PAGE_SIZE), 0);
    at = 0x401000;
    assert_int_equal(mm_map(g_mm, &at, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED, NULL, 0), 0);
    assert_int_equal(enclave_pages_used(), 2);
    at = LIBOS_BASE - PAGE_SIZE;
    assert_int_equal(mm_map(g_mm, &at, 2 * PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED, NULL, 0),
                     -ENOMEM);
    at = PAGE_SIZE;
    assert_int_equal(mm_map(g_mm, &at, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED, NULL, 0),
                     -EPERM);
    at = ELRANGE_SIZE_DEFAULT;
    assert_int_equal(mm_map(g_mm, &at, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED, NULL, 0),
                     -ENOMEM);
    /* Another process cannot take what this one owns, but finds its own place. */
    assert_int_equal(mm_new(&other), 0);
    at = 0x400000;
    assert_int_equal(mm_map(other, &at, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED, NULL, 0),
                     -ENOMEM);
    assert_int_equal(mm_map(other, &at, PAGE_SIZE, PROT_READ, MAP_PRIVATE, NULL, 0), 0);
    assert_int_not_equal(at, 0x400000);
    mm_unref(other);
    at = 0xc000000000;
    assert_int_equal(mm_map(g_mm, &at, 64 << 20, PROT_NONE, MAP_PRIVATE, NULL, 0), 0);
    assert_int_equal(at, 0xc000000000);
    at = 0;
    assert_int_equal(mm_map(g_mm, &at, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_32BIT, NULL, 0), 0);
    assert_true(at != 0 && at < 0x80000000);
}

static void fill(char *p, size_t pages, int byte)
{
    assert_int_equal(user_zero((uintptr_t)p, pages * PAGE_SIZE), 0);
    memset(p, byte, pages * PAGE_SIZE);
}

/* What MAP_FIXED puts over pages with content has none of it, however the pages are used again. */
static void test_fixed_over(void **state)
{
    struct file f = { .ops = &g_private_ops, .refs = 1, .private_data = (void *)(8 * PAGE_SIZE) };
    char *p = mm_world_map_anon(12 * PAGE_SIZE);
    const int flags = MAP_PRIVATE | MAP_FIXED;
    uintptr_t at = (uintptr_t)p + 2 * PAGE_SIZE;

    fill(p, 12, 7);
    assert_int_equal(mm_map(g_mm, &at, 3 * PAGE_SIZE, PROT_READ | PROT_WRITE, flags, NULL, 0), 0);
    mm_world_fault_read(p + 2 * PAGE_SIZE, 0);
    mm_world_fault_read(p + 4 * PAGE_SIZE, 0);
    assert_int_equal(p[2 * PAGE_SIZE], 0);
    assert_int_equal(p[5 * PAGE_SIZE - 1], 0);
    assert_int_equal(p[5 * PAGE_SIZE], 7);
    assert_int_equal(p[2 * PAGE_SIZE - 1], 7);

    /* A file, of which two pages are wanted and one is beyond its end. */
    at = (uintptr_t)p + 6 * PAGE_SIZE;
    assert_int_equal(
        mm_map(g_mm, &at, 3 * PAGE_SIZE, PROT_READ | PROT_WRITE, flags, &f, 6 * PAGE_SIZE), 0);
    mm_world_fault_read(p + 6 * PAGE_SIZE, 0);
    assert_int_equal(p[6 * PAGE_SIZE], 7);
    mm_world_fault_read(p + 7 * PAGE_SIZE, 0);
    assert_int_equal(p[8 * PAGE_SIZE - 1], 8);
    mm_world_fault_read(p + 8 * PAGE_SIZE, -EIO);
    assert_int_equal(p[9 * PAGE_SIZE], 7);

    /* No access at all, and read only. */
    at = (uintptr_t)p + 10 * PAGE_SIZE;
    assert_int_equal(mm_map(g_mm, &at, PAGE_SIZE, PROT_NONE, flags, NULL, 0), 0);
    mm_world_fault_read(p + 10 * PAGE_SIZE, -EFAULT);
    at = (uintptr_t)p + 11 * PAGE_SIZE;
    assert_int_equal(mm_map(g_mm, &at, PAGE_SIZE, PROT_READ, flags, NULL, 0), 0);
    mm_world_fault_read(p + 11 * PAGE_SIZE, 0);
    assert_int_equal(p[11 * PAGE_SIZE], 0);
    assert_int_equal(mm_unmap(g_mm, (uintptr_t)p, 12 * PAGE_SIZE), 0);
    (void)keep_unmapped_drop(g_mm);
    assert_int_equal(enclave_pages_used(), 0);
}

struct program {
    char *text, *data, *heap;
};

/* Maps what a program would, and gives its data content. */
static struct program run_program(struct mm *mm, struct file *f)
{
    struct program p;
    uintptr_t at;

    mm_program_set(mm, f);
    assert_int_equal(mm_image_place(mm, 8 * PAGE_SIZE, &at), 0);
    p.text = (char *)at;
    assert_int_equal(
        mm_map(mm, &at, 4 * PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, f, 0), 0);
    at += 4 * PAGE_SIZE;
    p.data = (char *)at;
    assert_int_equal(mm_map(mm, &at, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED,
                            f, 4 * PAGE_SIZE),
                     0);
    at = 0;
    assert_int_equal(mm_map(mm, &at, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, NULL, 0),
                     0);
    p.heap = (char *)at;
    return p;
}

static struct mm *switch_mm(struct mm *to)
{
    struct mm *from = g_mm;

    fake_enclave_process()->mm = g_mm = to;
    return from;
}

/* A process that runs the same program finds its pages, text as it was, data as in the file, memory zeroed. */
static void test_park(void **state)
{
    struct file f = { .ops = &g_image_ops, .refs = 1, .private_data = (void *)(8 * PAGE_SIZE) };
    struct program first, second;
    struct mm *mm, *before;
    size_t used;

    g_image_id = 5;
    assert_int_equal(mm_new(&mm), 0);
    before = switch_mm(mm);
    first = run_program(mm, &f);
    mm_world_fault_read(first.text, 0);
    mm_world_fault_read(first.text + 3 * PAGE_SIZE, 0);
    assert_int_equal(user_zero((uintptr_t)first.data, 4 * PAGE_SIZE), 0);
    memset(first.data, 99, 4 * PAGE_SIZE);
    fill(first.heap, 4, 98);
    used = enclave_pages_used();
    switch_mm(before);
    mm_unref(mm);
    assert_int_equal(f.refs, 1);
    assert_int_equal(enclave_pages_used(), used);

    assert_int_equal(mm_new(&mm), 0);
    switch_mm(mm);
    second = run_program(mm, &f);
    assert_ptr_equal(second.text, first.text);
    assert_ptr_equal(second.heap, first.heap);
    assert_int_equal(enclave_pages_used(), used);
    assert_int_equal(first.text[3 * PAGE_SIZE], 4);
    assert_int_equal(page_state((uintptr_t)first.text) & PAGE_PROT, PAGE_READ | PAGE_EXEC);
    for (int i = 0; i < 4; i++)
        assert_int_equal(first.data[i * PAGE_SIZE], 5 + i);
    assert_int_equal(first.heap[0], 0);
    assert_int_equal(first.heap[4 * PAGE_SIZE - 1], 0);

    /* Text that the program could change is not text of the image any more. */
    assert_int_equal(mm_protect(mm, (uintptr_t)first.text, PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
    first.text[0] = 77;
    assert_int_equal(mm_protect(mm, (uintptr_t)first.text, PAGE_SIZE, PROT_READ | PROT_EXEC), 0);
    switch_mm(before);
    mm_unref(mm);
    assert_int_equal(mm_new(&mm), 0);
    switch_mm(mm);
    second = run_program(mm, &f);
    mm_world_fault_read(second.text, 0);
    assert_int_equal(second.text[0], 1);
    switch_mm(before);
    mm_unref(mm);

    /* Nor is it when the file has changed; and other programs get nothing of it. */
    g_image_id = 6;
    assert_int_equal(mm_new(&mm), 0);
    switch_mm(mm);
    second = run_program(mm, &f);
    assert_ptr_not_equal(second.text, first.text);
    g_image_id = 0;
    switch_mm(before);
    used = enclave_pages_used();
    mm_unref(mm);
    assert_true(park_clear());
    assert_false(park_clear());
    assert_int_equal(enclave_pages_used(), 0);
    assert_int_equal(f.refs, 1);
}

/* When memory is short what is parked goes first. */
static void test_park_gives_way(void **state)
{
    struct file f = { .ops = &g_image_ops, .refs = 1, .private_data = (void *)(8 * PAGE_SIZE) };
    struct program p;
    struct mm *mm, *before;
    char *big;

    g_image_id = 5;
    assert_int_equal(mm_new(&mm), 0);
    before = switch_mm(mm);
    p = run_program(mm, &f);
    fill(p.heap, 4, 1);
    switch_mm(before);
    mm_unref(mm);
    assert_true(enclave_pages_used() >= 4);
    big = mm_world_map_anon(MM_WORLD_LIMIT_PAGES * PAGE_SIZE);
    assert_non_null(big);
    assert_int_equal(user_zero((uintptr_t)big, MM_WORLD_LIMIT_PAGES * PAGE_SIZE), 0);
    assert_int_equal(enclave_pages_used(), MM_WORLD_LIMIT_PAGES);
    assert_false(park_clear());
}

static void test_protect(void **state)
{
    char *p = mm_world_map_anon(8 * PAGE_SIZE);
    int code;

    assert_int_equal(user_zero((uintptr_t)p, 8 * PAGE_SIZE), 0);
    p[3 * PAGE_SIZE] = 7;
    assert_int_equal(mm_protect(g_mm, (uintptr_t)p + 2 * PAGE_SIZE, 3 * PAGE_SIZE, PROT_NONE), 0);
    assert_int_equal(user_zero((uintptr_t)p + 3 * PAGE_SIZE, 1), -EFAULT);
    assert_int_equal(mm_fault(g_mm, (uintptr_t)p + 3 * PAGE_SIZE, 2, &code), -EFAULT);
    assert_int_equal(code, 2); /* SEGV_ACCERR */
    assert_int_equal(mm_protect(g_mm, (uintptr_t)p, 8 * PAGE_SIZE, PROT_READ), 0);
    assert_int_equal(p[3 * PAGE_SIZE], 7);
    assert_int_equal(user_zero((uintptr_t)p, 1), -EFAULT);
    assert_int_equal(mm_protect(g_mm, (uintptr_t)p, 8 * PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
    assert_int_equal(user_zero((uintptr_t)p, 1), 0);
    assert_int_equal(mm_protect(g_mm, (uintptr_t)p, 0, PROT_READ), 0);
    assert_int_equal(mm_protect(g_mm, (uintptr_t)p + 1, PAGE_SIZE, PROT_READ), -EINVAL);
    assert_int_equal(mm_unmap(g_mm, (uintptr_t)p + PAGE_SIZE, PAGE_SIZE), 0);
    assert_int_equal(mm_protect(g_mm, (uintptr_t)p, 8 * PAGE_SIZE, PROT_READ), -ENOMEM);
}

static int count_areas(const struct mm_area_info *a, void *arg)
{
    ++*(unsigned *)arg;
    return 0;
}

static unsigned area_total(void)
{
    unsigned n = 0;

    mm_area_each(g_mm, count_areas, &n);
    return n;
}

static void test_merge(void **state)
{
    char *p = mm_world_map_anon(8 * PAGE_SIZE);

    assert_int_equal(area_total(), 1);
    assert_int_equal(mm_protect(g_mm, (uintptr_t)p + PAGE_SIZE, PAGE_SIZE, PROT_READ), 0);
    assert_int_equal(area_total(), 3);
    assert_int_equal(mm_protect(g_mm, (uintptr_t)p + PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE),
                     0);
    assert_int_equal(area_total(), 1);
    for (unsigned i = 0; i < 50; i++)
        assert_non_null(mm_world_map_anon(PAGE_SIZE));
    assert_int_equal(area_total(), 1);
}

static void test_remap(void **state)
{
    char *p = mm_world_map_anon(4 * PAGE_SIZE), *q;
    uintptr_t to = 0;

    assert_int_equal(user_zero((uintptr_t)p, 4 * PAGE_SIZE), 0);
    memcpy(p + PAGE_SIZE, "hello", sizeof "hello");
    /* Blocked above by an area of another kind. */
    assert_int_equal(mm_protect(g_mm, (uintptr_t)p + 3 * PAGE_SIZE, PAGE_SIZE, PROT_READ), 0);
    assert_int_equal(mm_remap(g_mm, (uintptr_t)p, 3 * PAGE_SIZE, 30 * PAGE_SIZE, 0, &to), -ENOMEM);
    assert_int_equal(
        mm_remap(g_mm, (uintptr_t)p, 3 * PAGE_SIZE, 30 * PAGE_SIZE, MREMAP_MAYMOVE, &to), 0);
    q = (char *)to;
    assert_ptr_not_equal(p, q);
    assert_string_equal(q + PAGE_SIZE, "hello");
    mm_world_fault_read(p, -EFAULT);
    mm_world_fault_read(q + 29 * PAGE_SIZE, 0);
    assert_int_equal(mm_remap(g_mm, to, 30 * PAGE_SIZE, 2 * PAGE_SIZE, 0, &to), 0);
    mm_world_fault_read(q + 2 * PAGE_SIZE, -EFAULT);
    assert_int_equal(mm_remap(g_mm, to, 2 * PAGE_SIZE, 4 * PAGE_SIZE, 0, &to), 0);
    assert_ptr_equal(q, to);
    to = 0x10000000;
    assert_int_equal(mm_remap(g_mm, (uintptr_t)q, 4 * PAGE_SIZE, 4 * PAGE_SIZE,
                              MREMAP_MAYMOVE | MREMAP_FIXED, &to),
                     0);
    assert_string_equal((char *)0x10001000, "hello");
    assert_int_equal(mm_remap(g_mm, 0x20000000, PAGE_SIZE, PAGE_SIZE, 0, &to), -EFAULT);
}

static void *write_on(void *p)
{
    uint64_t n = 0, next = 1;

    fake_enclave_thread_init();
    for (; user_copy_out((uintptr_t)p, &next, sizeof next) == 0; next++)
        n = next;
    return (void *)n;
}

/* Of the write that failed some first bytes may have arrived: a copy is not atomic. */
static bool is_after(uint64_t value, uint64_t last)
{
    for (unsigned bits = 0; bits < 64; bits += 8) {
        uint64_t arrived = (1ull << bits) - 1;

        if (value == (((last + 1) & arrived) | (last & ~arrived)))
            return true;
    }
    return value == last + 1;
}

/* What another thread wrote before its memory moved is there afterwards. */
static void test_remap_while_written(void **state)
{
    fake_enclave_process()->thread_count = 2;
    for (unsigned round = 0; round < 50; round++) {
        char *p = mm_world_map_anon(2 * PAGE_SIZE);
        uintptr_t to = 0;
        pthread_t thread;
        void *last;

        assert_int_equal(user_zero((uintptr_t)p, 2 * PAGE_SIZE), 0);
        assert_int_equal(pthread_create(&thread, NULL, write_on, p), 0);
        usleep(200 + 37 * round);
        /* A fixed place, so that it moves. */
        to = 0x10000000 + round * 0x10000;
        assert_int_equal(mm_remap(g_mm, (uintptr_t)p, 2 * PAGE_SIZE, 2 * PAGE_SIZE,
                                  MREMAP_MAYMOVE | MREMAP_FIXED, &to),
                         0);
        assert_int_equal(pthread_join(thread, &last), 0);
        assert_true(is_after(*(uint64_t *)to, (uint64_t)(uintptr_t)last));
    }
    fake_enclave_process()->thread_count = 1;
}

/* A page that lags behind its area gets its permissions with the next access. */
static void test_catch_up(void **state)
{
    char *p = mm_world_map_anon(2 * PAGE_SIZE);

    fill(p, 2, 3);
    assert_int_equal(enclave_protect((uintptr_t)p, 1, PROT_READ | PROT_WRITE, PROT_READ), 0);
    page_state_set((uintptr_t)p, 1, PAGE_PRESENT | PAGE_READ);
    assert_int_equal(user_copy_out((uintptr_t)p, "again", 6), 0);
    assert_string_equal(p, "again");
    assert_int_equal(page_state((uintptr_t)p) & PAGE_PROT, PAGE_READ | PAGE_WRITE);
}

static void test_brk(void **state)
{
    uintptr_t start;

    mm_brk_init(g_mm, USER_HIGH_BASE + 123);
    start = mm_brk(g_mm, 0);
    assert_true(start >= USER_HIGH_BASE && start % PAGE_SIZE == 0);
    assert_int_equal(mm_brk(g_mm, start + 100), start + 100);
    assert_int_equal(user_zero(start, 100), 0);
    assert_int_equal(mm_brk(g_mm, start + (1 << 20)), start + (1 << 20));
    assert_int_equal(user_zero(start, 1 << 20), 0);
    assert_int_equal(area_total(), 1);
    assert_int_equal(mm_brk(g_mm, start), start);
    assert_int_equal(enclave_pages_used(), 0);
    assert_int_equal(mm_brk(g_mm, start + (2ull << 40)), start);
}

static void test_memory_limit(void **state)
{
    char *p = mm_world_map_anon(64 << 20);
    int code;

    fake_enclave_set_limit(40);
    assert_int_equal(user_zero((uintptr_t)p, 64 << 20), -ENOMEM);
    assert_in_range(enclave_pages_used(), 38, 40);
    assert_int_equal(mm_fault(g_mm, (uintptr_t)p + (32 << 20), 2, &code), -ENOMEM);
    assert_int_equal(mm_unmap(g_mm, (uintptr_t)p, 64 << 20), 0);
    assert_null(mm_world_map_anon(64 << 20)); /* more than there is */
    assert_non_null(mm_world_map(64 << 20, PROT_NONE, MAP_PRIVATE, NULL, 0));
    assert_non_null(
        mm_world_map(64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, NULL, 0));
    fake_enclave_set_limit(MM_WORLD_LIMIT_PAGES);
    fake_enclave_process()->limits[9].current = 129 << 20; /* RLIMIT_AS */
    assert_null(mm_world_map_anon(2 << 20));
    assert_non_null(mm_world_map_anon(1 << 19));
    fake_enclave_process()->limits[9].current = UINT64_MAX;
    fake_enclave_set_limit(MM_WORLD_LIMIT_PAGES);
}

static void test_strings_and_uio(void **state)
{
    char *p = mm_world_map_anon(4 * PAGE_SIZE), buf[64];
    struct user_iovec iov[10];
    struct uio u;

    assert_int_equal(mm_unmap(g_mm, (uintptr_t)p + 2 * PAGE_SIZE, 2 * PAGE_SIZE), 0);
    assert_int_equal(user_copy_out((uintptr_t)p + 2 * PAGE_SIZE - 4, "abcd", 4), 0);
    assert_int_equal(user_str_in(buf, (uintptr_t)p + 2 * PAGE_SIZE - 4, 4), -ENAMETOOLONG);
    assert_int_equal(user_str_in(buf, (uintptr_t)p + 2 * PAGE_SIZE - 4, 8), -EFAULT);
    assert_int_equal(user_copy_out((uintptr_t)p + PAGE_SIZE - 3, "abcdef", 7), 0);
    assert_int_equal(user_str_in(buf, (uintptr_t)p + PAGE_SIZE - 3, sizeof buf), 6);
    assert_string_equal(buf, "abcdef");
    assert_int_equal(user_str_in(buf, LIBOS_BASE, sizeof buf), -EFAULT);
    assert_int_equal(user_copy_in(buf, UINT64_MAX - 3, 8), -EFAULT);
    assert_false(user_range_ok(LIBOS_BASE - 1, 2));
    assert_true(user_range_ok(LIBOS_END, 1));
    assert_false(user_range_ok(ELRANGE_SIZE_DEFAULT - 1, 2));
    for (unsigned i = 0; i < 10; i++)
        iov[i] = (struct user_iovec){ (uintptr_t)p + i * 100, i };
    assert_int_equal(user_copy_out((uintptr_t)p + 4096, iov, sizeof iov), 0);
    assert_int_equal(uio_init_iovec(&u, (uintptr_t)p + 4096, 10), 0);
    assert_int_equal(u.left, 45);
    assert_int_equal(uio_put(&u, "0123456789", 10), 10);
    assert_memory_equal(p + 400, "6789", 4);
    assert_int_equal(uio_put_zero(&u, 100), 35);
    assert_int_equal(uio_put(&u, "x", 1), 0);
    uio_done(&u);
    assert_int_equal(uio_init_iovec(&u, (uintptr_t)p, 1025), -EINVAL);
    uio_init_user(&u, (uintptr_t)p + 2 * PAGE_SIZE - 2, 10);
    assert_int_equal(uio_put(&u, "0123456789", 10), 2);
    assert_int_equal(uio_put(&u, "0123456789", 8), -EFAULT);
}

static void test_many_areas(void **state)
{
    enum { COUNT = 4000 };
    static uintptr_t at[COUNT];

    for (unsigned i = 0; i < COUNT; i++) {
        at[i] = (uintptr_t)mm_world_map(PAGE_SIZE * (1 + i % 5),
                                        i % 2 ? PROT_READ : PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);
        assert_int_not_equal(at[i], 0);
    }
    assert_int_equal(area_total(), COUNT);
    for (unsigned i = 0; i < COUNT; i += 2)
        assert_int_equal(mm_unmap(g_mm, at[i], PAGE_SIZE * (1 + i % 5)), 0);
    /* The holes are found again. */
    for (unsigned i = 0; i < COUNT; i += 2) {
        uintptr_t p = (uintptr_t)mm_world_map_anon(PAGE_SIZE);

        assert_true(p >= at[COUNT - 1] && p <= at[0] + 5 * PAGE_SIZE);
    }
}

static void test_trampoline(void **state)
{
    bool is_new = false;
    uint8_t code[15];
    char *p = mm_world_map_anon(PAGE_SIZE);

    memset(code, 0x90, sizeof code);
    assert_int_equal(mm_trampoline_page(g_mm, 0x30000000, &is_new), 0);
    assert_true(is_new && mm_is_trampoline(0x30000123) && !mm_is_trampoline((uintptr_t)p));
    assert_int_equal(mm_trampoline_page(g_mm, 0x30000000, &is_new), 0);
    assert_false(is_new);
    assert_int_equal(mm_trampoline_write(g_mm, 0x30000100, code, sizeof code), 0);
    assert_memory_equal((char *)0x30000100, code, sizeof code);
    assert_int_equal(*(uint8_t *)0x30000ff0, 0xcc);
    assert_int_equal(mm_trampoline_write(g_mm, 0x30000ff8, code, sizeof code), -EFAULT);
    assert_int_equal(mm_trampoline_page(g_mm, (uintptr_t)p, &is_new), -ENOMEM);
    assert_int_equal(mm_trampoline_page(g_mm, LIBOS_BASE, &is_new), -ENOMEM);
    assert_int_equal(mm_text_write(g_mm, 0x30000200, code, 2), 0);
    assert_int_equal(mm_text_write(g_mm, 0x30000207, code, 2), 0);
    assert_int_equal(mm_text_write(g_mm, 0x30000fff, code, 2), -EFAULT);
    assert_int_equal(mm_text_write(g_mm, (uintptr_t)p, code, 2), -EFAULT);
}

/* Threads of one process change memory next to each other; each finds in its own what it put there. */
static void *stress(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg, wrong = 0;
    uintptr_t at[16] = { 0 };
    size_t pages[16];
    uint32_t word;

    fake_enclave_thread_init();
    for (unsigned step = 0; step < 3000; step++) {
        unsigned i = rand_r(&seed) % 16;
        uintptr_t last, moved = 0;

        if (!at[i]) {
            pages[i] = 1 + rand_r(&seed) % 30;
            at[i] = (uintptr_t)mm_world_map_anon(pages[i] * PAGE_SIZE);
            wrong += at[i] == 0;
        } else {
            last = at[i] + (pages[i] - 1) * PAGE_SIZE;
            wrong += user_copy_in(&word, last, 4) != 0 || word != i + 1;
            switch (rand_r(&seed) % 4) {
            case 0:
                wrong += mm_remap(g_mm, at[i], pages[i] * PAGE_SIZE, (pages[i] + 5) * PAGE_SIZE, 1,
                                  &moved) != 0;
                wrong += user_copy_in(&word, moved + (pages[i] - 1) * PAGE_SIZE, 4) != 0 ||
                         word != i + 1;
                wrong +=
                    user_copy_in(&word, moved + (pages[i] + 4) * PAGE_SIZE, 4) != 0 || word != 0;
                at[i] = moved;
                pages[i] += 5;
                break;
            case 1:
                wrong += mm_protect(g_mm, last, PAGE_SIZE, PROT_READ) != 0;
                wrong += user_zero(last, 4) != -EFAULT;
                wrong += mm_protect(g_mm, last, PAGE_SIZE, PROT_READ | PROT_WRITE) != 0;
                break;
            case 2:
                wrong += mm_discard(g_mm, at[i], pages[i] * PAGE_SIZE) != 0;
                wrong += user_copy_in(&word, last, 4) != 0 || word != 0;
                break;
            default:
                wrong += mm_unmap(g_mm, at[i], pages[i] * PAGE_SIZE) != 0;
                at[i] = 0;
            }
        }
        word = i + 1;
        if (at[i])
            wrong += user_copy_out(at[i] + (pages[i] - 1) * PAGE_SIZE, &word, 4) != 0;
    }
    return (void *)(uintptr_t)wrong;
}

static void test_threads(void **state)
{
    pthread_t threads[4];
    void *wrong;

    fake_enclave_process()->thread_count = 4;
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, stress, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    fake_enclave_process()->thread_count = 1;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, mm_world_set_up, mm_world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree_random),
        TEST(test_anon),
        TEST(test_unmapped_is_kept),
        TEST(test_fixed),
        TEST(test_fixed_over),
        TEST(test_park),
        TEST(test_park_gives_way),
        TEST(test_protect),
        TEST(test_merge),
        TEST(test_remap),
        TEST(test_remap_while_written),
        TEST(test_catch_up),
        TEST(test_brk),
        TEST(test_memory_limit),
        TEST(test_strings_and_uio),
        TEST(test_many_areas),
        TEST(test_trampoline),
        TEST(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
