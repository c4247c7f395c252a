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

/* Where a path's last part lies. The path is a copy: the enclave can write to the frame at any time. */
struct place {
    int dir;          /* the folder that holds it, opened; -1 */
    const char *name; /* one part of a path; never ".." */
    char path[OCALL_PATH_SIZE];
};

/* The path at off in the frame. returns: 0; -1 and errno, p->dir is then -1. */
static int place_open(const struct ocall_thread *t, struct ocall_frame *f, size_t off,
                      struct place *p)
{
    char *slash;

    p->dir = -1;
    snprintf(p->path, sizeof p->path, "%s", path_at(f, off));
    for (slash = strrchr(p->path, '/'); slash && !slash[1] && slash > p->path;
         slash = strrchr(p->path, '/'))
        *slash = 0; /* trailing slashes */
    p->name = slash ? slash + 1 : p->path;
    if (strcmp(p->name, "..") == 0) {
        errno = EINVAL;
        return -1;
    }
    if (slash)
        *slash = 0;
    p->dir =
        resolve(root_of(t, t->args[0]), slash && *p->path ? p->path : ".", O_PATH | O_DIRECTORY, 0);
    if (!*p->name)
        p->name = "."; /* the folder itself */
    return p->dir < 0 ? -1 : 0;
}

static void place_close(struct place *p)
{
    if (p->dir >= 0)
        close(p->dir);
}

/* Runs `call` with the place `at` of the path that the frame begins with. */
#define AT_PLACE(call)                                                                             \
    do {                                                                                           \
        struct place at;                                                                           \
        f->result = ocall_answer(place_open(t, f, 0, &at) < 0 ? -1 : (call));                      \
        place_close(&at);                                                                          \
    } while (0)

/* The same with a second path, whose place is `to`. */
#define AT_PLACES(call)                                                                            \
    do {                                                                                           \
        struct place to;                                                                           \
        if (place_open(t, f, OCALL_PATH_SIZE, &to) < 0)                                            \
            f->result = ocall_answer(-1);                                                          \
        else                                                                                       \
            AT_PLACE(call);                                                                        \
        place_close(&to);                                                                          \
    } while (0)

void ocall_serve_mount_open(struct ocall_thread *t, struct ocall_frame *f)
{
    f->result = ocall_answer(resolve(root_of(t, t->args[0]), path_at(f, 0),
                                     t->args[1] | O_NONBLOCK | O_NOCTTY, t->args[2]));
}

void ocall_serve_mount_stat(struct ocall_thread *t, struct ocall_frame *f)
{
    int fd = resolve(root_of(t, t->args[0]), path_at(f, 0), O_PATH | O_NOFOLLOW, 0);

    if (fd < 0) {
        f->result = ocall_answer(-1);
        return;
    }
    t->args[0] = (uint64_t)fd;
    ocall_serve_file_stat(t, f);
    close(fd);
}

void ocall_serve_mount_readlink(struct ocall_thread *t, struct ocall_frame *f)
{
    size_t size = MIN(t->args[1], OCALL_PATH_SIZE);

    AT_PLACE(readlinkat(at.dir, at.name, (char *)f->buffer + OCALL_PATH_SIZE, size));
    if (f->result > 0)
        memcpy(f->buffer, f->buffer + OCALL_PATH_SIZE, (size_t)f->result);
}

void ocall_serve_mount_mkdir(struct ocall_thread *t, struct ocall_frame *f)
{
    AT_PLACE(mkdirat(at.dir, at.name, (mode_t)t->args[1]));
}

void ocall_serve_mount_unlink(struct ocall_thread *t, struct ocall_frame *f)
{
    AT_PLACE(unlinkat(at.dir, at.name, t->args[1] ? AT_REMOVEDIR : 0));
}

void ocall_serve_mount_rename(struct ocall_thread *t, struct ocall_frame *f)
{
    /* The C library makes another call of it when there are no flags, which seccomp.c does not expect. */
    AT_PLACES((int)syscall(SYS_renameat2, at.dir, at.name, to.dir, to.name, (unsigned)t->args[1]));
}

void ocall_serve_mount_symlink(struct ocall_thread *t, struct ocall_frame *f)
{
    struct place to;

    f->result = ocall_answer(place_open(t, f, OCALL_PATH_SIZE, &to) < 0
                                 ? -1
                                 : symlinkat(path_at(f, 0), to.dir, to.name));
    place_close(&to);
}

void ocall_serve_mount_link(struct ocall_thread *t, struct ocall_frame *f)
{
    AT_PLACES(linkat(at.dir, at.name, to.dir, to.name, 0));
}

/* The file itself and not what a link in the last part points at. */
static void with_file(struct ocall_thread *t, struct ocall_frame *f,
                      int (*call)(const char *proc_path, const struct ocall_thread *t))
{
    int fd = resolve(root_of(t, t->args[0]), path_at(f, 0), O_PATH | O_NOFOLLOW, 0);
    char proc_path[32];
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode)) {
        f->result = -EOPNOTSUPP;
        close(fd);
        return;
    }
    snprintf(proc_path, sizeof proc_path, "/proc/self/fd/%d", fd);
    f->result = ocall_answer(fd < 0 ? -1 : call(proc_path, t));
    if (fd >= 0)
        close(fd);
}

static int do_chmod(const char *proc_path, const struct ocall_thread *t)
{
    return fchmodat(AT_FDCWD, proc_path, (mode_t)t->args[1], 0);
}

void ocall_serve_mount_chmod(struct ocall_thread *t, struct ocall_frame *f)
{
    with_file(t, f, do_chmod);
}

void ocall_serve_mount_utimens(struct ocall_thread *t, struct ocall_frame *f)
{
    struct timespec times[2] = { { (time_t)t->args[1], (long)t->args[2] },
                                 { (time_t)t->args[3], (long)t->args[4] } };

    AT_PLACE(utimensat(at.dir, at.name, times, AT_SYMLINK_NOFOLLOW));
}
