/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipes. The ring needs no lock between reader and writer, so both copy at the same time; each end has a lock among its
 * own users. Trusted.
 */
#include <asm/errno.h>
#include <asm/ioctls.h>
#include <asm/poll.h>
#include <asm/signal.h>
#include <linux/fcntl.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/log.h"
#include "tee/libos/fs/pipe/pipe_private.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"

/* A large write is published in pieces, so that the reader copies while the writer does. */
#define PIECE_SIZE 16384u

static uint64_t g_next_ino = 1; /* atomic */

int pipe_new(struct pipe **ret)
{
    struct pipe *p = mem_zalloc(sizeof *p);

    if (!p)
        return -ENOMEM;
    ring_init(&p->ring, PIPE_CAPACITY);
    p->ino = __atomic_fetch_add(&g_next_ino, 1, __ATOMIC_RELAXED);
    format(p->name, sizeof p->name, "pipe:[%lu]", (unsigned long)p->ino);
    *ret = p;
    return 0;
}

void pipe_free(struct pipe *p)
{
    ring_done(&p->ring);
    mem_free(p->packets);
    mem_free(p);
}

static bool can_read(uint32_t flags)
{
    return (flags & O_ACCMODE) != O_WRONLY;
}

static bool can_write(uint32_t flags)
{
    return (flags & O_ACCMODE) != O_RDONLY;
}

void pipe_enter(struct pipe *p, uint32_t flags)
{
    __atomic_fetch_add(&p->files, 1, __ATOMIC_RELAXED);
    if (can_read(flags))
        __atomic_fetch_add(&p->readers, 1, __ATOMIC_RELAXED);
    if (can_write(flags))
        __atomic_fetch_add(&p->writers, 1, __ATOMIC_RELAXED);
}

void pipe_leave(struct pipe *p, uint32_t flags)
{
    if (can_read(flags) && __atomic_sub_fetch(&p->readers, 1, __ATOMIC_ACQ_REL) == 0)
        wait_wake(&p->write_wait, WAKE_ALL, POLLOUT | POLLERR);
    if (can_write(flags) && __atomic_sub_fetch(&p->writers, 1, __ATOMIC_ACQ_REL) == 0)
        wait_wake(&p->read_wait, WAKE_ALL, POLLIN | POLLHUP);
    if (p->inode ? fifo_forget(p) : __atomic_sub_fetch(&p->files, 1, __ATOMIC_ACQ_REL) == 0)
        pipe_free(p);
}

int pipe_grow(struct pipe *p, size_t size)
{
    if (LIKELY(!ring_must_grow(&p->ring, size)))
        return 0;
    mutex_lock(&p->read_lock);
    int rc = ring_grow(&p->ring, size);
    mutex_unlock(&p->read_lock);
    return rc;
}

void pipe_wake_readers(struct pipe *p)
{
    poll_wake_after_unlock(&p->read_wait, POLLIN | POLLRDNORM);
}

void pipe_wake_writers(struct pipe *p)
{
    /* No writer waits for more than this, and none is told of less. */
    if (pipe_room(p) >= PIPE_ATOMIC)
        poll_wake_after_unlock(&p->write_wait, POLLOUT | POLLWRNORM);
}

static uint32_t count_now(const uint32_t *count)
{
    return __atomic_load_n(count, __ATOMIC_ACQUIRE);
}

int pipe_wait_data(struct pipe *p)
{
    int rc;

    WAIT_UNTIL(rc, &p->read_wait, ring_used(&p->ring) || !count_now(&p->writers), WAIT_FOREVER);
    return rc;
}

int pipe_wait_room(struct pipe *p, size_t size)
{
    int rc;

    WAIT_UNTIL(rc, &p->write_wait, pipe_room(p) >= size || !count_now(&p->readers), WAIT_FOREVER);
    return rc;
}

int pipe_broken(void)
{
    signal_send_thread(thread_current(), SIGPIPE, NULL);
    return -EPIPE;
}

static int64_t pipe_read(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct pipe *p = f->private_data;

    if (u->left == 0)
        return 0;
    for (;;) {
        bool open =
            count_now(&p->writers) != 0; /* before the look: what the last writer left is read */

        mutex_lock(&p->read_lock);
        int64_t n =
            UNLIKELY(p->packets != NULL) ? pipe_packet_read(p, u) : ring_read(&p->ring, u, u->left);
        mutex_unlock(&p->read_lock);
        if (n > 0)
            pipe_wake_writers(p);
        if (n != 0 || !open)
            return n;
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        int rc = pipe_wait_data(p);
        if (rc < 0)
            return rc;
    }
}

/* Bytes without packets, as write_now(); write_lock held. */
static int64_t write_bytes(struct pipe *p, struct uio *u)
{
    size_t need = u->left <= PIPE_ATOMIC ? u->left : 1;
    int64_t total = 0;

    while (u->left) {
        size_t room = ring_free(&p->ring);
        int64_t n;

        if (!count_now(&p->readers)) {
            n = -EPIPE;
        } else if (room < need) {
            break;
        } else {
            size_t piece = MIN(MIN(u->left, room), PIECE_SIZE);

            n = pipe_grow(p, MIN(u->left, room));
            if (n == 0)
                n = ring_write(&p->ring, u, piece);
            if (n == 0)
                n = -ENOMEM; /* full below its capacity: could not grow */
        }
        if (n <= 0) {
            total = total ? total : n;
            break;
        }
        total += n;
        need = 1;
        if (u->left)
            wait_wake(&p->read_wait, WAKE_ALL,
                      POLLIN | POLLRDNORM); /* reads while the rest is copied */
    }
    return total;
}

/* Puts what fits now, in pieces. Writes up to PIPE_ATOMIC go whole or not at all.
 * returns: bytes (0: no room); -EPIPE without the signal; -EFAULT; -ENOMEM. */
static int64_t write_now(struct pipe *p, struct uio *u, bool is_packet)
{
    int64_t total;

    mutex_lock(&p->write_lock);
    if (UNLIKELY(is_packet || p->packets))
        total = count_now(&p->readers) ? pipe_packet_write(p, u, is_packet) : -EPIPE;
    else
        total = write_bytes(p, u);
    mutex_unlock(&p->write_lock);
    if (total > 0)
        pipe_wake_readers(p);
    return total;
}

static int64_t pipe_write(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct pipe *p = f->private_data;
    int64_t total = 0;

    if (u->left == 0)
        return 0;
    for (;;) {
        size_t left = u->left;
        int64_t n = write_now(p, u, (f->flags & O_DIRECT) != 0);
        int rc;

        if (n > 0)
            total += n;
        if (n < 0) {
            rc = (int)n;
        } else if (u->left == 0) {
            return total;
        } else if (n > 0 && (size_t)n < left && pipe_room(p) > PIPE_ATOMIC) {
            continue; /* the reader was faster; or a fault: the next round reports it */
        } else if (f->flags & O_NONBLOCK) {
            rc = -EAGAIN;
        } else {
            rc = pipe_wait_room(p, MIN(u->left, PIPE_ATOMIC));
        }
        if (rc == 0)
            continue;
        if (rc == -EPIPE)
            rc = pipe_broken();
        return total ? total : rc;
    }
}

static uint32_t pipe_poll(struct file *f, struct poll_table *pt)
{
    struct pipe *p = f->private_data;
    uint32_t bits = 0;

    if (pt && pt->add) {
        if (can_read(f->flags))
            poll_add(pt, &p->read_wait);
        if (can_write(f->flags))
            poll_add(pt, &p->write_wait);
        __atomic_thread_fence(
            __ATOMIC_SEQ_CST); /* registered before the look; pairs with wait_wake() */
    }
    if (can_read(f->flags)) {
        if (!count_now(&p->writers) && (!p->inode || count_now(&p->writer_opens)))
            bits |= POLLHUP;
        if (ring_used(&p->ring))
            bits |= POLLIN | POLLRDNORM;
    }
    if (can_write(f->flags)) {
        if (pipe_room(p) >= PIPE_ATOMIC)
            bits |= POLLOUT | POLLWRNORM;
        if (!count_now(&p->readers))
            bits |= POLLERR;
    }
    return bits;
}

static int64_t pipe_ioctl(struct file *f, uint32_t request, uintptr_t arg)
{
    struct pipe *p = f->private_data;
    int32_t used = (int32_t)ring_used(&p->ring);

    return request == FIONREAD ? USER_PUT(arg, &used) : -ENOTTY;
}

static void pipe_release(struct file *f)
{
    pipe_leave(f->private_data, f->flags);
}

const struct file_ops g_pipe_ops = {
    .read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll,
    .ioctl = pipe_ioctl,
    .release = pipe_release,
    .sends_sigio = true,
};

bool pipe_is_file(const struct file *f)
{
    return f->ops == &g_pipe_ops;
}

uint64_t pipe_ino(const struct file *f)
{
    return pipe_is_file(f) ? ((struct pipe *)f->private_data)->ino : 0;
}

int64_t pipe_get_size(struct file *f)
{
    return pipe_is_file(f) ? (int64_t)((struct pipe *)f->private_data)->ring.capacity : -EBADF;
}

int64_t pipe_set_size(struct file *f, uint64_t size)
{
    struct pipe *p = f->private_data;
    size_t capacity = PAGE_SIZE;

    if (!pipe_is_file(f))
        return -EBADF;
    if (size > INT32_MAX)
        return -EINVAL;
    if (size > PIPE_CAPACITY_MAX)
        return -EPERM;
    while (capacity < size)
        capacity *= 2;
    mutex_lock(&p->write_lock);
    mutex_lock(&p->read_lock);
    int rc = ring_set_capacity(&p->ring, capacity);
    mutex_unlock(&p->read_lock);
    mutex_unlock(&p->write_lock);
    if (rc < 0)
        return rc;
    pipe_wake_writers(p);
    return (int64_t)capacity;
}

/* ---- pipe(2) ---- */

static int new_end(struct pipe *p, uint32_t flags, struct file **ret)
{
    struct file *f;
    int rc = file_new(&g_pipe_ops, flags, p, &f);

    if (rc < 0)
        return rc;
    f->anon_name = p->name;
    pipe_enter(p, flags);
    *ret = f;
    return 0;
}

static int new_ends(uint32_t flags, struct file **ret_read, struct file **ret_write)
{
    struct pipe *p;
    int rc = pipe_new(&p);

    if (rc < 0)
        return rc;
    rc = new_end(p, O_RDONLY | flags, ret_read);
    if (rc < 0) {
        pipe_free(p);
        return rc;
    }
    rc = new_end(p, O_WRONLY | flags, ret_write);
    if (rc < 0)
        file_unref(*ret_read);
    return rc;
}

static int64_t create(uintptr_t addr, uint32_t flags)
{
    struct file *read_end, *write_end;
    int fds[2];
    int rc;

    if (flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
        return -EINVAL;
    rc = new_ends(flags & (O_NONBLOCK | O_DIRECT), &read_end, &write_end);
    if (rc < 0)
        return rc;
    fds[0] = poll_fd_install(read_end, (flags & O_CLOEXEC) != 0);
    if (fds[0] < 0) {
        file_unref(write_end);
        return fds[0];
    }
    fds[1] = poll_fd_install(write_end, (flags & O_CLOEXEC) != 0);
    rc = fds[1] < 0 ? fds[1] : USER_PUT(addr, &fds);
    if (rc < 0) {
        int closed UNUSED = fd_close(fds[0]);

        if (fds[1] >= 0)
            closed = fd_close(fds[1]);
    }
    return rc;
}

SYSCALL_DEFINE(pipe)
{
    return create(a, 0);
}

SYSCALL_DEFINE(pipe2)
{
    return create(a, (uint32_t)b);
}
