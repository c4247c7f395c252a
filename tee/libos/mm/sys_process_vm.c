/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process_vm_readv and process_vm_writev, for the calling process and those that share its memory (CLONE_VM): crash handlers
 * and collectors look at their own memory in this way, since it answers where a load would fault. Others are refused, as to
 * a tracer without permission. Trusted.
 */
#include <asm/errno.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/mm/mm.h"
#include "tee/libos/mm/user.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/task.h"

static int check_process(int32_t pid)
{
    struct process *p = process_find(pid);
    /* Compared only: another process may end or exec at any time. */
    int rc = !p ? -ESRCH : __atomic_load_n(&p->mm, __ATOMIC_RELAXED) == mm_current() ? 0 : -EPERM;

    process_unref(p);
    return rc;
}

/* Bytes up to the end of the page where u is: what comes before a bad page counts in full. */
static size_t page_rest(const struct uio *u)
{
    const struct user_iovec *segment = &u->segments[u->index];
    size_t rest = PAGE_SIZE - (segment->base + u->off) % PAGE_SIZE;

    return MIN(rest, segment->size - u->off);
}

/* Moves what is left of both until one ends or faults. returns: bytes; -EFAULT when none. */
static int64_t transfer(struct uio *from, struct uio *to, uint8_t *page)
{
    int64_t total = 0;

    while (from->left > 0 && to->left > 0) {
        size_t size = MIN(MIN(from->left, to->left), MIN(page_rest(from), page_rest(to)));
        if (size == 0)
            size = 1; /* an empty segment comes first */
        int64_t got = uio_get(from, page, size);
        int64_t put = got < 0 ? got : uio_put(to, page, (size_t)got);

        if (put < 0)
            return total ? total : put;
        total += put;
        if ((size_t)put < size)
            break;
    }
    return total;
}

static int64_t process_vm(int32_t pid, bool is_write, const uint64_t local[2],
                          const uint64_t remote[2], uint64_t flags)
{
    CLEANUP(uio_done)
    struct uio mine = { 0 };
    CLEANUP(uio_done)
    struct uio other = { 0 };
    uint8_t *page;
    int64_t rc;

    if (flags)
        return -EINVAL;
    rc = uio_init_iovec(&mine, local[0], local[1]);
    if (rc == 0)
        rc = uio_init_iovec(&other, remote[0], remote[1]);
    if (rc < 0)
        return rc;
    if (mine.left == 0 || other.left == 0)
        return 0;
    rc = check_process(pid);
    if (rc < 0)
        return rc;
    page = page_alloc(1);
    if (!page)
        return -ENOMEM;
    rc = is_write ? transfer(&mine, &other, page) : transfer(&other, &mine, page);
    page_free(page, 1);
    return rc;
}

SYSCALL_DEFINE(process_vm_readv)
{
    return process_vm((int32_t)a, false, (uint64_t[]){ b, c }, (uint64_t[]){ d, e }, f);
}

SYSCALL_DEFINE(process_vm_writev)
{
    return process_vm((int32_t)a, true, (uint64_t[]){ b, c }, (uint64_t[]){ d, e }, f);
}
