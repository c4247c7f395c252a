/* SPDX-License-Identifier: Apache-2.0 */
/* See mm_world.h. Hosted. */
#include "tests/unit/libos/mm_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/mm/page.h"
#include "tee/libos/rewrite/rewrite.h"
#include "tee/libos/task/task.h"
#include "tests/unit/libos/fake_enclave.h"

struct mm *g_mm;

/* ---- a file for mappings: page n is filled with byte n + 1; some pages cannot be read ---- */

unsigned g_shared_now;

static int fake_map_page(struct file *f, uint64_t off, void *page)
{
    uint64_t size = (uintptr_t)f->private_data;

    if (off >= size)
        return -EIO;
    memset(page, (int)(off / PAGE_SIZE) + 1, PAGE_SIZE);
    if (size - off < PAGE_SIZE)
        memset((char *)page + (size - off), 0, PAGE_SIZE - (size - off));
    return 0;
}

char g_storage[MM_WORLD_FILE_PAGES][PAGE_SIZE];
static void *g_shared_at[MM_WORLD_FILE_PAGES];
void (*g_on_share)(void *page);

static int fake_share_page(struct file *f, uint64_t off, void *page)
{
    if (off >= (uintptr_t)f->private_data)
        return -EIO;
    if (g_shared_at[off / PAGE_SIZE])
        return -EBUSY;
    g_shared_at[off / PAGE_SIZE] = page;
    if (g_on_share) {
        void (*run)(void *page) = g_on_share;

        g_on_share = NULL;
        run(page);
    }
    memcpy(page, g_storage[off / PAGE_SIZE], PAGE_SIZE);
    g_shared_now++;
    return 0;
}

static void fake_unshare_page(struct file *f, uint64_t off, void *page)
{
    assert_ptr_equal(g_shared_at[off / PAGE_SIZE], page);
    g_shared_at[off / PAGE_SIZE] = NULL;
    assert_int_equal(mm_shared_copy((uintptr_t)page, g_storage[off / PAGE_SIZE], NULL, PAGE_SIZE),
                     0);
    g_shared_now--;
}

static uintptr_t fake_shared_page(struct file *f, uint64_t off)
{
    return (uintptr_t)g_shared_at[off / PAGE_SIZE];
}

const struct file_ops g_private_ops = { .map_page = fake_map_page };
const struct file_ops g_shared_ops = { .map_page = fake_map_page,
                                       .share_page = fake_share_page,
                                       .shared_page = fake_shared_page,
                                       .unshare_page = fake_unshare_page };

uint64_t g_image_id;

static uint64_t fake_image_id(struct file *f)
{
    return g_image_id;
}

const struct file_ops g_image_ops = { .map_page = fake_map_page, .image_id = fake_image_id };

void file_ref(struct file *f)
{
    f->refs++;
}

void file_unref(struct file *f)
{
    f->refs--;
}

void rewrite_forget(struct mm *mm, uintptr_t addr, size_t size)
{
}

void *mm_world_map(size_t size, int prot, int flags, struct file *f, uint64_t off)
{
    uintptr_t addr = 0;

    return mm_map(g_mm, &addr, size, prot, flags, f, off) == 0 ? (void *)addr : NULL;
}

void *mm_world_map_anon(size_t size)
{
    return mm_world_map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);
}

int mm_world_set_up(void **state)
{
    fake_enclave_init(MM_WORLD_LIMIT_PAGES);
    assert_int_equal(mm_new(&g_mm), 0);
    fake_enclave_process()->mm = g_mm;
    return 0;
}

int mm_world_tear_down(void **state)
{
    mm_unref(g_mm);
    assert_int_equal(enclave_pages_used(), 0);
    return 0;
}

void mm_world_fault_read(const void *p, int expected)
{
    int code, rc = mm_fault(g_mm, (uintptr_t)p, 4, &code);

    assert_int_equal(rc, expected);
}
