/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of TCP and UDP, and the table of who inside the enclave can be reached at which port. Trusted. */
#include <asm/errno.h>
#include <linux/in6.h>

#include "tee/enclave/random.h"
#include "tee/enclave/string.h"
#include "tee/libos/net/inet.h"

#define SOCKADDR_IN_SIZE 16u
#define SOCKADDR_IN6_SIZE 28u
#define SOCKADDR_IN6_SIZE_MIN 24u /* without the scope, as old programs pass it */
#define BUCKETS 256u
#define PORT_FIRST 32768u /* ephemeral ports, as Linux */
#define PORT_COUNT 28232u

static const uint8_t v4_prefix[12] = { [10] = 0xff, [11] = 0xff };

int inet_addr_parse(int family, const struct sock_addr *src, struct inet_addr *ret)
{
    const uint8_t *b = src->bytes;

    *ret = (struct inet_addr){ 0 };
    if (src->size < SOCKADDR_IN_SIZE)
        return -EINVAL;
    ret->port = (uint16_t)(b[2] << 8 | b[3]);
    if (src->family == AF_INET || (src->family == 0 && family == AF_INET)) {
        memcpy(ret->ip, v4_prefix, sizeof v4_prefix);
        memcpy(ret->ip + 12, b + 4, 4);
        return family == AF_INET ? 0 : -EAFNOSUPPORT;
    }
    if (src->family != AF_INET6 || family != AF_INET6)
        return -EAFNOSUPPORT;
    if (src->size < SOCKADDR_IN6_SIZE_MIN)
        return -EINVAL;
    memcpy(ret->ip, b + 8, 16);
    if (src->size >= SOCKADDR_IN6_SIZE)
        memcpy(&ret->scope, b + 24, 4);
    return 0;
}

void inet_addr_encode(int family, const struct inet_addr *src, struct sock_addr *ret)
{
    memset(ret->bytes, 0, sizeof ret->bytes);
    ret->family = (uint16_t)family;
    ret->bytes[2] = (uint8_t)(src->port >> 8);
    ret->bytes[3] = (uint8_t)src->port;
    if (family == AF_INET) {
        memcpy(ret->bytes + 4, src->ip + 12, 4);
        ret->size = SOCKADDR_IN_SIZE;
        return;
    }
    memcpy(ret->bytes + 8, src->ip, 16);
    memcpy(ret->bytes + 24, &src->scope, 4);
    ret->size = SOCKADDR_IN6_SIZE;
}

bool inet_addr_is_v4(const struct inet_addr *a)
{
    return memcmp(a->ip, v4_prefix, sizeof v4_prefix) == 0;
}

bool inet_addr_is_any(const struct inet_addr *a)
{
    static const uint8_t none[16];

    return memcmp(a->ip, none, 16) == 0 || (inet_addr_is_v4(a) && memcmp(a->ip + 12, none, 4) == 0);
}

bool inet_addr_is_loopback(const struct inet_addr *a)
{
    static const uint8_t v6[16] = { [15] = 1 };

    return memcmp(a->ip, v6, 16) == 0 || (inet_addr_is_v4(a) && a->ip[12] == 127);
}

bool inet_addr_equal(const struct inet_addr *a, const struct inet_addr *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, 16) == 0;
}

void inet_addr_set_loopback(struct inet_addr *a)
{
    if (inet_addr_is_v4(a)) {
        memcpy(a->ip + 12, (const uint8_t[4]){ 127, 0, 0, 1 }, 4);
    } else {
        memset(a->ip, 0, 16);
        a->ip[15] = 1;
    }
}

/* ---- who is reached inside ---- */

/* Guards the table and table_next, in_table of those in it. Taken inside socket.lock; no socket.lock is taken under it
 * but that of listeners, which are never locked by a thread that wants the table. */
static struct mutex g_table;
static struct inet_sock *g_buckets[BUCKETS];

void inet_table_add(struct inet_sock *s)
{
    mutex_lock(&g_table);
    if (!s->in_table) {
        struct inet_sock **head = &g_buckets[s->local.port % BUCKETS];

        s->table_next = *head;
        *head = s;
        s->in_table = true;
    }
    mutex_unlock(&g_table);
}

void inet_table_remove(struct inet_sock *s)
{
    mutex_lock(&g_table);
    if (s->in_table) {
        struct inet_sock **p = &g_buckets[s->local.port % BUCKETS];

        while (*p != s)
            p = &(*p)->table_next;
        *p = s->table_next;
        s->in_table = false;
    }
    mutex_unlock(&g_table);
}

static bool is_v6_only(const struct inet_sock *s)
{
    return inet_option_number(s, IPPROTO_IPV6, IPV6_V6ONLY, 0) != 0;
}

/* How well s fits: 0 not at all, 2 exactly. */
static int rank(const struct inet_sock *s, int protocol, const struct inet_addr *to)
{
    if (s->base.protocol != protocol || s->local.port != to->port)
        return 0;
    if (memcmp(s->local.ip, to->ip, 16) == 0)
        return 2;
    if (!inet_addr_is_any(&s->local))
        return 0;
    if (s->base.family == AF_INET)
        return inet_addr_is_v4(to);
    return !inet_addr_is_v4(to) || !is_v6_only(s);
}

int inet_table_call(int protocol, const struct inet_addr *to,
                    int (*fn)(struct inet_sock *s, void *arg), void *arg)
{
    struct inet_sock *best = NULL;
    int best_rank = 0;
    int rc = -ENOENT;

    if (!inet_addr_is_loopback(to))
        return -ENOENT;
    mutex_lock(&g_table);
    for (struct inet_sock *s = g_buckets[to->port % BUCKETS]; s; s = s->table_next) {
        int r = rank(s, protocol, to);

        /* SO_REUSEPORT: whoever has less to do. */
        if (r > best_rank || (r && r == best_rank && s->pending_count < best->pending_count)) {
            best = s;
            best_rank = r;
        }
    }
    if (best)
        rc = fn(best, arg);
    mutex_unlock(&g_table);
    return rc;
}

/* ---- ports of clients inside ---- */

static struct spin g_ports_lock;
static uint64_t g_ports[(PORT_COUNT + 63) / 64];

int inet_port_new(uint16_t *ret)
{
    uint32_t first = (uint32_t)(random_u64() % PORT_COUNT);
    int rc = -EADDRNOTAVAIL;

    spin_lock(&g_ports_lock);
    for (uint32_t i = 0; i < PORT_COUNT; i++) {
        uint32_t port = (first + i) % PORT_COUNT;

        if (g_ports[port / 64] >> port % 64 & 1)
            continue;
        g_ports[port / 64] |= 1ull << port % 64;
        *ret = (uint16_t)(PORT_FIRST + port);
        rc = 0;
        break;
    }
    spin_unlock(&g_ports_lock);
    return rc;
}

void inet_port_free(uint16_t number)
{
    uint32_t port = number - PORT_FIRST;

    spin_lock(&g_ports_lock);
    g_ports[port / 64] &= ~(1ull << port % 64);
    spin_unlock(&g_ports_lock);
}
