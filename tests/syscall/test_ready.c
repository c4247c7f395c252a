/* SPDX-License-Identifier: Apache-2.0 */
/* Files that exist to be waited for (timerfd, signalfd), and the finer points of readiness. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

TEST(timerfd_once)
{
    struct itimerspec in = { .it_value = { 0, 20000000 } }, left;
    uint64_t ticks = 0;
    long long start = now_ms();
    int fd = OK(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));

    OK(timerfd_settime(fd, 0, &in, NULL));
    OK(timerfd_gettime(fd, &left));
    CHECK(left.it_value.tv_sec == 0 && left.it_value.tv_nsec > 0 &&
          left.it_value.tv_nsec <= 20000000);
    CHECK_EQ(read(fd, &ticks, sizeof ticks), 8);
    CHECK_EQ(ticks, 1);
    CHECK(now_ms() - start >= 19);
    OK(timerfd_gettime(fd, &left));
    CHECK_EQ(left.it_value.tv_nsec, 0);
    FAILS(read(fd, &ticks, 4), EINVAL);
}

TEST(timerfd_interval_and_poll)
{
    struct itimerspec in = { .it_value = { 0, 5000000 }, .it_interval = { 0, 5000000 } },
                      off = { 0 }, old;
    struct pollfd p;
    uint64_t ticks = 0;
    int fd = OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));

    FAILS(read(fd, &ticks, sizeof ticks), EAGAIN);
    OK(timerfd_settime(fd, 0, &in, NULL));
    usleep(40000);
    p = (struct pollfd){ .fd = fd, .events = POLLIN };
    CHECK_EQ(poll(&p, 1, 1000), 1);
    CHECK_EQ(read(fd, &ticks, sizeof ticks), 8);
    CHECK(ticks >= 7);
    OK(timerfd_settime(fd, 0, &off, &old));
    CHECK_EQ(old.it_interval.tv_nsec, 5000000);
    usleep(15000);
    FAILS(read(fd, &ticks, sizeof ticks), EAGAIN);
}

TEST(timerfd_absolute)
{
    struct itimerspec in = { 0 };
    uint64_t ticks = 0;
    int fd = OK(timerfd_create(CLOCK_REALTIME, 0));

    OK(clock_gettime(CLOCK_REALTIME, &in.it_value));
    in.it_value.tv_sec -= 5; /* gone by: at once */
    OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &in, NULL));
    CHECK_EQ(read(fd, &ticks, sizeof ticks), 8);
    CHECK_EQ(ticks, 1);
}

TEST(timerfd_errors)
{
    struct itimerspec bad = { .it_value = { 0, 1000000000 } };
    int fd = OK(timerfd_create(CLOCK_MONOTONIC, 0));

    FAILS(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0), EINVAL);
    FAILS(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
    FAILS(timerfd_settime(fd, 0, &bad, NULL), EINVAL);
    FAILS(timerfd_settime(eventfd(0, 0), 0, &bad, NULL), EINVAL);
    FAILS(timerfd_settime(-1, 0, &(struct itimerspec){ 0 }, NULL), EBADF);
}

TEST(signalfd_reads_signals)
{
    struct signalfd_siginfo info;
    struct pollfd p;
    sigset_t set, old;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    OK(sigprocmask(SIG_BLOCK, &set, &old));
    fd = OK(signalfd(-1, &set, SFD_NONBLOCK));
    FAILS(read(fd, &info, sizeof info), EAGAIN);
    p = (struct pollfd){ .fd = fd, .events = POLLIN };
    CHECK_EQ(poll(&p, 1, 0), 0);
    OK(kill(getpid(), SIGUSR2));
    CHECK_EQ(poll(&p, 1, 1000), 1);
    CHECK_EQ(read(fd, &info, sizeof info), sizeof info);
    CHECK_EQ(info.ssi_signo, SIGUSR2);
    CHECK_EQ(info.ssi_pid, getpid());
    FAILS(read(fd, &info, sizeof info), EAGAIN);
    OK(sigprocmask(SIG_SETMASK, &old, NULL));
}

static void *kill_slowly(void *arg)
{
    usleep(20000);
    kill(getpid(), SIGUSR1);
    return arg;
}

TEST(signalfd_wakes_epoll)
{
    struct epoll_event e = { .events = EPOLLIN, .data.u32 = 7 };
    struct signalfd_siginfo info;
    pthread_t thread;
    sigset_t set, old;
    int fd, ep = OK(epoll_create1(0));

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(sigprocmask(SIG_BLOCK, &set, &old));
    fd = OK(signalfd(-1, &set, 0));
    OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
    ZERO(pthread_create(&thread, NULL, kill_slowly, NULL));
    CHECK_EQ(epoll_wait(ep, &e, 1, 2000), 1);
    CHECK_EQ(e.data.u32, 7);
    CHECK_EQ(read(fd, &info, sizeof info), sizeof info);
    CHECK_EQ(info.ssi_signo, SIGUSR1);
    ZERO(pthread_join(thread, NULL));
    OK(sigprocmask(SIG_SETMASK, &old, NULL));
}

TEST(epoll_edge_on_sockets)
{
    struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
    char text[8];
    int s[2], ep = OK(epoll_create1(0));

    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    OK(epoll_ctl(ep, EPOLL_CTL_ADD, s[0], &e));
    CHECK_EQ(epoll_wait(ep, &e, 1, 0), 1);
    CHECK_EQ(e.events, EPOLLOUT);
    CHECK_EQ(epoll_wait(ep, &e, 1, 0), 0);
    CHECK_EQ(write(s[1], "ab", 2), 2);
    CHECK_EQ(epoll_wait(ep, &e, 1, 0), 1);
    CHECK(e.events & EPOLLIN);
    CHECK_EQ(epoll_wait(ep, &e, 1, 0), 0);
    CHECK_EQ(read(s[0], text, 1), 1);
    CHECK_EQ(write(s[1], "c", 1), 1); /* more comes: a new edge though not all was read */
    CHECK_EQ(epoll_wait(ep, &e, 1, 0), 1);
    OK(close(s[1]));
    CHECK_EQ(epoll_wait(ep, &e, 1, 0), 1);
    CHECK(e.events & EPOLLHUP);
}

TEST(epoll_keeps_duplicates)
{
    struct epoll_event e = { .events = EPOLLIN, .data.u32 = 3 };
    uint64_t one = 1;
    int fd = OK(eventfd(0, 0)), copy = OK(dup(fd)), ep = OK(epoll_create1(0));

    OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
    OK(close(fd));
    CHECK_EQ(write(copy, &one, sizeof one), 8);
    CHECK_EQ(epoll_wait(ep, &e, 1, 0), 1);
    CHECK_EQ(e.data.u32, 3);
    FAILS(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL), EBADF);
    OK(close(copy));
    CHECK_EQ(epoll_wait(ep, &e, 1, 0), 0);
}

TEST(poll_hang_up_of_pipe)
{
    struct pollfd p;
    int fds[2];

    OK(pipe(fds));
    p = (struct pollfd){ .fd = fds[1], .events = POLLOUT };
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLOUT);
    OK(close(fds[0]));
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK(p.revents & POLLERR);
    OK(pipe(fds));
    CHECK_EQ(write(fds[1], "x", 1), 1);
    OK(close(fds[1]));
    p = (struct pollfd){ .fd = fds[0], .events = POLLIN };
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN | POLLHUP);
}

TEST(socket_linger_resets)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct linger now = { 1, 0 };
    socklen_t size = sizeof at;
    char c;
    int listener = OK(socket(AF_INET, SOCK_STREAM, 0)), a = OK(socket(AF_INET, SOCK_STREAM, 0)), b;

    OK(bind(listener, (struct sockaddr *)&at, sizeof at));
    OK(listen(listener, 1));
    OK(getsockname(listener, (struct sockaddr *)&at, &size));
    OK(connect(a, (struct sockaddr *)&at, sizeof at));
    b = OK(accept(listener, NULL, NULL));
    OK(setsockopt(a, SOL_SOCKET, SO_LINGER, &now, sizeof now));
    OK(close(a));
    FAILS(recv(b, &c, 1, 0), ECONNRESET);
    CHECK_EQ(recv(b, &c, 1, 0), 0);
    FAILS(getpeername(b, (struct sockaddr *)&at, &size), ENOTCONN);
}

TEST(socket_urgent_byte)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    struct pollfd p;
    char text[8] = "";
    int listener = OK(socket(AF_INET, SOCK_STREAM, 0)), a = OK(socket(AF_INET, SOCK_STREAM, 0)), b;

    OK(bind(listener, (struct sockaddr *)&at, sizeof at));
    OK(listen(listener, 1));
    OK(getsockname(listener, (struct sockaddr *)&at, &size));
    OK(connect(a, (struct sockaddr *)&at, sizeof at));
    b = OK(accept(listener, NULL, NULL));
    FAILS(recv(b, text, 1, MSG_OOB), EINVAL);
    CHECK_EQ(send(a, "ab!", 3, MSG_OOB), 3);
    p = (struct pollfd){ .fd = b, .events = POLLPRI };
    CHECK_EQ(poll(&p, 1, 1000), 1);
    CHECK_EQ(recv(b, text, 8, MSG_OOB), 1);
    CHECK_EQ(text[0], '!');
    CHECK_EQ(recv(b, text, 8, 0), 2);
    CHECK(memcmp(text, "ab", 2) == 0);
}

TEST(socket_datagram_connected)
{
    struct sockaddr_in at[2];
    socklen_t size = sizeof at[0];
    char text[8];
    int s[3];

    for (int i = 0; i < 2; i++) {
        at[i] = (struct sockaddr_in){ .sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        s[i] = OK(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
        OK(bind(s[i], (struct sockaddr *)&at[i], sizeof at[i]));
        OK(getsockname(s[i], (struct sockaddr *)&at[i], &size));
    }
    s[2] = OK(socket(AF_INET, SOCK_DGRAM, 0));
    FAILS(send(s[0], "x", 1, 0), EDESTADDRREQ);
    OK(connect(s[0], (struct sockaddr *)&at[1], sizeof at[1]));
    CHECK_EQ(sendto(s[2], "no", 2, 0, (struct sockaddr *)&at[0], sizeof at[0]), 2);
    CHECK_EQ(send(s[0], "hello", 5, 0), 5);
    CHECK_EQ(recv(s[1], text, 3, MSG_TRUNC | MSG_PEEK), 5);
    CHECK_EQ(recv(s[1], text, 3, 0), 3);
    FAILS(recv(s[1], text, 3, 0), EAGAIN);
    CHECK_EQ(sendto(s[1], "yes", 3, 0, (struct sockaddr *)&at[0], sizeof at[0]), 3);
    CHECK_EQ(recv(s[0], text, 8, 0), 3); /* what came from elsewhere was dropped */
    CHECK_EQ(memcmp(text, "yes", 3), 0);
}
