/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts the workload. Trusted; hosted. The child of vfork() shares the agent's memory until it executes the program:
 * it calls the kernel only, and leaves word of what went wrong in the caller's struct start.
 */
#include "tee/agent/workload.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/agent.h"
#include "tee/agent/say.h"

extern char **environ;

enum start_step { STEP_USER, STEP_WORKDIR, STEP_PROGRAM };

/* Shared by the agent and its vfork child. */
struct start {
    const struct handover *handover;
    const sigset_t *mask;
    enum start_step step; /* what failed */
    int error;            /* errno of it; 0: nothing failed */
    char path[PATH_MAX];
};

/* ---- finding the program ---- */

static const char *search_path(void)
{
    for (char **e = environ; *e; e++)
        if (strncmp(*e, "PATH=", 5) == 0)
            return *e + 5;
    return "";
}

static int may_run(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
           faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

static int join(char dst[PATH_MAX], const char *folder, size_t folder_len, const char *name)
{
    size_t name_len = strlen(name);

    if (folder_len == 0) { /* an empty entry is the working folder */
        folder = ".";
        folder_len = 1;
    }
    if (folder_len + 1 + name_len >= PATH_MAX)
        return 0;
    memcpy(dst, folder, folder_len);
    dst[folder_len] = '/';
    memcpy(dst + folder_len + 1, name, name_len + 1);
    return 1;
}

/* Looks a name without '/' up in PATH. returns: 0; ENOENT; EACCES a file that may not be run. */
static int find_program(const char *name, char dst[PATH_MAX])
{
    const char *path = search_path(), *end;
    struct stat st;
    int error = ENOENT;

    for (;; path = end + 1) {
        end = strchrnul(path, ':');
        if (join(dst, path, (size_t)(end - path), name)) {
            if (may_run(dst))
                return 0;
            if (stat(dst, &st) == 0)
                error = EACCES;
        }
        if (!*end)
            return error;
    }
}

/* ---- the child ---- */

/* The C library's setuid() and its kin would tell other threads, of which there are none. */
static int become_user(const struct handover *h)
{
    if (syscall(SYS_setgroups, h->group_count, h->groups) < 0 ||
        syscall(SYS_setresgid, h->gid, h->gid, h->gid) < 0 ||
        syscall(SYS_setresuid, h->uid, h->uid, h->uid) < 0)
        return errno;
    return 0;
}

static void fail(struct start *s, enum start_step step, int error)
{
    s->step = step;
    s->error = error;
    _exit(AGENT_STATUS_SETUP);
}

static void run_child(struct start *s)
{
    const struct handover *h = s->handover;
    const char *name = h->args[0], *path = name;
    int error;

    setsid();
    ioctl(STDIN_FILENO, TIOCSCTTY, 0); /* where it is a terminal that is nobody's yet */
    if (h->workdir[0] && chdir(h->workdir) < 0)
        fail(s, STEP_WORKDIR, errno);
    error = become_user(h);
    if (error)
        fail(s, STEP_USER, error);
    if (!strchr(name, '/')) {
        error = find_program(name, s->path);
        if (error)
            fail(s, STEP_PROGRAM, error);
        path = s->path;
    }
    sigprocmask(SIG_SETMASK, s->mask, NULL);
    execve(path, h->args, environ);
    fail(s, STEP_PROGRAM, errno);
}

/* ---- the agent's side ---- */

static int tell_program(const char *name, int error)
{
    switch (error) {
    case ENOENT:
        say("cannot run ", name, ": no such file in the image", NULL);
        return AGENT_STATUS_NOT_FOUND;
    case EACCES:
        say("cannot run ", name, ": permission denied (not an executable file for this user)",
            NULL);
        break;
    case ENOEXEC:
        say("cannot run ", name, ": not a program for x86-64 Linux, nor a script", NULL);
        break;
    case ENOMEM:
        say("cannot run ", name,
            ": the enclave's memory does not suffice; raise memory in cloche.yaml", NULL);
        break;
    case EIO:
        say("cannot run ", name, ": the image is damaged", NULL);
        break;
    default:
        say("cannot run ", name, ": error ", say_number(error), NULL);
        break;
    }
    return AGENT_STATUS_CANNOT_RUN;
}

static int tell_failure(const struct start *s)
{
    switch (s->step) {
    case STEP_WORKDIR:
        say("cannot start: working folder ", s->handover->workdir, " (error ", say_number(s->error),
            ")", NULL);
        return AGENT_STATUS_CANNOT_RUN;
    case STEP_USER:
        say("cannot start: becoming the image's user failed (error ", say_number(s->error), ")",
            NULL);
        return AGENT_STATUS_SETUP;
    default:
        return tell_program(s->handover->args[0], s->error);
    }
}

pid_t workload_start(const struct handover *h, const sigset_t *mask)
{
    static struct start start; /* the child writes it: not in registers, nor on the shared stack */
    int status;
    pid_t pid;

    start = (struct start){ .handover = h, .mask = mask };
    pid = vfork();
    if (pid == 0)
        run_child(&start);
    if (pid < 0) {
        say("cannot start: no process for the workload (error ", say_number(errno), ")", NULL);
        return -AGENT_STATUS_SETUP;
    }
    if (!start.error)
        return pid;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return -tell_failure(&start);
}

int workload_status(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}
