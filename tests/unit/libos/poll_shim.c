/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What poll_shim.h makes of the C library's calls: the library OS's system calls. Tests only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tee/libos/fs/pipe/pipe.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/syscall/syscall.h"
#define POLL_SHIM_KEEP
#include "tests/unit/libos/poll_fake.h"
#include "tests/unit/libos/poll_shim.h"

#define LAST_KEPT_FD 255 /* tests/syscall/case.c closes up to here after each case */

#define ARG(x) ((uint64_t)(x))

static int64_t give(int64_t rc)
{
    if (rc == -512 || rc == -514)
        rc = -EINTR;
    if (rc < 0) {
        errno = (int)-rc;
        return -1;
    }
    return rc;
}

static bool is_ours(int fd)
{
    return fd >= POLL_FAKE_FD_FIRST && fd < POLL_FAKE_FD_FIRST + POLL_FAKE_FD_COUNT;
}

#define CALL6(name, a, b, c, d, e, f)                                                              \
    ({                                                                                             \
        syscall_fn sys_##name;                                                                     \
        poll_fake_enter();                                                                         \
        give(sys_##name(ARG(a), ARG(b), ARG(c), ARG(d), ARG(e), ARG(f)));                          \
    })
#define CALL4(name, a, b, c, d) CALL6(name, a, b, c, d, 0, 0)
#define CALL3(name, a, b, c) CALL6(name, a, b, c, 0, 0, 0)

/* ---- making ---- */

#define SHIM(ret, name, params, call)                                                              \
    ret shim_##name params                                                                         \
    {                                                                                              \
        return (ret)(call);                                                                        \
    }

SHIM(int, pipe, (int fds[2]), CALL3(pipe, fds, 0, 0))
SHIM(int, pipe2, (int fds[2], int flags), CALL3(pipe2, fds, flags, 0))
SHIM(int, eventfd, (unsigned value, int flags), CALL3(eventfd2, value, flags, 0))
SHIM(int, timerfd_create, (int clock, int flags), CALL3(timerfd_create, clock, flags, 0))
SHIM(int, timerfd_settime, (int fd, int flags, const struct itimerspec *at, struct itimerspec *old),
     CALL4(timerfd_settime, fd, flags, at, old))
SHIM(int, timerfd_gettime, (int fd, struct itimerspec *left), CALL3(timerfd_gettime, fd, left, 0))
SHIM(int, epoll_create1, (int flags), CALL3(epoll_create1, flags, 0, 0))
SHIM(int, epoll_ctl, (int ep, int op, int fd, struct epoll_event *ev),
     CALL4(epoll_ctl, ep, op, fd, ev))
SHIM(int, epoll_wait, (int ep, struct epoll_event *ev, int n, int ms),
     CALL4(epoll_wait, ep, ev, n, ms))
SHIM(int, socket, (int family, int type, int protocol), CALL3(socket, family, type, protocol))
SHIM(int, socketpair, (int family, int type, int protocol, int fds[2]),
     CALL4(socketpair, family, type, protocol, fds))
SHIM(int, bind, (int fd, const struct sockaddr *a, socklen_t size), CALL3(bind, fd, a, size))
SHIM(int, listen, (int fd, int backlog), CALL3(listen, fd, backlog, 0))
SHIM(int, accept, (int fd, struct sockaddr *a, socklen_t *size), CALL3(accept, fd, a, size))
SHIM(int, accept4, (int fd, struct sockaddr *a, socklen_t *size, int flags),
     CALL4(accept4, fd, a, size, flags))
SHIM(int, connect, (int fd, const struct sockaddr *a, socklen_t size), CALL3(connect, fd, a, size))
SHIM(int, shutdown, (int fd, int how), CALL3(shutdown, fd, how, 0))
SHIM(int, getsockname, (int fd, struct sockaddr *a, socklen_t *size),
     CALL3(getsockname, fd, a, size))
SHIM(int, getpeername, (int fd, struct sockaddr *a, socklen_t *size),
     CALL3(getpeername, fd, a, size))
SHIM(int, setsockopt, (int fd, int level, int name, const void *v, socklen_t size),
     CALL6(setsockopt, fd, level, name, v, size, 0))
SHIM(int, getsockopt, (int fd, int level, int name, void *v, socklen_t *size),
     CALL6(getsockopt, fd, level, name, v, size, 0))
SHIM(ssize_t, send, (int fd, const void *p, size_t n, int flags),
     CALL6(sendto, fd, p, n, flags, 0, 0))
SHIM(ssize_t, sendto,
     (int fd, const void *p, size_t n, int flags, const struct sockaddr *a, socklen_t size),
     CALL6(sendto, fd, p, n, flags, a, size))
SHIM(ssize_t, recv, (int fd, void *p, size_t n, int flags), CALL6(recvfrom, fd, p, n, flags, 0, 0))
SHIM(ssize_t, recvfrom, (int fd, void *p, size_t n, int flags, struct sockaddr *a, socklen_t *size),
     CALL6(recvfrom, fd, p, n, flags, a, size))
SHIM(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), CALL3(sendmsg, fd, m, flags))
SHIM(ssize_t, recvmsg, (int fd, struct msghdr *m, int flags), CALL3(recvmsg, fd, m, flags))
SHIM(ssize_t, splice, (int from, off_t *from_off, int to, off_t *to_off, size_t n, unsigned flags),
     CALL6(splice, from, from_off, to, to_off, n, flags))
SHIM(ssize_t, tee, (int from, int to, size_t n, unsigned flags), CALL4(tee, from, to, n, flags))
SHIM(int, ppoll, (struct pollfd * p, nfds_t n, const struct timespec *t, const sigset_t *mask), ({
         struct timespec copy;
         if (t)
             copy = *t;
         CALL6(ppoll, p, n, t ? &copy : NULL, mask, 8, 0);
     }))
SHIM(int, poll, (struct pollfd * p, nfds_t n, int ms), CALL3(poll, p, n, ms))
SHIM(int, select, (int n, fd_set *in, fd_set *out, fd_set *ex, struct timeval *t),
     CALL6(select, n, in, out, ex, t, 0))

/* ---- on descriptors of either kind ---- */

static int64_t transfer(int fd, void *p, size_t n, bool write)
{
    struct uio u;
    int64_t rc;

    poll_fake_enter();
    struct file *f = fd_get(fd);
    if (!f)
        return give(-EBADF);
    bool allowed = write ? (f->flags & O_ACCMODE) != O_RDONLY : (f->flags & O_ACCMODE) != O_WRONLY;
    uio_init_user(&u, (uintptr_t)p, n);
    if (!allowed || !(write ? f->ops->write : f->ops->read))
        rc = allowed ? -EINVAL : -EBADF;
    else
        rc = write ? f->ops->write(f, &u, NULL) : f->ops->read(f, &u, NULL);
    file_unref(f);
    return give(rc);
}

SHIM(ssize_t, read, (int fd, void *p, size_t n),
     is_ours(fd) ? transfer(fd, p, n, false) : read(fd, p, n))
SHIM(ssize_t, write, (int fd, const void *p, size_t n),
     is_ours(fd) ? transfer(fd, (void *)p, n, true) : write(fd, p, n))
SHIM(ssize_t, pread, (int fd, void *p, size_t n, off_t off),
     is_ours(fd) ? give(-ESPIPE) : pread(fd, p, n, off))
SHIM(off_t, lseek, (int fd, off_t off, int whence),
     is_ours(fd) ? give(-ESPIPE) : lseek(fd, off, whence))

static int close_ours(int fd)
{
    poll_fake_enter();
    return (int)give(fd_close(fd));
}

int shim_close(int fd)
{
    if (fd == LAST_KEPT_FD) {
        poll_fake_enter();
        poll_fake_close_all();
    }
    return is_ours(fd) ? close_ours(fd) : close(fd);
}

static int fcntl_ours(int fd, int command, long arg)
{
    poll_fake_enter();
    struct file *f = fd_get(fd);
    int64_t rc;

    if (!f)
        return (int)give(-EBADF);
    switch (command) {
    case F_GETFL:
        rc = f->flags;
        break;
    case F_SETFL:
        f->flags = (f->flags & ~(uint32_t)O_NONBLOCK) | ((uint32_t)arg & O_NONBLOCK);
        rc = 0;
        break;
    case F_GETFD:
        rc = FD_CLOEXEC;
        break;
    case F_DUPFD:
        file_ref(f);
        rc = fd_install(f, false, 0);
        break;
    case F_GETPIPE_SZ:
        rc = pipe_get_size(f);
        break;
    case F_SETPIPE_SZ:
        rc = pipe_set_size(f, (uint64_t)arg);
        break;
    default:
        rc = -EINVAL;
    }
    file_unref(f);
    return (int)give(rc);
}

int shim_fcntl(int fd, int command, ...)
{
    va_list args;

    va_start(args, command);
    long arg = va_arg(args, long);
    va_end(args);
    return is_ours(fd) ? fcntl_ours(fd, command, arg) : fcntl(fd, command, arg);
}

SHIM(int, dup, (int fd), is_ours(fd) ? fcntl_ours(fd, F_DUPFD, 0) : dup(fd))

static int ioctl_ours(int fd, unsigned long request, uintptr_t arg)
{
    poll_fake_enter();
    struct file *f = fd_get(fd);
    int64_t rc = !f ? -EBADF : !f->ops->ioctl ? -ENOTTY : f->ops->ioctl(f, (uint32_t)request, arg);

    if (f)
        file_unref(f);
    return (int)give(rc);
}

int shim_ioctl(int fd, unsigned long request, ...)
{
    va_list args;

    va_start(args, request);
    uintptr_t arg = va_arg(args, uintptr_t);
    va_end(args);
    return is_ours(fd) ? ioctl_ours(fd, request, arg) : ioctl(fd, request, arg);
}

static int fstat_ours(int fd, struct stat *st)
{
    poll_fake_enter();
    struct file *f = fd_get(fd);

    if (!f)
        return (int)give(-EBADF);
    memset(st, 0, sizeof *st);
    st->st_mode = pipe_is_file(f) ? S_IFIFO | 0600 : S_IFSOCK | 0777;
    file_unref(f);
    return 0;
}

SHIM(int, fstat, (int fd, struct stat *st), is_ours(fd) ? fstat_ours(fd, st) : fstat(fd, st))

static int open_fifo(const char *path, int flags)
{
    struct dentry *d;
    struct file *f;

    poll_fake_enter();
    int rc = path_lookup(AT_FDCWD, path, 0, &d);
    if (rc == 0)
        rc = file_new(NULL, (uint32_t)flags, NULL, &f);
    if (rc == 0)
        rc = fifo_open(dentry_inode(d), f);
    return (int)give(rc < 0 ? rc : fd_install(f, false, 0));
}

int shim_open(const char *path, int flags, ...)
{
    struct stat st;
    va_list args;

    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (stat(path, &st) == 0 && S_ISFIFO(st.st_mode))
        return open_fifo(path, flags);
    return open(path, flags, mode);
}
