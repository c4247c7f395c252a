/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of TCP and UDP: an allow list. What the program sets is kept, and given to the host socket when there is one.
 * Trusted.
 */
#include <asm/errno.h>
#include <asm/socket.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/tcp.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/net/inet.h"

#define GROUP_SIZE_MAX 136u /* struct group_req */

enum option_kind {
    OPTION_HOST,   /* an int, given to the host socket, too */
    OPTION_LIVE,   /* the same; the host knows better what it is now */
    OPTION_INSIDE, /* an int that the host never sees */
    OPTION_BYTES,  /* any size up to INET_OPTION_SIZE_MAX */
    OPTION_GROUP,  /* a membership: done at once, not kept */
};

#define OPTION_BOOL 1u     /* kept as 0 or 1 */
#define OPTION_UNSET 2u    /* -1 stands for the initial value */
#define OPTION_DATAGRAM 4u /* -EINVAL on a stream */
#define OPTION_FRESH 8u    /* not on a bound socket */
#define ANY INT32_MIN, INT32_MAX

struct option_rule {
    int16_t level, name;
    uint8_t kind;
    int32_t initial, min, max;
    uint8_t flags; /* OPTION_BOOL... */
};

static const struct option_rule rules[] = {
    { IPPROTO_TCP, TCP_NODELAY, OPTION_HOST, 0, ANY, OPTION_BOOL },
    { IPPROTO_TCP, TCP_MAXSEG, OPTION_LIVE, 65483, 88, 32767, 0 },
    { IPPROTO_TCP, TCP_CORK, OPTION_HOST, 0, ANY, OPTION_BOOL },
    { IPPROTO_TCP, TCP_KEEPIDLE, OPTION_HOST, 7200, 1, 32767, 0 },
    { IPPROTO_TCP, TCP_KEEPINTVL, OPTION_HOST, 75, 1, 32767, 0 },
    { IPPROTO_TCP, TCP_KEEPCNT, OPTION_HOST, 9, 1, 127, 0 },
    { IPPROTO_TCP, TCP_SYNCNT, OPTION_HOST, 6, 1, 127, 0 },
    { IPPROTO_TCP, TCP_LINGER2, OPTION_HOST, 60, ANY, 0 },
    { IPPROTO_TCP, TCP_DEFER_ACCEPT, OPTION_LIVE, 0, ANY, 0 },
    { IPPROTO_TCP, TCP_WINDOW_CLAMP, OPTION_LIVE, 0, ANY, 0 },
    { IPPROTO_TCP, TCP_QUICKACK, OPTION_HOST, 1, ANY, OPTION_BOOL },
    { IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, OPTION_HOST, 0, 0, 1, 0 },
    { IPPROTO_TCP, TCP_USER_TIMEOUT, OPTION_HOST, 0, 0, INT32_MAX, 0 },
    { IPPROTO_TCP, TCP_FASTOPEN, OPTION_LIVE, 0, 0, INT32_MAX, 0 },
    { IPPROTO_TCP, TCP_NOTSENT_LOWAT, OPTION_HOST, 0, ANY, 0 },
    { IPPROTO_IP, IP_TOS, OPTION_HOST, 0, 0, 255, 0 },
    { IPPROTO_IP, IP_TTL, OPTION_HOST, 64, 1, 255, OPTION_UNSET },
    { IPPROTO_IP, IP_PKTINFO, OPTION_INSIDE, 0, ANY, OPTION_BOOL },
    { IPPROTO_IP, IP_RECVTTL, OPTION_INSIDE, 0, ANY, OPTION_BOOL },
    { IPPROTO_IP, IP_RECVTOS, OPTION_INSIDE, 0, ANY, OPTION_BOOL },
    { IPPROTO_IP, IP_RETOPTS, OPTION_INSIDE, 0, ANY, OPTION_BOOL },
    { IPPROTO_IP, IP_RECVERR, OPTION_INSIDE, 0, ANY, OPTION_BOOL },
    { IPPROTO_IP, IP_RECVORIGDSTADDR, OPTION_INSIDE, 0, ANY, OPTION_BOOL },
    { IPPROTO_IP, IP_MTU_DISCOVER, OPTION_HOST, IP_PMTUDISC_WANT, 0, IP_PMTUDISC_OMIT, 0 },
    { IPPROTO_IP, IP_FREEBIND, OPTION_HOST, 0, ANY, OPTION_BOOL },
    { IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, OPTION_HOST, 0, ANY, OPTION_BOOL },
    { IPPROTO_IP, IP_MULTICAST_IF, OPTION_BYTES, 0, ANY, 0 },
    { IPPROTO_IP, IP_MULTICAST_TTL, OPTION_HOST, 1, 0, 255, OPTION_UNSET | OPTION_DATAGRAM },
    { IPPROTO_IP, IP_MULTICAST_LOOP, OPTION_HOST, 1, ANY, OPTION_BOOL },
    { IPPROTO_IP, IP_MULTICAST_ALL, OPTION_HOST, 1, 0, 1, 0 },
    { IPPROTO_IP, IP_ADD_MEMBERSHIP, OPTION_GROUP, 0, ANY, 0 },
    { IPPROTO_IP, IP_DROP_MEMBERSHIP, OPTION_GROUP, 0, ANY, 0 },
    { IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, OPTION_GROUP, 0, ANY, 0 },
    { IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, OPTION_GROUP, 0, ANY, 0 },
    { IPPROTO_IP, MCAST_JOIN_GROUP, OPTION_GROUP, 0, ANY, 0 },
    { IPPROTO_IP, MCAST_LEAVE_GROUP, OPTION_GROUP, 0, ANY, 0 },
    { IPPROTO_IPV6, IPV6_V6ONLY, OPTION_HOST, 0, ANY, OPTION_BOOL | OPTION_FRESH },
    { IPPROTO_IPV6, IPV6_UNICAST_HOPS, OPTION_HOST, 64, 0, 255, OPTION_UNSET },
    { IPPROTO_IPV6, IPV6_MULTICAST_IF, OPTION_HOST, 0, 0, INT32_MAX, 0 },
    { IPPROTO_IPV6, IPV6_MULTICAST_HOPS, OPTION_HOST, 1, 0, 255, OPTION_UNSET },
    { IPPROTO_IPV6, IPV6_MULTICAST_LOOP, OPTION_HOST, 1, 0, 1, 0 },
    { IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, OPTION_GROUP, 0, ANY, 0 },
    { IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, OPTION_GROUP, 0, ANY, 0 },
    { IPPROTO_IPV6, MCAST_JOIN_GROUP, OPTION_GROUP, 0, ANY, 0 },
    { IPPROTO_IPV6, MCAST_LEAVE_GROUP, OPTION_GROUP, 0, ANY, 0 },
    { IPPROTO_IPV6, IPV6_RECVERR, OPTION_INSIDE, 0, ANY, OPTION_BOOL },
    { IPPROTO_IPV6, IPV6_MTU_DISCOVER, OPTION_HOST, IP_PMTUDISC_WANT, 0, IP_PMTUDISC_OMIT, 0 },
    { IPPROTO_IPV6, IPV6_DONTFRAG, OPTION_HOST, 0, ANY, OPTION_BOOL },
    { IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, OPTION_HOST, 1, ANY, OPTION_BOOL },
    { IPPROTO_IPV6, IPV6_TCLASS, OPTION_HOST, 0, 0, 255, OPTION_UNSET },
    { IPPROTO_IPV6, IPV6_RECVPKTINFO, OPTION_INSIDE, 0, ANY, OPTION_BOOL },
    { IPPROTO_IPV6, IPV6_RECVHOPLIMIT, OPTION_INSIDE, 0, ANY, OPTION_BOOL },
    { IPPROTO_IPV6, IPV6_RECVTCLASS, OPTION_INSIDE, 0, ANY, OPTION_BOOL },
    { IPPROTO_IPV6, IPV6_RECVPATHMTU, OPTION_INSIDE, 0, ANY, OPTION_BOOL },
    { IPPROTO_IPV6, IPV6_FREEBIND, OPTION_HOST, 0, ANY, OPTION_BOOL },
    { IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV, OPTION_LIVE, 0, ANY, 0 },
    { IPPROTO_UDPLITE, UDPLITE_RECV_CSCOV, OPTION_LIVE, 0, ANY, 0 },
};

/* SOL_SOCKET options that the host socket gets, too. */
static const int socket_options[] = { SO_REUSEADDR, SO_REUSEPORT, SO_KEEPALIVE, SO_BROADCAST,
                                      SO_LINGER,    SO_SNDBUF,    SO_RCVBUF,    SO_DONTROUTE,
                                      SO_OOBINLINE, SO_RCVLOWAT,  SO_NO_CHECK };

static const struct option_rule *find_rule(int level, int name)
{
    for (unsigned i = 0; i < ARRAY_COUNT(rules); i++)
        if (rules[i].level == level && rules[i].name == name)
            return &rules[i];
    return NULL;
}

static bool is_for_host(int name)
{
    for (unsigned i = 0; i < ARRAY_COUNT(socket_options); i++)
        if (socket_options[i] == name)
            return true;
    return false;
}

static struct inet_option *find_kept(const struct inet_sock *s, int level, int name)
{
    for (unsigned i = 0; i < s->option_count; i++)
        if (s->options[i].level == level && s->options[i].name == name)
            return &s->options[i];
    return NULL;
}

/* base.lock held. Beyond INET_OPTION_COUNT_MAX the oldest stand. */
static int keep(struct inet_sock *s, int level, int name, const void *value, uint32_t size)
{
    struct inet_option *o = find_kept(s, level, name);

    if (!o) {
        if (!s->options)
            s->options = mem_calloc(INET_OPTION_COUNT_MAX, sizeof *s->options);
        if (!s->options)
            return -ENOMEM;
        if (s->option_count == INET_OPTION_COUNT_MAX)
            return -ENOBUFS;
        o = &s->options[s->option_count++];
    }
    o->level = level;
    o->name = name;
    o->size = size;
    memcpy(o->value, value, size);
    return 0;
}

static int apply(struct inet_sock *s, int level, int name, const void *value, uint32_t size)
{
    int rc = 0;

    mutex_lock(&s->base.lock);
    if (s->host_fd >= 0)
        rc = ocall_setsockopt(s->host_fd, level, name, value, size);
    if (rc == 0)
        rc = keep(s, level, name, value, size);
    mutex_unlock(&s->base.lock);
    return rc;
}

int32_t inet_option_number(const struct inet_sock *s, int level, int name, int32_t otherwise)
{
    const struct inet_option *o = find_kept(s, level, name);
    int32_t number;

    if (!o || o->size < sizeof number)
        return otherwise;
    memcpy(&number, o->value, sizeof number);
    return number;
}

void inet_option_replay(struct inet_sock *s)
{
    for (unsigned i = 0; i < s->option_count; i++) {
        const struct inet_option *o = &s->options[i];
        const struct option_rule *rule = find_rule(o->level, o->name);
        int rc UNUSED = 0;

        /* One that the host refuses does less there; it was accepted before. */
        if (!rule || rule->kind != OPTION_INSIDE)
            rc = ocall_setsockopt(s->host_fd, o->level, o->name, o->value, o->size);
    }
}

void inet_option_copy(struct inet_sock *to, const struct inet_sock *from)
{
    if (!from->option_count)
        return;
    to->options = mem_calloc(INET_OPTION_COUNT_MAX, sizeof *to->options);
    if (!to->options)
        return;
    memcpy(to->options, from->options, from->option_count * sizeof *to->options);
    to->option_count = from->option_count;
}

static bool is_level_of(const struct socket *s, int level)
{
    if (level == IPPROTO_TCP || level == IPPROTO_UDPLITE)
        return s->protocol == level;
    return level == IPPROTO_IP || (level == IPPROTO_IPV6 && s->family == AF_INET6);
}

/* Who joins a group is one for the host, which is where groups are. */
static int change_group(struct inet_sock *s, int level, int name, const void *value, uint32_t size)
{
    if (s->base.type != SOCK_DGRAM)
        return -EPROTO;
    if (size < 8)
        return -EINVAL;
    mutex_lock(&s->base.lock);
    int rc = inet_host_open(s);
    if (rc == 0)
        rc = ocall_setsockopt(s->host_fd, level, name, value, MIN(size, GROUP_SIZE_MAX));
    mutex_unlock(&s->base.lock);
    if (s->base.file)
        poll_file_changed(s->base.file);
    return rc;
}

static int set_number(struct inet_sock *s, const struct option_rule *rule, const void *value,
                      uint32_t size)
{
    int32_t number = 0;

    if (size < 1 || (size < sizeof number && rule->level != IPPROTO_IP))
        return -EINVAL;
    if (size < sizeof number)
        number = *(const uint8_t *)value;
    else
        memcpy(&number, value, sizeof number);
    if (rule->flags & OPTION_DATAGRAM && s->base.type == SOCK_STREAM)
        return -EINVAL;
    if (rule->flags & OPTION_FRESH && s->bound)
        return -EINVAL;
    if (rule->flags & OPTION_UNSET && number == -1)
        number = rule->initial;
    if (number < rule->min || number > rule->max)
        return -EINVAL;
    if (rule->flags & OPTION_BOOL)
        number = number != 0;
    if (rule->kind != OPTION_INSIDE)
        return apply(s, rule->level, rule->name, &number, sizeof number);
    mutex_lock(&s->base.lock);
    int rc = keep(s, rule->level, rule->name, &number, sizeof number);
    mutex_unlock(&s->base.lock);
    return rc;
}

int inet_option_set(struct socket *base, int level, int name, const void *value, uint32_t size)
{
    struct inet_sock *s = inet_of(base);

    if (level == SOL_SOCKET) {
        int rc = sock_option_set(base, level, name, value, size);

        if (rc < 0 || !is_for_host(name))
            return rc;
        if (s->stream && name == SO_OOBINLINE)
            s->stream->ways[s->side].urgent_inline = (base->flags & SOCK_FLAG_OOBINLINE) != 0;
        if (s->stream && name == SO_SNDBUF)
            stream_set_size(s->stream, s->side, true, base->send_size);
        return apply(s, level, name, value, MIN(size, name == SO_LINGER ? 8u : 4u));
    }
    if (level == IPPROTO_TCP && name == TCP_CONGESTION && base->protocol == IPPROTO_TCP)
        return inet_info_set_congestion(value, size);
    const struct option_rule *rule = find_rule(level, name);
    if (!rule || !is_level_of(base, level))
        return -ENOPROTOOPT;
    if (rule->kind == OPTION_GROUP)
        return change_group(s, level, name, value, size);
    if (rule->kind == OPTION_BYTES)
        return size == 0 || size > INET_OPTION_SIZE_MAX ? -EINVAL
                                                        : apply(s, level, name, value, size);
    return set_number(s, rule, value, size);
}

static int put(void *value, uint32_t *size, const void *src, uint32_t src_size)
{
    *size = MIN(*size, src_size);
    memcpy(value, src, *size);
    return 0;
}

/* Where only one byte is asked for, IPPROTO_IP gives one. */
static int put_number(void *value, uint32_t *size, int level, int32_t number)
{
    uint8_t byte = (uint8_t)number;

    if (level == IPPROTO_IP && *size > 0 && *size < sizeof number && number >= 0 && number <= 255)
        return put(value, size, &byte, sizeof byte);
    return put(value, size, &number, sizeof number);
}

static int get_error(struct inet_sock *s, void *value, uint32_t *size)
{
    int32_t error = -sock_take_error(&s->base);

    if (!error && s->stream)
        error = -stream_take_reset(s->stream, s->side);
    else if (!error && s->host_fd >= 0)
        error = -inet_host_error(s);
    return put(value, size, &error, sizeof error);
}

int inet_option_get(struct socket *base, int level, int name, void *value, uint32_t *size)
{
    struct inet_sock *s = inet_of(base);
    uint8_t answer[INET_OPTION_SIZE_MAX];
    size_t answer_size = sizeof answer;

    if (level == SOL_SOCKET)
        return name == SO_ERROR ? get_error(s, value, size) : -ENOPROTOOPT;
    if (!is_level_of(base, level))
        return -EOPNOTSUPP;
    if (level == IPPROTO_TCP && name == TCP_INFO)
        return inet_info_get(s, value, size);
    if (level == IPPROTO_TCP && name == TCP_CONGESTION)
        return inet_info_congestion(value, size);
    const struct option_rule *rule = find_rule(level, name);
    if (!rule || rule->kind == OPTION_GROUP)
        return -ENOPROTOOPT;
    if (rule->kind == OPTION_LIVE && inet_host_fd(s) >= 0 && inet_state(s) != INET_LOCAL &&
        ocall_getsockopt(s->host_fd, level, name, answer, &answer_size) == 0 &&
        answer_size <= sizeof answer)
        return put(value, size, answer, (uint32_t)answer_size);
    const struct inet_option *o = find_kept(s, level, name);
    if (o && rule->kind == OPTION_BYTES)
        return put(value, size, o->value, o->size);
    return put_number(value, size, level, inet_option_number(s, level, name, rule->initial));
}
