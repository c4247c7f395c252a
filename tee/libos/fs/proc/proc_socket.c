/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/net: the sockets of the enclave, as the kernel lists its own. Trusted. */
#include <asm/errno.h>

#include "tee/enclave/log.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/proc/proc_internal.h"
#include "tee/libos/net/inet.h"
#include "tee/libos/net/unix.h"

#define FIRST_COLUMNS 128u
#define ROW_SIZE 149u /* rows of tcp and udp are padded to it */
#define STATE_CONNECTED 1u
#define STATE_CLOSED 7u
#define STATE_LISTENING 10u
#define UNIX_UNCONNECTED 1u
#define UNIX_CONNECTED 3u
#define UNIX_ACCEPTS 0x10000u

struct listing {
    struct text *text;
    int family, protocol;
    unsigned count, connected;
};

/* ---- tcp, udp ---- */

/* Addresses stand as the words of memory that they are, ports as numbers. */
static size_t put_address(char *dst, size_t size, int family, const struct sock_addr *a)
{
    const uint8_t *ip = a->bytes + (family == AF_INET ? 4 : 8);
    uint16_t port = (uint16_t)(a->bytes[2] << 8 | a->bytes[3]);
    size_t done = 0;

    for (unsigned i = 0; i < (family == AF_INET ? 1u : 4u); i++) {
        uint32_t word = 0;

        if (a->size)
            memcpy(&word, ip + i * 4, sizeof word);
        done += format(dst + done, size - done, "%08X", word);
    }
    return done + format(dst + done, size - done, ":%04X", port);
}

static uint8_t state_of(struct inet_sock *s)
{
    if (s->base.protocol == IPPROTO_TCP)
        return inet_info_state(s);
    return s->connected ? STATE_CONNECTED : STATE_CLOSED;
}

static bool is_listed(const struct inet_sock *s)
{
    return s->base.protocol == IPPROTO_TCP ? inet_state(s) != INET_FRESH : s->bound;
}

static void inet_row(struct socket *base, void *arg)
{
    struct listing *l = arg;
    struct inet_sock *s;
    struct sock_addr local = { 0 }, peer = { 0 };
    char names[FIRST_COLUMNS], row[2 * ROW_SIZE];
    uint32_t in = 0;

    if (base->family != l->family || base->protocol != l->protocol || !is_listed(inet_of(base)))
        return;
    s = inet_of(base);
    uint8_t state = state_of(s);
    if (base->ops->name(base, false, &local) < 0)
        local.size = 0;
    if (base->ops->name(base, true, &peer) < 0)
        peer.size = 0;
    if (state == STATE_LISTENING)
        in = s->pending_count;
    else if (base->ops->queued(base, false, &in) < 0)
        in = 0;
    size_t used = put_address(names, sizeof names, l->family, &local);
    names[used++] = ' ';
    put_address(names + used, sizeof names - used, l->family, &peer);
    used = format(row, sizeof row,
                  "%4u: %s %02X 00000000:%08X 00:00000000 00000000 %5u        0 %lu 2 %016lx",
                  l->count++, names, state, in, base->uid, (unsigned long)base->ino, 0ul);
    if (l->protocol == IPPROTO_TCP && state != STATE_LISTENING)
        used += format(row + used, sizeof row - used, " 20 4 30 10 -1");
    else if (l->protocol == IPPROTO_TCP)
        used += format(row + used, sizeof row - used, " 100 0 0 10 0");
    else
        used += format(row + used, sizeof row - used, " 0");
    while (used < ROW_SIZE)
        row[used++] = ' ';
    row[used] = 0;
    text_print(l->text, "%s\n", row);
}

static int inet_show(struct text *t, int family, int protocol, const char *head)
{
    struct listing l = { .text = t, .family = family, .protocol = protocol };

    text_print(t, "%s\n", head);
    sock_each(inet_row, &l);
    return 0;
}

#define HEAD4                                                                                      \
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "  \
    "inode"
#define HEAD6                                                                                      \
    "  sl  local_address                         remote_address                        st "        \
    "tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"

int proc_tcp_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    return inet_show(t, AF_INET, IPPROTO_TCP,
                     HEAD4 "                                                     ");
}

int proc_tcp6_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    return inet_show(t, AF_INET6, IPPROTO_TCP, HEAD6);
}

int proc_udp_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    return inet_show(t, AF_INET, IPPROTO_UDP, HEAD4 " ref pointer drops             ");
}

int proc_udp6_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    return inet_show(t, AF_INET6, IPPROTO_UDP, HEAD6 " ref pointer drops");
}

int proc_udplite_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    return inet_show(t, AF_INET, IPPROTO_UDPLITE, HEAD4 " ref pointer drops             ");
}

int proc_raw_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, HEAD4 " ref pointer drops\n"); /* no program may open one */
    return 0;
}

/* ---- unix ---- */

static void unix_row(struct socket *base, void *arg)
{
    struct listing *l = arg;
    struct unix_sock *s = CONTAINER_OF(base, struct unix_sock, base);
    char path[UNIX_PATH_SIZE + 2] = " ";
    uint32_t size = s->name.size > UNIX_ADDR_PATH ? s->name.size - UNIX_ADDR_PATH : 0;
    bool is_abstract = size && !s->name.bytes[UNIX_ADDR_PATH];

    if (base->family != AF_UNIX)
        return;
    size = MIN(size, UNIX_PATH_SIZE);
    if (size && !is_abstract) /* with the NUL that ends it */
        size = (uint32_t)strnlen((const char *)s->name.bytes + UNIX_ADDR_PATH, size);
    for (uint32_t i = 0; i < size; i++) {
        char c = (char)s->name.bytes[UNIX_ADDR_PATH + i];

        path[1 + i] = c ? c : '@';
    }
    path[1 + size] = 0;
    text_print(l->text, "%016lx: %08X %08X %08X %04X %02X %5lu%s\n", 0ul, s->connected ? 3u : 2u,
               0u, base->is_listening ? UNIX_ACCEPTS : 0u, (unsigned)base->type,
               s->connected ? UNIX_CONNECTED : UNIX_UNCONNECTED, (unsigned long)base->ino,
               size ? path : "");
}

int proc_unix_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    struct listing l = { .text = t };

    text_print(t, "Num       RefCount Protocol Flags    Type St Inode Path\n");
    sock_each(unix_row, &l);
    return 0;
}

static void netlink_row(struct socket *base, void *arg)
{
    struct listing *l = arg;
    struct sock_addr a;
    uint32_t port = 0;

    if (base->family != AF_NETLINK || base->ops->name(base, false, &a) < 0)
        return;
    memcpy(&port, a.bytes + 4, sizeof port);
    text_print(l->text, "%016lx %-3d %-10u %08x %-8d %-8d %-5d %-8d %-8u %-8lu\n", 0ul,
               base->protocol, port, 0u, 0, 0, 0, 2, 0u, (unsigned long)base->ino);
}

int proc_netlink_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    struct listing l = { .text = t };

    text_print(t,
               "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    "
               "Inode\n");
    sock_each(netlink_row, &l);
    return 0;
}

/* ---- counts ---- */

static void count_one(struct socket *base, void *arg)
{
    struct listing *l = arg;

    if (l->family &&
        (base->family != l->family || base->protocol != l->protocol || !is_listed(inet_of(base))))
        return;
    l->count++;
    if (base->family == AF_INET || base->family == AF_INET6)
        l->connected +=
            inet_state(inet_of(base)) == INET_LOCAL || inet_state(inet_of(base)) == INET_HOST;
}

static struct listing count(int family, int protocol)
{
    struct listing l = { .family = family, .protocol = protocol };

    sock_each(count_one, &l);
    return l;
}

int proc_sockstat_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    unsigned tcp = count(AF_INET, IPPROTO_TCP).count;

    text_print(t, "sockets: used %u\nTCP: inuse %u orphan 0 tw 0 alloc %u mem 0\n",
               count(0, 0).count, tcp, tcp);
    text_print(t, "UDP: inuse %u mem 0\nUDPLITE: inuse %u\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n",
               count(AF_INET, IPPROTO_UDP).count, count(AF_INET, IPPROTO_UDPLITE).count);
    return 0;
}

int proc_sockstat6_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t,
               "TCP6: inuse %u\nUDP6: inuse %u\nUDPLITE6: inuse %u\nRAW6: inuse 0\n"
               "FRAG6: inuse 0 memory 0\n",
               count(AF_INET6, IPPROTO_TCP).count, count(AF_INET6, IPPROTO_UDP).count,
               count(AF_INET6, IPPROTO_UDPLITE).count);
    return 0;
}

/* Packets are not counted: the host moves them. What is counted is who is connected. */
int proc_snmp_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    text_print(t, "Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams "
                  "InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes "
                  "ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates\n"
                  "Ip: 2 64 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
    text_print(t, "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails "
                  "EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\n");
    text_print(t, "Tcp: 1 200 120000 -1 0 0 0 0 %u 0 0 0 0 0 0\n",
               count(AF_INET, IPPROTO_TCP).connected + count(AF_INET6, IPPROTO_TCP).connected);
    for (unsigned i = 0; i < 2; i++) {
        const char *name = i ? "UdpLite" : "Udp";

        text_print(t,
                   "%s: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors "
                   "InCsumErrors IgnoredMulti MemErrors\n%s: 0 0 0 0 0 0 0 0 0\n",
                   name, name);
    }
    return 0;
}
