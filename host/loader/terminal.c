/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's terminal as the far end of the program's (-it): raw while the enclave runs, as it was before afterwards,
 * however the loader ends. For that the loader runs as a child of a guard, which does nothing but pass signals on, wait,
 * and put the terminal back. Untrusted side.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "host/loader/loader.h"

#define EXIT_STATUS_KILLED (128 + SIGKILL)

static struct termios g_saved;
static volatile pid_t g_child;

int loader_terminal_choose(struct loader_options *o, struct err *err)
{
    bool in = isatty(STDIN_FILENO) == 1;

    /* As a container's entry point: the engine gave the container a terminal, so its program has one. */
    if (!o->image && !o->tty && !o->input)
        o->tty = o->input = in && isatty(STDOUT_FILENO) == 1;
    if (o->tty && o->input && !in)
        return err_set(err, -EINVAL,
                       "-it: standard input is not a terminal (give -t alone, or -i alone)");
    return 0;
}

int loader_death_signal(void)
{
    return SIGRTMIN + 4;
}

static void restore(void)
{
    sigset_t stop, old;

    /* From the background, too. */
    sigemptyset(&stop);
    sigaddset(&stop, SIGTTOU);
    sigprocmask(SIG_BLOCK, &stop, &old);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &g_saved);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

void loader_guard_died(void)
{
    /* A handler's context: only calls that it may make. */
    ioctl(STDIN_FILENO, TCSETS, &g_saved);
    _exit(EXIT_STATUS_KILLED);
}

static void pass_on(int signo)
{
    int saved_errno = errno;

    if (g_child > 0)
        kill(g_child, signo);
    errno = saved_errno;
}

/* Waits for the child and ends as it did. */
NORETURN static void guard(void)
{
    int status;

    while (waitpid(g_child, &status, 0) < 0)
        if (errno != EINTR)
            _exit(1);
    restore();
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
        _exit(128 + WTERMSIG(status));
    }
    _exit(WEXITSTATUS(status));
}

int loader_terminal_guard(struct err *err)
{
    struct sigaction action = { .sa_handler = pass_on, .sa_flags = SA_RESTART };
    sigset_t all, old;
    pid_t parent = getpid(), child;

    if (tcgetattr(STDIN_FILENO, &g_saved) < 0)
        return err_set_errno(err, -errno, "settings of the terminal");
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    child = fork();
    if (child < 0)
        return err_set_errno(err, -errno, "fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, loader_death_signal());
        sigprocmask(SIG_SETMASK, &old, NULL);
        if (getppid() != parent)
            _exit(EXIT_STATUS_KILLED);
        return 0;
    }
    g_child = child;
    for (int signo = 1; signo < 32; signo++)
        if (START_SIGNALS & (1u << (signo - 1)))
            sigaction(signo, &action, NULL);
    sigprocmask(SIG_SETMASK, &old, NULL);
    guard();
}

int loader_terminal_raw(struct err *err)
{
    struct termios raw = g_saved;

    cfmakeraw(&raw);
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
        return err_set_errno(err, -errno, "the terminal cannot be made raw");
    ocall_log_raw(true);
    return 0;
}
