/* SPDX-License-Identifier: Apache-2.0 */
/* sendto(2), sendmsg(2), recvfrom(2), recvmsg(2) and their multiple forms; control messages. Trusted. */
#include <asm/errno.h>
#include <asm/signal.h>
#include <asm/socket.h>
#include <linux/fcntl.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ipv6.h>
#include <linux/time_types.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/net/interface.h"
#include "tee/libos/net/sys_socket.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"

#define CONTROL_SIZE_MAX 20480u /* as net.core.optmem_max */
#define MESSAGES_MAX 1024u      /* of sendmmsg and recvmmsg, as Linux */
#define NS_PER_SEC 1000000000ull

/* struct msghdr of recvmsg(2) and struct mmsghdr. */
struct user_message {
    uint64_t name;
    int32_t name_size;
    int32_t pad;
    uint64_t iov;
    uint64_t iov_count;
    uint64_t control;
    uint64_t control_size;
    uint32_t flags;
    int32_t pad2;
};
_Static_assert(sizeof(struct user_message) == 56, "struct msghdr");

struct user_mmessage {
    struct user_message message;
    uint32_t size;
    int32_t pad;
};
_Static_assert(sizeof(struct user_mmessage) == 64, "struct mmsghdr");

struct user_control { /* struct cmsghdr */
    uint64_t size;
    int32_t level;
    int32_t type;
};

/* ---- sending ---- */

static int64_t send_message(struct socket *s, struct file *f, struct sock_msg *m)
{
    if (f->flags & O_NONBLOCK)
        m->flags |= MSG_DONTWAIT;
    int64_t n = s->ops->send ? s->ops->send(s, m) : -EOPNOTSUPP;
    if (n == -EPIPE && !(m->flags & MSG_NOSIGNAL) && s->type != SOCK_DGRAM)
        signal_send_thread(thread_current(), SIGPIPE, NULL);
    return n;
}

SYSCALL_DEFINE(sendto)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    struct sock_addr addr = { 0 };
    struct socket *s;
    struct uio u;
    int rc = sys_socket_get((int)a, &file, &s);

    if (rc < 0)
        return rc;
    if (!user_range_ok(b, c))
        return -EFAULT;
    if (e) {
        rc = sys_socket_addr_in(&addr, e, (uint32_t)f);
        if (rc < 0)
            return rc;
    }
    uio_init_user(&u, b, c);
    struct sock_msg m = { .u = &u, .flags = (int)d, .addr = &addr };
    return send_message(s, file, &m);
}

/* May come more than once: the descriptors of all go together. */
static int control_rights(struct sock_control *c, const uint8_t *data, size_t size)
{
    size_t count = size / sizeof(int32_t);

    if (count > SCM_FILES_MAX - c->file_count)
        return -EINVAL;
    if (!count)
        return 0;
    if (!c->files)
        c->files = mem_calloc(SCM_FILES_MAX, sizeof(struct file *));
    if (!c->files)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        int32_t fd;

        memcpy(&fd, data + i * sizeof fd, sizeof fd);
        c->files[c->file_count] = fd_get(fd);
        if (!c->files[c->file_count])
            return -EBADF;
        c->file_count++;
    }
    return 0;
}

/* RFC 3542: for one packet. -ENOPROTOOPT: not one of these. */
static int control_ipv6(struct sock_control *c, int type, const uint8_t *data, size_t size)
{
    int32_t number;

    if (type != IPV6_HOPLIMIT && type != IPV6_TCLASS)
        return -ENOPROTOOPT;
    if (size != sizeof number)
        return -EINVAL;
    memcpy(&number, data, sizeof number);
    if (number < -1 || number > 255)
        return -EINVAL;
    if (type == IPV6_HOPLIMIT) {
        c->has_hop_limit = number >= 0;
        c->hop_limit = number;
    } else {
        c->has_traffic_class = number >= 0;
        c->traffic_class = number;
    }
    return 0;
}

static int control_cred(struct sock_control *c, const uint8_t *data, size_t size)
{
    const struct cred *mine = process_cred();
    struct sock_cred cred;

    if (size != sizeof cred)
        return -EINVAL;
    memcpy(&cred, data, sizeof cred);
    bool pid_ok = cred.pid == process_current()->pid || mine->euid == 0;
    bool uid_ok = cred.uid == mine->ruid || cred.uid == mine->euid || cred.uid == mine->suid;
    bool gid_ok = cred.gid == mine->rgid || cred.gid == mine->egid || cred.gid == mine->sgid;
    if (!pid_ok || (mine->euid != 0 && (!uid_ok || !gid_ok)))
        return -EPERM;
    c->has_cred = true;
    c->cred = cred;
    return 0;
}

static int control_parse(struct sock_control *c, int family, const uint8_t *data, size_t size)
{
    size_t off = 0;

    while (size - off >= sizeof(struct user_control)) {
        struct user_control head;
        int rc = 0;

        memcpy(&head, data + off, sizeof head);
        if (head.size < sizeof head || head.size > size - off)
            return -EINVAL;
        const uint8_t *body = data + off + sizeof head;
        size_t body_size = head.size - sizeof head;
        if (head.level == IPPROTO_IPV6 && family == AF_INET6)
            rc = control_ipv6(c, head.type, body, body_size);
        if (rc == -ENOPROTOOPT || (head.level != SOL_SOCKET_LEVEL && head.level != IPPROTO_IPV6)) {
            rc = 0;
            syscall_unsupported("sendmsg: control message below SOL_SOCKET",
                                "set the socket option instead");
        }
        if (head.level != SOL_SOCKET_LEVEL)
            ;
        else if (head.type == SCM_RIGHTS)
            rc = family == AF_UNIX ? control_rights(c, body, body_size) : -EINVAL;
        else if (head.type == SCM_CREDENTIALS)
            rc = family == AF_UNIX ? control_cred(c, body, body_size) : -EINVAL;
        else
            rc = -EINVAL;
        if (rc < 0)
            return rc;
        size_t step = ALIGN_UP(head.size, 8);
        off = step >= size - off ? size : off + step;
    }
    return 0;
}

static int control_in(struct sock_control *c, int family, const struct user_message *um)
{
    if (!um->control_size || !um->control)
        return 0;
    if (um->control_size > CONTROL_SIZE_MAX)
        return -ENOBUFS;

    CLEANUP(mem_freep)
    uint8_t *data = mem_alloc(um->control_size);
    if (!data)
        return -ENOMEM;
    int rc = user_copy_in(data, um->control, um->control_size);
    return rc < 0 ? rc : control_parse(c, family, data, um->control_size);
}

static int64_t send_one(struct socket *s, struct file *file, const struct user_message *um,
                        int flags)
{
    CLEANUP(sock_control_done)
    struct sock_control control = { 0 };
    struct sock_addr addr = { 0 };
    struct uio u;
    int rc = 0;

    if (um->name && um->name_size)
        rc = um->name_size < 0 ? -EINVAL
                               : sys_socket_addr_in(&addr, um->name, (uint32_t)um->name_size);
    if (rc == 0)
        rc = control_in(&control, s->family, um);
    if (rc == 0 && um->iov_count > UIO_SEGMENTS_MAX)
        rc = -EMSGSIZE;
    if (rc == 0)
        rc = uio_init_iovec(&u, um->iov, um->iov_count);
    if (rc < 0)
        return rc;
    struct sock_msg m = { .u = &u, .flags = flags, .addr = &addr, .control = &control };
    int64_t n = send_message(s, file, &m);
    uio_done(&u);
    return n;
}

SYSCALL_DEFINE(sendmsg)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    struct user_message um;
    struct socket *s;
    int rc = sys_socket_get((int)a, &file, &s);

    if (rc == 0)
        rc = USER_GET(&um, b);
    return rc < 0 ? rc : send_one(s, file, &um, (int)c);
}

SYSCALL_DEFINE(sendmmsg)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    struct socket *s;
    int64_t n = sys_socket_get((int)a, &file, &s);
    unsigned count = MIN((unsigned)c, MESSAGES_MAX), i = 0;

    for (; n >= 0 && i < count; i++) {
        uintptr_t at = b + i * sizeof(struct user_mmessage);
        struct user_message um;

        n = USER_GET(&um, at);
        if (n == 0)
            n = send_one(s, file, &um, (int)d);
        if (n < 0)
            break;
        uint32_t size = (uint32_t)n;
        n = user_copy_out(at + offsetof(struct user_mmessage, size), &size, sizeof size);
    }
    return i ? (int64_t)i : n;
}

/* ---- receiving ---- */

static int64_t receive_message(struct socket *s, struct file *f, struct sock_msg *m)
{
    if (f->flags & O_NONBLOCK)
        m->flags |= MSG_DONTWAIT;
    if (m->flags & MSG_ERRQUEUE && (s->family == AF_INET || s->family == AF_INET6))
        return -EAGAIN; /* nothing is ever queued there */
    return s->ops->receive ? s->ops->receive(s, m) : -EOPNOTSUPP;
}

SYSCALL_DEFINE(recvfrom)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    struct sock_addr addr = { 0 };
    struct socket *s;
    struct uio u;
    int rc = sys_socket_get((int)a, &file, &s);

    if (rc < 0)
        return rc;
    if (!user_range_ok(b, c))
        return -EFAULT;
    uio_init_user(&u, b, c);
    struct sock_msg m = { .u = &u, .flags = (int)d, .addr = e ? &addr : NULL };
    int64_t n = receive_message(s, file, &m);
    if (n >= 0 && e) {
        rc = sys_socket_addr_out(e, f, &addr);
        if (rc < 0)
            return rc;
    }
    return n;
}

/* Where control messages go in the program's buffer. */
struct control_out {
    uintptr_t at;
    size_t left;
    uint32_t flags; /* MSG_CTRUNC */
};

static int put_control(struct control_out *o, int level, int type, const void *data, size_t size)
{
    struct user_control head = { .size = sizeof head + size, .level = level, .type = type };
    int rc;

    if (o->left < sizeof head) {
        o->flags |= MSG_CTRUNC;
        return 0;
    }
    if (head.size > o->left) {
        o->flags |= MSG_CTRUNC;
        head.size = o->left;
    }
    rc = USER_PUT(o->at, &head);
    if (rc == 0)
        rc = user_copy_out(o->at + sizeof head, data, head.size - sizeof head);
    size_t step = MIN(ALIGN_UP(head.size, 8), o->left);
    o->at += step;
    o->left -= step;
    return rc;
}

/* Descriptors that fit are installed; what does not fit is closed. */
static int put_rights(struct control_out *o, struct sock_control *c, bool cloexec)
{
    int32_t fds[SCM_FILES_MAX];
    size_t room =
        o->left > sizeof(struct user_control) ? (o->left - sizeof(struct user_control)) / 4 : 0;
    size_t count = 0;

    while (count < MIN(room, c->file_count)) {
        file_ref(c->files[count]);
        fds[count] = poll_fd_install(c->files[count], cloexec);
        if (fds[count] < 0)
            break;
        count++;
    }
    if (count < c->file_count)
        o->flags |= MSG_CTRUNC;
    return count ? put_control(o, SOL_SOCKET_LEVEL, SCM_RIGHTS, fds, count * 4) : 0;
}

/* When it was received: messages inside are not kept from who waits for them. */
static int put_time(struct control_out *o, bool is_ns)
{
    uint64_t now = clock_realtime_ns();
    int64_t t[2] = { (int64_t)(now / NS_PER_SEC), (int64_t)(now % NS_PER_SEC) };

    if (!is_ns)
        t[1] /= 1000;
    return put_control(o, SOL_SOCKET_LEVEL, is_ns ? SO_TIMESTAMPNS_OLD : SO_TIMESTAMP_OLD, t,
                       sizeof t);
}

static int put_destination(struct control_out *o, bool v6, const uint8_t ip[16])
{
    if (v6) {
        struct in6_pktinfo info = { .ipi6_ifindex = (int)g_interfaces[0].index };

        memcpy(&info.ipi6_addr, ip, sizeof info.ipi6_addr);
        return put_control(o, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    }
    struct in_pktinfo info = { .ipi_ifindex = (int)g_interfaces[0].index };

    memcpy(&info.ipi_addr, ip + 12, sizeof info.ipi_addr);
    info.ipi_spec_dst = info.ipi_addr;
    return put_control(o, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
}

/* What the IP header said, as asked for. */
static int put_header(struct control_out *o, const struct socket *s, const struct sock_control *c)
{
    bool v6 = s->family == AF_INET6;
    uint8_t tos = (uint8_t)c->traffic_class;
    int rc = 0;

    if (c->has_destination)
        rc = put_destination(o, v6, c->destination);
    if (rc == 0 && c->has_hop_limit)
        rc = put_control(o, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_HOPLIMIT : IP_TTL,
                         &c->hop_limit, sizeof c->hop_limit);
    if (rc == 0 && c->has_traffic_class)
        rc = v6 ? put_control(o, IPPROTO_IPV6, IPV6_TCLASS, &c->traffic_class, 4)
                : put_control(o, IPPROTO_IP, IP_TOS, &tos, sizeof tos);
    return rc;
}

static int control_out(struct control_out *o, struct socket *s, struct sock_control *c,
                       bool cloexec)
{
    int rc = 0;

    if (s->flags & SOCK_FLAG_PASSCRED && s->family == AF_UNIX) {
        /* Nobody said who it was: as Linux, nobody. */
        struct sock_cred cred = c->has_cred ? c->cred : (struct sock_cred){ 0, 65534, 65534 };

        rc = put_control(o, SOL_SOCKET_LEVEL, SCM_CREDENTIALS, &cred, sizeof cred);
    }
    if (rc == 0 && s->flags & SOCK_FLAGS_TIMESTAMP && s->type != SOCK_STREAM)
        rc = put_time(o, (s->flags & SOCK_FLAG_TIMESTAMPNS) != 0);
    if (rc == 0 && (s->family == AF_INET || s->family == AF_INET6))
        rc = put_header(o, s, c);
    if (rc == 0 && c->file_count)
        rc = put_rights(o, c, cloexec);
    return rc;
}

static int64_t receive_one(struct socket *s, struct file *file, uintptr_t at, int flags)
{
    CLEANUP(sock_control_done)
    struct sock_control control = { 0 };
    struct sock_addr addr = { 0 };
    struct user_message um;
    struct uio u;
    int rc = USER_GET(&um, at);

    if (rc < 0)
        return rc;
    if (um.iov_count > UIO_SEGMENTS_MAX)
        return -EMSGSIZE;
    if (um.name && um.name_size < 0)
        return -EINVAL;
    rc = uio_init_iovec(&u, um.iov, um.iov_count);
    if (rc < 0)
        return rc;
    struct sock_msg m = { .u = &u, .flags = flags, .addr = &addr, .control = &control };
    int64_t n = receive_message(s, file, &m);
    uio_done(&u);
    if (n < 0)
        return n;

    struct control_out o = { .at = um.control, .left = um.control ? um.control_size : 0 };
    rc = control_out(&o, s, &control, (flags & MSG_CMSG_CLOEXEC) != 0);
    if (rc == 0 && um.name) {
        rc = user_copy_out(um.name, addr.bytes, MIN((uint32_t)um.name_size, addr.size));
        um.name_size = (int32_t)addr.size;
        if (rc == 0)
            rc = user_copy_out(at + offsetof(struct user_message, name_size), &um.name_size, 4);
    }
    um.control_size = um.control ? o.at - um.control : 0;
    um.flags = (uint32_t)m.ret_flags | o.flags | (flags & MSG_CMSG_CLOEXEC);
    if (rc == 0)
        rc = user_copy_out(at + offsetof(struct user_message, control_size), &um.control_size, 8);
    if (rc == 0)
        rc = user_copy_out(at + offsetof(struct user_message, flags), &um.flags, 4);
    return rc < 0 ? rc : n;
}

SYSCALL_DEFINE(recvmsg)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    struct socket *s;
    int rc = sys_socket_get((int)a, &file, &s);

    return rc < 0 ? rc : receive_one(s, file, b, (int)c);
}

SYSCALL_DEFINE(recvmmsg)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    uint64_t deadline = WAIT_FOREVER;
    struct socket *s;
    int64_t n = sys_socket_get((int)a, &file, &s);
    unsigned count = MIN((unsigned)c, MESSAGES_MAX), i = 0;
    int flags = (int)d & ~MSG_WAITFORONE;
    struct __kernel_timespec t;

    if (n == 0 && e) {
        n = USER_GET(&t, e);
        if (n == 0 && (t.tv_sec < 0 || t.tv_nsec < 0 || (uint64_t)t.tv_nsec >= NS_PER_SEC))
            n = -EINVAL;
        if (n == 0 && (uint64_t)t.tv_sec < UINT64_MAX / NS_PER_SEC / 2)
            deadline = clock_monotonic_ns() + (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
    }
    for (; n >= 0 && i < count; i++) {
        uintptr_t at = b + i * sizeof(struct user_mmessage);

        n = receive_one(s, file, at, flags);
        if (n < 0)
            break;
        uint32_t size = (uint32_t)n;
        n = user_copy_out(at + offsetof(struct user_mmessage, size), &size, sizeof size);
        if (d & MSG_WAITFORONE)
            flags |= MSG_DONTWAIT;
        if (deadline != WAIT_FOREVER && clock_monotonic_ns() >= deadline) {
            i++;
            break;
        }
    }
    if (i && deadline != WAIT_FOREVER) { /* what is left of the time */
        uint64_t now = clock_monotonic_ns(), left = now < deadline ? deadline - now : 0;

        t = (struct __kernel_timespec){ .tv_sec = (int64_t)(left / NS_PER_SEC),
                                        .tv_nsec = (int64_t)(left % NS_PER_SEC) };
        if (USER_PUT(e, &t) < 0)
            return -EFAULT;
    }
    return i ? (int64_t)i : n;
}
