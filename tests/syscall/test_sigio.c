/* SPDX-License-Identifier: Apache-2.0 */
/* Signals about files: O_ASYNC, F_SETOWN, F_SETSIG. */
#define _GNU_SOURCE
#include "tests/syscall/children.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>

#define WAIT_S 20

static sigset_t only(int signo)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, signo);
    return set;
}

static void block(int signo)
{
    sigset_t set = only(signo);

    OK(sigprocmask(SIG_BLOCK, &set, NULL));
}

/* Takes the signal that is there, or comes. */
static siginfo_t await(int signo)
{
    sigset_t set = only(signo);
    struct timespec limit = { .tv_sec = WAIT_S };
    siginfo_t info;

    CHECK_EQ(sigtimedwait(&set, &info, &limit), signo);
    return info;
}

static void check_none(int signo)
{
    sigset_t set = only(signo);
    struct timespec now = { 0 };

    FAILS(sigtimedwait(&set, NULL, &now), EAGAIN);
}

static void set_async(int fd, bool on)
{
    int flags = OK(fcntl(fd, F_GETFL));

    OK(fcntl(fd, F_SETFL, on ? flags | O_ASYNC : flags & ~O_ASYNC));
    CHECK_EQ((fcntl(fd, F_GETFL) & O_ASYNC) != 0, on);
}

/* fd sends signo, with a siginfo, to this process. */
static void watch(int fd, int signo)
{
    block(signo);
    OK(fcntl(fd, F_SETOWN, getpid()));
    OK(fcntl(fd, F_SETSIG, signo));
    set_async(fd, true);
}

/* Nothing comes after this. */
static void stop(int fd, int signo)
{
    sigset_t set = only(signo);
    struct timespec now = { 0 };

    set_async(fd, false);
    while (sigtimedwait(&set, NULL, &now) == signo)
        ;
}

static void check_info(int fd, int signo, int code, long band)
{
    siginfo_t info = await(signo);

    CHECK_EQ(info.si_signo, signo);
    CHECK_EQ(info.si_code, code);
    CHECK_EQ(info.si_fd, fd);
    CHECK_EQ(info.si_band, band);
}

#define IN_BAND (POLLIN | POLLRDNORM)
#define OUT_BAND (POLLOUT | POLLWRNORM | POLLWRBAND)

static int g_seen;

static void note(int signo)
{
    (void)signo;
    g_seen++;
}

/* ---- who is told, and how ---- */

TEST(sigio_default_signal)
{
    struct sigaction action = { .sa_handler = note };
    siginfo_t info;
    int p[2];

    OK(pipe(p));
    OK(sigaction(SIGIO, &action, NULL));
    g_seen = 0;
    set_async(p[0], true);
    CHECK_EQ(write(p[1], "a", 1), 1);
    CHECK_EQ(g_seen, 0); /* nobody was named */
    OK(fcntl(p[0], F_SETOWN, getpid()));
    CHECK_EQ(write(p[1], "a", 1), 1);
    CHECK_EQ(g_seen, 1);
    CHECK_EQ(write(p[1], "a", 1), 1);
    CHECK_EQ(g_seen, 2);
    set_async(p[0], false);
    CHECK_EQ(write(p[1], "a", 1), 1);
    CHECK_EQ(g_seen, 2);
    set_async(p[0], true);
    block(SIGIO);
    CHECK_EQ(write(p[1], "a", 1), 1);
    info = await(SIGIO);
    CHECK_EQ(info.si_code, SI_KERNEL);
    check_none(SIGIO);
    OK(fcntl(p[0], F_SETOWN, 0));
    CHECK_EQ(write(p[1], "a", 1), 1);
    check_none(SIGIO);
}

TEST(sigio_names_signal_and_file)
{
    int p[2], signo = SIGRTMIN + 3;

    OK(pipe2(p, O_NONBLOCK));
    CHECK_EQ(fcntl(p[0], F_GETSIG), 0);
    FAILS(fcntl(p[0], F_SETSIG, 65), EINVAL);
    FAILS(fcntl(p[0], F_SETSIG, -1), EINVAL);
    watch(p[0], signo);
    CHECK_EQ(fcntl(p[0], F_GETSIG), signo);
    CHECK_EQ(write(p[1], "a", 1), 1);
    CHECK_EQ(write(p[1], "a", 1), 1);
    check_info(p[0], signo, POLL_IN, IN_BAND);
    check_info(p[0], signo, POLL_IN, IN_BAND); /* each is queued */
    check_none(signo);
    OK(fcntl(p[0], F_SETSIG, SIGIO));
    block(SIGIO);
    CHECK_EQ(write(p[1], "a", 1), 1);
    check_info(p[0], SIGIO, POLL_IN, IN_BAND);
    OK(fcntl(p[0], F_SETSIG, SIGCHLD)); /* whose codes mean something else */
    block(SIGCHLD);
    CHECK_EQ(write(p[1], "a", 1), 1);
    check_info(p[0], SIGCHLD, SI_SIGIO, IN_BAND);
    OK(fcntl(p[0], F_SETSIG, signo));
    close(p[1]);
    check_info(p[0], signo, POLL_IN, IN_BAND);
    close(p[0]);
}

static int g_pipe[2];
static pthread_t g_thread;

static void *wait_in_thread(void *arg)
{
    int signo = *(int *)arg;
    struct f_owner_ex owner = { F_OWNER_TID, (int)syscall(SYS_gettid) }, got;

    OK(fcntl(g_pipe[0], F_SETOWN_EX, &owner));
    OK(fcntl(g_pipe[0], F_GETOWN_EX, &got));
    CHECK_EQ(got.type, F_OWNER_TID);
    CHECK_EQ(got.pid, owner.pid);
    CHECK_EQ(write(g_pipe[1], "a", 1), 1);
    check_info(g_pipe[0], signo, POLL_IN, IN_BAND);
    return NULL;
}

TEST(sigio_owners)
{
    struct f_owner_ex owner = { F_OWNER_PGRP, getpgrp() };
    int signo = SIGRTMIN + 2;

    OK(pipe(g_pipe));
    watch(g_pipe[0], signo);
    ZERO(pthread_create(&g_thread, NULL, wait_in_thread, &signo));
    ZERO(pthread_join(g_thread, NULL));
    check_none(signo);
    if (getpgrp() != getpid()) { /* others would get it, too */
        stop(g_pipe[0], signo);
        return;
    }
    OK(fcntl(g_pipe[0], F_SETOWN_EX, &owner));
    CHECK_EQ(write(g_pipe[1], "a", 1), 1);
    check_info(g_pipe[0], signo, POLL_IN, IN_BAND);
    OK(fcntl(g_pipe[0], F_SETOWN, -getpgrp()));
    CHECK_EQ(write(g_pipe[1], "a", 1), 1);
    check_info(g_pipe[0], signo, POLL_IN, IN_BAND);
    memset(&owner, 0, sizeof owner);
    OK(fcntl(g_pipe[0], F_GETOWN_EX, &owner));
    CHECK_EQ(owner.type, F_OWNER_PGRP);
    CHECK_EQ(owner.pid, getpgrp());
    stop(g_pipe[0], signo);
}

static int write_in_child(void *arg)
{
    (void)arg;
    return (int)syscall(SYS_write, g_pipe[1], "a", 1) - 1;
}

TEST(sigio_from_another_process)
{
    int signo = SIGRTMIN + 2, status;
    pid_t pid;

    OK(pipe(g_pipe));
    watch(g_pipe[0], signo);
    pid = child_start(write_in_child, NULL, SIGCHLD);
    check_info(g_pipe[0], signo, POLL_IN, IN_BAND);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    stop(g_pipe[0], signo);
}

/* The file goes on telling when the descriptor was closed, and stops with the last. */
TEST(sigio_of_a_duplicate)
{
    int p[2], copy, signo = SIGRTMIN + 2;

    OK(pipe(p));
    watch(p[0], signo);
    copy = OK(dup(p[0]));
    close(p[0]);
    CHECK_EQ(write(p[1], "a", 1), 1);
    check_info(p[0], signo, POLL_IN, IN_BAND);
    CHECK(fcntl(copy, F_GETFL) & O_ASYNC);
    close(copy);
    check_none(signo);
}

/* ---- kinds of files ---- */

TEST(sigio_kinds_of_files)
{
    int on = 1, off = 0, fd = file_with("file", "text"), event = OK(eventfd(0, 0)), p[2];
    siginfo_t info;

    FAILS(ioctl(fd, FIOASYNC, &on), ENOTTY);
    OK(ioctl(fd, FIOASYNC, &off));
    OK(fcntl(fd, F_SETFL, O_ASYNC));
    CHECK(!(fcntl(fd, F_GETFL) & O_ASYNC));
    FAILS(ioctl(event, FIOASYNC, &on), ENOTTY);
    OK(pipe(p));
    OK(ioctl(p[0], FIOASYNC, &on));
    CHECK(fcntl(p[0], F_GETFL) & O_ASYNC);
    FAILS(ioctl(p[0], FIOASYNC, NULL), EFAULT);
    block(SIGIO);
    OK(fcntl(p[0], F_SETOWN, getpid()));
    CHECK_EQ(write(p[1], "a", 1), 1);
    info = await(SIGIO);
    CHECK_EQ(info.si_signo, SIGIO);
    OK(ioctl(p[0], FIOASYNC, &off));
    CHECK(!(fcntl(p[0], F_GETFL) & O_ASYNC));
    fd = OK(inotify_init1(IN_NONBLOCK));
    OK(inotify_add_watch(fd, ".", IN_CREATE));
    watch(fd, SIGRTMIN + 1);
    close(file_with("another", ""));
    check_info(fd, SIGRTMIN + 1, POLL_IN, IN_BAND);
    stop(fd, SIGRTMIN + 1);
}

TEST(sigio_room_in_a_pipe)
{
    static char bytes[65536];
    int p[2], signo = SIGRTMIN + 2;

    OK(pipe2(p, O_NONBLOCK));
    watch(p[1], signo);
    while (write(p[1], bytes, sizeof bytes) > 0)
        ;
    check_none(signo);
    CHECK_EQ(read(p[0], bytes, sizeof bytes), sizeof bytes);
    check_info(p[1], signo, POLL_OUT, OUT_BAND);
    check_none(signo);
    close(p[0]);
    check_info(p[1], signo, POLL_OUT, OUT_BAND);
    stop(p[1], signo);
}

TEST(sigio_of_unix_sockets)
{
    int s[2], signo = SIGRTMIN + 2, owner = getpid(), got = 0;
    char c;

    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    OK(ioctl(s[0], FIOSETOWN, &owner));
    CHECK_EQ(fcntl(s[0], F_GETOWN), owner);
    OK(ioctl(s[0], SIOCGPGRP, &got));
    CHECK_EQ(got, owner);
    watch(s[0], signo);
    CHECK_EQ(send(s[1], "a", 1, 0), 1);
    check_info(s[0], signo, POLL_IN, IN_BAND);
    CHECK_EQ(read(s[0], &c, 1), 1);
    check_none(signo);
    set_async(s[0], false);
    CHECK_EQ(send(s[1], "a", 1, 0), 1);
    check_none(signo);
}

/* Inside the enclave, or over the host's loopback: signals that nobody waits for at the descriptor. */
TEST(sigio_of_tcp)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof at;
    int listener = OK(socket(AF_INET, SOCK_STREAM, 0)), client, server, signo = SIGRTMIN + 2;
    char c;

    OK(bind(listener, (struct sockaddr *)&at, size));
    OK(listen(listener, 5));
    OK(getsockname(listener, (struct sockaddr *)&at, &size));
    watch(listener, signo);
    client = OK(socket(AF_INET, SOCK_STREAM, 0));
    OK(connect(client, (struct sockaddr *)&at, size));
    CHECK_EQ(await(signo).si_fd, listener);
    server = OK(accept(listener, NULL, NULL));
    stop(listener, signo);
    watch(server, signo);
    CHECK_EQ(send(client, "a", 1, 0), 1);
    check_info(server, signo, POLL_IN, IN_BAND);
    CHECK_EQ(read(server, &c, 1), 1);
    stop(server, signo);
}

TEST(sigio_of_udp)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof at;
    int receiver = OK(socket(AF_INET, SOCK_DGRAM, 0)), sender, signo = SIGRTMIN + 2;
    char c;

    OK(bind(receiver, (struct sockaddr *)&at, size));
    OK(getsockname(receiver, (struct sockaddr *)&at, &size));
    watch(receiver, signo);
    sender = OK(socket(AF_INET, SOCK_DGRAM, 0));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(sendto(sender, "a", 1, 0, (struct sockaddr *)&at, size), 1);
        check_info(receiver, signo, POLL_IN, IN_BAND);
        CHECK_EQ(read(receiver, &c, 1), 1);
    }
    stop(receiver, signo);
}

TEST(sigio_of_terminals)
{
    int off = 0, n, master, slave, signo = SIGRTMIN + 2;
    struct termios t;
    char path[64];

    master = OK(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
    OK(ioctl(master, TIOCSPTLCK, &off));
    OK(ioctl(master, TIOCGPTN, &n));
    snprintf(path, sizeof path, "/dev/pts/%d", n);
    slave = OK(open(path, O_RDWR | O_NOCTTY | O_CLOEXEC));
    OK(tcgetattr(slave, &t));
    cfmakeraw(&t);
    OK(tcsetattr(slave, TCSANOW, &t));
    block(signo);
    OK(fcntl(slave, F_SETSIG, signo));
    set_async(slave, true);
    CHECK_EQ(fcntl(slave, F_GETOWN), getpid()); /* nobody is in the foreground */
    CHECK_EQ(write(master, "a", 1), 1);
    check_info(slave, signo, POLL_IN, IN_BAND);
    stop(slave, signo);
    watch(master, signo);
    CHECK_EQ(write(slave, "b", 1), 1);
    check_info(master, signo, POLL_IN, IN_BAND);
    stop(master, signo);
}
