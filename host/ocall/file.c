/* SPDX-License-Identifier: Apache-2.0 */
/* OCALLs on host descriptors: standard streams and files. Untrusted side. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "host/ocall/ocall.h"

/*
 * Standard streams may be blocking and shared with others, so their flags are left alone: a look by
 * poll says whether the call would block.
 */
static bool would_block(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };

    return poll(&p, 1, 0) == 0;
}

static uint64_t size_of(uint64_t asked)
{
    return asked > OCALL_BUFFER_SIZE ? OCALL_BUFFER_SIZE : asked;
}

void ocall_serve_read(struct ocall_thread *t, struct ocall_frame *f)
{
    int fd = (int)t->args[0];

    f->result =
        would_block(fd, POLLIN) ? -EAGAIN : ocall_answer(read(fd, f->buffer, size_of(t->args[1])));
}

/* A pipe that poll calls writable takes PIPE_BUF bytes without blocking, not more. */
static uint64_t writable_size(int fd, uint64_t size)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && !(fcntl(fd, F_GETFL) & O_NONBLOCK))
        return size > 4096 ? 4096 : size;
    return size;
}

void ocall_serve_write(struct ocall_thread *t, struct ocall_frame *f)
{
    int fd = (int)t->args[0];

    if (would_block(fd, POLLOUT)) {
        f->result = -EAGAIN;
        return;
    }
    f->result = ocall_answer(write(fd, f->buffer, writable_size(fd, size_of(t->args[1]))));
}

void ocall_serve_close(struct ocall_thread *t, struct ocall_frame *f)
{
    int fd = (int)t->args[0];

    /* The standard streams stay: the loader's own messages go there. */
    f->result = fd <= STDERR_FILENO ? 0 : ocall_answer(close(fd));
}

void ocall_serve_tty_size(struct ocall_thread *t, struct ocall_frame *f)
{
    struct winsize size;

    f->result = ocall_answer(ioctl((int)t->args[0], TIOCGWINSZ, &size));
    if (f->result == 0)
        f->out[0] = size.ws_row | (uint64_t)size.ws_col << 16;
}

void ocall_serve_file_stat(struct ocall_thread *t, struct ocall_frame *f)
{
    struct ocall_stat *out = (struct ocall_stat *)(f->buffer + OCALL_STAT_OFF);
    struct stat st;

    f->result = ocall_answer(fstat((int)t->args[0], &st));
    if (f->result < 0)
        return;
    *out = (struct ocall_stat){
        .ino = st.st_ino,
        .size = (uint64_t)st.st_size,
        .blocks = (uint64_t)st.st_blocks,
        .mode = st.st_mode,
        .nlink = (uint32_t)st.st_nlink,
        .uid = st.st_uid,
        .gid = st.st_gid,
        .atime_s = st.st_atim.tv_sec,
        .mtime_s = st.st_mtim.tv_sec,
        .ctime_s = st.st_ctim.tv_sec,
        .atime_ns = (uint32_t)st.st_atim.tv_nsec,
        .mtime_ns = (uint32_t)st.st_mtim.tv_nsec,
        .ctime_ns = (uint32_t)st.st_ctim.tv_nsec,
        .rdev = (uint32_t)st.st_rdev,
    };
}

void ocall_serve_file_pread(struct ocall_thread *t, struct ocall_frame *f)
{
    f->result =
        ocall_answer(pread((int)t->args[0], f->buffer, size_of(t->args[1]), (off_t)t->args[2]));
}

void ocall_serve_file_pwrite(struct ocall_thread *t, struct ocall_frame *f)
{
    f->result =
        ocall_answer(pwrite((int)t->args[0], f->buffer, size_of(t->args[1]), (off_t)t->args[2]));
}

void ocall_serve_file_truncate(struct ocall_thread *t, struct ocall_frame *f)
{
    f->result = ocall_answer(ftruncate((int)t->args[0], (off_t)t->args[1]));
}

void ocall_serve_file_sync(struct ocall_thread *t, struct ocall_frame *f)
{
    f->result = ocall_answer(t->args[1] ? fdatasync((int)t->args[0]) : fsync((int)t->args[0]));
}

void ocall_serve_file_lock(struct ocall_thread *t, struct ocall_frame *f)
{
    f->result = ocall_answer(flock((int)t->args[0], (int)t->args[1] | LOCK_NB));
}

void ocall_serve_file_getdents(struct ocall_thread *t, struct ocall_frame *f)
{
    if (t->args[2] && lseek((int)t->args[0], 0, SEEK_SET) < 0) {
        f->result = ocall_answer(-1);
        return;
    }
    f->result =
        ocall_answer(syscall(SYS_getdents64, (int)t->args[0], f->buffer, size_of(t->args[1])));
}

static const char *const g_host_files[OCALL_HOST_FILE_COUNT] = { "resolv.conf", "hosts",
                                                                 "hostname" };

void ocall_host_files_open(struct ocall_host *h)
{
    char path[64];

    for (unsigned i = 0; i < OCALL_HOST_FILE_COUNT; i++) {
        snprintf(path, sizeof path, "/etc/%s", g_host_files[i]);
        h->host_file_fds[i] = open(path, O_RDONLY | O_CLOEXEC);
    }
}

void ocall_serve_host_file(struct ocall_thread *t, struct ocall_frame *f)
{
    char name[32];

    memcpy(name, f->buffer, sizeof name);
    name[sizeof name - 1] = 0;
    f->result = -ENOENT;
    for (unsigned i = 0; i < OCALL_HOST_FILE_COUNT; i++)
        if (strcmp(name, g_host_files[i]) == 0 && t->host->host_file_fds[i] >= 0)
            f->result =
                ocall_answer(pread(t->host->host_file_fds[i], f->buffer, size_of(t->args[0]), 0));
}
