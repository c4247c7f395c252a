/* SPDX-License-Identifier: Apache-2.0 */
/* Socket options: what was set is what is read, and what is refused. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
#ifndef IP_RECVFRAGSIZE
#define IP_RECVFRAGSIZE 25
#endif
#define OPTION_TCP_INFO 11
#define OPTION_TCP_CONGESTION 13

static int get(int fd, int level, int name)
{
    int value = -77777;
    socklen_t size = sizeof value;

    if (getsockopt(fd, level, name, &value, &size) < 0)
        return -errno;
    CHECK_EQ(size, sizeof value);
    return value;
}

static int set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) < 0 ? -errno : 0;
}

struct kept {
    int level, name, first, value,
        second; /* what a fresh socket has; what is set; what is read then */
};

static void check_kept(int fd, const struct kept *k, unsigned count)
{
    char what[64];

    for (unsigned i = 0; i < count; i++) {
        int first = get(fd, k[i].level, k[i].name);
        int rc = set(fd, k[i].level, k[i].name, k[i].value);
        int second = get(fd, k[i].level, k[i].name);

        snprintf(what, sizeof what, "option %d of level %d", k[i].name, k[i].level);
        if (first != k[i].first)
            case_fail(__FILE__, __LINE__, what, first, k[i].first);
        if (rc != 0)
            case_fail(__FILE__, __LINE__, what, rc, 0);
        if (second != k[i].second)
            case_fail(__FILE__, __LINE__, what, second, k[i].second);
    }
}
#define CHECK_KEPT(fd, table) check_kept(fd, table, sizeof(table) / sizeof((table)[0]))

static const struct kept socket_level[] = {
    { SOL_SOCKET, SO_REUSEADDR, 0, 7, 1 },        { SOL_SOCKET, SO_REUSEPORT, 0, 1, 1 },
    { SOL_SOCKET, SO_BROADCAST, 0, 1, 1 },        { SOL_SOCKET, SO_DONTROUTE, 0, 1, 1 },
    { SOL_SOCKET, SO_OOBINLINE, 0, 1, 1 },        { SOL_SOCKET, SO_PRIORITY, 0, 6, 6 },
    { SOL_SOCKET, SO_RCVLOWAT, 1, 10, 10 },       { SOL_SOCKET, SO_RCVLOWAT, 10, 0, 1 },
    { SOL_SOCKET, SO_TIMESTAMP, 0, 1, 1 },        { SOL_SOCKET, SO_TIMESTAMP, 1, 0, 0 },
    { SOL_SOCKET, SO_TIMESTAMPNS, 0, 1, 1 },      { SOL_SOCKET, SO_TIMESTAMPNS, 1, 0, 0 },
    { SOL_SOCKET, SO_NO_CHECK, 0, 1, 1 },         { SOL_SOCKET, SO_RXQ_OVFL, 0, 1, 1 },
    { SOL_SOCKET, SO_LOCK_FILTER, 0, 0, 0 },      { SOL_SOCKET, SO_WIFI_STATUS, 0, 1, 1 },
    { SOL_SOCKET, SO_SELECT_ERR_QUEUE, 0, 1, 1 }, { SOL_SOCKET, SO_RCVBUF, 212992, 10000, 20000 },
    { SOL_SOCKET, SO_RCVBUF, 20000, 0, 2304 },    { SOL_SOCKET, SO_SNDBUF, 212992, 10000, 20000 },
    { SOL_SOCKET, SO_SNDBUF, 20000, 0, 4608 },
};

static const struct kept tcp_level[] = {
    { SOL_SOCKET, SO_KEEPALIVE, 0, 1, 1 },
    { IPPROTO_TCP, TCP_NODELAY, 0, 5, 1 },
    { IPPROTO_TCP, TCP_CORK, 0, 1, 1 },
    { IPPROTO_TCP, TCP_KEEPIDLE, 7200, 100, 100 },
    { IPPROTO_TCP, TCP_KEEPINTVL, 75, 10, 10 },
    { IPPROTO_TCP, TCP_KEEPCNT, 9, 3, 3 },
    { IPPROTO_TCP, TCP_SYNCNT, 6, 4, 4 },
    { IPPROTO_TCP, TCP_LINGER2, 60, 5, 5 },
    { IPPROTO_TCP, TCP_USER_TIMEOUT, 0, 5000, 5000 },
    { IPPROTO_TCP, TCP_QUICKACK, 1, 0, 0 },
    { IPPROTO_TCP, TCP_NOTSENT_LOWAT, 0, 16384, 16384 },
};

static const struct kept ip_level[] = {
    { IPPROTO_IP, IP_TOS, 0, 0x10, 0x10 },
    { IPPROTO_IP, IP_TTL, 64, 9, 9 },
    { IPPROTO_IP, IP_TTL, 9, -1, 64 },
    { IPPROTO_IP, IP_PKTINFO, 0, 1, 1 },
    { IPPROTO_IP, IP_RECVTTL, 0, 1, 1 },
    { IPPROTO_IP, IP_RECVTOS, 0, 1, 1 },
    { IPPROTO_IP, IP_RECVERR, 0, 1, 1 },
    { IPPROTO_IP, IP_RETOPTS, 0, 1, 1 },
    { IPPROTO_IP, IP_RECVORIGDSTADDR, 0, 1, 1 },
    { IPPROTO_IP, IP_FREEBIND, 0, 1, 1 },
    { IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 0, 1, 1 },
    { IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_WANT, IP_PMTUDISC_DO, IP_PMTUDISC_DO },
    { IPPROTO_IP, IP_MULTICAST_LOOP, 1, 0, 0 },
};

static const struct kept datagram_level[] = {
    { IPPROTO_IP, IP_MULTICAST_TTL, 1, 4, 4 },
    { IPPROTO_IP, IP_MULTICAST_TTL, 4, -1, 1 },
    { IPPROTO_IP, IP_MULTICAST_ALL, 1, 0, 0 },
};

static const struct kept ipv6_level[] = {
    { IPPROTO_IPV6, IPV6_V6ONLY, 0, 1, 1 },
    { IPPROTO_IPV6, IPV6_UNICAST_HOPS, 64, 9, 9 },
    { IPPROTO_IPV6, IPV6_UNICAST_HOPS, 9, -1, 64 },
    { IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1, 4, 4 },
    { IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1, 0, 0 },
    { IPPROTO_IPV6, IPV6_MULTICAST_IF, 0, 1, 1 },
    { IPPROTO_IPV6, IPV6_RECVPKTINFO, 0, 1, 1 },
    { IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 0, 1, 1 },
    { IPPROTO_IPV6, IPV6_RECVTCLASS, 0, 1, 1 },
    { IPPROTO_IPV6, IPV6_TCLASS, 0, 0x20, 0x20 },
    { IPPROTO_IPV6, IPV6_TCLASS, 0x20, -1, 0 },
    { IPPROTO_IPV6, IPV6_RECVERR, 0, 1, 1 },
    { IPPROTO_IPV6, IPV6_DONTFRAG, 0, 1, 1 },
    { IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_WANT, IPV6_PMTUDISC_DO, IPV6_PMTUDISC_DO },
    { IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, 1, 0, 0 },
};

TEST(net_options_kept)
{
    int udp = OK(socket(AF_INET, SOCK_DGRAM, 0)), tcp = OK(socket(AF_INET, SOCK_STREAM, 0));
    int udp6 = OK(socket(AF_INET6, SOCK_DGRAM, 0)), tcp6 = OK(socket(AF_INET6, SOCK_STREAM, 0));

    CHECK_KEPT(udp, socket_level);
    CHECK_KEPT(tcp, tcp_level);
    CHECK_KEPT(udp, ip_level);
    CHECK_KEPT(udp, datagram_level);
    CHECK_KEPT(udp6, ipv6_level);
    CHECK_KEPT(tcp6, ip_level); /* both levels: IPv4 goes over it, too */
    CHECK_EQ(set(tcp6, IPPROTO_IPV6, IPV6_V6ONLY, 1), 0);
    CHECK_EQ(get(tcp6, IPPROTO_IPV6, IPV6_V6ONLY), 1);
}

TEST(net_options_refused)
{
    int udp = OK(socket(AF_INET, SOCK_DGRAM, 0)), tcp = OK(socket(AF_INET, SOCK_STREAM, 0));
    int udp6 = OK(socket(AF_INET6, SOCK_DGRAM, 0)), un = OK(socket(AF_UNIX, SOCK_STREAM, 0));

    CHECK_EQ(set(udp, IPPROTO_TCP, TCP_NODELAY, 1), -ENOPROTOOPT);
    CHECK_EQ(get(udp, IPPROTO_TCP, TCP_NODELAY), -EOPNOTSUPP);
    CHECK_EQ(set(udp, IPPROTO_IPV6, IPV6_V6ONLY, 1), -ENOPROTOOPT);
    CHECK_EQ(set(tcp, IPPROTO_TCP, 9999, 1), -ENOPROTOOPT);
    CHECK_EQ(get(tcp, IPPROTO_TCP, 9999), -ENOPROTOOPT);
    CHECK_EQ(set(tcp, SOL_SOCKET, SO_TYPE, 1), -ENOPROTOOPT);
    CHECK_EQ(set(tcp, SOL_SOCKET, SO_ERROR, 1), -ENOPROTOOPT);
    CHECK_EQ(set(tcp, 7777, 1, 1), -ENOPROTOOPT);
    CHECK_EQ(get(tcp, 7777, 1), -EOPNOTSUPP);
    CHECK_EQ(set(tcp, IPPROTO_TCP, TCP_KEEPIDLE, 0), -EINVAL);
    CHECK_EQ(set(tcp, IPPROTO_TCP, TCP_KEEPIDLE, 32768), -EINVAL);
    CHECK_EQ(set(tcp, IPPROTO_TCP, TCP_KEEPCNT, 128), -EINVAL);
    CHECK_EQ(set(tcp, IPPROTO_TCP, TCP_SYNCNT, 0), -EINVAL);
    CHECK_EQ(set(tcp, IPPROTO_TCP, TCP_USER_TIMEOUT, -1), -EINVAL);
    CHECK_EQ(set(tcp, IPPROTO_TCP, TCP_MAXSEG, 8), -EINVAL);
    CHECK_EQ(set(udp, IPPROTO_IP, IP_TTL, 0), -EINVAL);
    CHECK_EQ(set(udp, IPPROTO_IP, IP_TTL, 256), -EINVAL);
    CHECK_EQ(set(udp, IPPROTO_IP, IP_MULTICAST_TTL, 256), -EINVAL);
    CHECK_EQ(set(udp, IPPROTO_IP, IP_MTU_DISCOVER, 77), -EINVAL);
    CHECK_EQ(set(tcp, IPPROTO_IP, IP_MULTICAST_TTL, 1), -EINVAL);
    CHECK_EQ(set(udp6, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 256), -EINVAL);
    CHECK_EQ(set(udp6, IPPROTO_IPV6, IPV6_UNICAST_HOPS, -2), -EINVAL);
    CHECK_EQ(set(udp6, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 256), -EINVAL);
    CHECK_EQ(set(udp6, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 2), -EINVAL);
    CHECK_EQ(set(udp6, IPPROTO_IPV6, IPV6_TCLASS, 256), -EINVAL);
    CHECK_EQ(set(udp6, IPPROTO_IPV6, IPV6_TCLASS, -2), -EINVAL);
    CHECK_EQ(set(un, IPPROTO_TCP, TCP_NODELAY, 1), -EOPNOTSUPP);
    CHECK_EQ(get(un, IPPROTO_TCP, TCP_NODELAY), -EOPNOTSUPP);
    CHECK_EQ(get(un, SOL_SOCKET, 9999), -ENOPROTOOPT);
    FAILS(setsockopt(tcp, SOL_SOCKET, SO_KEEPALIVE, "", 1), EINVAL);
    FAILS(setsockopt(tcp, SOL_SOCKET, SO_KEEPALIVE, NULL, 4), EFAULT);
    FAILS(setsockopt(tcp, IPPROTO_TCP, TCP_NODELAY, "", 1), EINVAL);
    FAILS(setsockopt(-1, SOL_SOCKET, SO_KEEPALIVE, &un, 4), EBADF);
    FAILS(setsockopt(0, SOL_SOCKET, SO_KEEPALIVE, &un, 4), ENOTSOCK);
    FAILS(setsockopt(tcp, SOL_SOCKET, SO_LINGER, &un, 4), EINVAL);
    FAILS(setsockopt(tcp, SOL_SOCKET, SO_RCVTIMEO, &un, 4), EINVAL);
}

TEST(net_options_after_bind)
{
    struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
    int fd = OK(socket(AF_INET6, SOCK_STREAM, 0));

    OK(bind(fd, (struct sockaddr *)&at, sizeof at));
    CHECK_EQ(set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1), -EINVAL);
    CHECK_EQ(set(fd, IPPROTO_TCP, TCP_NODELAY, 1), 0);
    CHECK_EQ(get(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    CHECK_EQ(get(fd, SOL_SOCKET, SO_RCVBUF) > 0, 1);
    CHECK_EQ(set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1), 0);
    CHECK_EQ(get(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO), 1);
}

TEST(net_options_short)
{
    int fd = OK(socket(AF_INET, SOCK_DGRAM, 0)), one = 1;
    struct timeval t = { 1, 500000 };
    uint8_t bytes[8] = { 9, 9, 9, 9, 9, 9, 9, 9 };
    socklen_t size = 1;

    OK(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof one));
    OK(getsockopt(fd, SOL_SOCKET, SO_BROADCAST, bytes, &size));
    CHECK_EQ(size, 1);
    CHECK_EQ(bytes[0], 1);
    CHECK_EQ(bytes[1], 9);
    size = 1; /* one byte is a number, too, at IPPROTO_IP */
    OK(setsockopt(fd, IPPROTO_IP, IP_TTL, &(uint8_t){ 33 }, 1));
    OK(getsockopt(fd, IPPROTO_IP, IP_TTL, bytes, &size));
    CHECK_EQ(size, 1);
    CHECK_EQ(bytes[0], 33);
    size = 2;
    OK(getsockopt(fd, IPPROTO_IP, IP_TTL, bytes, &size));
    CHECK_EQ(size, 1);
    size = 8;
    OK(getsockopt(fd, IPPROTO_IP, IP_TTL, bytes, &size));
    CHECK_EQ(size, 4);
    OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
    t = (struct timeval){ 0 };
    size = sizeof t;
    OK(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, &size));
    CHECK_EQ(size, sizeof t);
    CHECK(t.tv_sec == 1 && t.tv_usec >= 490000 && t.tv_usec <= 510000);
    t.tv_usec = 1000000;
    FAILS(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t), EDOM);
    size = (socklen_t)-1;
    FAILS(getsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, &size), EINVAL);
    FAILS(getsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, NULL), EFAULT);
}

static int pair_of(int ret[2])
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int listener = OK(socket(AF_INET, SOCK_STREAM, 0));
    socklen_t size = sizeof at;

    OK(bind(listener, (struct sockaddr *)&at, sizeof at));
    OK(listen(listener, 4));
    OK(getsockname(listener, (struct sockaddr *)&at, &size));
    ret[0] = OK(socket(AF_INET, SOCK_STREAM, 0));
    OK(connect(ret[0], (struct sockaddr *)&at, sizeof at));
    ret[1] = OK(accept(listener, NULL, NULL));
    return listener;
}

TEST(net_tcp_info)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    char name[64] = "";
    int s[2], listener = pair_of(s), fresh = OK(socket(AF_INET, SOCK_STREAM, 0));

    OK(getsockopt(fresh, IPPROTO_TCP, OPTION_TCP_INFO, &info, &size));
    CHECK_EQ(info.tcpi_state, TCP_CLOSE);
    size = sizeof info;
    OK(getsockopt(listener, IPPROTO_TCP, OPTION_TCP_INFO, &info, &size));
    CHECK_EQ(info.tcpi_state, TCP_LISTEN);
    for (int i = 0; i < 2; i++) {
        memset(&info, 0, sizeof info);
        size = sizeof info;
        OK(getsockopt(s[i], IPPROTO_TCP, OPTION_TCP_INFO, &info, &size));
        CHECK_EQ(info.tcpi_state, TCP_ESTABLISHED);
        CHECK(info.tcpi_snd_mss >= 536 && info.tcpi_rcv_mss >= 536 && info.tcpi_snd_cwnd > 0);
        CHECK(info.tcpi_pmtu >= 1280 && info.tcpi_rto > 0);
    }
    size = 4;
    OK(getsockopt(s[0], IPPROTO_TCP, OPTION_TCP_INFO, &info, &size));
    CHECK_EQ(size, 4);
    OK(shutdown(s[0], SHUT_WR));
    CHECK_EQ(read(s[1], name, 1), 0);
    size = sizeof info;
    OK(getsockopt(s[1], IPPROTO_TCP, OPTION_TCP_INFO, &info, &size));
    CHECK_EQ(info.tcpi_state, TCP_CLOSE_WAIT);
    OK(getsockopt(s[0], IPPROTO_TCP, OPTION_TCP_INFO, &info, &size));
    CHECK(info.tcpi_state == TCP_FIN_WAIT2 || info.tcpi_state == TCP_FIN_WAIT1);
    FAILS(setsockopt(s[0], IPPROTO_TCP, OPTION_TCP_INFO, &info, sizeof info), ENOPROTOOPT);
    size = sizeof name;
    OK(getsockopt(s[1], IPPROTO_TCP, OPTION_TCP_CONGESTION, name, &size));
    CHECK_EQ(size, 16);
    CHECK(name[0] != 0);
    OK(setsockopt(s[1], IPPROTO_TCP, OPTION_TCP_CONGESTION, name, (socklen_t)strlen(name)));
    FAILS(setsockopt(s[1], IPPROTO_TCP, OPTION_TCP_CONGESTION, "none_such", 9), ENOENT);
    CHECK_EQ(get(s[1], IPPROTO_TCP, TCP_MAXSEG) >= 536, 1);
    close(s[0]);
    close(s[1]);
}

TEST(net_buffers_of_unix)
{
    int s[2], groups[64];
    socklen_t size = sizeof groups;
    char label[64];

    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    CHECK_EQ(set(s[0], SOL_SOCKET, SO_SNDBUF, 30000), 0);
    CHECK_EQ(get(s[0], SOL_SOCKET, SO_SNDBUF), 60000);
    CHECK_EQ(set(s[0], SOL_SOCKET, SO_PASSCRED, 1), 0);
    CHECK_EQ(get(s[0], SOL_SOCKET, SO_PASSCRED), 1);
    CHECK_EQ(set(s[0], SOL_SOCKET, SO_PASSCRED, 0), 0);
    OK(getsockopt(s[0], SOL_SOCKET, SO_PEERGROUPS, groups, &size));
    CHECK_EQ(size, (unsigned)getgroups(0, NULL) * 4);
    size = sizeof label;
    if (getsockopt(s[0], SOL_SOCKET, SO_PEERSEC, label, &size) < 0)
        CHECK_EQ(errno, ENOPROTOOPT);
    CHECK_EQ(get(s[0], SOL_SOCKET, SO_DOMAIN), AF_UNIX);
    CHECK_EQ(get(s[0], SOL_SOCKET, SO_PROTOCOL), 0);
    CHECK_EQ(get(s[0], SOL_SOCKET, SO_SNDLOWAT), 1);
    CHECK_EQ(get(s[0], SOL_SOCKET, SO_PEEK_OFF), -1);
    CHECK_EQ(set(s[0], SOL_SOCKET, SO_PEERCRED, 1), -ENOPROTOOPT);
    close(s[0]);
    close(s[1]);
}
