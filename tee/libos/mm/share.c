/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MAP_SHARED of files. SGX cannot show a page at two addresses, so a page of a shared file lies at one of the places that map
 * it, and is the file's storage there. An access at another place, of this process or another, faults and fetches it: the
 * content moves, there is never a second copy. Trusted.
 */
#include <linux/errno.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/ocall.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/mm/mm_private.h"

#define FETCH_TRIES_MAX                                                                            \
    4096u /* as often as others may fetch the page away again, one after the other */

/* The page at `page`, whose content the file has now, is the area's no more. */
static void forget_page(struct mm *mm, uintptr_t page)
{
    mutex_lock(&mm->lock);
    page_state_set(page, 1, 0);
    enclave_decommit(page, 1);
    mm->resident_pages--;
    mm->shared_pages--;
    mutex_unlock(&mm->lock);
}

void area_unshare(struct mm *mm, struct area *a, uintptr_t start, uintptr_t end)
{
    uintptr_t run, run_end;
    uint8_t state;

    for (; page_run_next(start, end, &run, &run_end, &state); start = run_end) {
        size_t count = (run_end - run) >> PAGE_SHIFT;

        for (uintptr_t page = run; page < run_end; page += PAGE_SIZE)
            a->file->ops->unshare_page(a->file, a->off + (page - a->node.start), (void *)page);
        mutex_lock(&mm->lock);
        page_state_set(run, count, 0);
        enclave_decommit(run, count);
        mm->resident_pages -= count;
        mm->shared_pages -= count;
        mutex_unlock(&mm->lock);
    }
}

/* Nobody writes to the page at addr of mm while its content moves. returns: 0; -EBUSY it is not a shared page there; -EIO. */
static int stop_writes(struct mm *mm, uintptr_t addr)
{
    struct area *a;
    int rc = 0, prot;

    mutex_lock(&mm->lock);
    a = area_find(mm, addr);
    prot = page_state(addr) & PAGE_PROT;
    if (!a || a->kind != AREA_FILE_SHARED || !(page_state(addr) & PAGE_SHARED))
        rc = -EBUSY;
    else if (prot & PAGE_WRITE)
        rc = enclave_protect(addr, 1, prot, PAGE_READ);
    if (rc == 0 && (prot & PAGE_WRITE))
        page_state_set(addr, 1, PAGE_PRESENT | PAGE_SHARED | PAGE_READ);
    mutex_unlock(&mm->lock);
    return rc;
}

/*
 * The file's page lies at another address: takes it away from there, so that the next access there fetches it back. No
 * locks are held; those of the place that has it are taken, and an access there waits for them.
 */
static void fetch_away(struct file *file, uint64_t off)
{
    uintptr_t at = file->ops->shared_page ? file->ops->shared_page(file, off) : 0;
    struct mm *mm = at ? space_pin(at) : NULL;

    if (!mm)
        return;
    mutex_lock(&mm->share_lock);
    if (file->ops->shared_page(file, off) == at && stop_writes(mm, at) == 0) {
        file->ops->unshare_page(file, off, (void *)at);
        forget_page(mm, at);
    }
    mutex_unlock(&mm->share_lock);
    space_unpin(mm);
}

/* What page_share needs to know after mm->lock is gone. */
struct share {
    struct file *file; /* one reference; NULL: nothing to do */
    uint64_t off;
    int prot;
};

/* Commits the page and describes what it is to hold. */
static int begin_share(struct mm *mm, uintptr_t page, struct share *ret)
{
    struct area *a;
    int rc = 0;

    mutex_lock(&mm->lock);
    a = area_find(mm, page);
    if (a && a->kind == AREA_FILE_SHARED && !(page_state(page) & PAGE_PRESENT)) {
        rc = pages_commit(mm, page, 1, PAGE_READ | PAGE_WRITE, PAGE_SHARED);
        if (rc == 0) {
            *ret = (struct share){ .file = a->file,
                                   .off = a->off + (page - a->node.start),
                                   .prot = prot_of_pages(a->prot) };
            file_ref(a->file);
            mm->shared_pages++;
        }
    }
    mutex_unlock(&mm->lock);
    return rc;
}

static int finish_share(struct mm *mm, uintptr_t page, int prot)
{
    int rc = 0;

    if (prot == (PAGE_READ | PAGE_WRITE))
        return 0;
    mutex_lock(&mm->lock);
    rc = enclave_protect(page, 1, PAGE_READ | PAGE_WRITE, prot);
    if (rc == 0)
        page_state_set(page, 1, PAGE_PRESENT | PAGE_SHARED | prot);
    mutex_unlock(&mm->lock);
    return rc;
}

/* One try. *ret_busy: whose page it is, with a reference, when it lies elsewhere. */
static int try_share(struct mm *mm, uintptr_t page, struct share *ret_busy)
{
    struct share s = { 0 };
    int rc;

    mutex_lock(&mm->share_lock);
    rc = begin_share(mm, page, &s);
    if (s.file) {
        rc = s.file->ops->share_page(s.file, s.off, (void *)page);
        if (rc == 0)
            rc = finish_share(mm, page, s.prot);
        else
            forget_page(mm, page);
    }
    mutex_unlock(&mm->share_lock);
    if (rc == -EBUSY)
        *ret_busy = s;
    else if (s.file)
        file_unref(s.file);
    return rc;
}

int page_share(struct mm *mm, uintptr_t page)
{
    struct share busy;
    int rc = try_share(mm, page, &busy);

    for (unsigned i = 0; rc == -EBUSY && i < FETCH_TRIES_MAX; i++) {
        fetch_away(busy.file, busy.off);
        file_unref(busy.file);
        rc = try_share(mm, page, &busy);
    }
    if (rc == -EBUSY)
        file_unref(busy.file);
    return rc;
}

int page_catch_up(struct mm *mm, uintptr_t page)
{
    struct area *a;
    uint8_t state;
    int rc = 0, prot;

    mutex_lock(&mm->share_lock); /* a shared page that is being fetched away stays as it is */
    mutex_lock(&mm->lock);
    a = area_find(mm, page);
    state = page_state(page);
    prot = a ? prot_of_pages(a->prot) : 0;
    if (a && (state & PAGE_PRESENT) && (state & PAGE_PROT) != prot) {
        rc = enclave_protect(page, 1, state & PAGE_PROT, prot);
        if (rc == 0)
            page_state_set(page, 1, (state & ~PAGE_PROT) | prot);
    }
    mutex_unlock(&mm->lock);
    mutex_unlock(&mm->share_lock);
    return rc;
}

/* ---- for file systems ---- */

static bool copy_raw(uintptr_t page_addr, void *dst, const void *src, size_t size)
{
    if (dst)
        return user_raw_copy(dst, (const void *)page_addr, size) == 0;
    return (src ? user_raw_copy((void *)page_addr, src, size)
                : user_raw_zero((void *)page_addr, size)) == 0;
}

int mm_shared_copy(uintptr_t addr, void *dst, const void *src, size_t size)
{
    uintptr_t page = ALIGN_DOWN(addr, PAGE_SIZE);
    struct mm *mm;
    int rc = -EIO, has, want;

    if (copy_raw(addr, dst, src, size))
        return 0;
    /* The process has it mapped with less: mm->lock keeps its permissions while they are widened. */
    mm = space_pin(addr);
    if (!mm)
        return -EIO;
    mutex_lock(&mm->lock);
    has = page_state(page) & PAGE_PROT;
    want = has | PAGE_READ | (dst ? 0 : PAGE_WRITE);
    if ((page_state(page) & PAGE_SHARED) && enclave_protect(page, 1, has, want) == 0) {
        rc = copy_raw(addr, dst, src, size) ? 0 : -EIO;
        if (enclave_protect(page, 1, want, has) < 0)
            page_state_set(page, 1,
                           PAGE_PRESENT | PAGE_SHARED |
                               want); /* the host refuses: that is what it is now */
    }
    mutex_unlock(&mm->lock);
    space_unpin(mm);
    return rc;
}

bool mm_shared_find(uintptr_t addr, struct inode **ret_inode, uint64_t *ret_off)
{
    struct mm *mm = mm_current();
    struct area *a;
    bool found;

    if (!mm || __atomic_load_n(&mm->shared_area_count, __ATOMIC_RELAXED) == 0)
        return false;
    mutex_lock(&mm->lock);
    a = area_find(mm, addr);
    found = a && a->kind == AREA_FILE_SHARED && a->file->inode;
    if (found) {
        *ret_inode = a->file->inode;
        *ret_off = a->off + (addr - a->node.start);
    }
    mutex_unlock(&mm->lock);
    return found;
}
