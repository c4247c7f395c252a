/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/PID/mem, for the calling process: its memory as a file, with an error where a load would fault. What its pages
 * do not allow, this does not either. Trusted.
 */
#include <linux/errno.h>
#include <linux/fs.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/fs/proc/proc_internal.h"
#include "tee/libos/mm/user.h"

int proc_mem_may(const struct pseudo_key *k)
{
    struct process *p = proc_process(k);
    struct mm *mm = p ? proc_mm(p) : NULL;
    bool is_own = mm && mm == mm_current();

    mm_unref(mm);
    process_unref(p);
    return !p ? -ESRCH : is_own ? 0 : -EACCES;
}

static bool is_own(const struct file *f)
{
    return (uintptr_t)f->private_data == (uintptr_t)process_current()->pid;
}

/* Moves up to the end of one page at a time, so that what comes before a bad page counts. */
static int64_t transfer(struct file *f, struct uio *u, uint64_t *pos, bool is_write)
{
    uint8_t *page;
    int64_t total = 0, n = 0;

    if (!is_own(f)) /* another process has it now */
        return 0;
    page = page_alloc(1);
    if (!page)
        return -ENOMEM;
    while (u->left > 0 && n >= 0) {
        size_t size = MIN(u->left, PAGE_SIZE - *pos % PAGE_SIZE);

        if (is_write && (n = uio_get(u, page, size)) < 0)
            break;
        n = is_write ? user_copy_out(*pos, page, size) : user_copy_in(page, *pos, size);
        if (n == -EFAULT)
            n = -EIO;
        if (n >= 0 && !is_write)
            n = uio_put(u, page, size);
        if (n < 0)
            break;
        total += (int64_t)size;
        *pos += size;
    }
    page_free(page, 1);
    return total ? total : n;
}

static int64_t mem_read(struct file *f, struct uio *u, uint64_t *pos)
{
    return transfer(f, u, pos, false);
}

static int64_t mem_write(struct file *f, struct uio *u, uint64_t *pos)
{
    return transfer(f, u, pos, true);
}

static int64_t mem_seek(struct file *f, int64_t off, int whence)
{
    if (whence == SEEK_CUR)
        off += (int64_t)f->pos;
    else if (whence != SEEK_SET)
        return -EINVAL;
    f->pos = (uint64_t)off;
    return off;
}

static const struct file_ops mem_ops = {
    .read = mem_read,
    .write = mem_write,
    .seek = mem_seek,
};

int proc_mem_open(const struct pseudo_key *k, struct file *f)
{
    /* No reference to the memory: an open file would keep it when the process executes another program. */
    f->private_data = (void *)(uintptr_t)k->pid;
    f->ops = &mem_ops;
    return 0;
}
