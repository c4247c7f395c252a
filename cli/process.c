/* SPDX-License-Identifier: Apache-2.0 */
/* Background programs of this machine. Relying party side. */
#include "cli/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/file.h"
#include "client/client.h"
#include "client/contexts.h"

#define PATH_SIZE 4096u
#define TAIL_SIZE 2048u
#define KILL_WAIT_MS 5000

uint64_t process_start_ticks(pid_t pid)
{
    char path[64], text[1024];
    const char *at;
    ssize_t size;
    int fd;

    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (size <= 0)
        return 0;
    text[size] = 0;
    at = strrchr(text, ')');                  /* the program's name may hold anything */
    if (at && (at[1] != ' ' || at[2] == 'Z')) /* a zombie has ended */
        return 0;
    for (unsigned field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at + 1, NULL, 10) : 0;
}

int process_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

static const char *file_path(const struct service *s, const char *suffix, char ret[PATH_SIZE])
{
    snprintf(ret, PATH_SIZE, "%s/%s%s", s->folder, s->name, suffix);
    return ret;
}

pid_t service_pid(const struct service *s)
{
    char path[PATH_SIZE];
    struct file_bytes file;
    long pid = 0;
    unsigned long long ticks = 0;
    bool is_read;

    if (file_bytes_read(file_path(s, ".pid", path), 64, &file, NULL) < 0)
        return 0;
    is_read = sscanf((char *)file.data, "%ld %llu", &pid, &ticks) == 2;
    file_bytes_done(&file);
    return is_read && pid > 1 && ticks && process_start_ticks((pid_t)pid) == ticks ? (pid_t)pid : 0;
}

NORETURN static void become(const char *const *argv, int log)
{
    int nothing = open("/dev/null", O_RDONLY);
    sigset_t none;

    setsid();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    dup2(nothing, 0);
    dup2(log, 1);
    dup2(log, 2);
    syscall(SYS_close_range, 3, ~0u, 0);
    execv(argv[0], (char **)argv);
    dprintf(2, "cloche: cannot start %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

int service_start(const struct service *s, const char *const *argv, struct err *err)
{
    char path[PATH_SIZE], text[64];
    pid_t pid = service_pid(s);
    int log;

    if (pid)
        return err_set(err, -EEXIST, "%s runs already, as process %ld", s->name, (long)pid);
    log = open(file_path(s, ".log", path), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
               0600);
    if (log < 0)
        return err_set_errno(err, -errno, "%s", path);
    pid = fork();
    if (pid == 0)
        become(argv, log);
    close(log);
    if (pid < 0)
        return err_set_errno(err, -errno, "cannot start %s", s->name);
    snprintf(text, sizeof text, "%ld %llu\n", (long)pid,
             (unsigned long long)process_start_ticks(pid));
    return contexts_file_write(file_path(s, ".pid", path), text, strlen(text), err);
}

static bool wait_for_end(int pidfd, int timeout_ms)
{
    struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };

    return poll(&poll_fd, 1, timeout_ms) > 0;
}

int service_stop(const struct service *s, unsigned timeout_ms, struct err *err)
{
    char path[PATH_SIZE];
    pid_t pid = service_pid(s);
    int pidfd, rc = 1;

    if (!pid)
        return 0;
    pidfd = process_pidfd(pid);
    if (pidfd < 0)
        return errno == ESRCH ? 1 : err_set_errno(err, -errno, "%s", s->name);
    if (kill(pid, SIGTERM) < 0 && errno != ESRCH)
        rc = err_set_errno(err, -errno, "cannot end %s", s->name);
    if (rc > 0 && !wait_for_end(pidfd, (int)timeout_ms)) {
        kill(pid, SIGKILL);
        wait_for_end(pidfd, KILL_WAIT_MS);
        rc = err_set(err, -ETIMEDOUT, "%s did not end by itself and was killed", s->name);
    }
    close(pidfd);
    unlink(file_path(s, ".pid", path));
    return rc;
}

const char *service_last_line(const struct service *s, char *ret, size_t ret_size)
{
    char path[PATH_SIZE], text[TAIL_SIZE + 1], *line;
    int fd = open(file_path(s, ".log", path), O_RDONLY | O_CLOEXEC);
    ssize_t size;

    ret[0] = 0;
    if (fd < 0)
        return ret;
    if (lseek(fd, -(off_t)TAIL_SIZE, SEEK_END) < 0)
        lseek(fd, 0, SEEK_SET);
    size = MAX(read(fd, text, TAIL_SIZE), 0);
    close(fd);
    while (size > 0 && text[size - 1] == '\n')
        size--;
    text[size] = 0;
    line = strrchr(text, '\n');
    snprintf(ret, ret_size, "%s", line ? line + 1 : text);
    client_text_clean(ret);
    return ret;
}
