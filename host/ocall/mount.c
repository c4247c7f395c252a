/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OCALLs on untrusted host folders. Every path is resolved beneath its folder by the kernel (openat2,
 * RESOLVE_IN_ROOT), so that a link in it leads nowhere else. Untrusted side.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/ocall/ocall.h"

static int resolve(int root, const char *path, uint64_t flags, uint64_t mode)
{
    struct open_how how = {
        .flags = flags | O_CLOEXEC,
        .mode = flags & (O_CREAT | __O_TMPFILE) ? mode & 07777 : 0,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };

    return (int)syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof how);
}

static int root_of(const struct ocall_thread *t, uint64_t mount)
{
    return mount < (uint64_t)t->host->mount_count ? t->host->mount_fds[mount] : -1;
}

static char *path_at(struct ocall_frame *f, size_t off)
{
    f->buffer[off + OCALL_PATH_SIZE - 1] = 0;
    return (char *)f->buffer + off;
}

/* The folder that holds the last part of path, opened; *ret_name is that part. -1: errno. */
static int open_parent(const struct ocall_thread *t, uint64_t mount, char *path,
                       const char **ret_name)
{
    char *slash;

    for (slash = strrchr(path, '/'); slash && !slash[1] && slash > path; slash = strrchr(path, '/'))
        *slash = 0; /* trailing slashes */
    *ret_name = slash ? slash + 1 : path;
    if (!slash)
        return resolve(root_of(t, mount), ".", O_PATH | O_DIRECTORY, 0);
    *slash = 0;
    return resolve(root_of(t, mount), *path ? path : ".", O_PATH | O_DIRECTORY, 0);
}

/* Runs `call` with `dir` and `name` of the path in the frame. */
#define AT_PARENT(call)                                                                            \
    do {                                                                                           \
        const char *name;                                                                          \
        int dir = open_parent(t, f->args[0], path_at(f, 0), &name);                                \
        f->result = ocall_answer(dir < 0 ? -1 : (call));                                           \
        if (dir >= 0)                                                                              \
            close(dir);                                                                            \
    } while (0)

void ocall_serve_mount_open(struct ocall_thread *t, struct ocall_frame *f)
{
    f->result = ocall_answer(resolve(root_of(t, f->args[0]), path_at(f, 0),
                                     f->args[1] | O_NONBLOCK | O_NOCTTY, f->args[2]));
}

void ocall_serve_mount_stat(struct ocall_thread *t, struct ocall_frame *f)
{
    int fd = resolve(root_of(t, f->args[0]), path_at(f, 0), O_PATH | O_NOFOLLOW, 0);

    if (fd < 0) {
        f->result = ocall_answer(-1);
        return;
    }
    f->args[0] = (uint64_t)fd;
    ocall_serve_file_stat(t, f);
    close(fd);
}

void ocall_serve_mount_readlink(struct ocall_thread *t, struct ocall_frame *f)
{
    size_t size = MIN(f->args[1], OCALL_PATH_SIZE);

    AT_PARENT(readlinkat(dir, name, (char *)f->buffer + OCALL_PATH_SIZE, size));
    if (f->result > 0)
        memcpy(f->buffer, f->buffer + OCALL_PATH_SIZE, (size_t)f->result);
}

void ocall_serve_mount_mkdir(struct ocall_thread *t, struct ocall_frame *f)
{
    AT_PARENT(mkdirat(dir, name, (mode_t)f->args[1]));
}

void ocall_serve_mount_unlink(struct ocall_thread *t, struct ocall_frame *f)
{
    AT_PARENT(unlinkat(dir, name, f->args[1] ? AT_REMOVEDIR : 0));
}

void ocall_serve_mount_rename(struct ocall_thread *t, struct ocall_frame *f)
{
    const char *to_name;
    int to = open_parent(t, f->args[0], path_at(f, OCALL_PATH_SIZE), &to_name);

    if (to < 0) {
        f->result = ocall_answer(-1);
        return;
    }
    /* The C library makes another call of it when there are no flags, which seccomp.c does not expect. */
    AT_PARENT((int)syscall(SYS_renameat2, dir, name, to, to_name, (unsigned)f->args[1]));
    close(to);
}

void ocall_serve_mount_symlink(struct ocall_thread *t, struct ocall_frame *f)
{
    const char *name;
    int dir = open_parent(t, f->args[0], path_at(f, OCALL_PATH_SIZE), &name);

    f->result = ocall_answer(dir < 0 ? -1 : symlinkat(path_at(f, 0), dir, name));
    if (dir >= 0)
        close(dir);
}

void ocall_serve_mount_link(struct ocall_thread *t, struct ocall_frame *f)
{
    const char *to_name;
    int to = open_parent(t, f->args[0], path_at(f, OCALL_PATH_SIZE), &to_name);

    if (to < 0) {
        f->result = ocall_answer(-1);
        return;
    }
    AT_PARENT(linkat(dir, name, to, to_name, 0));
    close(to);
}

/* The file itself and not what a link in the last part points at. */
static void with_file(struct ocall_thread *t, struct ocall_frame *f,
                      int (*call)(const char *proc_path, struct ocall_frame *f))
{
    int fd = resolve(root_of(t, f->args[0]), path_at(f, 0), O_PATH | O_NOFOLLOW, 0);
    char proc_path[32];
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode)) {
        f->result = -EOPNOTSUPP;
        close(fd);
        return;
    }
    snprintf(proc_path, sizeof proc_path, "/proc/self/fd/%d", fd);
    f->result = ocall_answer(fd < 0 ? -1 : call(proc_path, f));
    if (fd >= 0)
        close(fd);
}

static int do_chmod(const char *proc_path, struct ocall_frame *f)
{
    return fchmodat(AT_FDCWD, proc_path, (mode_t)f->args[1], 0);
}

void ocall_serve_mount_chmod(struct ocall_thread *t, struct ocall_frame *f)
{
    with_file(t, f, do_chmod);
}

void ocall_serve_mount_utimens(struct ocall_thread *t, struct ocall_frame *f)
{
    struct timespec times[2] = { { (time_t)f->args[1], (long)f->args[2] },
                                 { (time_t)f->args[3], (long)f->args[4] } };

    AT_PARENT(utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW));
}
