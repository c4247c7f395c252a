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
#include "tee/libos/net/inet.h"

enum option_kind {
    OPTION_INT,    /* also given as one byte where Linux takes that */
    OPTION_BYTES,  /* any size up to INET_OPTION_SIZE_MAX */
    OPTION_INSIDE, /* an int that the host never sees */
};

struct option_rule {
    int16_t level, name;
    uint8_t kind;
    int32_t initial;
};

static const struct option_rule rules[] = {
    { IPPROTO_TCP, TCP_NODELAY, OPTION_INT, 0 },
    { IPPROTO_TCP, TCP_MAXSEG, OPTION_INT, 65483 },
    { IPPROTO_TCP, TCP_CORK, OPTION_INT, 0 },
    { IPPROTO_TCP, TCP_KEEPIDLE, OPTION_INT, 7200 },
    { IPPROTO_TCP, TCP_KEEPINTVL, OPTION_INT, 75 },
    { IPPROTO_TCP, TCP_KEEPCNT, OPTION_INT, 9 },
    { IPPROTO_TCP, TCP_SYNCNT, OPTION_INT, 6 },
    { IPPROTO_TCP, TCP_LINGER2, OPTION_INT, 60 },
    { IPPROTO_TCP, TCP_DEFER_ACCEPT, OPTION_INT, 0 },
    { IPPROTO_TCP, TCP_WINDOW_CLAMP, OPTION_INT, 0 },
    { IPPROTO_TCP, TCP_QUICKACK, OPTION_INT, 1 },
    { IPPROTO_TCP, TCP_USER_TIMEOUT, OPTION_INT, 0 },
    { IPPROTO_TCP, TCP_FASTOPEN, OPTION_INT, 0 },
    { IPPROTO_TCP, TCP_NOTSENT_LOWAT, OPTION_INT, 0 },
    { IPPROTO_IP, IP_TOS, OPTION_INT, 0 },
    { IPPROTO_IP, IP_TTL, OPTION_INT, 64 },
    { IPPROTO_IP, IP_RECVERR, OPTION_INSIDE, 0 },
    { IPPROTO_IP, IP_MTU_DISCOVER, OPTION_INT, IP_PMTUDISC_WANT },
    { IPPROTO_IP, IP_FREEBIND, OPTION_INT, 0 },
    { IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, OPTION_INT, 0 },
    { IPPROTO_IP, IP_MULTICAST_IF, OPTION_BYTES, 0 },
    { IPPROTO_IP, IP_MULTICAST_TTL, OPTION_INT, 1 },
    { IPPROTO_IP, IP_MULTICAST_LOOP, OPTION_INT, 1 },
    { IPPROTO_IP, IP_ADD_MEMBERSHIP, OPTION_BYTES, 0 },
    { IPPROTO_IP, IP_DROP_MEMBERSHIP, OPTION_BYTES, 0 },
    { IPPROTO_IPV6, IPV6_V6ONLY, OPTION_INT, 0 },
    { IPPROTO_IPV6, IPV6_UNICAST_HOPS, OPTION_INT, 64 },
    { IPPROTO_IPV6, IPV6_MULTICAST_IF, OPTION_INT, 0 },
    { IPPROTO_IPV6, IPV6_MULTICAST_HOPS, OPTION_INT, 1 },
    { IPPROTO_IPV6, IPV6_MULTICAST_LOOP, OPTION_INT, 1 },
    { IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, OPTION_BYTES, 0 },
    { IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, OPTION_BYTES, 0 },
    { IPPROTO_IPV6, IPV6_RECVERR, OPTION_INSIDE, 0 },
    { IPPROTO_IPV6, IPV6_MTU_DISCOVER, OPTION_INT, IP_PMTUDISC_WANT },
    { IPPROTO_IPV6, IPV6_TCLASS, OPTION_INT, 0 },
    { IPPROTO_IPV6, IPV6_RECVHOPLIMIT, OPTION_INSIDE, 0 },
    { IPPROTO_IPV6, IPV6_RECVTCLASS, OPTION_INSIDE, 0 },
    { IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV, OPTION_INT, 0 },
    { IPPROTO_UDPLITE, UDPLITE_RECV_CSCOV, OPTION_INT, 0 },
};

/* SOL_SOCKET options that the host socket gets, too. */
static const int socket_options[] = { SO_REUSEADDR, SO_REUSEPORT, SO_KEEPALIVE, SO_BROADCAST,
                                      SO_LINGER,    SO_SNDBUF,    SO_RCVBUF,    SO_DONTROUTE,
                                      SO_OOBINLINE, SO_RCVLOWAT };

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
    return level != IPPROTO_IPV6 || s->family == AF_INET6;
}

int inet_option_set(struct socket *base, int level, int name, const void *value, uint32_t size)
{
    struct inet_sock *s = inet_of(base);
    int32_t number = 0;

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
    const struct option_rule *rule = find_rule(level, name);
    if (!rule || !is_level_of(base, level))
        return -ENOPROTOOPT;
    if (rule->kind == OPTION_BYTES)
        return size == 0 || size > INET_OPTION_SIZE_MAX ? -EINVAL
                                                        : apply(s, level, name, value, size);
    if (size < 1 || (size < sizeof number && level == IPPROTO_TCP))
        return -EINVAL;
    if (size < sizeof number)
        number = *(const uint8_t *)value;
    else
        memcpy(&number, value, sizeof number);
    if (level == IPPROTO_IP && name == IP_TTL && number != -1 && (number < 1 || number > 255))
        return -EINVAL;
    if (level == IPPROTO_TCP && (name == TCP_KEEPIDLE || name == TCP_KEEPINTVL) &&
        (number < 1 || number > 32767))
        return -EINVAL;
    if (rule->kind != OPTION_INSIDE)
        return apply(s, level, name, &number, sizeof number);
    mutex_lock(&base->lock);
    int rc = keep(s, level, name, &number, sizeof number);
    mutex_unlock(&base->lock);
    return rc;
}

static int put(void *value, uint32_t *size, const void *src, uint32_t src_size)
{
    *size = MIN(*size, src_size);
    memcpy(value, src, *size);
    return 0;
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
    const struct option_rule *rule = find_rule(level, name);
    if (!rule || !is_level_of(base, level))
        return -ENOPROTOOPT;
    if (rule->kind != OPTION_INSIDE && inet_host_fd(s) >= 0 && inet_state(s) != INET_LOCAL &&
        ocall_getsockopt(s->host_fd, level, name, answer, &answer_size) == 0 &&
        answer_size <= sizeof answer)
        return put(value, size, answer, (uint32_t)answer_size);
    const struct inet_option *o = find_kept(s, level, name);
    if (o)
        return put(value, size, o->value, o->size);
    return put(value, size, &rule->initial, sizeof rule->initial);
}
