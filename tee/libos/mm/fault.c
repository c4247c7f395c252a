/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages come and go: commitment on first touch with fault-around, file pages, give-back. Trusted.
 * SGX cannot map one page at two addresses, so private file pages are copies from their first touch on (shared ones:
 * share.c).
 */
#include <linux/mman.h>
#include <asm/signal.h>
#include <asm/siginfo.h>
#include <linux/errno.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/mm/mm_private.h"
#include "tee/libos/task/task.h"

#define FAULT_WRITE 0x2u
#define FAULT_FETCH 0x10u

#define WINDOW_PAGES_MIN 16u  /* committed around a first fault */
#define WINDOW_PAGES_MAX 256u /* after a run of sequential faults */
#define FILE_WINDOW_PAGES 16u
#define BOUNCE_CACHE_COUNT 4u

/* Buffers for file pages on their way to program memory. */
static struct spin g_bounce_lock; /* guards the two below */
static void *g_bounce[BOUNCE_CACHE_COUNT];
static unsigned g_bounce_count;

static void *bounce_get(void)
{
    void *b = NULL;

    spin_lock(&g_bounce_lock);
    if (g_bounce_count > 0)
        b = g_bounce[--g_bounce_count];
    spin_unlock(&g_bounce_lock);
    return b ? b : page_alloc(FILE_WINDOW_PAGES);
}

static void bounce_put(void *b)
{
    spin_lock(&g_bounce_lock);
    if (g_bounce_count < BOUNCE_CACHE_COUNT)
        g_bounce[g_bounce_count++] = TAKE_PTR(b);
    spin_unlock(&g_bounce_lock);
    if (b)
        page_free(b, FILE_WINDOW_PAGES);
}

int pages_commit(struct mm *mm, uintptr_t start, size_t count, int prot, uint8_t flags)
{
    int rc = page_table_cover(start, start + count * PAGE_SIZE);

    if (rc == 0)
        rc = enclave_commit(start, count, prot);
    if (rc < 0)
        return rc;
    page_state_set(start, count, PAGE_PRESENT | prot | flags);
    mm->resident_pages += count;
    return 0;
}

bool mm_is_alone(struct mm *mm)
{
    struct thread *t = current();

    return mm->refs == 1 && t && (t->process->mm != mm || t->process->thread_count <= 1);
}

int pages_commit_copy(struct mm *mm, uintptr_t addr, size_t count, const void *src, int prot)
{
    int rc;

    if (!mm_is_alone(mm))
        return enclave_commit_copy(addr, count, src, prot);
    rc = enclave_commit(addr, count, PAGE_READ | PAGE_WRITE);
    if (rc < 0)
        return rc;
    memcpy((void *)addr, src, count * PAGE_SIZE);
    rc = enclave_protect(addr, count, PAGE_READ | PAGE_WRITE, prot);
    if (rc < 0)
        enclave_decommit(addr, count);
    return rc;
}

void pages_decommit(struct mm *mm, uintptr_t start, uintptr_t end)
{
    uintptr_t run, run_end;
    uint8_t state;

    while (page_run_next(start, end, &run, &run_end, &state)) {
        size_t count = (run_end - run) >> PAGE_SHIFT;

        page_state_set(run, count, 0);
        enclave_decommit(run, count);
        mm->resident_pages -= count;
        start = run_end;
    }
}

/* How many pages to commit around a fault at `page`, an absent one; *page moves down for falling access. */
static size_t window_choose(struct area *a, uintptr_t *page)
{
    size_t used = enclave_pages_used(), limit = enclave_pages_limit(),
           left = limit - MIN(used, limit);
    size_t window = WINDOW_PAGES_MIN, count;
    uintptr_t at = *page;

    if (at == a->next_fault)
        window = a->window ? MIN(a->window * 2, WINDOW_PAGES_MAX) : WINDOW_PAGES_MIN;
    if (window > left / 16)
        window = 1;
    a->window = window;
    count = page_absent_count(at, MIN(a->node.end, at + window * PAGE_SIZE));
    if (count == 1 || (a->flags & MAP_GROWSDOWN)) {
        /* Falling: the page above is there (or this is a stack). */
        uintptr_t low = at - MIN(at - a->node.start, (window - 1) * PAGE_SIZE);

        while (at > low && !(page_state(at - PAGE_SIZE) & PAGE_PRESENT))
            at -= PAGE_SIZE;
        count += (*page - at) >> PAGE_SHIFT;
        *page = at;
    }
    a->next_fault = at + count * PAGE_SIZE;
    return count;
}

static int fault_anon(struct mm *mm, struct area *a, uintptr_t page)
{
    int prot = prot_of_pages(a->prot);
    uintptr_t start = page;
    size_t count = window_choose(a, &start);
    int rc = pages_commit(mm, start, count, prot, 0);

    return rc == -ENOMEM && count > 1 ? pages_commit(mm, page, 1, prot, 0) : rc;
}

/* What a file fault needs after mm->lock is gone. */
struct file_fault {
    struct file *file; /* one reference */
    uint64_t off;      /* of start in the file */
    uintptr_t page;    /* that faulted */
    uintptr_t start;
    size_t count;
};

/* Reads the window into the bounce buffer. returns: pages read, the faulting one among them; -errno. */
static int64_t file_window_read(const struct file_fault *f, uint8_t *bounce)
{
    for (size_t i = 0; i < f->count; i++) {
        int rc = f->file->ops->map_page(f->file, f->off + i * PAGE_SIZE, bounce + i * PAGE_SIZE);

        if (rc < 0)
            return f->start + i * PAGE_SIZE > f->page ? (int64_t)i : rc;
    }
    return (int64_t)f->count;
}

/* Puts what was read where it belongs, unless the area has changed or somebody was faster. */
static int file_window_install(struct mm *mm, const struct file_fault *f, const uint8_t *bounce)
{
    struct area *a = area_find(mm, f->page);
    uintptr_t at = f->start, end = f->start + f->count * PAGE_SIZE;

    if (!a || a->file != f->file || a->kind != AREA_FILE ||
        a->off + (f->page - a->node.start) != f->off + (f->page - f->start))
        return 0; /* the program tries again and meets what is there now */
    at = MAX(at, a->node.start);
    end = MIN(end, a->node.end);
    while (at < end) {
        size_t count = page_absent_count(at, end);
        int prot = prot_of_pages(a->prot), rc;

        if (count == 0) {
            at += PAGE_SIZE;
            continue;
        }
        rc = page_table_cover(at, at + count * PAGE_SIZE);
        if (rc == 0)
            rc = pages_commit_copy(mm, at, count, bounce + (at - f->start), prot);
        if (rc < 0)
            return at > f->page ? 0 : rc;
        page_state_set(at, count, PAGE_PRESENT | prot);
        mm->resident_pages += count;
        at += count * PAGE_SIZE;
    }
    return 0;
}

/* Called with mm->lock, which it gives up. */
static int fault_file(struct mm *mm, struct area *a, uintptr_t page)
{
    uintptr_t start = MAX(a->node.start, ALIGN_DOWN(page, FILE_WINDOW_PAGES * PAGE_SIZE));
    uintptr_t end = MIN(a->node.end, ALIGN_DOWN(page, FILE_WINDOW_PAGES * PAGE_SIZE) +
                                         FILE_WINDOW_PAGES * PAGE_SIZE);
    struct file_fault f = { .file = a->file, .page = page };
    uint8_t *bounce;
    int64_t rc;

    while (start < page && (page_state(start) & PAGE_PRESENT))
        start += PAGE_SIZE;
    while (end > page + PAGE_SIZE && (page_state(end - PAGE_SIZE) & PAGE_PRESENT))
        end -= PAGE_SIZE;
    f.start = start;
    f.count = (end - start) >> PAGE_SHIFT;
    f.off = a->off + (start - a->node.start);
    file_ref(f.file);
    mutex_unlock(&mm->lock);

    bounce = bounce_get();
    if (!bounce) {
        file_unref(f.file);
        return -ENOMEM;
    }
    rc = file_window_read(&f, bounce);
    if (rc > 0) {
        f.count = (size_t)rc;
        mutex_lock(&mm->lock);
        rc = file_window_install(mm, &f, bounce);
        mutex_unlock(&mm->lock);
    }
    bounce_put(bounce);
    file_unref(f.file);
    return rc < 0 && rc != -ENOMEM ? -EIO : (int)rc;
}

/* MAP_GROWSDOWN: the area above addr grows down to it when the space between is free. */
static struct area *grow_down(struct mm *mm, uintptr_t page)
{
    struct area *a = area_find_above(mm, page);
    enum zone zone;

    if (!a || !(a->flags & MAP_GROWSDOWN) || a->node.end - page > GROWSDOWN_SIZE_MAX ||
        free_take_at(mm, page, a->node.start, &zone) < 0)
        return NULL;
    keep_drop(mm, page, a->node.start);
    mm->total_pages += (a->node.start - page) >> PAGE_SHIFT;
    mm->stack_pages += (a->node.start - page) >> PAGE_SHIFT;
    range_tree_resize(&a->node, page, a->node.end);
    return a;
}

static int fault(struct mm *mm, uintptr_t addr, uint32_t pf_error_code, int *ret_si_code)
{
    int want = pf_error_code & FAULT_FETCH   ? PROT_EXEC
               : pf_error_code & FAULT_WRITE ? PROT_WRITE
                                             : PROT_READ;
    uintptr_t page = ALIGN_DOWN(addr, PAGE_SIZE);
    struct area *a;
    uint8_t state;
    int rc = 0;

    *ret_si_code = SEGV_MAPERR;
    if (!user_range_ok(addr, 1))
        return -EFAULT;
    mutex_lock(&mm->lock);
    a = area_find(mm, page);
    if (!a)
        a = grow_down(mm, page);
    if (!a) {
        mutex_unlock(&mm->lock);
        return -EFAULT;
    }
    state = page_state(page);
    if (!(prot_of_pages(a->prot) & want)) {
        *ret_si_code = SEGV_ACCERR;
        rc = -EFAULT;
    } else if (!(state & PAGE_PRESENT) && a->kind == AREA_ANON) {
        rc = fault_anon(mm, a, page);
    } else if (!(state & PAGE_PRESENT) && a->kind == AREA_FILE) {
        return fault_file(mm, a, page);
    } else if (!(state & PAGE_PRESENT) && a->kind == AREA_FILE_SHARED) {
        mutex_unlock(&mm->lock);
        rc = page_share(mm, page);
        return rc < 0 && rc != -ENOMEM ? -EIO : rc;
    } else if (!(state & want)) {
        mutex_unlock(&mm->lock);
        return page_catch_up(mm, page);
    }
    mutex_unlock(&mm->lock);
    return rc;
}

/* Gives back what nobody uses at the moment. returns: false when there was nothing. */
static bool reclaim(struct mm *mm)
{
    bool had;

    mutex_lock(&mm->lock);
    had = keep_unmapped_drop(mm);
    mutex_unlock(&mm->lock);
    return park_clear() || had;
}

int mm_fault(struct mm *mm, uintptr_t addr, uint32_t pf_error_code, int *ret_si_code)
{
    int rc = fault(mm, addr, pf_error_code, ret_si_code);

    return rc == -ENOMEM && reclaim(mm) ? fault(mm, addr, pf_error_code, ret_si_code) : rc;
}

void mm_populate(struct mm *mm, uintptr_t addr, size_t size)
{
    uintptr_t end = addr + size;

    while (addr < end) {
        int code, rc;

        if (page_state(addr) & PAGE_PRESENT) {
            addr += PAGE_SIZE;
            continue;
        }
        rc = mm_fault(mm, addr, FAULT_WRITE, &code);
        if (rc == -EFAULT && code == SEGV_ACCERR)
            rc = mm_fault(mm, addr, 0, &code);
        if (rc < 0 || !(page_state(addr) & PAGE_PRESENT))
            return;
    }
}
