/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that stand for processes: pidfd_open, pidfd_send_signal, pidfd_getfd. Trusted. */
#include <asm/errno.h>
#include <asm/poll.h>
#include <linux/fcntl.h>

#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/fs/proc/proc.h"
#include "tee/libos/signal/kill.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/children.h"
#include "tee/libos/task/inspect.h"

static uint32_t pidfd_poll(struct file *f, struct poll_table *pt)
{
    struct process *p = f->private_data;

    poll_add(pt, &p->end_wait);
    __atomic_thread_fence(
        __ATOMIC_SEQ_CST); /* registered before the look; pairs with wait_wake() */
    return __atomic_load_n(&p->zombie, __ATOMIC_ACQUIRE) ? POLLIN | POLLRDNORM : 0;
}

static void pidfd_release(struct file *f)
{
    process_unref(f->private_data);
}

static const struct file_ops pidfd_ops = { .poll = pidfd_poll, .release = pidfd_release };

int pidfd_install(struct process *p, uint32_t flags)
{
    struct file *f;
    int rc = file_new(&pidfd_ops, O_RDWR | flags, p, &f);

    if (rc < 0)
        return rc;
    process_ref(p);
    f->anon_name = "anon_inode:[pidfd]";
    return poll_fd_install(f, true);
}

int pidfd_process(int fd, struct process **ret, uint32_t *ret_flags)
{
    CLEANUP(file_unrefp)
    struct file *f = fd_get(fd);

    if (!f || f->ops != &pidfd_ops)
        return -EBADF;
    process_ref(f->private_data);
    *ret = f->private_data;
    if (ret_flags)
        *ret_flags = f->flags;
    return 0;
}

SYSCALL_DEFINE(pidfd_open)
{
    struct process *p;
    struct thread *t;
    int rc;

    if ((b & ~(uint64_t)O_NONBLOCK) || (int32_t)a <= 0)
        return -EINVAL;
    p = process_find((int32_t)a);
    if (!p) {
        t = thread_find((int32_t)a); /* of a thread that is no leader there is none */
        thread_unref(t);
        return t ? -EINVAL : -ESRCH;
    }
    rc = pidfd_install(p, (uint32_t)b);
    process_unref(p);
    return rc;
}

SYSCALL_DEFINE(pidfd_send_signal)
{
    struct process *p;
    int64_t rc;

    if (d)
        return -EINVAL;
    rc = pidfd_process((int)a, &p, NULL);
    if (rc == -EBADF) {
        /* An open /proc/PID will do too: older than pidfd_open. */
        CLEANUP(file_unrefp)
        struct file *folder = fd_get((int)a);

        p = folder ? proc_folder_process(folder) : NULL;
        rc = p ? 0 : -EBADF;
    }
    if (rc < 0)
        return rc;
    rc = kill_with_info(p, b, c);
    process_unref(p);
    return rc;
}

/* ---- pidfd_getfd ---- */

struct find_fd {
    int fd;
    struct file *file;
};

static int find_fd(int fd, struct file *f, bool cloexec UNUSED, void *arg)
{
    struct find_fd *find = arg;

    if (fd != find->fd)
        return 0;
    file_ref(f);
    find->file = f;
    return 1;
}

static int64_t get_fd(struct process *p, int fd)
{
    struct find_fd find = { .fd = fd };
    struct fd_table *t;

    if (!process_may_inspect(p))
        return -EPERM;
    mutex_lock(&p->lock);
    t = p->zombie ? NULL : p->fds;
    if (t)
        fd_table_ref(t);
    mutex_unlock(&p->lock);
    if (!t)
        return -ESRCH;
    fd_table_each(t, find_fd, &find);
    fd_table_unref(t);
    return find.file ? poll_fd_install(find.file, true) : -EBADF;
}

SYSCALL_DEFINE(pidfd_getfd)
{
    struct process *p;
    int64_t rc;

    if (c)
        return -EINVAL;
    rc = pidfd_process((int)a, &p, NULL);
    if (rc < 0)
        return rc;
    rc = get_fd(p, (int)b);
    process_unref(p);
    return rc;
}
