/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: flags, control messages, many at once, descriptors in flight. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static struct cmsghdr *find_control(struct msghdr *m, int level, int type)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
        if (c->cmsg_level == level && c->cmsg_type == type)
            return c;
    return NULL;
}

static void send_fd(int to, int fd)
{
    char space[CMSG_SPACE(sizeof fd)] = { 0 };
    struct iovec v = { "x", 1 };
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    *c = (struct cmsghdr){ CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS };
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    CHECK_EQ(sendmsg(to, &m, 0), 1);
}

/* Returns the descriptor that came, or -1. */
static int receive_fd(int from, int flags)
{
    char space[CMSG_SPACE(sizeof(int))] = { 0 }, byte;
    struct iovec v = { &byte, 1 };
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space
    };
    int fd = -1;

    CHECK_EQ(recvmsg(from, &m, flags), 1);
    struct cmsghdr *c = find_control(&m, SOL_SOCKET, SCM_RIGHTS);
    if (c)
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

TEST(net_rights_of_a_cycle_are_collected)
{
    char byte;

    for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
        int p[2], s[2], t[2];

        /* What only a socket holds that only its own queue holds is let go: its pipe ends. */
        OK(pipe(p));
        OK(socketpair(AF_UNIX, type, 0, s));
        send_fd(s[0], s[1]);
        send_fd(s[0], p[1]);
        OK(close(s[0]));
        OK(close(s[1]));
        OK(close(p[1]));
        /* Two that hold each other. */
        OK(socketpair(AF_UNIX, type, 0, s));
        OK(socketpair(AF_UNIX, type, 0, t));
        send_fd(s[0], t[1]);
        send_fd(t[0], s[1]);
        OK(close(s[0]));
        OK(close(s[1]));
        OK(close(t[0]));
        OK(close(t[1]));
        struct pollfd poll_end = { .fd = p[0], .events = POLLIN };
        for (int i = 0; i < 100 && !(poll(&poll_end, 1, 50) == 1 && poll_end.revents & POLLHUP);
             i++) {
            OK(socketpair(AF_UNIX, type, 0, s)); /* Linux collects when sockets come and go */
            close(s[0]);
            close(s[1]);
        }
        CHECK(poll_end.revents & POLLHUP);
        CHECK_EQ(read(p[0], &byte, 1), 0);
        close(p[0]);
    }
}

TEST(net_rights_in_flight_survive)
{
    int p[2], s[2], t[2], got;
    char byte;

    OK(pipe(p));
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, t));
    send_fd(t[0], p[1]); /* t[1] holds the pipe's end, s[1] holds t[1] */
    send_fd(s[0], t[1]);
    OK(close(t[1]));
    OK(close(t[0]));
    OK(close(p[1]));
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, t));
    send_fd(t[0], t[1]);
    OK(close(t[0]));
    OK(close(t[1])); /* a cycle beside it */
    got = receive_fd(s[1], 0);
    CHECK(got >= 0);
    got = receive_fd(got, 0);
    CHECK(got >= 0);
    CHECK_EQ(write(got, "z", 1), 1);
    CHECK_EQ(read(p[0], &byte, 1), 1);
    CHECK_EQ(byte, 'z');
}

TEST(net_rights_peeked)
{
    int s[2], p[2], got, again;
    struct stat a, b;

    OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
    OK(pipe(p));
    send_fd(s[0], p[1]);
    got = receive_fd(s[1], MSG_PEEK);
    CHECK(got >= 0);
    again = receive_fd(s[1], MSG_CMSG_CLOEXEC);
    CHECK(again >= 0 && again != got);
    OK(fstat(got, &a));
    OK(fstat(again, &b));
    CHECK_EQ(a.st_ino, b.st_ino);
    CHECK_EQ(fcntl(got, F_GETFD), 0);
    CHECK_EQ(fcntl(again, F_GETFD), FD_CLOEXEC);
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    send_fd(s[0], p[1]);
    got = receive_fd(s[1], MSG_PEEK);
    CHECK(got >= 0);
    again = receive_fd(s[1], 0);
    CHECK(again >= 0 && again != got);
}

TEST(net_rights_wrong)
{
    char space[CMSG_SPACE(4)] = { 0 };
    struct iovec v = { "x", 1 };
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    int s[2], fd = 99;
    struct ucred cred = { getpid() + 1000, getuid(), getgid() };
    char more[CMSG_SPACE(sizeof cred)] = { 0 };

    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    *c = (struct cmsghdr){ CMSG_LEN(4), SOL_SOCKET, SCM_RIGHTS };
    memcpy(CMSG_DATA(c), &fd, 4);
    FAILS(sendmsg(s[0], &m, 0), EBADF);
    c->cmsg_len = 3;
    FAILS(sendmsg(s[0], &m, 0), EINVAL);
    c->cmsg_len = 1000;
    FAILS(sendmsg(s[0], &m, 0), EINVAL);
    *c = (struct cmsghdr){ CMSG_LEN(4), SOL_SOCKET, 77 };
    FAILS(sendmsg(s[0], &m, 0), EINVAL);
    m.msg_control = more;
    m.msg_controllen = sizeof more;
    c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){ CMSG_LEN(sizeof cred), SOL_SOCKET, SCM_CREDENTIALS };
    cred.uid = getuid() + 5;
    cred.pid = getpid();
    memcpy(CMSG_DATA(c), &cred, sizeof cred);
    if (geteuid() != 0)
        FAILS(sendmsg(s[0], &m, 0), EPERM);
    c->cmsg_len = CMSG_LEN(4);
    FAILS(sendmsg(s[0], &m, 0), EINVAL);
}

static int udp_bound(int family, struct sockaddr_storage *at, socklen_t *size)
{
    int fd = OK(socket(family, SOCK_DGRAM, 0));
    struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };

    if (family == AF_INET)
        OK(bind(fd, (struct sockaddr *)&a4, sizeof a4));
    else
        OK(bind(fd, (struct sockaddr *)&a6, sizeof a6));
    *size = sizeof *at;
    OK(getsockname(fd, (struct sockaddr *)at, size));
    return fd;
}

static void enable(int fd, int level, int name)
{
    OK(setsockopt(fd, level, name, &(int){ 1 }, sizeof(int)));
}

TEST(net_packet_info)
{
    struct sockaddr_storage at;
    socklen_t size;
    char space[512], bytes[16];
    struct iovec v = { bytes, sizeof bytes };
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space
    };
    int fd = udp_bound(AF_INET, &at, &size), from = OK(socket(AF_INET, SOCK_DGRAM, 0)), tos = 0x10,
        ttl;
    struct in_pktinfo info;
    struct timeval t;
    struct timespec ts;
    struct cmsghdr *c;

    enable(fd, IPPROTO_IP, IP_PKTINFO);
    enable(fd, IPPROTO_IP, IP_RECVTTL);
    enable(fd, IPPROTO_IP, IP_RECVTOS);
    enable(fd, SOL_SOCKET, SO_TIMESTAMP);
    OK(setsockopt(from, IPPROTO_IP, IP_TOS, &tos, sizeof tos));
    CHECK_EQ(sendto(from, "abc", 3, 0, (struct sockaddr *)&at, size), 3);
    CHECK_EQ(recvmsg(fd, &m, 0), 3);
    CHECK((c = find_control(&m, IPPROTO_IP, IP_PKTINFO)));
    memcpy(&info, CMSG_DATA(c), sizeof info);
    CHECK_EQ(info.ipi_addr.s_addr, htonl(INADDR_LOOPBACK));
    CHECK_EQ(info.ipi_spec_dst.s_addr, htonl(INADDR_LOOPBACK));
    CHECK_EQ(info.ipi_ifindex, (int)if_nametoindex("lo"));
    CHECK((c = find_control(&m, IPPROTO_IP, IP_TTL)));
    memcpy(&ttl, CMSG_DATA(c), sizeof ttl);
    CHECK_EQ(ttl, 64);
    CHECK((c = find_control(&m, IPPROTO_IP, IP_TOS)));
    CHECK_EQ(c->cmsg_len, CMSG_LEN(1));
    CHECK_EQ(*CMSG_DATA(c), 0x10);
    CHECK((c = find_control(&m, SOL_SOCKET, SCM_TIMESTAMP)));
    memcpy(&t, CMSG_DATA(c), sizeof t);
    CHECK(t.tv_sec > 1500000000 && t.tv_usec < 1000000);
    enable(fd, SOL_SOCKET, SO_TIMESTAMPNS);
    CHECK_EQ(sendto(from, "abc", 3, 0, (struct sockaddr *)&at, size), 3);
    m.msg_controllen = sizeof space;
    CHECK_EQ(recvmsg(fd, &m, 0), 3);
    CHECK(!find_control(&m, SOL_SOCKET, SCM_TIMESTAMP));
    CHECK((c = find_control(&m, SOL_SOCKET, SCM_TIMESTAMPNS)));
    memcpy(&ts, CMSG_DATA(c), sizeof ts);
    CHECK(ts.tv_sec > 1500000000);
    /* Too little room. */
    CHECK_EQ(sendto(from, "abc", 3, 0, (struct sockaddr *)&at, size), 3);
    m.msg_controllen = 4;
    CHECK_EQ(recvmsg(fd, &m, 0), 3);
    CHECK(m.msg_flags & MSG_CTRUNC);
}

TEST(net_packet_info_ipv6)
{
    struct sockaddr_storage at;
    socklen_t size;
    char space[512], bytes[16];
    struct iovec v = { bytes, sizeof bytes };
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space
    };
    int fd = udp_bound(AF_INET6, &at, &size), from = OK(socket(AF_INET6, SOCK_DGRAM, 0)), hops;
    struct in6_pktinfo info;
    struct cmsghdr *c;

    enable(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
    enable(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT);
    CHECK_EQ(sendto(from, "abc", 3, 0, (struct sockaddr *)&at, size), 3);
    CHECK_EQ(recvmsg(fd, &m, 0), 3);
    CHECK((c = find_control(&m, IPPROTO_IPV6, IPV6_PKTINFO)));
    memcpy(&info, CMSG_DATA(c), sizeof info);
    CHECK(memcmp(&info.ipi6_addr, &in6addr_loopback, 16) == 0);
    CHECK_EQ(info.ipi6_ifindex, if_nametoindex("lo"));
    CHECK((c = find_control(&m, IPPROTO_IPV6, IPV6_HOPLIMIT)));
    memcpy(&hops, CMSG_DATA(c), sizeof hops);
    CHECK_EQ(hops, 64);
}

TEST(net_message_flags)
{
    struct sockaddr_storage at;
    socklen_t size;
    int fd = udp_bound(AF_INET, &at, &size), s[2];
    char bytes[16];
    struct iovec v = { bytes, 2 };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
    struct timeval t = { 0, 20000 };

    FAILS(recv(fd, bytes, 1, MSG_DONTWAIT), EAGAIN);
    FAILS(recv(fd, bytes, 1, MSG_ERRQUEUE), EAGAIN);
    CHECK_EQ(sendto(fd, "abcd", 4, 0, (struct sockaddr *)&at, size), 4);
    CHECK_EQ(recv(fd, bytes, 2, MSG_PEEK | MSG_TRUNC), 4);
    CHECK_EQ(recvmsg(fd, &m, 0), 2);
    CHECK_EQ(m.msg_flags, MSG_TRUNC);
    OK(sendto(fd, "", 0, 0, (struct sockaddr *)&at, size));
    CHECK_EQ(recv(fd, bytes, 2, 0), 0);
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    CHECK_EQ(write(s[0], "abc", 3), 3);
    CHECK_EQ(recv(s[1], bytes, 8, MSG_ERRQUEUE), 3); /* it has no such queue, and takes no notice */
    CHECK_EQ(write(s[0], "abc", 3), 3);
    OK(setsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
    CHECK_EQ(recv(s[1], bytes, 8, MSG_WAITALL), 3); /* what there was when time was up */
    FAILS(recv(s[1], bytes, 8, 0), EAGAIN);
    OK(close(s[0]));
    signal(SIGPIPE, SIG_DFL);
    FAILS(send(s[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s));
    CHECK_EQ(send(s[0], "abcd", 4, MSG_EOR), 4);
    CHECK_EQ(recvmsg(s[1], &m, 0), 2);
    CHECK(m.msg_flags & MSG_TRUNC);
    OK(shutdown(s[0], SHUT_WR));
    CHECK_EQ(recv(s[1], bytes, 2, 0), 0);
    FAILS(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(send(s[1], "x", 1, 0), 1);
    CHECK_EQ(recv(s[0], bytes, 2, 0), 1);
}

TEST(net_many_messages)
{
    struct sockaddr_storage at;
    socklen_t size;
    int fd = udp_bound(AF_INET, &at, &size);
    char bytes[4][8];
    struct iovec out[3] = { { "a", 1 }, { "bc", 2 }, { "def", 3 } }, in[4];
    struct mmsghdr send[3] = { 0 }, receive[4] = { 0 };
    struct timespec t = { 0, 20000000 }, wrong = { 0, 1000000000 };

    for (int i = 0; i < 3; i++)
        send[i].msg_hdr = (struct msghdr){
            .msg_name = &at, .msg_namelen = size, .msg_iov = &out[i], .msg_iovlen = 1
        };
    for (int i = 0; i < 4; i++) {
        in[i] = (struct iovec){ bytes[i], sizeof bytes[i] };
        receive[i].msg_hdr = (struct msghdr){ .msg_iov = &in[i], .msg_iovlen = 1 };
    }
    CHECK_EQ(sendmmsg(fd, send, 3, 0), 3);
    CHECK_EQ(send[2].msg_len, 3);
    CHECK_EQ(recvmmsg(fd, receive, 4, MSG_WAITFORONE, NULL), 3);
    CHECK_EQ(receive[1].msg_len, 2);
    CHECK(memcmp(bytes[2], "def", 3) == 0);
    FAILS(recvmmsg(fd, receive, 4, MSG_DONTWAIT, NULL), EAGAIN);
    FAILS(recvmmsg(fd, receive, 4, MSG_DONTWAIT, &wrong), EINVAL);
    CHECK_EQ(sendmmsg(fd, send, 2, 0), 2);
    CHECK_EQ(recvmmsg(fd, receive, 2, 0, &t), 2);
    CHECK(t.tv_sec == 0 && t.tv_nsec < 20000000);
    CHECK_EQ(sendmmsg(fd, send, 0, 0), 0);
    send[1].msg_hdr.msg_iov = (struct iovec *)8;
    CHECK_EQ(sendmmsg(fd, send, 3, 0), 1); /* what was before the error */
    FAILS(sendmmsg(fd, send + 1, 1, 0), EFAULT);
}

TEST(net_raw_and_unknown)
{
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);

    if (fd < 0)
        CHECK(errno == EPERM || errno == EACCES);
    FAILS(socket(AF_INET, SOCK_RAW, 0), EPROTONOSUPPORT);
    FAILS(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
    FAILS(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP), EPROTONOSUPPORT);
    FAILS(socket(AF_INET, 77, 0), EINVAL);
    FAILS(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
    FAILS(socket(AF_UNIX, SOCK_RDM, 0), ESOCKTNOSUPPORT);
    FAILS(socket(AF_UNIX, SOCK_STREAM, 5), EPROTONOSUPPORT);
    FAILS(socket(99, SOCK_STREAM, 0), EAFNOSUPPORT);
    FAILS(socket(-1, SOCK_STREAM, 0), EAFNOSUPPORT);
    FAILS(socket(AF_NETLINK, SOCK_STREAM, 0), ESOCKTNOSUPPORT);
    FAILS(socket(AF_NETLINK, SOCK_RAW, 77), EPROTONOSUPPORT);
    FAILS(socketpair(AF_INET, SOCK_STREAM, 0, (int[2]){ 0 }), EOPNOTSUPP);
}

/* ---- what /proc/net and netlink say ---- */

/* The text of /proc/net/NAME holds this. */
static bool proc_net_has(const char *name, const char *what)
{
    static char text[1 << 20];
    char path[64];
    size_t used = 0;
    ssize_t n;

    snprintf(path, sizeof path, "/proc/net/%s", name);
    int fd = OK(open(path, O_RDONLY));
    while ((n = OK(read(fd, text + used, sizeof text - 1 - used))) > 0)
        used += (size_t)n;
    close(fd);
    text[used] = 0;
    return strstr(text, what) != NULL;
}

static uint64_t inode_of(int fd)
{
    struct stat st;

    OK(fstat(fd, &st));
    return st.st_ino;
}

TEST(net_proc_sockets)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "socket" };
    int listener = OK(socket(AF_INET, SOCK_STREAM, 0)), un = OK(socket(AF_UNIX, SOCK_STREAM, 0));
    int client = OK(socket(AF_INET, SOCK_STREAM, 0)), server;
    struct sockaddr_storage six;
    socklen_t size = sizeof at, six_size;
    char row[200];

    OK(bind(listener, (struct sockaddr *)&at, sizeof at));
    OK(listen(listener, 5));
    OK(getsockname(listener, (struct sockaddr *)&at, &size));
    snprintf(row, sizeof row, ": 0100007F:%04X 00000000:0000 0A 00000000:00000000 00:00000000 ",
             ntohs(at.sin_port));
    CHECK(proc_net_has("tcp", row));
    snprintf(row, sizeof row, " %lu ", (unsigned long)inode_of(listener));
    CHECK(proc_net_has("tcp", row));
    OK(connect(client, (struct sockaddr *)&at, sizeof at));
    server = OK(accept(listener, NULL, NULL));
    CHECK_EQ(write(client, "abc", 3), 3);
    struct sockaddr_in from;
    size = sizeof from;
    OK(getsockname(client, (struct sockaddr *)&from, &size));
    snprintf(row, sizeof row, ": 0100007F:%04X 0100007F:%04X 01 ", ntohs(from.sin_port),
             ntohs(at.sin_port));
    CHECK(proc_net_has("tcp", row));
    snprintf(row, sizeof row, ": 0100007F:%04X 0100007F:%04X 01 00000000:00000003 ",
             ntohs(at.sin_port), ntohs(from.sin_port));
    CHECK(proc_net_has("tcp", row));
    close(server);
    int udp6 = udp_bound(AF_INET6, &six, &six_size);
    snprintf(row, sizeof row, ": 00000000000000000000000001000000:%04X 000000",
             ntohs(((struct sockaddr_in6 *)&six)->sin6_port));
    CHECK(proc_net_has("udp6", row));
    snprintf(row, sizeof row, " %lu ", (unsigned long)inode_of(udp6));
    CHECK(proc_net_has("udp6", row));
    OK(bind(un, (struct sockaddr *)&name, sizeof name));
    OK(listen(un, 3));
    snprintf(row, sizeof row, " 00010000 0001 01 %5lu socket\n", (unsigned long)inode_of(un));
    CHECK(proc_net_has("unix", row));
    close(un);
    CHECK(!proc_net_has("unix", row));
    CHECK(proc_net_has("sockstat", "TCP: inuse "));
    CHECK(proc_net_has("sockstat6", "UDP6: inuse "));
    CHECK(proc_net_has("snmp", "Tcp: RtoAlgorithm "));
    CHECK(proc_net_has("dev", "lo:"));
    CHECK(proc_net_has("raw", "local_address"));
    CHECK(proc_net_has("route", "Iface"));
    CHECK(proc_net_has("arp", "HW address"));
    CHECK(proc_net_has("packet", "sk "));
    CHECK(proc_net_has("netlink", "sk "));
}

static int route_socket(void)
{
    struct sockaddr_nl at = { .nl_family = AF_NETLINK };
    int fd = OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
    socklen_t size = sizeof at;

    OK(bind(fd, (struct sockaddr *)&at, sizeof at));
    OK(getsockname(fd, (struct sockaddr *)&at, &size));
    CHECK(at.nl_pid != 0);
    return fd;
}

/* Dumps; returns how many messages of the kind came until NLMSG_DONE; a negative errno when an error came. */
static int dump(int fd, int type, int family, int kind, bool (*fn)(struct nlmsghdr *h))
{
    struct {
        struct nlmsghdr head;
        struct rtmsg body;
    } request = { { sizeof request, (uint16_t)type, NLM_F_REQUEST | NLM_F_DUMP, 7, 0 },
                  { .rtm_family = (uint8_t)family } };
    static char bytes[65536] __attribute__((aligned(8)));
    int count = 0;

    CHECK_EQ(send(fd, &request, sizeof request, 0), sizeof request);
    for (;;) {
        int n = (int)OK(recv(fd, bytes, sizeof bytes, 0));

        for (struct nlmsghdr *h = (void *)bytes; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
            CHECK_EQ(h->nlmsg_seq, 7);
            if (h->nlmsg_type == NLMSG_DONE)
                return count;
            if (h->nlmsg_type == NLMSG_ERROR)
                return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
            CHECK_EQ(h->nlmsg_type, kind);
            CHECK(h->nlmsg_flags & NLM_F_MULTI);
            count += !fn || fn(h);
        }
    }
}

/* Of a route to 127.0.0.0/8 in the local table. */
static bool is_loopback_route(struct nlmsghdr *h)
{
    struct rtmsg *r = NLMSG_DATA(h);
    int n = (int)RTM_PAYLOAD(h);
    uint32_t to = 0, through = 0;

    for (struct rtattr *a = RTM_RTA(r); RTA_OK(a, n); a = RTA_NEXT(a, n)) {
        if (a->rta_type == RTA_DST && r->rtm_family == AF_INET)
            memcpy(&to, RTA_DATA(a), 4);
        if (a->rta_type == RTA_OIF)
            memcpy(&through, RTA_DATA(a), 4);
    }
    return to == htonl(0x7f000000) && r->rtm_dst_len == 8 && r->rtm_type == RTN_LOCAL &&
           r->rtm_table == RT_TABLE_LOCAL && through == if_nametoindex("lo");
}

TEST(net_netlink_dumps)
{
    int fd = route_socket();

    CHECK(dump(fd, RTM_GETLINK, AF_UNSPEC, RTM_NEWLINK, NULL) >= 1);
    CHECK(dump(fd, RTM_GETADDR, AF_UNSPEC, RTM_NEWADDR, NULL) >= 2);
    CHECK(dump(fd, RTM_GETADDR, AF_INET, RTM_NEWADDR, NULL) >= 1);
    CHECK(dump(fd, RTM_GETROUTE, AF_UNSPEC, RTM_NEWROUTE, NULL) >= 4);
    CHECK_EQ(dump(fd, RTM_GETROUTE, AF_INET, RTM_NEWROUTE, is_loopback_route), 1);
    CHECK(dump(fd, RTM_GETNEIGH, AF_INET, RTM_NEWNEIGH, NULL) >= 0);
}

TEST(net_netlink_errors)
{
    int fd = route_socket();
    struct {
        struct nlmsghdr head;
        struct ifinfomsg body;
    } request = { { sizeof request, RTM_GETLINK, NLM_F_REQUEST, 9, 0 }, { .ifi_index = 77777 } };
    struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
    } answer;

    CHECK_EQ(send(fd, &request, sizeof request, 0), sizeof request);
    CHECK(recv(fd, &answer, sizeof answer, 0) >= (ssize_t)sizeof answer);
    CHECK_EQ(answer.head.nlmsg_type, NLMSG_ERROR);
    CHECK_EQ(answer.error.error, -ENODEV);
    CHECK_EQ(answer.error.msg.nlmsg_seq, 9);
    request.body.ifi_index = (int)if_nametoindex("lo");
    request.head.nlmsg_flags |= NLM_F_ACK;
    CHECK_EQ(send(fd, &request, sizeof request, 0), sizeof request);
    CHECK(recv(fd, &answer, sizeof answer, MSG_TRUNC) > (ssize_t)sizeof answer);
    CHECK_EQ(answer.head.nlmsg_type, RTM_NEWLINK);
    CHECK_EQ(recv(fd, &answer, sizeof answer, 0), sizeof answer);
    CHECK_EQ(answer.head.nlmsg_type, NLMSG_ERROR);
    CHECK_EQ(answer.error.error, 0);
    FAILS(recv(fd, &answer, sizeof answer, MSG_DONTWAIT), EAGAIN);
    FAILS(send(fd, &request, 1 << 20, 0), EMSGSIZE);
}

TEST(net_interfaces)
{
    struct ifaddrs *list;
    bool v4 = false, v6 = false;
    struct ifreq r = { 0 };
    int fd = OK(socket(AF_INET, SOCK_DGRAM, 0));

    OK(getifaddrs(&list));
    for (struct ifaddrs *i = list; i; i = i->ifa_next) {
        if (strcmp(i->ifa_name, "lo") != 0 || !i->ifa_addr)
            continue;
        v4 |= i->ifa_addr->sa_family == AF_INET;
        v6 |= i->ifa_addr->sa_family == AF_INET6;
    }
    freeifaddrs(list);
    CHECK(v4 && v6);
    memcpy(r.ifr_name, "lo", 3);
    OK(ioctl(fd, SIOCGIFFLAGS, &r));
    CHECK(r.ifr_flags & IFF_LOOPBACK && r.ifr_flags & IFF_UP);
    OK(ioctl(fd, SIOCGIFADDR, &r));
    CHECK_EQ(((struct sockaddr_in *)&r.ifr_addr)->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    OK(ioctl(fd, SIOCGIFNETMASK, &r));
    CHECK_EQ(((struct sockaddr_in *)&r.ifr_addr)->sin_addr.s_addr, htonl(0xff000000));
    OK(ioctl(fd, SIOCGIFINDEX, &r));
    CHECK_EQ(r.ifr_ifindex, (int)if_nametoindex("lo"));
    OK(ioctl(fd, SIOCGIFHWADDR, &r));
    CHECK_EQ(r.ifr_hwaddr.sa_family, 772);
    OK(ioctl(fd, SIOCGIFMTU, &r));
    CHECK_EQ(r.ifr_mtu, 65536);
    memcpy(r.ifr_name, "none", 5);
    FAILS(ioctl(fd, SIOCGIFFLAGS, &r), ENODEV);
    FAILS(ioctl(fd, SIOCGIFADDR, &r), ENODEV);
    FAILS(ioctl(fd, SIOCGIFADDR, NULL), EFAULT);
}
