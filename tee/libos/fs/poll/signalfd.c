/* SPDX-License-Identifier: Apache-2.0 */
/* signalfd(2). Trusted. Who waits on any signalfd waits on one queue, which every queued signal wakes. */
#include <asm/errno.h>
#include <asm/poll.h>
#include <linux/fcntl.h>
#include <linux/signalfd.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/signal/queue.h"
#include "tee/libos/syscall/syscall.h"

struct signalfd {
    uint64_t mask; /* atomic */
};

/* Fields of siginfo(2) at their places in `fields` (offset 16 of siginfo_t). */
static void encode(const struct siginfo_linux *in, int signo, struct signalfd_siginfo *out)
{
    memset(out, 0, sizeof *out);
    out->ssi_signo = (uint32_t)signo;
    out->ssi_errno = in->error;
    out->ssi_code = in->code;
    if (in->code > 0 &&
        (SIGNAL_BIT(signo) & (SIGNAL_BIT(4) | SIGNAL_BIT(7) | SIGNAL_BIT(8) | SIGNAL_BIT(11)))) {
        memcpy(&out->ssi_addr, in->fields, 8);
        return;
    }
    memcpy(&out->ssi_pid, in->fields, 4);
    memcpy(&out->ssi_uid, in->fields + 4, 4);
    memcpy(&out->ssi_int, in->fields + 8, 4);
    memcpy(&out->ssi_ptr, in->fields + 8, 8);
    if (signo == 17) /* SIGCHLD */
        memcpy(&out->ssi_status, in->fields + 8, 4);
}

static bool is_pending(const struct signalfd *s)
{
    struct thread *t = thread_current();

    return ((sig_queue_mask(t->pending) | sig_queue_mask(t->process->pending)) &
            __atomic_load_n(&s->mask, __ATOMIC_RELAXED)) != 0;
}

static int64_t signalfd_read(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct signalfd *s = f->private_data;
    struct signalfd_siginfo out;
    struct siginfo_linux info;
    int64_t done = 0;

    if (u->left < sizeof out)
        return -EINVAL;
    while (u->left >= sizeof out) {
        int signo = signal_take(__atomic_load_n(&s->mask, __ATOMIC_RELAXED), &info);
        int rc;

        if (signo) {
            encode(&info, signo, &out);
            int64_t n = uio_put(u, &out, sizeof out);
            if (n < 0)
                return done ? done : n;
            done += n;
            continue;
        }
        if (done)
            break;
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        WAIT_UNTIL(rc, &g_signal_arrival, is_pending(s), WAIT_FOREVER);
        if (rc < 0)
            return rc;
    }
    return done;
}

static uint32_t signalfd_poll(struct file *f, struct poll_table *pt)
{
    poll_add(pt, &g_signal_arrival);
    __atomic_thread_fence(
        __ATOMIC_SEQ_CST); /* registered before the look; pairs with wait_wake() */
    return is_pending(f->private_data) ? POLLIN | POLLRDNORM : 0;
}

static void signalfd_release(struct file *f)
{
    mem_free(f->private_data);
}

static const struct file_ops signalfd_ops = {
    .read = signalfd_read,
    .poll = signalfd_poll,
    .release = signalfd_release,
};

static int64_t create(uint64_t mask, uint32_t flags)
{
    struct signalfd *s = mem_zalloc(sizeof *s);
    struct file *f;

    if (!s)
        return -ENOMEM;
    s->mask = mask;
    int rc = file_new(&signalfd_ops, O_RDWR | (flags & O_NONBLOCK), s, &f);
    if (rc < 0) {
        mem_free(s);
        return rc;
    }
    f->anon_name = "anon_inode:[signalfd]";
    return poll_fd_install(f, (flags & O_CLOEXEC) != 0);
}

static int64_t signalfd(int fd, uintptr_t mask_addr, uint64_t size, uint32_t flags)
{
    uint64_t mask;
    int rc;

    if (size != sizeof mask || flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    rc = USER_GET(&mask, mask_addr);
    if (rc < 0)
        return rc;
    mask &= ~SIGNALS_UNBLOCKABLE;
    if (fd == -1)
        return create(mask, flags);
    CLEANUP(file_unrefp)
    struct file *f = fd_get(fd);
    if (!f)
        return -EBADF;
    if (f->ops != &signalfd_ops)
        return -EINVAL;
    __atomic_store_n(&((struct signalfd *)f->private_data)->mask, mask, __ATOMIC_RELAXED);
    wait_wake(&g_signal_arrival, WAKE_ALL, POLLIN);
    return fd;
}

SYSCALL_DEFINE(signalfd)
{
    return signalfd((int)a, b, c, 0);
}

SYSCALL_DEFINE(signalfd4)
{
    return signalfd((int)a, b, c, (uint32_t)d);
}
