/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of the two sides of a terminal. Trusted. The lock of the terminal is held while program memory is copied, in
 * pieces of tty->scratch; nothing sleeps for the other side with it held.
 */
#include <asm/errno.h>
#include <asm/ioctls.h>
#include <asm/poll.h>
#include <asm/signal.h>
#include <linux/capability.h>
#include <linux/fcntl.h>

#include "tee/enclave/clock.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/fs/tty/tty_private.h"
#include "tee/libos/fs/vfs/vfs_internal.h"
#include "tee/libos/signal/signal.h"

#define NS_PER_DECISECOND 100000000ull
#define OUTPUT_GROWTH 8u /* bytes that one byte becomes at most: a tab */

/* ---- slave: reading ---- */

/* Takes what is there, at most what u wants. Lock held. returns: bytes; -EFAULT. */
static int64_t take_input(struct tty *t, struct uio *u)
{
    bool is_canonical = (t->ld.termios.c_lflag & ICANON) != 0;
    int64_t total = 0;

    while (u->left && ldisc_is_readable(&t->ld, 1)) {
        size_t size = MIN(u->left, sizeof t->scratch), n = ldisc_read(&t->ld, t->scratch, size);
        int64_t rc = n ? uio_put(u, t->scratch, n) : 0;

        if (rc < 0)
            return total ? total : rc;
        total += rc;
        if ((size_t)rc < n || (is_canonical && (n < size || ldisc_ended_line(&t->ld))))
            break;
    }
    return total;
}

/* How many bytes a read waits for, and until when. */
struct read_wait {
    size_t minimum;
    uint64_t deadline_ns; /* 0: do not wait at all */
    uint64_t between_ns;  /* VTIME with VMIN: time between bytes; 0: none */
};

static struct read_wait read_wait_of(const struct tty *t, size_t size)
{
    const uint8_t *cc = t->ld.termios.c_cc;
    struct read_wait w = { .minimum = 1, .deadline_ns = WAIT_FOREVER };

    if (t->ld.termios.c_lflag & ICANON)
        return w;
    if (cc[VMIN] > 0) {
        w.minimum = MIN((size_t)cc[VMIN], size);
        w.between_ns = cc[VTIME] * NS_PER_DECISECOND;
    } else {
        w.deadline_ns = cc[VTIME] ? clock_monotonic_ns() + cc[VTIME] * NS_PER_DECISECOND : 0;
    }
    return w;
}

static int wait_input(struct tty *t, uint64_t deadline_ns)
{
    int rc;

    WAIT_UNTIL(rc, &t->slave_read, tty_is(t, TTY_SLAVE_ANY | TTY_HUNG_UP), deadline_ns);
    return rc;
}

static int64_t slave_read(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct tty *t = f->private_data;
    size_t size = u->left;
    struct read_wait w;
    uint64_t deadline_ns = 0;
    int64_t total = 0, rc = tty_job_check(t, SIGTTIN);
    bool is_first = true, has_waited = false;

    if (rc < 0 || size == 0)
        return rc;
    for (;;) {
        uio_prefault(u, MIN(u->left, LDISC_INPUT_SIZE), true);
        tty_lock(t);
        w = read_wait_of(t, size);
        if (is_first)
            deadline_ns = w.deadline_ns;
        is_first = false;
        bool had = ldisc_is_readable(&t->ld, 1), is_over = t->hung_up;
        rc = had && !is_over ? take_input(t, u) : 0;
        tty_unlock(t, TTY_DID_READ);
        if (is_over && has_waited)
            rc = -EIO;
        if (is_over || rc < 0)
            return total ? total : rc;
        total += rc;
        if (had && (total == 0 || (size_t)total >= w.minimum || u->left == 0))
            return total;
        if (total && w.between_ns)
            deadline_ns = clock_monotonic_ns() + w.between_ns;
        if (deadline_ns == 0)
            return total;
        if (f->flags & O_NONBLOCK)
            return total ? total : -EAGAIN;
        rc = wait_input(t, deadline_ns);
        has_waited = true;
        if (rc == -ETIMEDOUT)
            return total;
        if (rc < 0)
            return total ? total : rc;
    }
}

/* ---- slave: writing ---- */

/* What there is room for. returns: bytes; 0: no room; -EFAULT; -EIO. */
static int64_t put_output(struct tty *t, struct uio *u)
{
    int64_t total = 0;

    tty_lock(t);
    while (u->left && ldisc_is_writable(&t->ld) && !t->hung_up) {
        size_t size = MIN(u->left, sizeof t->scratch);
        int64_t n;

        size = MIN(size, (size_t)byte_ring_free(&t->out) / OUTPUT_GROWTH);
        n = uio_get(u, t->scratch, size);
        if (n <= 0) {
            total = total ? total : n;
            break;
        }
        total += (int64_t)ldisc_output(&t->ld, t->scratch, (size_t)n);
    }
    if (t->hung_up && total == 0)
        total = -EIO;
    tty_unlock(t, total > 0 ? TTY_DID_OUTPUT : 0);
    return total;
}

static int64_t slave_write(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct tty *t = f->private_data;
    int64_t total = 0, rc = 0;

    if (__atomic_load_n(&t->ld.termios.c_lflag, __ATOMIC_RELAXED) & TOSTOP)
        rc = tty_job_check(t, SIGTTOU);
    if (rc < 0)
        return rc;
    while (u->left) {
        uio_prefault(u, MIN(u->left, TTY_OUT_SIZE), false);
        rc = put_output(t, u);
        if (rc > 0)
            total += rc;
        if (rc == 0 && f->flags & O_NONBLOCK)
            rc = -EAGAIN;
        else if (rc == 0)
            WAIT_UNTIL(rc, &t->slave_write, tty_is(t, TTY_SLAVE_OUT | TTY_HUNG_UP), WAIT_FOREVER);
        if (rc < 0)
            return total ? total : rc;
    }
    return total;
}

static uint32_t slave_poll(struct file *f, struct poll_table *pt)
{
    struct tty *t = f->private_data;
    uint32_t bits = 0;

    if (pt && pt->add) {
        poll_add(pt, &t->slave_read);
        poll_add(pt, &t->slave_write);
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* registered before the look */
    }
    if (tty_is(t, TTY_HUNG_UP))
        return POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLERR | POLLHUP;
    if (tty_is(t, TTY_SLAVE_IN))
        bits |= POLLIN | POLLRDNORM;
    if (tty_is(t, TTY_SLAVE_OUT))
        bits |= POLLOUT | POLLWRNORM;
    return bits;
}

static void slave_release(struct file *f)
{
    struct tty *t = f->private_data;
    bool is_last;

    tty_lock(t);
    is_last = --t->slaves == 0;
    if (is_last)
        t->exclusive = false;
    tty_unlock(t, TTY_DID_ALL);
    if (is_last)
        tty_job_detach(t, false);
    tty_unref(t);
}

static int32_t foreground(struct file *f)
{
    return tty_foreground(tty_of(f));
}

const struct file_ops g_tty_slave_ops = {
    .read = slave_read,
    .write = slave_write,
    .poll = slave_poll,
    .ioctl = tty_ioctl,
    .release = slave_release,
    .sends_sigio = true,
    .sigio_group = foreground,
};

int tty_slave_open(struct tty *t, struct file *f)
{
    int rc = 0;

    tty_lock(t);
    if (t->locked || t->hung_up)
        rc = -EIO;
    else if (t->exclusive && !cred_has_cap(process_cred(), CAP_SYS_ADMIN))
        rc = -EBUSY;
    if (rc == 0) {
        t->slaves++;
        t->was_open = true;
    }
    tty_unlock(t, 0);
    if (rc < 0)
        return rc;
    tty_ref(t);
    f->ops = &g_tty_slave_ops;
    f->private_data = t;
    if (!(f->flags & O_NOCTTY))
        tty_job_opened(t, f);
    return 0;
}

/* ---- master ---- */

/* Lock held. returns: bytes; 0: nothing there; -EFAULT. */
static int64_t take_output(struct tty *t, struct uio *u)
{
    int64_t total = 0;
    uint8_t status = 0;

    if (t->packet) {
        status = t->packet_status;
        if (!status && !byte_ring_used(&t->out))
            return 0;
        total = uio_put(u, &status, 1);
        t->packet_status = 0;
        if (total < 0 || status)
            return total;
    }
    while (u->left && byte_ring_used(&t->out)) {
        uint32_t n = byte_ring_peek(&t->out, t->scratch, (uint32_t)MIN(u->left, sizeof t->scratch));
        int64_t rc = uio_put(u, t->scratch, n);

        if (rc < 0)
            return total ? total : rc;
        t->out.tail += (uint32_t)rc;
        total += rc;
        if (rc < n)
            break;
    }
    return total;
}

static int64_t master_read(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct tty *t = f->private_data;

    if (u->left == 0)
        return 0;
    for (;;) {
        int64_t n;
        int rc;

        uio_prefault(u, MIN(u->left, TTY_OUT_SIZE), true);
        tty_lock(t);
        n = take_output(t, u);
        bool is_closed = t->was_open && t->slaves == 0;
        tty_unlock(t, TTY_DID_TAKE);
        if (n != 0)
            return n;
        if (is_closed)
            return -EIO;
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        WAIT_UNTIL(rc, &t->master_read, tty_is(t, TTY_MASTER_IN | TTY_MASTER_PRI | TTY_CLOSED),
                   WAIT_FOREVER);
        if (rc < 0)
            return rc;
    }
}

static int64_t master_write(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct tty *t = f->private_data;
    int64_t total = 0;

    while (u->left) {
        int64_t n = 0;

        uio_prefault(u, MIN(u->left, LDISC_INPUT_SIZE), false);
        tty_lock(t);
        size_t size = MIN(MIN(u->left, sizeof t->scratch), ldisc_input_room(&t->ld));
        if (size)
            n = uio_get(u, t->scratch, size);
        if (n > 0)
            n = (int64_t)ldisc_input(&t->ld, t->scratch, (size_t)n);
        tty_unlock(t, TTY_DID_TYPE | TTY_DID_OUTPUT | TTY_DID_TAKE);
        if (n > 0) {
            total += n;
            continue;
        }
        if (n == 0 && f->flags & O_NONBLOCK)
            n = -EAGAIN;
        else if (n == 0)
            WAIT_UNTIL(n, &t->master_write, tty_is(t, TTY_MASTER_OUT), WAIT_FOREVER);
        if (n < 0)
            return total ? total : n;
    }
    return total;
}

static uint32_t master_poll(struct file *f, struct poll_table *pt)
{
    struct tty *t = f->private_data;
    uint32_t bits = 0;

    if (pt && pt->add) {
        poll_add(pt, &t->master_read);
        poll_add(pt, &t->master_write);
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* registered before the look */
    }
    if (tty_is(t, TTY_MASTER_IN))
        bits |= POLLIN | POLLRDNORM;
    if (tty_is(t, TTY_MASTER_PRI))
        bits |= POLLPRI | POLLIN | POLLRDNORM;
    if (tty_is(t, TTY_MASTER_OUT))
        bits |= POLLOUT | POLLWRNORM;
    if (tty_is(t, TTY_CLOSED))
        bits |= POLLHUP;
    return bits;
}

static void master_release(struct file *f)
{
    struct tty *t = f->private_data;
    struct inode *node;

    tty_hang_up(t);
    tty_lock(t);
    node = TAKE_PTR(t->node);
    tty_unlock(t, 0);
    inode_unref(node);
    tty_unref(t);
}

const struct file_ops g_tty_master_ops = {
    .read = master_read,
    .write = master_write,
    .poll = master_poll,
    .ioctl = tty_ioctl,
    .release = master_release,
    .sends_sigio = true,
};

struct tty *tty_of(const struct file *f)
{
    return f->ops == &g_tty_slave_ops || f->ops == &g_tty_master_ops ? f->private_data : NULL;
}
