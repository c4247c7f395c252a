/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AF_NETLINK, NETLINK_ROUTE: dumps of links, addresses and routes, as the C library's getifaddrs(3) and getaddrinfo(3)
 * and ip(8) ask for them. Changes are refused. Trusted.
 */
#include <asm/errno.h>
#include <asm/poll.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/net/interface.h"
#include "tee/libos/net/packet.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/task.h"

#define REQUEST_SIZE_MAX 4096u
#define ANSWER_SIZE_MAX 8192u
#define ROUTE_PROTOCOL 0
#define SOL_NETLINK 270
#define QUEUE_SIZE 1000u

struct netlink_sock {
    struct socket base;
    struct packet_queue queue;
    uint32_t port; /* nl_pid */
};

static uint32_t g_next_port; /* atomic; for sockets after the first of a process */

static struct netlink_sock *to_netlink(struct socket *s)
{
    return CONTAINER_OF(s, struct netlink_sock, base);
}

static void put_name(uint32_t port, struct sock_addr *ret)
{
    struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_pid = port };

    ret->size = sizeof a;
    memcpy(ret->bytes, &a, sizeof a);
}

static int netlink_bind(struct socket *base, const struct sock_addr *addr)
{
    struct netlink_sock *s = to_netlink(base);
    struct sockaddr_nl a;

    if (addr->size < sizeof a || addr->family != AF_NETLINK)
        return -EINVAL;
    memcpy(&a, addr->bytes, sizeof a);
    if (a.nl_groups)
        syscall_unsupported("bind: netlink groups",
                            "changes of interfaces are not announced; none happen");
    if (a.nl_pid)
        s->port = a.nl_pid;
    else if (!s->port)
        s->port = (uint32_t)process_current()->pid +
                  (__atomic_fetch_add(&g_next_port, 1, __ATOMIC_RELAXED) << 16);
    return 0;
}

static int netlink_connect(struct socket *base UNUSED, const struct sock_addr *addr UNUSED,
                           bool nonblock UNUSED)
{
    return 0; /* there is only the kernel to talk to */
}

/* ---- answers ---- */

struct answer {
    uint8_t data[ANSWER_SIZE_MAX];
    size_t size;
    size_t
        first_size; /* what goes before an acknowledgement, which is a message of its own; 0: one message */
};

static struct nlmsghdr *add_head(struct answer *a, const struct nlmsghdr *request, uint32_t port,
                                 uint16_t type, uint16_t flags)
{
    struct nlmsghdr *h = (struct nlmsghdr *)(a->data + a->size);

    *h = (struct nlmsghdr){ .nlmsg_len = sizeof *h,
                            .nlmsg_type = type,
                            .nlmsg_flags = flags,
                            .nlmsg_seq = request->nlmsg_seq,
                            .nlmsg_pid = port };
    a->size += sizeof *h;
    return h;
}

/* Appends bytes to the last message; the buffer holds what INTERFACE_COUNT interfaces need. */
static void add_bytes(struct answer *a, struct nlmsghdr *h, const void *src, size_t size)
{
    size_t space = ALIGN_UP(size, 4);

    memset(a->data + a->size, 0, space);
    memcpy(a->data + a->size, src, size);
    a->size += space;
    h->nlmsg_len += (uint32_t)space;
}

static void add_attribute(struct answer *a, struct nlmsghdr *h, uint16_t type, const void *src,
                          size_t size)
{
    struct rtattr at = { .rta_len = (uint16_t)(sizeof at + size), .rta_type = type };

    add_bytes(a, h, &at, sizeof at);
    add_bytes(a, h, src, size);
}

static void add_link(struct answer *a, const struct nlmsghdr *request, uint32_t port,
                     const struct interface *i)
{
    bool is_dump = (request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    struct nlmsghdr *h = add_head(a, request, port, RTM_NEWLINK, is_dump ? NLM_F_MULTI : 0);
    struct ifinfomsg info = { .ifi_type = i->type,
                              .ifi_index = (int)i->index,
                              .ifi_flags = i->flags };
    const uint8_t hardware[6] = { 0 }, none = 0;
    const uint32_t queue_size = QUEUE_SIZE, group = 0;

    add_bytes(a, h, &info, sizeof info);
    add_attribute(a, h, IFLA_IFNAME, i->name, strlen(i->name) + 1);
    add_attribute(a, h, IFLA_TXQLEN, &queue_size, sizeof queue_size);
    add_attribute(a, h, IFLA_OPERSTATE, &none, sizeof none);
    add_attribute(a, h, IFLA_LINKMODE, &none, sizeof none);
    add_attribute(a, h, IFLA_MTU, &i->mtu, sizeof i->mtu);
    add_attribute(a, h, IFLA_GROUP, &group, sizeof group);
    add_attribute(a, h, IFLA_QDISC, "noqueue", sizeof "noqueue");
    add_attribute(a, h, IFLA_ADDRESS, hardware, sizeof hardware);
    add_attribute(a, h, IFLA_BROADCAST, hardware, sizeof hardware);
}

static void add_address(struct answer *a, const struct nlmsghdr *request, uint32_t port,
                        const struct interface *i, uint8_t family)
{
    bool v4 = family == AF_INET;
    struct nlmsghdr *h = add_head(a, request, port, RTM_NEWADDR, NLM_F_MULTI);
    struct ifaddrmsg info = { .ifa_family = family,
                              .ifa_prefixlen = v4 ? i->prefix4 : i->prefix6,
                              .ifa_flags = IFA_F_PERMANENT,
                              .ifa_scope = RT_SCOPE_HOST,
                              .ifa_index = i->index };

    add_bytes(a, h, &info, sizeof info);
    add_attribute(a, h, IFA_ADDRESS, v4 ? i->addr4 : i->addr6, v4 ? 4 : 16);
    if (!v4)
        return;
    add_attribute(a, h, IFA_LOCAL, i->addr4, 4);
    add_attribute(a, h, IFA_LABEL, i->name, strlen(i->name) + 1);
}

static void add_done(struct answer *a, const struct nlmsghdr *request, uint32_t port)
{
    int32_t none = 0;

    add_bytes(a, add_head(a, request, port, NLMSG_DONE, NLM_F_MULTI), &none, sizeof none);
}

static void add_error(struct answer *a, const struct nlmsghdr *request, uint32_t port, int error)
{
    struct nlmsgerr e = { .error = error, .msg = *request };

    add_bytes(a, add_head(a, request, port, NLMSG_ERROR, 0), &e, sizeof e);
}

/* A route of the local table, which is what the loopback interface has. */
static void add_route(struct answer *a, const struct nlmsghdr *request, uint32_t port,
                      const struct interface *i, uint8_t family, const uint8_t *to, uint8_t prefix,
                      uint8_t type)
{
    struct nlmsghdr *h = add_head(a, request, port, RTM_NEWROUTE, NLM_F_MULTI);
    bool v4 = family == AF_INET;
    struct rtmsg info = { .rtm_family = family,
                          .rtm_dst_len = prefix,
                          .rtm_table = RT_TABLE_LOCAL,
                          .rtm_protocol = RTPROT_KERNEL,
                          .rtm_scope = !v4                 ? RT_SCOPE_UNIVERSE
                                       : type == RTN_LOCAL ? RT_SCOPE_HOST
                                                           : RT_SCOPE_LINK,
                          .rtm_type = type };
    uint32_t table = RT_TABLE_LOCAL, metric = 0;

    add_bytes(a, h, &info, sizeof info);
    add_attribute(a, h, RTA_TABLE, &table, sizeof table);
    add_attribute(a, h, RTA_DST, to, v4 ? 4 : 16);
    if (v4)
        add_attribute(a, h, RTA_PREFSRC, i->addr4, 4);
    else
        add_attribute(a, h, RTA_PRIORITY, &metric, sizeof metric);
    add_attribute(a, h, RTA_OIF, &i->index, sizeof i->index);
}

static void add_routes(struct answer *a, const struct nlmsghdr *request, uint32_t port,
                       const struct interface *i, uint8_t family)
{
    uint8_t net[4] = { i->addr4[0] }, broadcast[4] = { i->addr4[0], 255, 255, 255 };

    if (i->prefix4 && family != AF_INET6) {
        add_route(a, request, port, i, AF_INET, net, i->prefix4, RTN_LOCAL);
        add_route(a, request, port, i, AF_INET, i->addr4, 32, RTN_LOCAL);
        add_route(a, request, port, i, AF_INET, broadcast, 32, RTN_BROADCAST);
    }
    if (i->prefix6 && family != AF_INET)
        add_route(a, request, port, i, AF_INET6, i->addr6, i->prefix6, RTN_LOCAL);
}

static void add_dump(struct answer *a, const struct nlmsghdr *request, uint32_t port,
                     uint8_t family)
{
    for (unsigned i = 0; i < INTERFACE_COUNT; i++) {
        const struct interface *iface = &g_interfaces[i];

        if (request->nlmsg_type == RTM_GETLINK)
            add_link(a, request, port, iface);
        if (request->nlmsg_type == RTM_GETADDR && iface->prefix4 && family != AF_INET6)
            add_address(a, request, port, iface, AF_INET);
        if (request->nlmsg_type == RTM_GETADDR && iface->prefix6 && family != AF_INET)
            add_address(a, request, port, iface, AF_INET6);
        if (request->nlmsg_type == RTM_GETROUTE)
            add_routes(a, request, port, iface, family);
    }
    add_done(a, request, port); /* neighbours, rules, queues: there are none */
}

/* The interface that RTM_GETLINK names by number, or by name in its first attribute that is one. */
static const struct interface *find_link(const uint8_t *body, size_t size)
{
    struct ifinfomsg info = { 0 };
    size_t off = ALIGN_UP(sizeof info, 4);

    memcpy(&info, body, MIN(size, sizeof info));
    for (unsigned i = 0; i < INTERFACE_COUNT && info.ifi_index; i++)
        if ((int)g_interfaces[i].index == info.ifi_index)
            return &g_interfaces[i];
    while (!info.ifi_index && off < size && size - off >= sizeof(struct rtattr)) {
        struct rtattr at;

        memcpy(&at, body + off, sizeof at);
        if (at.rta_len < sizeof at || at.rta_len > size - off)
            return NULL;
        for (unsigned i = 0; i < INTERFACE_COUNT && at.rta_type == IFLA_IFNAME; i++)
            if (strncmp(g_interfaces[i].name, (const char *)body + off + sizeof at,
                        at.rta_len - sizeof at) == 0)
                return &g_interfaces[i];
        off += ALIGN_UP((size_t)at.rta_len, 4);
    }
    return NULL;
}

/* returns: the errno of the answer, 0: there is one. */
static int add_one(struct answer *a, const struct nlmsghdr *request, uint32_t port,
                   const uint8_t *body)
{
    const struct interface *i;

    if (request->nlmsg_type == RTM_GETLINK) {
        i = find_link(body, request->nlmsg_len - sizeof *request);
        if (!i)
            return -ENODEV;
        add_link(a, request, port, i);
        return 0;
    }
    if ((request->nlmsg_type & 3) != 2) /* not RTM_GET...: it would change something */
        return -EPERM;
    syscall_unsupported("netlink: request for one thing",
                        "only links can be asked for by themselves; the rest is dumped");
    return -EOPNOTSUPP;
}

static void add_answer(struct answer *a, const struct nlmsghdr *request, uint32_t port,
                       const uint8_t *body)
{
    int rc;

    if ((request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP && (request->nlmsg_type & 3) == 2) {
        /* The family is the first byte of every request's body; absent, it reads as 0, any. */
        add_dump(a, request, port, request->nlmsg_len > sizeof *request ? body[0] : 0);
        return;
    }
    rc = add_one(a, request, port, body);
    a->first_size = a->size;
    if (rc < 0 || request->nlmsg_flags & NLM_F_ACK)
        add_error(a, request, port, rc);
}

static int put_packet(struct netlink_sock *s, uint8_t *data, size_t size)
{
    struct sock_addr kernel;
    struct packet *p;
    struct uio u;
    struct sock_msg m = { .u = &u };

    put_name(0, &kernel);
    uio_init_kernel(&u, data, size);
    int rc = packet_new(&m, ANSWER_SIZE_MAX, &kernel, &p);
    if (rc == 0) {
        rc = packet_put(&s->queue, p, s->base.receive_size);
        if (rc < 0)
            packet_free(p);
    }
    return rc == -EAGAIN ? -ENOBUFS : rc;
}

static int put_answer(struct netlink_sock *s, struct answer *a)
{
    size_t first = a->first_size ? a->first_size : a->size;
    int rc = put_packet(s, a->data, first);

    return rc < 0 || first == a->size ? rc : put_packet(s, a->data + first, a->size - first);
}

static int64_t netlink_send(struct socket *base, struct sock_msg *m)
{
    struct netlink_sock *s = to_netlink(base);
    size_t size = m->u->left;
    struct nlmsghdr head;

    if (size < sizeof head || size > REQUEST_SIZE_MAX)
        return size > REQUEST_SIZE_MAX ? -EMSGSIZE : -EINVAL;
    CLEANUP(mem_freep)
    uint8_t *data = mem_zalloc(REQUEST_SIZE_MAX);
    CLEANUP(mem_freep)
    struct answer *a = mem_zalloc(sizeof *a);
    if (!data || !a)
        return -ENOMEM;
    int64_t n = uio_get(m->u, data, size);
    if (n < (int64_t)size)
        return n < 0 ? n : -EFAULT;
    memcpy(&head, data, sizeof head);
    if (head.nlmsg_len < sizeof head || head.nlmsg_len > size)
        return -EINVAL;
    if (!s->port)
        s->port = (uint32_t)process_current()->pid;
    add_answer(a, &head, s->port, data + sizeof head);
    int rc = put_answer(s, a);
    return rc < 0 ? rc : (int64_t)size;
}

static int64_t netlink_receive(struct socket *base, struct sock_msg *m)
{
    struct netlink_sock *s = to_netlink(base);
    uint64_t deadline = sock_deadline(base->receive_timeout_ns);

    for (;;) {
        int64_t n = packet_receive(&s->queue, m);
        int rc;

        if (n != -EAGAIN || m->flags & MSG_DONTWAIT)
            return n;
        WAIT_UNTIL(rc, &s->queue.read_wait, !packet_is_empty(&s->queue), deadline);
        rc = sock_wait_error(rc, base->receive_timeout_ns);
        if (rc < 0)
            return rc;
    }
}

static uint32_t netlink_poll(struct socket *base, struct poll_table *pt)
{
    struct netlink_sock *s = to_netlink(base);

    poll_add(pt, &s->queue.read_wait);
    __atomic_thread_fence(
        __ATOMIC_SEQ_CST); /* registered before the look; pairs with wait_wake() */
    return POLLOUT | POLLWRNORM | (packet_is_empty(&s->queue) ? 0 : POLLIN | POLLRDNORM);
}

static int netlink_name(struct socket *base, bool peer, struct sock_addr *ret)
{
    put_name(peer ? 0 : to_netlink(base)->port, ret);
    return 0;
}

static int netlink_set_option(struct socket *base UNUSED, int level, int name UNUSED,
                              const void *value UNUSED, uint32_t size UNUSED)
{
    return level == SOL_NETLINK ? 0
                                : -ENOPROTOOPT; /* all of them are about more or fewer attributes */
}

static void netlink_release(struct socket *base)
{
    struct netlink_sock *s = to_netlink(base);

    packet_close(&s->queue);
    mem_free(s);
}

static const struct sock_ops netlink_ops = {
    .bind = netlink_bind,
    .connect = netlink_connect,
    .send = netlink_send,
    .receive = netlink_receive,
    .poll = netlink_poll,
    .name = netlink_name,
    .set_option = netlink_set_option,
    .release = netlink_release,
};

int netlink_new(int type, int protocol, struct socket **ret)
{
    struct netlink_sock *s;

    if (type != SOCK_RAW && type != SOCK_DGRAM)
        return -ESOCKTNOSUPPORT;
    if (protocol != ROUTE_PROTOCOL)
        return -EPROTONOSUPPORT;
    s = mem_zalloc(sizeof *s);
    if (!s)
        return -ENOMEM;
    sock_init(&s->base, &netlink_ops, AF_NETLINK, type, protocol);
    s->queue.room = &s->queue.write_wait;
    *ret = &s->base;
    return 0;
}
