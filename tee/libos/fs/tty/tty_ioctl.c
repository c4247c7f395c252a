/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What programs ask of a terminal (ioctl_tty(2)), on either side. Trusted. Sessions and groups: tty_job.c; settings in
 * their three layouts: tty_termios.c.
 */
#include <asm/errno.h>
#include <asm/ioctls.h>
#include <asm/signal.h>

#include "tee/enclave/string.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/fs/tty/tty_private.h"
#include "tee/libos/fs/vfs/vfs_internal.h"

#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/tty.h>

static int64_t put_int(uintptr_t arg, int value)
{
    return USER_PUT(arg, &value);
}

static int64_t get_size(struct tty *t, uintptr_t arg)
{
    struct winsize size;

    tty_lock(t);
    size = t->size;
    tty_unlock(t, 0);
    return USER_PUT(arg, &size);
}

static int64_t set_size(struct tty *t, uintptr_t arg)
{
    struct winsize size;
    int rc = USER_GET(&size, arg);

    if (rc == 0)
        tty_set_size(t, &size);
    return rc;
}

/* tcflush. What the slave reads is its input; what it wrote is the master's. */
static int64_t flush(struct tty *t, bool is_master, uintptr_t arg)
{
    bool input = arg == TCIFLUSH || arg == TCIOFLUSH, output = arg == TCOFLUSH || arg == TCIOFLUSH;

    if (!input && !output)
        return -EINVAL;
    if (is_master) {
        bool swapped = input;

        input = output;
        output = swapped;
    }
    tty_lock(t);
    if (input)
        ldisc_flush_input(&t->ld);
    if (output)
        ldisc_flush_output(&t->ld);
    if (t->packet)
        t->packet_status |= (input ? TIOCPKT_FLUSHREAD : 0) | (output ? TIOCPKT_FLUSHWRITE : 0);
    tty_unlock(t, TTY_DID_ALL);
    return 0;
}

/* tcflow. */
static int64_t flow(struct tty *t, uintptr_t arg)
{
    const uint8_t *cc = t->ld.termios.c_cc;

    if (arg > TCION)
        return -EINVAL;
    tty_lock(t);
    if (arg == TCOOFF)
        ldisc_stop(&t->ld, true);
    else if (arg == TCOON)
        ldisc_start(&t->ld, true);
    else if (cc[arg == TCIOFF ? VSTOP : VSTART])
        ldisc_put_raw(&t->ld, cc[arg == TCIOFF ? VSTOP : VSTART]);
    tty_unlock(t, TTY_DID_ALL);
    return 0;
}

static int64_t queued(struct tty *t, bool is_master, uintptr_t arg)
{
    size_t count;

    tty_lock(t);
    count = is_master ? byte_ring_used(&t->out) : ldisc_queued(&t->ld);
    tty_unlock(t, 0);
    return put_int(arg, (int)count);
}

static int64_t set_exclusive(struct tty *t, bool exclusive)
{
    tty_lock(t);
    t->exclusive = exclusive;
    tty_unlock(t, 0);
    return 0;
}

static int64_t set_discipline(uintptr_t arg)
{
    int number, rc = USER_GET(&number, arg);

    if (rc < 0)
        return rc;
    return number == N_TTY ? 0 : -EINVAL;
}

/* ---- the master's own ---- */

static int64_t set_packet(struct tty *t, uintptr_t arg)
{
    int on, rc = USER_GET(&on, arg);

    if (rc < 0)
        return rc;
    tty_lock(t);
    if (on && !t->packet)
        t->packet_status = 0;
    t->packet = on != 0;
    tty_unlock(t, 0);
    return 0;
}

static int64_t set_locked(struct tty *t, uintptr_t arg)
{
    int on, rc = USER_GET(&on, arg);

    if (rc < 0)
        return rc;
    tty_lock(t);
    t->locked = on != 0;
    tty_unlock(t, 0);
    return 0;
}

static int64_t signal_slave(struct tty *t, uintptr_t signo)
{
    int32_t pgid = tty_foreground(t);

    if (signo != SIGINT && signo != SIGQUIT && signo != SIGTSTP)
        return -EINVAL;
    if (pgid)
        tty_signal_group(pgid, (int)signo);
    return 0;
}

/* TIOCGPTPEER: a descriptor of the slave side, whatever /dev/pts looks like from here. */
static int64_t open_peer(struct tty *t, uintptr_t flags)
{
    struct vfs_open how = { .flags = (uint32_t)flags };
    struct inode *node;
    struct dentry *d;
    struct file *f;
    int rc;

    tty_lock(t);
    node = t->node;
    inode_ref(node); /* the caller has the master open */
    tty_unlock(t, 0);
    rc = dentry_new_anon(node, t->name, &d);
    if (rc < 0) {
        inode_unref(node);
        return rc;
    }
    rc = vfs_open_dentry(d, &how, true, &f);
    return rc < 0 ? rc : poll_fd_install(f, (flags & O_CLOEXEC) != 0);
}

static int64_t master_ioctl(struct tty *t, uint32_t request, uintptr_t arg)
{
    uint32_t number = t->index;

    switch (request) {
    case TIOCGPTN:
        return USER_PUT(arg, &number);
    case TIOCSPTLCK:
        return set_locked(t, arg);
    case TIOCGPTLCK:
        return put_int(arg, t->locked);
    case TIOCPKT:
        return set_packet(t, arg);
    case TIOCGPKT:
        return put_int(arg, t->packet);
    case TIOCSIG:
        return signal_slave(t, arg);
    case TIOCGPTPEER:
        return open_peer(t, arg);
    default:
        return -ENOTTY;
    }
}

/* ---- both ---- */

/* Requests that a background process gets SIGTTOU for. */
static bool is_change(uint32_t request)
{
    switch (request) {
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
    case TCSETA:
    case TCSETAW:
    case TCSETAF:
    case TCSETS2:
    case TCSETSW2:
    case TCSETSF2:
    case TCFLSH:
    case TCXONC:
    case TCSBRK:
    case TCSBRKP:
    case TIOCSETD:
        return true;
    default:
        return false;
    }
}

static int64_t common_ioctl(struct tty *t, bool is_master, uint32_t request, uintptr_t arg)
{
    switch (request) {
    case TIOCGWINSZ:
        return get_size(t, arg);
    case TIOCSWINSZ:
        return set_size(t, arg);
    case TCFLSH:
        return flush(t, is_master, arg);
    case TCXONC:
        return flow(t, arg);
    case TCSBRK: /* no break on a pseudo-terminal; and output is never on its way */
    case TCSBRKP:
        return 0;
    case FIONREAD:
        return queued(t, is_master, arg);
    case TIOCOUTQ:
        return put_int(arg, t->far ? (int)byte_ring_used(&t->out) : 0);
    case TIOCEXCL:
    case TIOCNXCL:
        return set_exclusive(t, request == TIOCEXCL);
    case TIOCGEXCL:
        return put_int(arg, t->exclusive);
    case TIOCGETD:
        return put_int(arg, N_TTY);
    case TIOCSETD:
        return set_discipline(arg);
    case TIOCSTI: /* typing into a terminal from inside: as where the kernel forbids it */
        return -EIO;
    case TIOCCONS:
    case TIOCVHANGUP:
        return -EPERM; /* CAP_SYS_ADMIN of the machine */
    default:
        break;
    }
    int64_t rc = tty_termios_ioctl(t, request, arg);
    if (rc == -ENOTTY)
        rc = tty_job_ioctl(t, is_master, request, arg);
    return rc == -ENOTTY && is_master ? master_ioctl(t, request, arg) : rc;
}

int64_t tty_ioctl(struct file *f, uint32_t request, uintptr_t arg)
{
    struct tty *t = f->private_data;
    bool is_master = f->ops == &g_tty_master_ops;

    if (!is_master && tty_is(t, TTY_HUNG_UP))
        return request == TIOCSPGRP ? -ENOTTY : -EIO;
    if (!is_master && is_change(request)) {
        int rc = tty_job_check(t, SIGTTOU);

        if (rc < 0)
            return rc;
    }
    return common_ioctl(t, is_master, request, arg);
}
