/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standard streams: host descriptors 0 to 2. What comes from them is untrusted input of the program; what it writes
 * there leaves the enclave. Whether they are a terminal is a hint of the host. Trusted.
 */
#include <asm/errno.h>
#include <asm/ioctls.h>
#include <asm/poll.h>
#include <asm/signal.h>
#include <asm/stat.h>
#include <asm/termbits.h>
#include <asm/termios.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/log.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/fs/tty/ldisc.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/signal/signal.h"

#define SMALL_SIZE 1024u /* copied over the stack */
#define PIECE_SIZE 65536u
#define TTY_RDEV 0x8800u /* 136:0, /dev/pts/0 */

struct stdio {
    int host_fd;
    bool tty;
    struct termios termios; /* as the program set it; the host's terminal keeps its own */
    struct mutex lock;      /* termios, pgid */
    int32_t pgid;
    char name[24];
};

/* One transfer of at most `size` bytes through `buffer`. */
static int64_t read_once(struct stdio *s, struct uio *u, void *buffer, size_t size)
{
    int64_t n = ocall_read(s->host_fd, buffer, MIN(u->left, size));

    return n > 0 ? uio_put(u, buffer, (size_t)n) : n;
}

static int64_t stdio_read(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct stdio *s = f->private_data;
    CLEANUP(mem_freep)
    void *heap = u->left > SMALL_SIZE ? mem_alloc(MIN(u->left, PIECE_SIZE)) : NULL;
    uint8_t small[SMALL_SIZE];

    if (u->left == 0)
        return 0;
    for (;;) {
        int64_t n = heap ? read_once(s, u, heap, MIN(u->left, PIECE_SIZE))
                         : read_once(s, u, small, sizeof small);

        if (n != -EAGAIN || f->flags & O_NONBLOCK)
            return n;
        int rc = poll_host_wait(s->host_fd, POLLIN, WAIT_FOREVER);
        if (rc < 0)
            return rc;
    }
}

/* Writes size bytes of enclave memory. *ret_done counts them. returns: 0; negative errno. */
static int write_all(struct file *f, const uint8_t *src, size_t size, int64_t *ret_done)
{
    struct stdio *s = f->private_data;

    while (size) {
        int64_t n = ocall_write(s->host_fd, src, size);

        if (n > 0) {
            src += n;
            size -= (size_t)n;
            *ret_done += n;
            continue;
        }
        if (n == 0)
            return -EIO;
        if (n != -EAGAIN)
            return (int)n;
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        int rc = poll_host_wait(s->host_fd, POLLOUT, WAIT_FOREVER);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int64_t stdio_write(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    CLEANUP(mem_freep)
    uint8_t *heap = u->left > SMALL_SIZE ? mem_alloc(MIN(u->left, PIECE_SIZE)) : NULL;
    uint8_t small[SMALL_SIZE];
    uint8_t *buffer = heap ? heap : small;
    size_t space = heap ? PIECE_SIZE : SMALL_SIZE;
    int64_t done = 0;

    while (u->left) {
        int64_t n = uio_get(u, buffer, MIN(u->left, space));
        int rc = n < 0 ? (int)n : write_all(f, buffer, (size_t)n, &done);

        if (rc == -EPIPE)
            signal_send_thread(thread_current(), SIGPIPE, NULL);
        if (rc < 0)
            return done ? done : rc;
    }
    return done;
}

static uint32_t stdio_poll(struct file *f, struct poll_table *pt)
{
    struct stdio *s = f->private_data;
    uint16_t events = 0;

    if ((f->flags & O_ACCMODE) != O_WRONLY)
        events |= POLLIN | POLLRDNORM | POLLPRI;
    if ((f->flags & O_ACCMODE) != O_RDONLY)
        events |= POLLOUT | POLLWRNORM;
    if (!pt)
        return poll_host_now(s->host_fd, events);
    poll_add_host(pt, s->host_fd, events);
    return 0;
}

/* ---- terminal ---- */

/* What `stty sane` gives: as a fresh terminal's, and input in UTF-8. struct termios is the beginning of struct termios2. */
static void set_sane(struct termios *t)
{
    _Static_assert(offsetof(struct termios2, c_ispeed) >= offsetof(struct termios, c_cc) + NCCS,
                   "termios2");
    memcpy(t, &ldisc_fresh_termios, offsetof(struct termios, c_cc) + NCCS);
    t->c_iflag |= IUTF8;
}

static int64_t tty_window(struct stdio *s, uintptr_t arg)
{
    struct winsize w = { 0 };
    int rc = ocall_tty_size(s->host_fd, &w.ws_row, &w.ws_col);

    return rc < 0 ? rc : USER_PUT(arg, &w);
}

static int64_t tty_ioctl(struct stdio *s, uint32_t request, uintptr_t arg)
{
    struct termios t;
    int32_t pgid;
    int rc;

    switch (request) {
    case TCGETS:
        mutex_lock(&s->lock);
        t = s->termios;
        mutex_unlock(&s->lock);
        return USER_PUT(arg, &t);
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
        rc = USER_GET(&t, arg);
        if (rc < 0)
            return rc;
        mutex_lock(&s->lock);
        s->termios = t;
        mutex_unlock(&s->lock);
        return 0;
    case TIOCGWINSZ:
        return tty_window(s, arg);
    case TIOCSWINSZ: /* the host's terminal keeps its size */
    case TCFLSH:
    case TCXONC:
    case TCSBRK:
    case TIOCSCTTY:
        return 0;
    case TIOCGPGRP:
        pgid = s->pgid ? s->pgid : process_current()->pgid;
        return USER_PUT(arg, &pgid);
    case TIOCSPGRP:
        rc = USER_GET(&pgid, arg);
        if (rc == 0)
            s->pgid = pgid;
        return rc;
    case TIOCGSID:
        pgid = process_current()->sid;
        return USER_PUT(arg, &pgid);
    default:
        return -ENOTTY;
    }
}

static int64_t stdio_ioctl(struct file *f, uint32_t request, uintptr_t arg)
{
    struct stdio *s = f->private_data;

    if (request == FIONREAD && (f->flags & O_ACCMODE) != O_WRONLY) {
        uint32_t queued = 0;
        int rc = ocall_socket_queued(s->host_fd, &queued);

        return rc < 0 ? rc : USER_PUT(arg, &queued);
    }
    return s->tty ? tty_ioctl(s, request, arg) : -ENOTTY;
}

static void stdio_release(struct file *f)
{
    mem_free(
        f->private_data); /* the host's descriptor stays open: the operator's messages use it */
}

static const struct file_ops stdio_ops = {
    .read = stdio_read,
    .write = stdio_write,
    .poll = stdio_poll,
    .ioctl = stdio_ioctl,
    .release = stdio_release,
    .sends_sigio = true,
};

/* ---- what fstat shows ---- */

static int stdio_get_attr(struct inode *inode, struct inode_attr *ret)
{
    *ret = (struct inode_attr){ .ino = inode->ino,
                                .rdev = inode->rdev,
                                .mode = inode->mode,
                                .nlink = 1,
                                .uid = inode->uid,
                                .gid = inode->gid,
                                .blksize = 1024 };
    return 0;
}

static void stdio_inode_release(struct inode *inode)
{
    mem_free(inode);
}

static const struct inode_ops stdio_inode_ops = {
    .get_attr = stdio_get_attr,
    .release = stdio_inode_release,
};

/* Streams belong to no mount. */
static struct super g_stdio_super = { .type = "devpts", .dev = 1, .magic = 0x1cd1 };

int stdio_file_new(int host_fd, bool tty, struct file **ret)
{
    CLEANUP(mem_freep)
    struct stdio *s = mem_zalloc(sizeof *s);
    CLEANUP(mem_freep)
    struct inode *inode = mem_zalloc(sizeof *inode);

    if (!s || !inode)
        return -ENOMEM;
    s->host_fd = host_fd;
    s->tty = tty;
    set_sane(&s->termios);
    inode->ops = &stdio_inode_ops;
    inode->super = &g_stdio_super;
    inode->refs = 1;
    inode->mode = tty ? S_IFCHR | 0620 : S_IFIFO | 0600;
    inode->rdev = tty ? TTY_RDEV : 0;
    inode->ino = (uint64_t)host_fd + 3;
    if (tty)
        format(s->name, sizeof s->name, "/dev/pts/0");
    else
        format(s->name, sizeof s->name, "pipe:[%d]", host_fd + 1);
    uint32_t access = tty ? O_RDWR : host_fd == 0 ? O_RDONLY : O_WRONLY;
    int rc = file_new(&stdio_ops, access, s, ret);
    if (rc < 0)
        return rc;
    (*ret)->anon_name = s->name;
    (*ret)->inode = TAKE_PTR(inode);
    s = NULL;
    return 0;
}
