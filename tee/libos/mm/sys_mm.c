/* SPDX-License-Identifier: Apache-2.0 */
/* System calls about memory. Trusted; arguments are the program's. */
#include <linux/errno.h>
#include <linux/mempolicy.h>
#include <linux/mman.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/mm/mm_private.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/task.h"

/* Size rounded up to pages; false when the range is not one of user memory. A range of nothing may be anywhere. */
static bool range_decode(uintptr_t addr, size_t size, size_t *ret_size)
{
    if (size == 0) {
        *ret_size = 0;
        return true;
    }
    if (size > space_end() || !user_range_ok(addr, ALIGN_UP(size, PAGE_SIZE)))
        return false;
    *ret_size = ALIGN_UP(size, PAGE_SIZE);
    return true;
}

SYSCALL_DEFINE(mmap)
{
    uintptr_t addr = a;
    int flags = (int)d, rc;
    CLEANUP(file_unrefp)
    struct file *file = NULL;

    if (!(flags & MAP_ANONYMOUS)) {
        file = fd_get((int)e);
        if (!file)
            return -EBADF;
    } else {
        f = 0; /* Linux ignores it */
    }
    rc = mm_map(mm_current(), &addr, b, (int)c, flags, file, f);
    if (rc == -EBUSY) {
        syscall_unsupported("mmap: a shared file page at a second address",
                            "map a shared file once, or let the program read and write it");
        return -ENODEV;
    }
    return rc < 0 ? rc : (int64_t)addr;
}

SYSCALL_DEFINE(munmap)
{
    return mm_unmap(mm_current(), a, b);
}

SYSCALL_DEFINE(mprotect)
{
    return mm_protect(mm_current(), a, b, (int)c & ~(PROT_GROWSDOWN | PROT_GROWSUP));
}

SYSCALL_DEFINE(pkey_mprotect)
{
    return (int)d == -1 ? mm_protect(mm_current(), a, b, (int)c) : -EINVAL;
}

SYSCALL_DEFINE(pkey_alloc)
{
    return a ? -EINVAL : -ENOSPC; /* as on a CPU without protection keys */
}

SYSCALL_DEFINE(pkey_free)
{
    return -EINVAL;
}

SYSCALL_DEFINE(mremap)
{
    uintptr_t addr = e;
    int rc = mm_remap(mm_current(), a, b, c, (int)d, &addr);

    return rc < 0 ? rc : (int64_t)addr;
}

SYSCALL_DEFINE(brk)
{
    return (int64_t)mm_brk(mm_current(), a);
}

/* Advice about memory that must at least exist. */
static int64_t advise_nothing(struct mm *mm, uintptr_t addr, size_t size)
{
    uintptr_t end = addr + size;
    struct area *a;

    mutex_lock(&mm->lock);
    a = area_find_above(mm, addr);
    while (a && a->node.start <= addr && addr < end) {
        addr = a->node.end;
        a = area_next(a);
    }
    mutex_unlock(&mm->lock);
    return addr >= end ? 0 : -ENOMEM;
}

SYSCALL_DEFINE(madvise)
{
    struct mm *mm = mm_current();
    size_t size;

    if (!IS_ALIGNED(a, PAGE_SIZE))
        return -EINVAL;
    if (!range_decode(a, b, &size))
        return b > INT64_MAX ? -EINVAL : -ENOMEM;
    switch ((int)c) {
    case MADV_FREE:
        /* Lazily, as Linux does: only when memory is short. */
        if (enclave_pages_used() < enclave_pages_limit() / 2)
            return size ? advise_nothing(mm, a, size) : 0;
        return size ? mm_discard(mm, a, size) : 0;
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
        return size ? mm_discard(mm, a, size) : 0;
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
    case MADV_WILLNEED:
        if ((int)c != MADV_WILLNEED)
            mm_populate(mm, a, size);
        return size ? advise_nothing(mm, a, size) : 0;
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_WIPEONFORK:
    case MADV_KEEPONFORK:
    case MADV_COLD:
    case MADV_PAGEOUT:
        return size ? advise_nothing(mm, a, size) : 0;
    default:
        return -EINVAL;
    }
}

SYSCALL_DEFINE(msync)
{
    struct mm *mm = mm_current();
    const uint64_t known = MS_ASYNC | MS_INVALIDATE | MS_SYNC;
    uintptr_t at = a, end;
    size_t size;
    int64_t rc;

    if (!IS_ALIGNED(a, PAGE_SIZE) || (c & ~known) || ((c & MS_ASYNC) && (c & MS_SYNC)))
        return -EINVAL;
    if (!range_decode(a, b, &size))
        return -ENOMEM;
    rc = size ? advise_nothing(mm, a, size) : 0;
    for (end = a + size; rc == 0 && (c & MS_SYNC) && at < end;) {
        struct file *file = NULL;
        struct area *area;

        mutex_lock(&mm->lock);
        area = area_find(mm, at);
        at = area ? area->node.end : end;
        if (area && area->kind == AREA_FILE_SHARED) {
            file = area->file;
            file_ref(file);
        }
        mutex_unlock(&mm->lock);
        if (file && file->ops->sync)
            rc = file->ops->sync(file, false);
        if (file)
            file_unref(file);
    }
    return rc;
}

SYSCALL_DEFINE(mincore)
{
    uint8_t present[256];
    size_t size, pages, done = 0;
    int64_t rc;

    if (!IS_ALIGNED(a, PAGE_SIZE))
        return -EINVAL;
    if (!range_decode(a, b, &size))
        return -ENOMEM;
    rc = size ? advise_nothing(mm_current(), a, size) : 0;
    for (pages = size >> PAGE_SHIFT; rc == 0 && done < pages;) {
        size_t part = MIN(pages - done, sizeof present);

        for (size_t i = 0; i < part; i++)
            present[i] = (page_state(a + ((done + i) << PAGE_SHIFT)) & PAGE_PRESENT) != 0;
        rc = user_copy_out(c + done, present, part);
        done += part;
    }
    return rc;
}

/* Enclave memory never goes to a swap device in the clear: locking only makes it present. */
static int64_t lock_pages(uintptr_t addr, size_t size, bool populate)
{
    uintptr_t start = ALIGN_DOWN(addr, PAGE_SIZE);
    int64_t rc;

    if (size == 0)
        return 0;
    if (size > space_end() || !range_decode(start, size + (addr - start), &size))
        return -ENOMEM;
    rc = advise_nothing(mm_current(), start, size);
    if (rc == 0 && populate)
        mm_populate(mm_current(), start, size);
    return rc;
}

SYSCALL_DEFINE(mlock)
{
    return lock_pages(a, b, true);
}

SYSCALL_DEFINE(mlock2)
{
    if (c & ~(uint64_t)MLOCK_ONFAULT)
        return -EINVAL;
    return lock_pages(a, b, c == 0);
}

SYSCALL_DEFINE(munlock)
{
    return lock_pages(a, b, false);
}

SYSCALL_DEFINE(mlockall)
{
    const uint64_t known = MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT;

    return a == 0 || (a & ~known) || a == MCL_ONFAULT ? -EINVAL : 0;
}

SYSCALL_DEFINE(munlockall)
{
    return 0;
}

/* ---- memory policy: a machine with one node, number 0 ---- */

/* A node mask must name no node but 0. */
static int64_t nodemask_check(uintptr_t mask, uint64_t max_node)
{
    uint64_t word = 0;
    int rc;

    if (!mask || max_node <= 1)
        return 0;
    rc = user_copy_in(&word, mask, sizeof word);
    if (rc < 0)
        return rc;
    if (max_node - 1 < 64)
        word &= (1ull << (max_node - 1)) - 1;
    return word & ~1ull ? -EINVAL : 0;
}

static bool is_policy(uint64_t mode)
{
    return (mode & ~(uint64_t)MPOL_MODE_FLAGS) < MPOL_MAX;
}

SYSCALL_DEFINE(set_mempolicy)
{
    return is_policy(a) ? nodemask_check(b, c) : -EINVAL;
}

SYSCALL_DEFINE(mbind)
{
    return is_policy(c) && IS_ALIGNED(a, PAGE_SIZE) ? nodemask_check(d, e) : -EINVAL;
}

SYSCALL_DEFINE(get_mempolicy)
{
    uint64_t zero = 0, one = 1;
    int mode = 0, rc = 0;

    if (e & ~(uint64_t)(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED))
        return -EINVAL;
    if (a)
        rc = user_copy_out(a, &mode, sizeof mode);
    if (rc == 0 && b && c)
        rc = user_copy_out(b, e & MPOL_F_MEMS_ALLOWED ? &one : &zero, sizeof one);
    return rc;
}
