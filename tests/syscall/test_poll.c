/* SPDX-License-Identifier: Apache-2.0 */
/* Pipes, eventfd, and waiting for many things: poll, select, epoll. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

TEST(pipe_passes_bytes)
{
    char text[8] = "";
    struct stat st;
    int p[2];

    OK(pipe(p));
    CHECK_EQ(write(p[1], "hello", 5), 5);
    CHECK_EQ(read(p[0], text, 2), 2);
    CHECK_EQ(read(p[0], text + 2, 6), 3);
    CHECK(memcmp(text, "hello", 5) == 0);
    OK(fstat(p[0], &st));
    CHECK(S_ISFIFO(st.st_mode));
    FAILS(lseek(p[0], 0, SEEK_SET), ESPIPE);
    FAILS(pread(p[0], text, 1, 0), ESPIPE);
    FAILS(write(p[0], "x", 1), EBADF);
    FAILS(read(p[1], text, 1), EBADF);
}

TEST(pipe_ends)
{
    char c;
    int p[2];

    OK(pipe(p));
    CHECK_EQ(write(p[1], "x", 1), 1);
    OK(close(p[1]));
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(read(p[0], &c, 1), 0);
    OK(pipe(p));
    OK(close(p[0]));
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    FAILS(write(p[1], "x", 1), EPIPE);
}

static volatile sig_atomic_t g_pipe_signals;

static void on_sigpipe(int sig)
{
    (void)sig;
    g_pipe_signals++;
}

TEST(pipe_signal)
{
    int p[2];

    g_pipe_signals = 0;
    OK(pipe(p));
    OK(close(p[0]));
    CHECK(signal(SIGPIPE, on_sigpipe) != SIG_ERR);
    FAILS(write(p[1], "x", 1), EPIPE);
    CHECK_EQ(g_pipe_signals, 1);
}

TEST(pipe_nonblocking_and_capacity)
{
    static char block[65536];
    char c;
    int p[2], waiting = 0;
    ssize_t total = 0, n;

    OK(pipe2(p, O_NONBLOCK | O_CLOEXEC));
    CHECK_EQ(fcntl(p[0], F_GETFD), FD_CLOEXEC);
    FAILS(read(p[0], &c, 1), EAGAIN);
    while ((n = write(p[1], block, sizeof block)) > 0)
        total += n;
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(total, OK(fcntl(p[1], F_GETPIPE_SZ)));
    OK(ioctl(p[0], FIONREAD, &waiting));
    CHECK_EQ(waiting, total);
    FAILS(write(p[1], &c, 1), EAGAIN);
    CHECK_EQ(read(p[0], block, 4096), 4096);
    CHECK_EQ(write(p[1], &c, 1), 1);
    FAILS(pipe2(p, 0x7), EINVAL);
    FAILS(syscall(SYS_pipe, (void *)16), EFAULT);
}

static void *write_slowly(void *arg)
{
    int fd = *(int *)arg;

    usleep(50000);
    CHECK_EQ(write(fd, "late", 4), 4);
    return NULL;
}

TEST(pipe_blocks_until_written)
{
    char text[8];
    int p[2];
    pthread_t thread;

    OK(pipe(p));
    ZERO(pthread_create(&thread, NULL, write_slowly, &p[1]));
    CHECK_EQ(read(p[0], text, sizeof text), 4);
    ZERO(pthread_join(thread, NULL));
}

static void *drain(void *arg)
{
    static char block[10000];
    long total = 0;
    ssize_t n;

    while ((n = read(*(int *)arg, block, sizeof block)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            CHECK_EQ(block[i], (char)((total + i) % 251));
        total += n;
    }
    return (void *)(intptr_t)total;
}

TEST(pipe_large_transfer)
{
    static char block[300000];
    int p[2];
    pthread_t thread;
    void *total;

    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (char)(i % 251);
    OK(pipe(p));
    ZERO(pthread_create(&thread, NULL, drain, &p[0]));
    CHECK_EQ(write(p[1], block, 251 * 1000), 251000);
    CHECK_EQ(write(p[1], block, 251 * 1000), 251000);
    OK(close(p[1]));
    ZERO(pthread_join(thread, &total));
    CHECK_EQ((intptr_t)total, 502000);
}

TEST(pipe_named)
{
    struct stat st;
    char c;
    int fd;

    OK(mkfifo("fifo", 0600));
    OK(stat("fifo", &st));
    CHECK(S_ISFIFO(st.st_mode));
    FAILS(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
    fd = OK(open("fifo", O_RDWR));
    CHECK_EQ(write(fd, "n", 1), 1);
    CHECK_EQ(read(fd, &c, 1), 1);
    CHECK_EQ(c, 'n');
}

TEST(pipe_splice_and_tee)
{
    char text[16] = "";
    int a[2], b[2], fd = file_with("f", "0123456789");

    OK(pipe(a));
    OK(pipe(b));
    CHECK_EQ(splice(fd, NULL, a[1], NULL, 6, 0), 6);
    CHECK_EQ(tee(a[0], b[1], 6, 0), 6);
    CHECK_EQ(read(a[0], text, 16), 6);
    CHECK_EQ(read(b[0], text + 6, 10), 6);
    CHECK(memcmp(text, "012345012345", 12) == 0);
}

TEST(eventfd_counts)
{
    uint64_t value = 3, got;
    int fd = OK(eventfd(2, EFD_NONBLOCK | EFD_CLOEXEC));

    CHECK_EQ(write(fd, &value, 8), 8);
    CHECK_EQ(read(fd, &got, 8), 8);
    CHECK_EQ(got, 5);
    FAILS(read(fd, &got, 8), EAGAIN);
    FAILS(read(fd, &got, 4), EINVAL);
    value = UINT64_MAX;
    FAILS(write(fd, &value, 8), EINVAL);
    value = UINT64_MAX - 1;
    CHECK_EQ(write(fd, &value, 8), 8);
    value = 1;
    FAILS(write(fd, &value, 8), EAGAIN);
}

TEST(eventfd_semaphore)
{
    uint64_t got;
    int fd = OK(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK));

    CHECK_EQ(read(fd, &got, 8), 8);
    CHECK_EQ(got, 1);
    CHECK_EQ(read(fd, &got, 8), 8);
    FAILS(read(fd, &got, 8), EAGAIN);
}

TEST(eventfd_poll_after_initial_value)
{
    struct pollfd p = { OK(eventfd(1, 0)), POLLIN | POLLOUT, 0 };

    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN | POLLOUT);
}

TEST(poll_pipe)
{
    int p[2];
    char c;

    OK(pipe(p));
    struct pollfd fds[2] = { { p[0], POLLIN, 0 }, { p[1], POLLOUT, 0 } };
    CHECK_EQ(poll(fds, 2, 0), 1);
    CHECK_EQ(fds[0].revents, 0);
    CHECK_EQ(fds[1].revents, POLLOUT);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(poll(fds, 1, -1), 1);
    CHECK_EQ(fds[0].revents, POLLIN);
    CHECK_EQ(read(p[0], &c, 1), 1);
    OK(close(p[1]));
    CHECK_EQ(poll(fds, 1, -1), 1);
    CHECK_EQ(fds[0].revents, POLLHUP);
}

TEST(poll_closed_and_negative)
{
    struct pollfd fds[2] = { { -1, POLLIN, 99 }, { 9999, POLLIN, 0 } };

    CHECK_EQ(poll(fds, 2, 0), 1);
    CHECK_EQ(fds[0].revents, 0);
    CHECK_EQ(fds[1].revents, POLLNVAL);
    FAILS(poll((void *)16, 1, 0), EFAULT);
}

TEST(poll_timeout)
{
    int p[2];
    struct timespec ts = { 0, 30000000 };

    OK(pipe(p));
    struct pollfd fd = { p[0], POLLIN, 0 };
    long long before = now_ms();
    CHECK_EQ(poll(&fd, 1, 50), 0);
    CHECK(now_ms() - before >= 49 && now_ms() - before < 2000);
    before = now_ms();
    CHECK_EQ(ppoll(&fd, 1, &ts, NULL), 0);
    CHECK(now_ms() - before >= 29);
    CHECK_EQ(poll(NULL, 0, 10), 0);
}

TEST(poll_wakes_on_write)
{
    int p[2];
    pthread_t thread;

    OK(pipe(p));
    struct pollfd fd = { p[0], POLLIN, 0 };
    ZERO(pthread_create(&thread, NULL, write_slowly, &p[1]));
    CHECK_EQ(poll(&fd, 1, 5000), 1);
    CHECK_EQ(fd.revents, POLLIN);
    ZERO(pthread_join(thread, NULL));
}

TEST(poll_regular_file_is_ready)
{
    struct pollfd fd = { file_with("f", "x"), POLLIN | POLLOUT, 0 };

    CHECK_EQ(poll(&fd, 1, -1), 1);
    CHECK_EQ(fd.revents, POLLIN | POLLOUT);
}

TEST(select_basics)
{
    int p[2];
    fd_set in, out;
    struct timeval tv = { 0, 30000 };

    OK(pipe(p));
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(p[0], &in);
    CHECK_EQ(select(p[0] + 1, &in, NULL, NULL, &tv), 0);
    CHECK(!FD_ISSET(p[0], &in));
    FD_SET(p[0], &in);
    FD_SET(p[1], &out);
    CHECK_EQ(select(p[1] + 1, &in, &out, NULL, NULL), 1);
    CHECK(!FD_ISSET(p[0], &in) && FD_ISSET(p[1], &out));
    FD_ZERO(&in);
    FD_SET(40,
           &in); /* closed; Linux overlooks bits beyond its table, which has 64 places or more */
    FAILS(select(41, &in, NULL, NULL, NULL), EBADF);
    FAILS(select(-1, NULL, NULL, NULL, NULL), EINVAL);
}

TEST(select_pselect_mask)
{
    int p[2];
    fd_set in;
    sigset_t block, none;
    struct timespec wait = { 5, 0 };

    OK(pipe(p));
    CHECK(signal(SIGUSR1, on_sigpipe) != SIG_ERR);
    sigemptyset(&none);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    OK(sigprocmask(SIG_BLOCK, &block, NULL));
    OK(kill(getpid(), SIGUSR1));
    FD_ZERO(&in);
    FD_SET(p[0], &in);
    g_pipe_signals = 0;
    FAILS(pselect(p[0] + 1, &in, NULL, NULL, &wait, &none), EINTR);
    CHECK_EQ(g_pipe_signals, 1);
}

static void watch(int ep, int fd, uint32_t events)
{
    struct epoll_event e = { .events = events, .data.u32 = (uint32_t)fd };

    OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
}

TEST(epoll_level)
{
    struct epoll_event e[4];
    int p[2], ep = OK(epoll_create1(EPOLL_CLOEXEC));

    OK(pipe(p));
    watch(ep, p[0], EPOLLIN);
    CHECK_EQ(epoll_wait(ep, e, 4, 0), 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(epoll_wait(ep, e, 4, -1), 1);
        CHECK_EQ(e[0].events, EPOLLIN);
        CHECK_EQ(e[0].data.u32, p[0]);
    }
    OK(close(p[1]));
    CHECK_EQ(epoll_wait(ep, e, 4, -1), 1);
    CHECK_EQ(e[0].events, EPOLLIN | EPOLLHUP);
}

TEST(epoll_edge)
{
    struct epoll_event e[4];
    int p[2], ep = OK(epoll_create1(0));

    OK(pipe(p));
    watch(ep, p[0], EPOLLIN | EPOLLET);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(epoll_wait(ep, e, 4, 0), 1);
    CHECK_EQ(epoll_wait(ep, e, 4, 0), 0);
    CHECK_EQ(write(p[1], "y", 1), 1);
    CHECK_EQ(epoll_wait(ep, e, 4, 0), 1);
}

TEST(epoll_one_shot)
{
    struct epoll_event e[4], again = { .events = EPOLLIN | EPOLLONESHOT };
    int p[2], ep = OK(epoll_create1(0));

    OK(pipe(p));
    watch(ep, p[0], EPOLLIN | EPOLLONESHOT);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(epoll_wait(ep, e, 4, 0), 1);
    CHECK_EQ(epoll_wait(ep, e, 4, 0), 0);
    OK(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &again));
    CHECK_EQ(epoll_wait(ep, e, 4, 0), 1);
}

TEST(epoll_errors)
{
    struct epoll_event e = { .events = EPOLLIN };
    int p[2], ep = OK(epoll_create1(0));

    OK(pipe(p));
    FAILS(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e), ENOENT);
    FAILS(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], &e), ENOENT);
    OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e));
    FAILS(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e), EEXIST);
    FAILS(epoll_ctl(ep, EPOLL_CTL_ADD, 9999, &e), EBADF);
    FAILS(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &e), EINVAL);
    FAILS(epoll_ctl(p[0], EPOLL_CTL_ADD, p[1], &e), EINVAL);
    FAILS(epoll_ctl(ep, EPOLL_CTL_ADD, file_with("f", ""), &e), EPERM);
    FAILS(epoll_wait(ep, &e, 0, 0), EINVAL);
    FAILS(epoll_wait(p[0], &e, 1, 0), EINVAL);
    OK(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL));
}

TEST(epoll_close_removes)
{
    struct epoll_event e[4];
    int p[2], ep = OK(epoll_create1(0));

    OK(pipe(p));
    watch(ep, p[0], EPOLLIN);
    CHECK_EQ(write(p[1], "x", 1), 1);
    OK(close(p[0]));
    CHECK_EQ(epoll_wait(ep, e, 4, 0), 0);
}

TEST(epoll_wakes_and_times_out)
{
    struct epoll_event e[4];
    int p[2], ep = OK(epoll_create1(0));
    pthread_t thread;
    long long before;

    OK(pipe(p));
    watch(ep, p[0], EPOLLIN);
    ZERO(pthread_create(&thread, NULL, write_slowly, &p[1]));
    CHECK_EQ(epoll_wait(ep, e, 4, 5000), 1);
    ZERO(pthread_join(thread, NULL));
    OK(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL));
    before = now_ms();
    CHECK_EQ(epoll_wait(ep, e, 4, 50), 0);
    CHECK(now_ms() - before >= 49);
}

TEST(epoll_many)
{
    enum { COUNT = 100 };
    struct epoll_event e[COUNT];
    int fds[COUNT], ep = OK(epoll_create1(0)), seen = 0;

    for (int i = 0; i < COUNT; i++) {
        fds[i] = OK(eventfd(i % 2, 0));
        watch(ep, fds[i], EPOLLIN);
    }
    CHECK_EQ(epoll_wait(ep, e, COUNT, 0), COUNT / 2);
    for (int i = 0; i < 10; i++) /* fair: each ready one comes up with a small buffer */
        seen += epoll_wait(ep, e, 5, 0);
    CHECK_EQ(seen, 50);
    CHECK(fds[0] >= 0);
}

TEST(epoll_in_epoll)
{
    struct epoll_event e;
    int inner = OK(epoll_create1(0)), outer = OK(epoll_create1(0)), fd = OK(eventfd(0, 0));
    uint64_t one = 1;

    watch(inner, fd, EPOLLIN);
    watch(outer, inner, EPOLLIN);
    CHECK_EQ(epoll_wait(outer, &e, 1, 0), 0);
    CHECK_EQ(write(fd, &one, 8), 8);
    CHECK_EQ(epoll_wait(outer, &e, 1, 1000), 1);
    CHECK_EQ(e.data.u32, inner);
    struct pollfd p = { inner, POLLIN, 0 };
    CHECK_EQ(poll(&p, 1, 0), 1);
}
