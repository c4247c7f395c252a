/* SPDX-License-Identifier: Apache-2.0 */
/* socket(2), socketpair, bind, listen, accept, connect, shutdown, names and options. Trusted. */
#include "tee/libos/net/sys_socket.h"

#include <asm/errno.h>
#include <asm/socket.h>
#include <linux/fcntl.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"

#define OPTION_SIZE_MAX 1024u
#define SOCK_FLAGS (O_CLOEXEC | O_NONBLOCK)

int sys_socket_get(int fd, struct file **ret_file, struct socket **ret)
{
    struct file *f = fd_get(fd);

    if (!f)
        return -EBADF;
    *ret = sock_of(f);
    if (!*ret) {
        file_unref(f);
        return -ENOTSOCK;
    }
    *ret_file = f;
    return 0;
}

int sys_socket_addr_in(struct sock_addr *ret, uintptr_t addr, uint64_t size)
{
    if (size > SOCK_ADDR_MAX)
        return -EINVAL;
    memset(ret->bytes, 0, sizeof ret->bytes);
    ret->size = (uint32_t)size;
    return size ? user_copy_in(ret->bytes, addr, size) : 0;
}

int sys_socket_addr_out(uintptr_t addr, uintptr_t size_addr, const struct sock_addr *src)
{
    int32_t size;
    int rc;

    if (!addr)
        return 0;
    rc = USER_GET(&size, size_addr);
    if (rc < 0)
        return rc;
    if (size < 0)
        return -EINVAL;
    rc = user_copy_out(addr, src->bytes, MIN((uint32_t)size, src->size));
    return rc < 0 ? rc : USER_PUT(size_addr, &src->size);
}

/* ---- making ---- */

static int new_socket(int family, int type, int protocol, struct socket **ret)
{
    switch (family) {
    case AF_UNIX:
        return unix_new(type, protocol, ret);
    case AF_INET:
    case AF_INET6:
        return inet_new(family, type, protocol, ret);
    case AF_NETLINK:
        return netlink_new(type, protocol, ret);
    default:
        return -EAFNOSUPPORT;
    }
}

static int decode_type(uint64_t arg, int *ret_type, uint32_t *ret_flags)
{
    *ret_flags = (uint32_t)arg & ~(uint32_t)SOCK_TYPE_MASK;
    *ret_type = (int)(arg & SOCK_TYPE_MASK);
    return *ret_flags & ~(uint32_t)SOCK_FLAGS ? -EINVAL : 0;
}

static int64_t install(struct socket *s, uint32_t flags)
{
    struct file *f;
    int rc = sock_file_new(s, flags & O_NONBLOCK, &f);

    return rc < 0 ? rc : poll_fd_install(f, (flags & O_CLOEXEC) != 0);
}

SYSCALL_DEFINE(socket)
{
    struct socket *s;
    uint32_t flags;
    int type;
    int rc = decode_type(b, &type, &flags);

    if (rc == 0)
        rc = new_socket((int)a, type, (int)c, &s);
    return rc < 0 ? rc : install(s, flags);
}

static int new_pair(int family, int type, int protocol, struct socket *ret[2])
{
    int rc = new_socket(family, type, protocol, &ret[0]);

    if (rc < 0)
        return rc;
    if (!ret[0]->ops->pair) {
        ret[0]->ops->release(ret[0]);
        return -EOPNOTSUPP;
    }
    rc = new_socket(family, type, protocol, &ret[1]);
    if (rc < 0) {
        ret[0]->ops->release(ret[0]);
        return rc;
    }
    rc = ret[0]->ops->pair(ret[0], ret[1]);
    if (rc < 0) {
        ret[0]->ops->release(ret[0]);
        ret[1]->ops->release(ret[1]);
    }
    return rc;
}

SYSCALL_DEFINE(socketpair)
{
    struct socket *s[2];
    int fds[2];
    uint32_t flags;
    int type;
    int rc = decode_type(b, &type, &flags);

    if (rc == 0)
        rc = new_pair((int)a, type, (int)c, s);
    if (rc < 0)
        return rc;
    fds[0] = (int)install(s[0], flags);
    if (fds[0] < 0) {
        s[1]->ops->release(s[1]);
        return fds[0];
    }
    fds[1] = (int)install(s[1], flags);
    rc = fds[1] < 0 ? fds[1] : USER_PUT(d, &fds);
    if (rc < 0) {
        int closed UNUSED = fd_close(fds[0]);

        if (fds[1] >= 0)
            closed = fd_close(fds[1]);
    }
    return rc;
}

/* ---- names and connections ---- */

SYSCALL_DEFINE(bind)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    struct sock_addr addr;
    struct socket *s;
    int rc = sys_socket_get((int)a, &file, &s);

    if (rc == 0)
        rc = sys_socket_addr_in(&addr, b, (uint32_t)c);
    return rc < 0 ? rc : s->ops->bind ? s->ops->bind(s, &addr) : -EOPNOTSUPP;
}

SYSCALL_DEFINE(listen)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    struct socket *s;
    int rc = sys_socket_get((int)a, &file, &s);

    if (rc < 0)
        return rc;
    if (!s->ops->listen)
        return -EOPNOTSUPP;
    /* As Linux: a negative backlog is a large one. */
    return s->ops->listen(s, (int)MIN((uint32_t)b, SOCK_BACKLOG_MAX));
}

SYSCALL_DEFINE(connect)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    struct sock_addr addr;
    struct socket *s;
    int rc = sys_socket_get((int)a, &file, &s);

    if (rc == 0)
        rc = sys_socket_addr_in(&addr, b, (uint32_t)c);
    if (rc < 0)
        return rc;
    return s->ops->connect ? s->ops->connect(s, &addr, (file->flags & O_NONBLOCK) != 0)
                           : -EOPNOTSUPP;
}

static int64_t accept_fd(int fd, uintptr_t addr, uintptr_t size_addr, uint32_t flags)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    struct sock_addr peer = { 0 };
    struct socket *s, *fresh;
    struct file *fresh_file;
    int rc;

    if (flags & ~(uint32_t)SOCK_FLAGS)
        return -EINVAL;
    rc = sys_socket_get(fd, &file, &s);
    if (rc < 0)
        return rc;
    if (!s->ops->accept)
        return -EOPNOTSUPP;
    rc = s->ops->accept(s, (file->flags & O_NONBLOCK) != 0, &fresh, &peer);
    if (rc < 0)
        return rc;
    rc = sock_file_new(fresh, flags & O_NONBLOCK, &fresh_file);
    if (rc < 0)
        return rc;
    rc = sys_socket_addr_out(addr, size_addr, &peer);
    if (rc < 0) {
        file_unref(fresh_file);
        return rc;
    }
    return poll_fd_install(fresh_file, (flags & O_CLOEXEC) != 0);
}

SYSCALL_DEFINE(accept)
{
    return accept_fd((int)a, b, c, 0);
}

SYSCALL_DEFINE(accept4)
{
    return accept_fd((int)a, b, c, (uint32_t)d);
}

static int64_t name(int fd, uintptr_t addr, uintptr_t size_addr, bool peer)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    struct sock_addr sa = { 0 };
    struct socket *s;
    int rc = sys_socket_get(fd, &file, &s);

    if (rc == 0)
        rc = s->ops->name(s, peer, &sa);
    if (rc < 0)
        return rc;
    return addr ? sys_socket_addr_out(addr, size_addr, &sa) : -EFAULT;
}

SYSCALL_DEFINE(getsockname)
{
    return name((int)a, b, c, false);
}

SYSCALL_DEFINE(getpeername)
{
    return name((int)a, b, c, true);
}

SYSCALL_DEFINE(shutdown)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    struct socket *s;
    int rc = sys_socket_get((int)a, &file, &s);

    if (rc < 0)
        return rc;
    if (b > SHUT_RDWR)
        return -EINVAL;
    return s->ops->shutdown ? s->ops->shutdown(s, (uint32_t)b + 1) : -EOPNOTSUPP;
}

/* ---- options ---- */

SYSCALL_DEFINE(setsockopt)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    uint8_t value[OPTION_SIZE_MAX] ALIGNED(8);
    struct socket *s;
    int rc = sys_socket_get((int)a, &file, &s);

    if (rc < 0)
        return rc;
    if ((int)e < 0)
        return -EINVAL;
    uint32_t size = MIN((uint32_t)e, OPTION_SIZE_MAX);
    rc = size ? user_copy_in(value, d, size) : 0;
    if (rc < 0)
        return rc;
    rc = s->ops->set_option ? s->ops->set_option(s, (int)b, (int)c, value, size) : -ENOPROTOOPT;
    return rc == -ENOPROTOOPT ? sock_option_set(s, (int)b, (int)c, value, size) : rc;
}

SYSCALL_DEFINE(getsockopt)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    uint8_t value[OPTION_SIZE_MAX] ALIGNED(8);
    struct socket *s;
    int32_t given;
    int rc = sys_socket_get((int)a, &file, &s);

    if (rc == 0)
        rc = USER_GET(&given, e);
    if (rc < 0)
        return rc;
    if (given < 0)
        return -EINVAL;
    uint32_t size = MIN((uint32_t)given, OPTION_SIZE_MAX);
    rc = s->ops->get_option ? s->ops->get_option(s, (int)b, (int)c, value, &size) : -ENOPROTOOPT;
    if (rc == -ENOPROTOOPT)
        rc = sock_option_get(s, (int)b, (int)c, value, &size);
    if (rc == 0 && size)
        rc = user_copy_out(d, value, size);
    return rc < 0 ? rc : USER_PUT(e, &size);
}
