/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Job control: this process leads a session, gets a terminal, and has jobs, which are /bin/sh with builtins only. Skipped
 * where it cannot: it has a terminal already, or leads no session and cannot make one.
 */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static int g_master, g_slave;
static char g_path[64];
static volatile sig_atomic_t g_seen[NSIG];

static void note(int signo)
{
    g_seen[signo]++;
}

static void note_signals(void)
{
    static const int all[] = { SIGHUP, SIGCONT, SIGINT, SIGWINCH, SIGTTIN };
    struct sigaction action = { .sa_handler = note };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        g_seen[all[i]] = 0;
        OK(sigaction(all[i], &action, NULL));
    }
    signal(SIGTTOU, SIG_IGN); /* so that it may give the foreground to others, and take it back */
}

/* Opens a terminal, which becomes this session's. */
static void get_terminal(void)
{
    int off = 0, n, fd;

    if (getsid(0) != getpid() && setsid() < 0)
        case_skip("leads no session");
    fd = open("/dev/tty", O_RDWR);
    if (fd >= 0)
        case_skip("has a terminal already");
    CHECK_EQ(errno, ENXIO);
    note_signals();
    g_master = OK(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
    OK(ioctl(g_master, TIOCSPTLCK, &off));
    OK(ioctl(g_master, TIOCGPTN, &n));
    snprintf(g_path, sizeof g_path, "/dev/pts/%d", n);
    g_slave = OK(open(g_path, O_RDWR | O_CLOEXEC));
}

static void drop_terminal(void)
{
    close(g_master);
    close(g_slave);
    usleep(20000);
}

/* A job in a group of its own, with the terminal as its standard streams. */
static pid_t start_job(char *const argv[])
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t usual;
    pid_t pid;

    sigemptyset(&usual);
    sigaddset(&usual, SIGTTOU);
    ZERO(posix_spawn_file_actions_init(&actions));
    for (int fd = 0; fd < 3; fd++)
        ZERO(posix_spawn_file_actions_adddup2(&actions, g_slave, fd));
    ZERO(posix_spawnattr_init(&attributes));
    ZERO(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF));
    ZERO(posix_spawnattr_setpgroup(&attributes, 0));
    ZERO(posix_spawnattr_setsigdefault(&attributes, &usual));
    ZERO(posix_spawnp(&pid, argv[0], &actions, &attributes, argv, environ));
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return pid;
}

static pid_t start_script(const char *script)
{
    return start_job((char *[]){ (char *)"sh", (char *)"-c", (char *)script, NULL });
}

static int wait_job(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, WUNTRACED) < 0)
        CHECK_EQ(errno, EINTR);
    return status;
}

static void check_stopped(pid_t pid, int signo)
{
    int status = wait_job(pid);

    CHECK(WIFSTOPPED(status));
    CHECK_EQ(WSTOPSIG(status), signo);
}

static void go_on(pid_t pid)
{
    OK(tcsetpgrp(g_slave, pid));
    OK(kill(-pid, SIGCONT));
}

static void type(const char *text)
{
    CHECK_EQ(write(g_master, text, strlen(text)), strlen(text));
}

static void check_printed(const char *want)
{
    struct pollfd p = { .fd = g_master, .events = POLLIN };
    char text[256];
    int used = 0;

    while (used < (int)sizeof text - 1 && poll(&p, 1, 50) == 1) {
        int n = (int)read(g_master, text + used, sizeof text - 1 - (size_t)used);

        if (n <= 0)
            break;
        used += n;
    }
    text[used] = 0;
    CHECK(strcmp(text, want) == 0);
}

TEST(tty_job_session)
{
    int id, other;

    get_terminal();
    CHECK_EQ(tcgetsid(g_slave), getpid());
    CHECK_EQ(tcgetpgrp(g_slave), getpgrp());
    OK(ioctl(g_master, TIOCGSID, &id));
    CHECK_EQ(id, getpid());
    OK(ioctl(g_slave, TIOCSCTTY, 0)); /* it is already */
    other = OK(open("/dev/tty", O_RDWR));
    CHECK_EQ(write(other, "x", 1), 1);
    check_printed("x");
    id = 99999;
    FAILS(ioctl(g_slave, TIOCSPGRP, &id), ESRCH);
    id = -5;
    FAILS(ioctl(g_slave, TIOCSPGRP, &id), EINVAL);
    FAILS(ioctl(g_slave, TIOCSPGRP, NULL), EFAULT);
    OK(ioctl(other, TIOCNOTTY));
    CHECK_EQ(g_seen[SIGHUP], 1);
    CHECK_EQ(g_seen[SIGCONT], 1);
    FAILS(tcgetpgrp(g_slave), ENOTTY);
    FAILS(open("/dev/tty", O_RDWR), ENXIO);
    OK(ioctl(g_slave, TIOCSCTTY, 0));
    CHECK_EQ(tcgetpgrp(g_slave), getpgrp());
    close(other);
    drop_terminal();
    FAILS(open("/dev/tty", O_RDWR), ENXIO);
}

TEST(tty_job_background_read)
{
    pid_t pid;

    get_terminal();
    pid = start_script("read x && test \"$x\" = go");
    check_stopped(pid, SIGTTIN);
    go_on(pid);
    type("go\n");
    CHECK_EQ(wait_job(pid), 0);
    /* Who does not want to know gets an error. */
    pid = start_script("trap '' TTIN; read x; test $? != 0");
    CHECK_EQ(wait_job(pid), 0);
    OK(tcsetpgrp(g_slave, getpgrp()));
    drop_terminal();
}

TEST(tty_job_background_write)
{
    struct termios t;
    pid_t pid;

    get_terminal();
    pid = start_script("echo one");
    CHECK_EQ(wait_job(pid), 0);
    check_printed("one\r\n");
    OK(tcgetattr(g_slave, &t));
    t.c_lflag |= TOSTOP;
    OK(tcsetattr(g_slave, TCSANOW, &t));
    pid = start_script("echo two");
    check_stopped(pid, SIGTTOU);
    check_printed("");
    go_on(pid);
    CHECK_EQ(wait_job(pid), 0);
    check_printed("two\r\n");
    OK(tcsetpgrp(g_slave, getpgrp()));
    pid = start_script("trap '' TTOU; echo three");
    CHECK_EQ(wait_job(pid), 0);
    check_printed("three\r\n");
    drop_terminal();
}

TEST(tty_job_background_change)
{
    struct termios t;
    pid_t pid;

    get_terminal();
    pid = start_job((char *[]){ (char *)"stty", (char *)"-echo", NULL });
    check_stopped(pid, SIGTTOU);
    OK(tcgetattr(g_slave, &t));
    CHECK(t.c_lflag & ECHO);
    go_on(pid);
    CHECK_EQ(wait_job(pid), 0);
    OK(tcgetattr(g_slave, &t));
    CHECK(!(t.c_lflag & ECHO));
    OK(tcsetpgrp(g_slave, getpgrp()));
    drop_terminal();
}

TEST(tty_job_keys)
{
    pid_t pid;
    int status;

    get_terminal();
    pid = start_job((char *[]){ (char *)"sleep", (char *)"30", NULL });
    OK(tcsetpgrp(g_slave, pid));
    usleep(100000);
    type("\032");
    check_stopped(pid, SIGTSTP);
    go_on(pid);
    status = 0;
    CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
    CHECK(WIFCONTINUED(status));
    type("\003");
    status = wait_job(pid);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGINT);
    CHECK_EQ(g_seen[SIGINT], 0);
    pid = start_job((char *[]){ (char *)"sleep", (char *)"30", NULL });
    OK(tcsetpgrp(g_slave, pid));
    usleep(100000);
    OK(ioctl(g_master, TIOCSIG, SIGQUIT));
    status = wait_job(pid);
    CHECK_EQ(WTERMSIG(status), SIGQUIT);
    OK(tcsetpgrp(g_slave, getpgrp()));
    type("\003");
    usleep(20000);
    CHECK_EQ(g_seen[SIGINT], 1);
    drop_terminal();
}

/* A key between two looks of a program: its signal ends the wait that unblocks it, and flushes nothing that the program
 * writes after it saw the key's echo. */
TEST(tty_job_key_before_wait)
{
    sigset_t interrupt, none;
    char seen[8] = "";
    fd_set readers;

    get_terminal();
    OK(tcsetpgrp(g_slave, getpgrp()));
    sigemptyset(&none);
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    OK(sigprocmask(SIG_BLOCK, &interrupt, NULL));
    type("\003");
    for (size_t size = 0; size < 2; size++)
        CHECK_EQ(read(g_master, seen + size, 1), 1);
    CHECK(memcmp(seen, "^C", 2) == 0);
    CHECK_EQ(write(g_slave, "after", 5), 5);
    CHECK_EQ(g_seen[SIGINT], 0);
    FD_ZERO(&readers);
    FD_SET(g_slave, &readers);
    FAILS(pselect(g_slave + 1, &readers, NULL, NULL, NULL, &none), EINTR);
    CHECK_EQ(g_seen[SIGINT], 1);
    for (size_t size = 0; size < 5; size++)
        CHECK_EQ(read(g_master, seen + size, 1), 1);
    CHECK(memcmp(seen, "after", 5) == 0);
    OK(sigprocmask(SIG_UNBLOCK, &interrupt, NULL));
    CHECK_EQ(g_seen[SIGINT], 1);
    drop_terminal();
}

TEST(tty_job_window)
{
    struct winsize size = { .ws_row = 7, .ws_col = 9 };

    get_terminal();
    OK(ioctl(g_master, TIOCSWINSZ, &size));
    usleep(20000);
    CHECK_EQ(g_seen[SIGWINCH], 1);
    OK(ioctl(g_master, TIOCSWINSZ, &size)); /* the same again */
    usleep(20000);
    CHECK_EQ(g_seen[SIGWINCH], 1);
    drop_terminal();
}

TEST(tty_job_hang_up)
{
    get_terminal();
    OK(close(g_master));
    usleep(20000);
    CHECK_EQ(g_seen[SIGHUP], 1);
    CHECK_EQ(g_seen[SIGCONT], 1);
    FAILS(tcgetpgrp(g_slave), EIO);
    FAILS(tcsetpgrp(g_slave, getpgrp()), ENOTTY);
    FAILS(open("/dev/tty", O_RDWR), ENXIO);
    close(g_slave);
}

/* The leader of another session ends: its foreground job is told. */
TEST(tty_job_leader_ends)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    struct pollfd p;
    char *const argv[] = { (char *)"sh", (char *)"-c", (char *)"read x; exit 3", NULL };
    int n, off = 0, status;
    pid_t pid;

    signal(SIGHUP, SIG_DFL);
    g_master = OK(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
    OK(ioctl(g_master, TIOCSPTLCK, &off));
    OK(ioctl(g_master, TIOCGPTN, &n));
    snprintf(g_path, sizeof g_path, "/dev/pts/%d", n);
    ZERO(posix_spawn_file_actions_init(&actions));
    ZERO(posix_spawn_file_actions_addopen(&actions, 0, g_path, O_RDWR, 0));
    ZERO(posix_spawnattr_init(&attributes));
    ZERO(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID));
    ZERO(posix_spawnp(&pid, "sh", &actions, &attributes, argv, environ));
    usleep(50000);
    OK(ioctl(g_master, TIOCGSID, &n));
    CHECK_EQ(n, pid);
    type("\n");
    status = wait_job(pid);
    CHECK_EQ(WEXITSTATUS(status), 3);
    p = (struct pollfd){ .fd = g_master, .events = POLLIN };
    CHECK_EQ(poll(&p, 1, 1000), 1);
    CHECK(p.revents & POLLHUP);
    FAILS(ioctl(g_master, TIOCGSID, &n), ENOTTY);
    /* And one that the far end leaves. */
    ZERO(posix_spawnp(&pid, "sh", &actions, &attributes, argv, environ));
    usleep(50000);
    OK(close(g_master));
    status = wait_job(pid);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGHUP);
}
