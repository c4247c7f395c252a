/* SPDX-License-Identifier: Apache-2.0 */
/*
 * splice(2), tee(2), vmsplice(2). Bytes are copied once through a buffer of the library OS; there are no pages to give
 * away between address spaces here. Trusted.
 */
#include <asm/errno.h>
#include <asm/poll.h>
#include <linux/fcntl.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/fs/notify/notify.h"
#include "tee/libos/fs/pipe/pipe_private.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/fs/vfs/mode.h"
#include "tee/libos/syscall/syscall.h"

#define SPLICE_F_MOVE 0x01
#define SPLICE_F_NONBLOCK 0x02
#define SPLICE_F_MORE 0x04
#define SPLICE_F_GIFT 0x08
#define SPLICE_F_ALL (SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT)

#define BUFFER_SIZE 65536u

struct splice_end {
    struct file *file;
    struct pipe *pipe; /* NULL: not a pipe */
    uint64_t off;
    bool has_off;
};

static uint64_t *end_pos(struct splice_end *e)
{
    return e->has_off ? &e->off : &e->file->pos;
}

/* Waits until the pipe has bytes. returns: 1; 0 no writer is left; negative errno. */
static int wait_source(struct splice_end *in, bool nonblock)
{
    struct pipe *p = in->pipe;

    for (;;) {
        bool open = __atomic_load_n(&p->writers, __ATOMIC_ACQUIRE) != 0;

        if (ring_used(&p->ring))
            return 1;
        if (!open)
            return 0;
        if (nonblock || in->file->flags & O_NONBLOCK)
            return -EAGAIN;
        int rc = pipe_wait_data(p);
        if (rc < 0)
            return rc;
    }
}

/* Waits until the pipe has room. returns: 0; -EPIPE without the signal; -EAGAIN; -ERESTARTSYS. */
static int wait_target(struct splice_end *out, bool nonblock)
{
    struct pipe *p = out->pipe;

    for (;;) {
        if (!__atomic_load_n(&p->readers, __ATOMIC_ACQUIRE))
            return -EPIPE;
        if (pipe_room(p))
            return 0;
        if (nonblock || out->file->flags & O_NONBLOCK)
            return -EAGAIN;
        int rc = pipe_wait_room(p, 1);
        if (rc < 0)
            return rc;
    }
}

/* A look at what the pipe holds; nothing is taken. */
static int64_t peek(struct pipe *p, void *buffer, size_t size)
{
    struct uio u;

    uio_init_kernel(&u, buffer, size);
    mutex_lock(&p->read_lock);
    int64_t n = ring_peek(&p->ring, &u, pipe_packet_limit(p, size), 0);
    mutex_unlock(&p->read_lock);
    return n;
}

static int64_t put_pipe(struct pipe *p, void *buffer, size_t size)
{
    struct uio u;

    uio_init_kernel(&u, buffer, size);
    mutex_lock(&p->write_lock);
    int64_t n = pipe_grow(p, MIN(size, pipe_room(p)));
    if (n == 0)
        n = ring_write(&p->ring, &u, MIN(size, pipe_room(p)));
    if (n > 0)
        pipe_packet_put(p, (size_t)n, false);
    mutex_unlock(&p->write_lock);
    if (n > 0)
        pipe_wake_readers(p);
    return n;
}

/* From a pipe to another file: what that took is taken from the pipe. Held read_lock keeps other readers away. */
static int64_t from_pipe(struct splice_end *in, struct splice_end *out, void *buffer, size_t size,
                         bool nonblock)
{
    struct uio u;
    int64_t n;
    int rc = wait_source(in, nonblock);

    if (rc <= 0)
        return rc;
    uio_init_kernel(&u, buffer, size);
    mutex_lock(&in->pipe->read_lock);
    n = ring_peek(&in->pipe->ring, &u, pipe_packet_limit(in->pipe, size), 0);
    if (n > 0) {
        uio_init_kernel(&u, buffer, (size_t)n);
        n = out->file->ops->write(out->file, &u, out->file->ops->seek ? end_pos(out) : NULL);
    }
    if (n > 0)
        notify_file(out->file, IN_MODIFY);
    if (n > 0)
        pipe_skip(in->pipe, (size_t)n);
    mutex_unlock(&in->pipe->read_lock);
    if (n > 0)
        pipe_wake_writers(in->pipe);
    return n;
}

/* A source that a read could keep waiting: has it something, or its end? */
static bool is_ready(struct file *f)
{
    return !f->ops->poll || (f->inode && S_ISREG(f->inode->mode)) ||
           (file_poll(f) & (POLLIN | POLLHUP | POLLERR)) != 0;
}

/* Puts all of it: another writer may have filled the pipe meanwhile. returns: bytes; -EPIPE; -ENOMEM; -ERESTARTSYS
 * when the thread must end. */
static int64_t put_all(struct pipe *p, uint8_t *bytes, size_t size)
{
    size_t done = 0;
    struct waiter w;
    int64_t n = 0;

    waiter_init(&w);
    waitq_add(&p->write_wait, &w);
    while (done < size && n >= 0) {
        if (!__atomic_load_n(&p->readers, __ATOMIC_ACQUIRE))
            n = -EPIPE;
        else if (pipe_room(p))
            n = put_pipe(p, bytes + done, size - done);
        else
            n = wait_sleep(NULL, 0, WAIT_FOREVER, false);
        if (n > 0)
            done += (size_t)n;
    }
    waitq_remove(&w);
    return done ? (int64_t)done : n;
}

static int64_t to_pipe(struct splice_end *in, struct splice_end *out, void *buffer, size_t size,
                       bool nonblock)
{
    struct uio u;
    int64_t n;
    int rc = wait_target(out, nonblock);

    if (rc < 0)
        return rc;
    if (nonblock && !is_ready(in->file))
        return -EAGAIN;
    uio_init_kernel(&u, buffer, MIN(size, MAX(pipe_room(out->pipe), 1u)));
    n = in->file->ops->read(in->file, &u, in->file->ops->seek ? end_pos(in) : NULL);
    if (n <= 0)
        return n;
    notify_file(in->file, IN_ACCESS);
    return put_all(out->pipe, buffer, (size_t)n);
}

static int64_t pipe_to_pipe(struct splice_end *in, struct splice_end *out, void *buffer,
                            size_t size, bool nonblock, bool take)
{
    int rc = wait_source(in, nonblock);

    if (rc <= 0)
        return rc;
    rc = wait_target(out, nonblock);
    if (rc < 0)
        return rc;
    int64_t n = peek(in->pipe, buffer, MIN(size, ring_free(&out->pipe->ring)));
    if (n > 0)
        n = put_pipe(out->pipe, buffer, (size_t)n);
    if (n > 0 && take) {
        mutex_lock(&in->pipe->read_lock);
        pipe_skip(in->pipe, (size_t)n);
        mutex_unlock(&in->pipe->read_lock);
        pipe_wake_writers(in->pipe);
    }
    return n;
}

static int get_end(struct splice_end *e, struct file *f, uintptr_t off_addr)
{
    *e = (struct splice_end){ .file = f };
    if (pipe_is_file(f)) {
        e->pipe = f->private_data;
        return off_addr ? -ESPIPE : 0;
    }
    if (!off_addr)
        return 0;
    if (!f->ops->seek)
        return -ESPIPE;
    e->has_off = true;
    int rc = USER_GET(&e->off, off_addr);
    return rc < 0 ? rc : (int64_t)e->off < 0 ? -EINVAL : 0;
}

static int64_t move(struct splice_end *in, struct splice_end *out, size_t size, uint32_t flags)
{
    bool nonblock = (flags & SPLICE_F_NONBLOCK) != 0;
    CLEANUP(mem_freep)
    void *buffer = mem_alloc(MIN(size, BUFFER_SIZE));

    if (!buffer)
        return -ENOMEM;
    size = MIN(size, BUFFER_SIZE);
    if (in->pipe && out->pipe)
        return pipe_to_pipe(in, out, buffer, size, nonblock, true);
    if (in->pipe)
        return from_pipe(in, out, buffer, size, nonblock);
    return to_pipe(in, out, buffer, size, nonblock);
}

static bool can(const struct file *f, bool write)
{
    uint32_t access = f->flags & O_ACCMODE;

    return write ? access != O_RDONLY && f->ops->write : access != O_WRONLY && f->ops->read;
}

static bool is_folder(const struct file *f)
{
    return f->inode && S_ISDIR(f->inode->mode);
}

SYSCALL_DEFINE(splice)
{
    struct splice_end in, out;
    int rc;

    if ((uint32_t)f & ~(uint32_t)SPLICE_F_ALL)
        return -EINVAL;
    if (e == 0)
        return 0;
    CLEANUP(file_unrefp)
    struct file *from = fd_get((int)a);
    if (!from)
        return -EBADF;
    CLEANUP(file_unrefp)
    struct file *to = fd_get((int)c);
    if (!to || !can(from, false) || !can(to, true))
        return -EBADF;
    rc = get_end(&in, from, b);
    if (rc == 0)
        rc = get_end(&out, to, d);
    if (rc < 0)
        return rc;
    if (is_folder(from) || (!in.pipe && !out.pipe) || (in.pipe && in.pipe == out.pipe) ||
        to->flags & O_APPEND)
        return -EINVAL;
    int64_t n = move(&in, &out, e, (uint32_t)f);
    if (n == -EPIPE && out.pipe)
        return pipe_broken();
    if (n > 0 && in.has_off)
        rc = USER_PUT(b, &in.off);
    if (n > 0 && out.has_off && rc == 0)
        rc = USER_PUT(d, &out.off);
    return rc < 0 ? rc : n;
}

SYSCALL_DEFINE(tee)
{
    struct splice_end in, out;

    if ((uint32_t)d & ~(uint32_t)SPLICE_F_ALL)
        return -EINVAL;
    if (c == 0)
        return 0;
    CLEANUP(file_unrefp)
    struct file *from = fd_get((int)a);
    if (!from)
        return -EBADF;
    CLEANUP(file_unrefp)
    struct file *to = fd_get((int)b);
    if (!to || !can(from, false) || !can(to, true))
        return -EBADF;
    int rc = get_end(&in, from, 0);
    if (rc == 0)
        rc = get_end(&out, to, 0);
    if (rc < 0)
        return rc;
    if (!in.pipe || !out.pipe || in.pipe == out.pipe)
        return -EINVAL;
    size_t size = MIN((size_t)c, BUFFER_SIZE);
    CLEANUP(mem_freep)
    void *buffer = mem_alloc(size);
    if (!buffer)
        return -ENOMEM;
    int64_t n = pipe_to_pipe(&in, &out, buffer, size, (d & SPLICE_F_NONBLOCK) != 0, false);
    return n == -EPIPE ? pipe_broken() : n;
}

/* Copies, as if by writev or readv: pages are not shared with the program. */
SYSCALL_DEFINE(vmsplice)
{
    struct uio u;

    if ((uint32_t)d & ~(uint32_t)SPLICE_F_ALL)
        return -EINVAL;
    CLEANUP(file_unrefp)
    struct file *file = fd_get((int)a);
    if (!file || !pipe_is_file(file))
        return -EBADF;
    int rc = uio_init_iovec(&u, b, c);
    if (rc < 0)
        return rc;
    uint64_t none = 0;
    int64_t n = (file->flags & O_ACCMODE) != O_RDONLY ? file->ops->write(file, &u, &none)
                                                      : file->ops->read(file, &u, &none);
    uio_done(&u);
    return n;
}
