/* SPDX-License-Identifier: Apache-2.0 */
/* Starts, watches and ends the processes of instances. Relying party side. */
#include "cli/node_instance.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "cli/file.h"
#include "cli/process.h"
#include "client/client.h"
#include "client/contexts.h"

#define PATH_SIZE 4096u
#define STATE_SIZE_MAX 8192u
#define LOG_TAIL_SIZE 4096u
#define COMMAND_MAX 20u

static bool is_id(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");

    return len > 0 && len < 32 && !text[len];
}

static const char *file_path(const struct node_options *o, const char *id, const char *suffix,
                             char ret[PATH_SIZE])
{
    snprintf(ret, PATH_SIZE, "%s/instances/%s%s", o->folder, id, suffix);
    return ret;
}

/* ---- the keeper ---- */

/* Everything after the fork is safe in a fork of a program with threads: system calls alone. */
NORETURN static void run_child(char **argv, pid_t keeper)
{
    sigset_t none;

    /* Without its keeper nobody would know of it any more: it ends with it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != keeper)
        _exit(125);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(argv[0], argv);
    _exit(125);
}

NORETURN static void keep(char **argv, int log, const char *status_path, const char *beside_path)
{
    char text[4];
    int status = 0, value, fd = open("/dev/null", O_RDONLY);
    size_t len = 0;
    pid_t child, self = getpid();

    setpgid(0, 0);
    signal(SIGTERM, SIG_IGN); /* what the group gets is for the loader */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    dup2(fd, 0);
    dup2(log, 1);
    dup2(log, 2);
    syscall(SYS_close_range, 3, ~0u, 0);
    child = fork();
    if (child == 0)
        run_child(argv, self);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    value = child < 0 ? 125 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (value >= 100)
        text[len++] = (char)('0' + value / 100 % 10);
    if (value >= 10)
        text[len++] = (char)('0' + value / 10 % 10);
    text[len++] = (char)('0' + value % 10);
    fd = open(beside_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd >= 0 && write(fd, text, len) == (ssize_t)len && fsync(fd) == 0)
        rename(beside_path, status_path);
    _exit(0);
}

/* ---- start ---- */

static void fail(struct node_instance *i, int rc, const char *what)
{
    i->process = NODE_FAILED;
    i->pidfd = -1;
    snprintf(i->reason, sizeof i->reason, "%s: %s", what, strerror(-rc));
}

static int state_write(const struct node_options *o, const struct node_instance *i,
                       const char *place)
{
    char path[PATH_SIZE];
    json_t *state = json_pack("{s:I,s:I,s:s,s:s}", "pid", (json_int_t)i->pid, "start",
                              (json_int_t)i->start_ticks, "image", place, "app_digest", i->digest);
    char *text = state ? json_dumps(state, JSON_COMPACT) : NULL;
    int rc = text
                 ? contexts_file_write(file_path(o, i->id, ".json", path), text, strlen(text), NULL)
                 : -EINVAL;

    free(text);
    json_decref(state);
    return rc;
}

static int open_log(const struct node_options *o, const char *id)
{
    char path[PATH_SIZE];
    int fd = open(file_path(o, id, ".log", path),
                  O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

    return fd < 0 ? -errno : fd;
}

/* `cloche node start-image`, which gets the image and becomes the loader. */
static void make_command(const struct node_options *o, const char *id, const char *place,
                         const char *app_digest, const char *images_mib,
                         const char *argv[COMMAND_MAX])
{
    unsigned count = 0;

    argv[count++] = o->program;
    argv[count++] = "node";
    argv[count++] = "start-image";
    argv[count++] = "--folder";
    argv[count++] = o->folder;
    argv[count++] = "--digest";
    argv[count++] = app_digest;
    argv[count++] = "--images-size";
    argv[count++] = images_mib;
    if (o->quote_socket) {
        argv[count++] = "--quote-socket";
        argv[count++] = o->quote_socket;
    }
    if (o->collateral) {
        argv[count++] = "--collateral";
        argv[count++] = o->collateral;
    }
    argv[count++] = "--";
    argv[count++] = id;
    argv[count++] = place;
    argv[count] = NULL;
}

int node_instance_start(const struct node_options *o, const char *id, const char *place,
                        const char *app_digest, struct node_instance *ret)
{
    char status[PATH_SIZE], beside[PATH_SIZE], images_mib[24];
    const char *argv[COMMAND_MAX];
    int log, rc;

    *ret = (struct node_instance){ .pidfd = -1, .exit_status = -1, .is_named = true };
    if (!is_id(id)) {
        fail(ret, -EINVAL, "its id");
        return -EINVAL;
    }
    memcpy(ret->id, id, strlen(id) + 1);
    snprintf(ret->digest, sizeof ret->digest, "%.96s", app_digest);
    snprintf(images_mib, sizeof images_mib, "%lld", (long long)o->images_mib);
    make_command(o, id, place, app_digest, images_mib, argv);
    file_path(o, id, ".status", status);
    file_path(o, id, ".status.new", beside);
    unlink(status);
    log = open_log(o, id);
    ret->pid = log < 0 ? -1 : fork();
    if (ret->pid == 0)
        keep((char **)argv, log, status, beside);
    rc = log < 0 ? log : ret->pid < 0 ? -errno : 0;
    if (log >= 0)
        close(log);
    if (rc < 0) {
        fail(ret, rc, "cannot start a process");
        return rc;
    }
    setpgid(ret->pid, ret->pid); /* the keeper does it too: whoever comes first */
    ret->pidfd = process_pidfd(ret->pid);
    ret->start_ticks = process_start_ticks(ret->pid);
    rc = ret->pidfd < 0 ? -errno : state_write(o, ret, place);
    if (rc < 0) {
        kill(-ret->pid, SIGKILL);
        waitpid(ret->pid, NULL, 0);
        if (ret->pidfd >= 0)
            close(ret->pidfd);
        fail(ret, rc, "cannot keep its state");
    }
    return rc;
}

/* ---- after a restart ---- */

static int status_read(const struct node_options *o, const char *id)
{
    char path[PATH_SIZE];
    struct file_bytes file;
    long value;

    if (file_bytes_read(file_path(o, id, ".status", path), 8, &file, NULL) < 0)
        return -1;
    value = strtol((char *)file.data, NULL, 10);
    file_bytes_done(&file);
    return value >= 0 && value <= 255 ? (int)value : -1;
}

static bool adopt_one(const struct node_options *o, const char *id, struct node_instance *ret)
{
    char path[PATH_SIZE];
    struct file_bytes file;
    const char *digest;
    json_t *state;

    *ret = (struct node_instance){ .pidfd = -1, .exit_status = -1 };
    if (!is_id(id) || file_bytes_read(file_path(o, id, ".json", path), STATE_SIZE_MAX, &file, NULL))
        return false;
    memcpy(ret->id, id, strlen(id) + 1);
    state = json_loadb((char *)file.data, file.size, JSON_REJECT_DUPLICATES, NULL);
    ret->pid = (pid_t)json_integer_value(json_object_get(state, "pid"));
    ret->start_ticks = (uint64_t)json_integer_value(json_object_get(state, "start"));
    digest = json_string_value(json_object_get(state, "app_digest"));
    snprintf(ret->digest, sizeof ret->digest, "%.96s", digest ? digest : "");
    json_decref(state);
    file_bytes_done(&file);
    if (ret->pid > 1 && ret->start_ticks) {
        ret->pidfd = process_pidfd(ret->pid);
        if (ret->pidfd >= 0 && process_start_ticks(ret->pid) == ret->start_ticks)
            return true;
        if (ret->pidfd >= 0)
            close(ret->pidfd);
        ret->pidfd = -1;
    }
    ret->pid = 0;
    node_instance_end(o, ret);
    return true;
}

unsigned node_instance_adopt(const struct node_options *o, struct node_instance *ret, unsigned max)
{
    char path[PATH_SIZE];
    unsigned count = 0;
    DIR *folder;

    snprintf(path, sizeof path, "%s/instances", o->folder);
    folder = opendir(path);
    if (!folder)
        return 0;
    for (struct dirent *e = readdir(folder); e && count < max; e = readdir(folder)) {
        size_t len = strlen(e->d_name);
        char id[32];

        if (len < 6 || len >= sizeof id + 5 || strcmp(e->d_name + len - 5, ".json") != 0)
            continue;
        memcpy(id, e->d_name, len - 5);
        id[len - 5] = 0;
        count += adopt_one(o, id, &ret[count]);
    }
    closedir(folder);
    return count;
}

/* ---- end ---- */

void node_instance_stop(struct node_instance *i, unsigned grace_s, int64_t now_ms)
{
    if (i->process != NODE_RUNNING || i->is_stopping)
        return;
    i->is_stopping = true;
    i->kill_ms = now_ms + (int64_t)MIN(grace_s, 3600u) * 1000;
    if (process_start_ticks(i->pid) == i->start_ticks)
        kill(-i->pid, SIGTERM);
}

int64_t node_instance_tick(struct node_instance *i, int64_t now_ms)
{
    if (i->process != NODE_RUNNING || !i->kill_ms)
        return INT64_MAX;
    if (now_ms < i->kill_ms)
        return i->kill_ms;
    if (process_start_ticks(i->pid) == i->start_ticks)
        kill(-i->pid, SIGKILL);
    i->kill_ms = 0;
    return INT64_MAX;
}

/* The last line that the runtime or the agent wrote: the program's own output is nobody else's business. */
static void reason_read(const struct node_options *o, struct node_instance *i)
{
    char path[PATH_SIZE], text[LOG_TAIL_SIZE + 1], *line, *next;
    int fd = open(file_path(o, i->id, ".log", path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t size;

    if (fd < 0)
        return;
    if (lseek(fd, -(off_t)LOG_TAIL_SIZE, SEEK_END) < 0)
        lseek(fd, 0, SEEK_SET);
    size = read(fd, text, LOG_TAIL_SIZE);
    close(fd);
    text[MAX(size, 0)] = 0;
    for (line = text; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        if (strncmp(line, "cloche", 6) == 0)
            snprintf(i->reason, sizeof i->reason, "%.255s", line);
    }
    client_text_clean(i->reason);
    for (size_t at = strlen(i->reason); at > 0 && ((unsigned char)i->reason[at - 1] & 0x80);)
        i->reason[--at] = 0; /* never half a character */
}

void node_instance_end(const struct node_options *o, struct node_instance *i)
{
    if (i->pid > 0)
        waitpid(i->pid, NULL, WNOHANG); /* fails for one that was adopted */
    if (i->pidfd >= 0)
        close(i->pidfd);
    i->pidfd = -1;
    i->process = NODE_EXITED;
    i->is_reported = false;
    i->exit_status = status_read(o, i->id);
    reason_read(o, i);
    if (i->exit_status < 0 && i->is_stopping)
        i->exit_status = 137;
    else if (i->exit_status < 0)
        snprintf(i->reason, sizeof i->reason, "it was killed, or the machine was restarted");
}

void node_instance_log_cut(const struct node_options *o, const struct node_instance *i)
{
    char path[PATH_SIZE];
    struct stat st;

    if (stat(file_path(o, i->id, ".log", path), &st) == 0 && st.st_size > NODE_LOG_SIZE_MAX &&
        truncate(path, 0) < 0)
        fprintf(stderr, "cloche node: cannot cut %s: %s\n", path, strerror(errno));
}

void node_instance_forget(const struct node_options *o, struct node_instance *i)
{
    char path[PATH_SIZE];

    unlink(file_path(o, i->id, ".json", path));
    unlink(file_path(o, i->id, ".status", path));
}
