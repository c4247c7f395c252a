/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets as files: read, write, poll, ioctl. Trusted. */
#include <asm/errno.h>
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <asm/sockios.h>
#include <linux/fcntl.h>
#include <linux/sockios.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/log.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/net/interface.h"
#include "tee/libos/net/socket.h"
#include "tee/libos/net/unix.h"
#include "tee/libos/signal/signal.h"

static uint64_t g_next_ino = 1; /* atomic */

void sock_init(struct socket *s, const struct sock_ops *ops, int family, int type, int protocol)
{
    s->ops = ops;
    s->family = family;
    s->type = type;
    s->protocol = protocol;
    s->send_size = s->receive_size = SOCK_BUFFER_DEFAULT;
    s->receive_low = 1;
    s->ino = __atomic_fetch_add(&g_next_ino, 1, __ATOMIC_RELAXED);
    format(s->name, sizeof s->name, "socket:[%lu]", (unsigned long)s->ino);
}

int sock_control_reserve(struct sock_control *c)
{
    if (!c->files)
        c->files = mem_calloc(SCM_FILES_MAX, sizeof(struct file *));
    return c->files ? 0 : -ENOMEM;
}

void sock_control_copy(struct sock_control *to, const struct sock_control *from)
{
    struct file **files = to->files;

    *to = *from;
    to->files = files;
    to->in_flight = false;
    for (unsigned i = 0; i < from->file_count; i++) {
        files[i] = from->files[i];
        file_ref(files[i]);
    }
}

void sock_control_done(struct sock_control *c)
{
    unix_flight_remove(c);
    for (unsigned i = 0; i < c->file_count; i++)
        file_unref(c->files[i]);
    mem_free(c->files);
    *c = (struct sock_control){ 0 };
}

uint64_t sock_deadline(uint64_t timeout_ns)
{
    return timeout_ns ? poll_deadline_ns(timeout_ns) : WAIT_FOREVER;
}

int sock_wait_error(int rc, uint64_t timeout_ns)
{
    if (rc == -ETIMEDOUT)
        return -EAGAIN;
    return rc == -ERESTARTSYS && timeout_ns ? -EINTR : rc;
}

int sock_take_error(struct socket *s)
{
    return __atomic_load_n(&s->error, __ATOMIC_RELAXED)
               ? __atomic_exchange_n(&s->error, 0, __ATOMIC_ACQ_REL)
               : 0;
}

struct sock_cred sock_my_cred(void)
{
    const struct cred *c = process_cred();

    return (struct sock_cred){ .pid = process_current()->pid, .uid = c->euid, .gid = c->egid };
}

static int64_t socket_read(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct socket *s = f->private_data;
    struct sock_msg m = { .u = u, .flags = f->flags & O_NONBLOCK ? MSG_DONTWAIT : 0 };

    if (u->left == 0 && s->type == SOCK_STREAM)
        return 0;
    return s->ops->receive(s, &m);
}

/* What a send came to, with the signal of a broken stream. */
static int64_t sent(const struct socket *s, int64_t n)
{
    if (n == -EPIPE && s->type != SOCK_DGRAM)
        signal_send_thread(thread_current(), SIGPIPE, NULL);
    return n;
}

static int64_t socket_write(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct socket *s = f->private_data;
    struct sock_msg m = { .u = u, .flags = f->flags & O_NONBLOCK ? MSG_DONTWAIT : 0 };

    return sent(s, s->ops->send(s, &m));
}

static int64_t socket_write_image(struct file *f, uint64_t at, size_t size)
{
    struct socket *s = f->private_data;

    if (!s->ops->send_image)
        return -EOPNOTSUPP;
    return sent(s, s->ops->send_image(s, at, size, (f->flags & O_NONBLOCK) != 0));
}

static uint32_t socket_poll(struct file *f, struct poll_table *pt)
{
    struct socket *s = f->private_data;

    return s->ops->poll(s, pt);
}

static int64_t socket_ioctl(struct file *f, uint32_t request, uintptr_t arg)
{
    struct socket *s = f->private_data;
    uint32_t queued;
    int32_t owner;
    int rc;

    switch (request) {
    case FIONREAD:
    case TIOCOUTQ:
        if (!s->ops->queued)
            return -ENOTTY;
        rc = s->ops->queued(s, request == TIOCOUTQ, &queued);
        return rc < 0 ? rc : USER_PUT(arg, &queued);
    case FIOSETOWN:
    case SIOCSPGRP:
        rc = USER_GET(&owner, arg);
        return rc < 0 ? rc : file_plain_owner_set(f, owner);
    case FIOGETOWN:
    case SIOCGPGRP:
        owner = file_plain_owner_get(f);
        return USER_PUT(arg, &owner);
    case SIOCATMARK:
        queued = 0;
        return USER_PUT(arg, &queued);
    default:
        return interface_ioctl(request, arg);
    }
}

/* Guards g_sockets. Nothing that a socket's operations take is held when it is taken. */
static struct mutex g_sockets_lock;
static struct socket *g_sockets;

static void list_add(struct socket *s)
{
    mutex_lock(&g_sockets_lock);
    s->list_prev = NULL;
    s->list_next = g_sockets;
    if (g_sockets)
        g_sockets->list_prev = s;
    g_sockets = s;
    mutex_unlock(&g_sockets_lock);
}

static void list_remove(struct socket *s)
{
    mutex_lock(&g_sockets_lock);
    if (s->list_prev)
        s->list_prev->list_next = s->list_next;
    else
        g_sockets = s->list_next;
    if (s->list_next)
        s->list_next->list_prev = s->list_prev;
    mutex_unlock(&g_sockets_lock);
}

void sock_each(void (*fn)(struct socket *s, void *arg), void *arg)
{
    mutex_lock(&g_sockets_lock);
    for (struct socket *s = g_sockets; s; s = s->list_next)
        fn(s, arg);
    mutex_unlock(&g_sockets_lock);
}

static void socket_release(struct file *f)
{
    struct socket *s = f->private_data;

    list_remove(s);
    s->file = NULL;
    s->ops->release(s);
}

static const struct file_ops socket_ops = {
    .read = socket_read,
    .write = socket_write,
    .write_image = socket_write_image,
    .poll = socket_poll,
    .ioctl = socket_ioctl,
    .release = socket_release,
    .sends_sigio = true,
};

int sock_file_new(struct socket *s, uint32_t flags, struct file **ret)
{
    int rc = file_new(&socket_ops, O_RDWR | flags, s, ret);

    if (rc < 0) {
        s->ops->release(s);
        return rc;
    }
    (*ret)->anon_name = s->name;
    s->file = *ret;
    s->uid = process_cred()->fsuid;
    list_add(s);
    return 0;
}

struct socket *sock_of(const struct file *f)
{
    return f->ops == &socket_ops ? f->private_data : NULL;
}

uint64_t sock_ino(const struct file *f)
{
    struct socket *s = sock_of(f);

    return s ? s->ino : 0;
}
