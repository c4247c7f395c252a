/* SPDX-License-Identifier: Apache-2.0 */
/* eventfd(2). Trusted. */
#include <asm/errno.h>
#include <asm/poll.h>
#include <linux/fcntl.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/syscall/syscall.h"

/* linux/eventfd.h of the kernel; not exported. */
#define EFD_SEMAPHORE 1
#define EFD_CLOEXEC O_CLOEXEC
#define EFD_NONBLOCK O_NONBLOCK
#define EVENTFD_MAX (UINT64_MAX - 1)

struct eventfd {
    struct spin lock; /* value */
    bool semaphore;
    uint64_t value;
    struct waitq readers; /* also pollers for reading and writing */
    struct waitq writers;
};

static bool take(struct eventfd *e, uint64_t *ret)
{
    bool taken;

    spin_lock(&e->lock);
    taken = e->value != 0;
    if (taken) {
        *ret = e->semaphore ? 1 : e->value;
        __atomic_store_n(&e->value, e->value - *ret, __ATOMIC_RELAXED);
    }
    spin_unlock(&e->lock);
    return taken;
}

static bool put(struct eventfd *e, uint64_t add)
{
    bool fits;

    spin_lock(&e->lock);
    fits = add <= EVENTFD_MAX - e->value;
    if (fits)
        __atomic_store_n(&e->value, e->value + add, __ATOMIC_RELAXED);
    spin_unlock(&e->lock);
    return fits;
}

static int64_t eventfd_read(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct eventfd *e = f->private_data;
    uint64_t value;
    int64_t rc;

    if (u->left < sizeof value)
        return -EINVAL;
    if (!take(e, &value)) {
        int wait_rc;

        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        WAIT_UNTIL(wait_rc, &e->readers, take(e, &value), WAIT_FOREVER);
        if (wait_rc < 0)
            return wait_rc;
    }
    wait_wake(&e->writers, WAKE_ALL, POLLOUT);
    rc = uio_put(u, &value, sizeof value);
    return rc < 0 ? rc : (int64_t)sizeof value;
}

static int64_t eventfd_write(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct eventfd *e = f->private_data;
    uint64_t value;
    int64_t rc;

    if (u->left < sizeof value)
        return -EINVAL;
    rc = uio_get(u, &value, sizeof value);
    if (rc != (int64_t)sizeof value)
        return rc < 0 ? rc : -EFAULT;
    if (value == UINT64_MAX)
        return -EINVAL;
    if (!put(e, value)) {
        int wait_rc;

        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        WAIT_UNTIL(wait_rc, &e->writers, put(e, value), WAIT_FOREVER);
        if (wait_rc < 0)
            return wait_rc;
    }
    wait_wake(&e->readers, WAKE_ALL, POLLIN);
    return sizeof value;
}

static uint32_t eventfd_poll(struct file *f, struct poll_table *pt)
{
    struct eventfd *e = f->private_data;
    uint64_t value;

    if (pt && pt->add) {
        poll_add(pt, &e->readers);
        poll_add(pt, &e->writers);
        __atomic_thread_fence(
            __ATOMIC_SEQ_CST); /* registered before the look; pairs with wait_wake() */
    }
    value = __atomic_load_n(&e->value, __ATOMIC_RELAXED);
    return (value ? POLLIN | POLLRDNORM : 0) | (value < EVENTFD_MAX ? POLLOUT | POLLWRNORM : 0);
}

static void eventfd_release(struct file *f)
{
    mem_free(f->private_data);
}

static const struct file_ops eventfd_ops = {
    .read = eventfd_read,
    .write = eventfd_write,
    .poll = eventfd_poll,
    .release = eventfd_release,
};

static int64_t create(uint32_t value, uint32_t flags)
{
    struct eventfd *e;
    struct file *f;

    if (flags & ~(uint32_t)(EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK))
        return -EINVAL;
    e = mem_zalloc(sizeof *e);
    if (!e)
        return -ENOMEM;
    e->value = value;
    e->semaphore = (flags & EFD_SEMAPHORE) != 0;
    int rc = file_new(&eventfd_ops, O_RDWR | (flags & EFD_NONBLOCK), e, &f);
    if (rc < 0) {
        mem_free(e);
        return rc;
    }
    f->anon_name = "anon_inode:[eventfd]";
    return poll_fd_install(f, (flags & EFD_CLOEXEC) != 0);
}

SYSCALL_DEFINE(eventfd)
{
    return create((uint32_t)a, 0);
}

SYSCALL_DEFINE(eventfd2)
{
    return create((uint32_t)a, (uint32_t)b);
}
