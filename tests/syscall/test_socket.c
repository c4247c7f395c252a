/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets: pairs, UNIX, TCP and UDP on the loopback address. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons(port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in at = { 0 };
    socklen_t size = sizeof at;

    OK(getsockname(fd, (struct sockaddr *)&at, &size));
    CHECK_EQ(size, sizeof at);
    CHECK_EQ(at.sin_family, AF_INET);
    return ntohs(at.sin_port);
}

/* A listening TCP socket on a free port of the loopback address. */
static int tcp_listen(void)
{
    struct sockaddr_in at = loopback(0);
    int fd = OK(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

    OK(bind(fd, (struct sockaddr *)&at, sizeof at));
    OK(listen(fd, 8));
    CHECK(port_of(fd) != 0);
    return fd;
}

static int tcp_connect(uint16_t port)
{
    struct sockaddr_in to = loopback(port);
    int fd = OK(socket(AF_INET, SOCK_STREAM, 0));

    OK(connect(fd, (struct sockaddr *)&to, sizeof to));
    return fd;
}

static void tcp_pair(int ret[2])
{
    int listener = tcp_listen();

    ret[0] = tcp_connect(port_of(listener));
    ret[1] = OK(accept(listener, NULL, NULL));
    OK(close(listener));
}

static void echo_once(int a, int b)
{
    char text[8] = "";

    CHECK_EQ(send(a, "ping", 4, 0), 4);
    CHECK_EQ(recv(b, text, sizeof text, 0), 4);
    CHECK_EQ(memcmp(text, "ping", 4), 0);
    CHECK_EQ(write(b, "pong!", 5), 5);
    CHECK_EQ(recv(a, text, 5, MSG_WAITALL), 5);
    CHECK_EQ(memcmp(text, "pong!", 5), 0);
}

TEST(socket_pair_stream)
{
    int s[2];
    char c;

    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    echo_once(s[0], s[1]);
    OK(close(s[1]));
    CHECK_EQ(read(s[0], &c, 1), 0);
    FAILS(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST(socket_pair_datagram_keeps_bounds)
{
    int s[2];
    char text[8];

    OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
    CHECK_EQ(send(s[0], "one", 3, 0), 3);
    CHECK_EQ(send(s[0], "three", 5, 0), 5);
    CHECK_EQ(recv(s[1], text, sizeof text, 0), 3);
    CHECK_EQ(recv(s[1], text, 2, MSG_TRUNC), 5);
    FAILS(recv(s[1], text, 2, MSG_DONTWAIT), EAGAIN);
}

TEST(socket_pair_seqpacket)
{
    int s[2];
    char text[8];

    OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s));
    CHECK_EQ(send(s[0], "one", 3, 0), 3);
    CHECK_EQ(send(s[0], "two", 3, 0), 3);
    CHECK_EQ(recv(s[1], text, sizeof text, 0), 3);
    OK(close(s[0]));
    CHECK_EQ(recv(s[1], text, sizeof text, 0), 3);
    CHECK_EQ(recv(s[1], text, sizeof text, 0), 0);
}

TEST(socket_errors)
{
    struct sockaddr_in at = loopback(1);
    int s[2], fd = OK(socket(AF_INET, SOCK_STREAM, 0));
    char c;

    FAILS(socket(999, SOCK_STREAM, 0), EAFNOSUPPORT);
    FAILS(socket(AF_INET, 99, 0), EINVAL);
    FAILS(socketpair(AF_INET, SOCK_STREAM, 0, s), EOPNOTSUPP);
    FAILS(bind(9999, (struct sockaddr *)&at, sizeof at), EBADF);
    FAILS(bind(0, (struct sockaddr *)&at, sizeof at), ENOTSOCK);
    FAILS(bind(fd, (struct sockaddr *)&at, 2), EINVAL);
    FAILS(recv(fd, &c, 1, 0), ENOTCONN);
    FAILS(accept(fd, NULL, NULL), EINVAL);
    FAILS(listen(file_with("f", ""), 1), ENOTSOCK);
    FAILS(lseek(fd, 0, SEEK_SET), ESPIPE);
}

TEST(socket_tcp_echo)
{
    struct sockaddr_in peer = { 0 };
    socklen_t size = sizeof peer;
    int s[2];

    tcp_pair(s);
    echo_once(s[0], s[1]);
    OK(getpeername(s[0], (struct sockaddr *)&peer, &size));
    CHECK_EQ(ntohs(peer.sin_port), port_of(s[1]));
    CHECK_EQ(ntohl(peer.sin_addr.s_addr), INADDR_LOOPBACK);
}

TEST(socket_tcp_accept_address)
{
    struct sockaddr_in from = { 0 };
    socklen_t size = sizeof from;
    int listener = tcp_listen(), a = tcp_connect(port_of(listener)), b;

    b = OK(accept4(listener, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    CHECK_EQ(ntohs(from.sin_port), port_of(a));
    CHECK_EQ(fcntl(b, F_GETFD), FD_CLOEXEC);
    CHECK(fcntl(b, F_GETFL) & O_NONBLOCK);
    char c;
    FAILS(recv(b, &c, 1, 0), EAGAIN);
}

TEST(socket_tcp_shutdown)
{
    int s[2];
    char c;

    tcp_pair(s);
    CHECK_EQ(send(s[0], "x", 1, 0), 1);
    OK(shutdown(s[0], SHUT_WR));
    FAILS(send(s[0], "y", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(recv(s[1], &c, 1, 0), 1);
    CHECK_EQ(recv(s[1], &c, 1, 0), 0);
    CHECK_EQ(send(s[1], "z", 1, 0), 1);
    CHECK_EQ(recv(s[0], &c, 1, 0), 1);
    FAILS(shutdown(s[0], 99), EINVAL);
}

TEST(socket_tcp_refused)
{
    struct sockaddr_in to;
    int listener = tcp_listen(), fd = OK(socket(AF_INET, SOCK_STREAM, 0));

    to = loopback(port_of(listener));
    OK(close(listener));
    FAILS(connect(fd, (struct sockaddr *)&to, sizeof to), ECONNREFUSED);
}

TEST(socket_tcp_address_in_use)
{
    int listener = tcp_listen(), fd = OK(socket(AF_INET, SOCK_STREAM, 0));
    struct sockaddr_in at = loopback(port_of(listener));

    FAILS(bind(fd, (struct sockaddr *)&at, sizeof at), EADDRINUSE);
}

TEST(socket_tcp_nonblocking_connect)
{
    int listener = tcp_listen(), error = -1,
        fd = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    struct sockaddr_in to = loopback(port_of(listener));
    struct pollfd p = { fd, POLLOUT, 0 };
    socklen_t size = sizeof error;

    if (connect(fd, (struct sockaddr *)&to, sizeof to) == -1)
        CHECK_EQ(errno, EINPROGRESS);
    CHECK_EQ(poll(&p, 1, 5000), 1);
    CHECK(p.revents & POLLOUT);
    OK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size));
    CHECK_EQ(error, 0);
    /* The first call after EINPROGRESS may report the success; the next does not. */
    connect(fd, (struct sockaddr *)&to, sizeof to);
    FAILS(connect(fd, (struct sockaddr *)&to, sizeof to), EISCONN);
}

TEST(socket_tcp_nonblocking_accept)
{
    int listener = tcp_listen();
    struct pollfd p = { listener, POLLIN, 0 };

    OK(fcntl(listener, F_SETFL, O_NONBLOCK));
    FAILS(accept(listener, NULL, NULL), EAGAIN);
    CHECK_EQ(poll(&p, 1, 0), 0);
    tcp_connect(port_of(listener));
    CHECK_EQ(poll(&p, 1, 5000), 1);
    OK(accept(listener, NULL, NULL));
}

TEST(socket_options)
{
    int one = 1, value = 0, fd = OK(socket(AF_INET, SOCK_STREAM, 0));
    socklen_t size = sizeof value;
    struct linger linger = { 1, 3 };

    OK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
    OK(getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, &size));
    CHECK_EQ(value, 1);
    OK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
    OK(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &size));
    CHECK_EQ(value, 1);
    OK(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one));
    OK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    OK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &size));
    CHECK_EQ(value, SOCK_STREAM);
    OK(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &size));
    CHECK_EQ(value, AF_INET);
    OK(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size));
    CHECK_EQ(value, 0);
    OK(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &size));
    CHECK(value > 1000);
    FAILS(setsockopt(fd, SOL_SOCKET, 9999, &one, sizeof one), ENOPROTOOPT);
}

TEST(socket_receive_timeout)
{
    int s[2];
    struct timeval tv = { 0, 50000 };
    char c;
    long long before = now_ms();

    tcp_pair(s);
    OK(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
    FAILS(recv(s[0], &c, 1, 0), EAGAIN);
    CHECK(now_ms() - before >= 40);
}

TEST(socket_peek_and_waiting_bytes)
{
    int s[2], waiting = 0;
    char text[8];

    tcp_pair(s);
    CHECK_EQ(send(s[0], "abcd", 4, 0), 4);
    CHECK_EQ(recv(s[1], text, 2, MSG_PEEK), 2);
    CHECK_EQ(recv(s[1], text, 8, MSG_PEEK), 4);
    OK(ioctl(s[1], FIONREAD, &waiting));
    CHECK_EQ(waiting, 4);
    CHECK_EQ(recv(s[1], text, 8, 0), 4);
    FAILS(recv(s[1], text, 8, MSG_DONTWAIT), EAGAIN);
}

static void *receive_all(void *arg)
{
    static char block[65536];
    long total = 0;
    ssize_t n;

    while ((n = recv(*(int *)arg, block, sizeof block, 0)) > 0)
        total += n;
    return (void *)(intptr_t)total;
}

TEST(socket_tcp_bulk)
{
    static char block[100000];
    int s[2];
    long sent = 0;
    pthread_t thread;
    void *total;

    tcp_pair(s);
    ZERO(pthread_create(&thread, NULL, receive_all, &s[1]));
    while (sent < 4000000)
        sent += OK(send(s[0], block, sizeof block, 0));
    OK(shutdown(s[0], SHUT_WR));
    ZERO(pthread_join(thread, &total));
    CHECK_EQ((intptr_t)total, sent);
}

TEST(socket_messages)
{
    int s[2];
    char a[3], b[8] = "";
    struct iovec out[2] = { { "abc", 3 }, { "defg", 4 } }, in[2] = { { a, 3 }, { b, 8 } };
    struct msghdr send_msg = { .msg_iov = out, .msg_iovlen = 2 };
    struct msghdr recv_msg = { .msg_iov = in, .msg_iovlen = 2 };

    tcp_pair(s);
    CHECK_EQ(sendmsg(s[0], &send_msg, 0), 7);
    CHECK_EQ(recvmsg(s[1], &recv_msg, MSG_WAITALL | MSG_DONTWAIT), 7);
    CHECK(memcmp(a, "abc", 3) == 0 && memcmp(b, "defg", 4) == 0);
}

TEST(socket_pass_descriptor)
{
    char control[CMSG_SPACE(sizeof(int))] = "", c = 'x', text[4] = "";
    struct iovec iov = { &c, 1 };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
    int s[2], passed = file_with("f", "fd!"), got;

    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &passed, sizeof passed);
    CHECK_EQ(sendmsg(s[0], &msg, 0), 1);
    OK(close(passed));
    memset(control, 0, sizeof control);
    msg.msg_controllen = sizeof control;
    CHECK_EQ(recvmsg(s[1], &msg, 0), 1);
    header = CMSG_FIRSTHDR(&msg);
    CHECK(header != NULL && header->cmsg_type == SCM_RIGHTS);
    memcpy(&got, CMSG_DATA(header), sizeof got);
    CHECK_EQ(read(got, text, 3), 3);
    CHECK(memcmp(text, "fd!", 3) == 0);
}

TEST(socket_unix_path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = "sock" };
    struct stat st;
    int listener = OK(socket(AF_UNIX, SOCK_STREAM, 0)), a = OK(socket(AF_UNIX, SOCK_STREAM, 0)), b;

    FAILS(connect(a, (struct sockaddr *)&at, sizeof at), ENOENT);
    OK(bind(listener, (struct sockaddr *)&at, sizeof at));
    FAILS(connect(a, (struct sockaddr *)&at, sizeof at), ECONNREFUSED);
    OK(listen(listener, 4));
    OK(stat("sock", &st));
    CHECK(S_ISSOCK(st.st_mode));
    OK(connect(a, (struct sockaddr *)&at, sizeof at));
    b = OK(accept(listener, NULL, NULL));
    echo_once(a, b);
    FAILS(bind(OK(socket(AF_UNIX, SOCK_STREAM, 0)), (struct sockaddr *)&at, sizeof at), EADDRINUSE);
    FAILS(open("sock", O_RDONLY), ENXIO);
}

TEST(socket_unix_abstract)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    socklen_t size;
    int listener = OK(socket(AF_UNIX, SOCK_STREAM, 0)), a = OK(socket(AF_UNIX, SOCK_STREAM, 0)), b;

    size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                       (size_t)snprintf(at.sun_path + 1, 64, "syscall-test-%d", getpid()));
    OK(bind(listener, (struct sockaddr *)&at, size));
    OK(listen(listener, 4));
    OK(connect(a, (struct sockaddr *)&at, size));
    b = OK(accept(listener, NULL, NULL));
    echo_once(a, b);
}

TEST(socket_unix_credentials)
{
    struct ucred cred = { 0 };
    socklen_t size = sizeof cred;
    int s[2];

    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    OK(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &cred, &size));
    CHECK_EQ(cred.pid, getpid());
    CHECK_EQ(cred.uid, geteuid());
}

TEST(socket_udp)
{
    struct sockaddr_in at = loopback(0), from;
    socklen_t size = sizeof from;
    char text[8] = "";
    int a = OK(socket(AF_INET, SOCK_DGRAM, 0)), b = OK(socket(AF_INET, SOCK_DGRAM, 0));

    OK(bind(b, (struct sockaddr *)&at, sizeof at));
    at = loopback(port_of(b));
    CHECK_EQ(sendto(a, "hello", 5, 0, (struct sockaddr *)&at, sizeof at), 5);
    CHECK_EQ(recvfrom(b, text, sizeof text, 0, (struct sockaddr *)&from, &size), 5);
    CHECK(memcmp(text, "hello", 5) == 0);
    CHECK_EQ(ntohs(from.sin_port), port_of(a));
    OK(connect(a, (struct sockaddr *)&at, sizeof at));
    CHECK_EQ(send(a, "", 0, 0), 0);
    CHECK_EQ(recv(b, text, sizeof text, 0), 0);
    FAILS(recv(b, text, 1, MSG_DONTWAIT), EAGAIN);
    FAILS(send(b, "x", 1, 0), EDESTADDRREQ);
}

TEST(socket_ipv6_loopback)
{
    struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
    socklen_t size = sizeof at;
    int listener = socket(AF_INET6, SOCK_STREAM, 0), a, b;

    if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) < 0)
        case_skip("no IPv6 on this machine");
    OK(listen(listener, 1));
    OK(getsockname(listener, (struct sockaddr *)&at, &size));
    a = OK(socket(AF_INET6, SOCK_STREAM, 0));
    OK(connect(a, (struct sockaddr *)&at, sizeof at));
    b = OK(accept(listener, NULL, NULL));
    echo_once(a, b);
}

TEST(socket_epoll)
{
    struct epoll_event e = { .events = EPOLLIN | EPOLLET | EPOLLRDHUP };
    int s[2], ep = OK(epoll_create1(0));
    char c;

    tcp_pair(s);
    OK(epoll_ctl(ep, EPOLL_CTL_ADD, s[1], &e));
    CHECK_EQ(epoll_wait(ep, &e, 1, 0), 0);
    CHECK_EQ(send(s[0], "x", 1, 0), 1);
    CHECK_EQ(epoll_wait(ep, &e, 1, 5000), 1);
    CHECK(e.events & EPOLLIN);
    CHECK_EQ(recv(s[1], &c, 1, 0), 1);
    CHECK_EQ(epoll_wait(ep, &e, 1, 0), 0);
    OK(close(s[0]));
    CHECK_EQ(epoll_wait(ep, &e, 1, 5000), 1);
    CHECK(e.events & EPOLLRDHUP);
}

TEST(socket_names)
{
    struct addrinfo hints = { .ai_family = AF_INET,
                              .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
    struct addrinfo *found;

    ZERO(getaddrinfo("127.0.0.1", "80", &hints, &found));
    CHECK_EQ(((struct sockaddr_in *)found->ai_addr)->sin_port, htons(80));
    freeaddrinfo(found);
}

static void *connect_many(void *arg)
{
    for (int i = 0; i < 40; i++) {
        int fd = tcp_connect(*(uint16_t *)arg);
        char text[5];

        CHECK_EQ(send(fd, "hello", 5, 0), 5);
        CHECK_EQ(recv(fd, text, 5, MSG_WAITALL), 5);
        close(fd);
    }
    return NULL;
}

TEST(socket_tcp_many_connections)
{
    int listener = tcp_listen();
    uint16_t port = port_of(listener);
    pthread_t thread;
    char text[5];

    ZERO(pthread_create(&thread, NULL, connect_many, &port));
    for (int i = 0; i < 40; i++) {
        int fd = OK(accept(listener, NULL, NULL));

        CHECK_EQ(recv(fd, text, 5, MSG_WAITALL), 5);
        CHECK_EQ(send(fd, text, 5, 0), 5);
        OK(close(fd));
    }
    ZERO(pthread_join(thread, NULL));
}
