/* SPDX-License-Identifier: Apache-2.0 */
/* inotify: which events what brings, in which order; watches, queues, errors. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>

static const struct {
    uint32_t bit;
    const char *name;
} g_names[] = {
    { IN_ACCESS, "access" },
    { IN_MODIFY, "modify" },
    { IN_ATTRIB, "attrib" },
    { IN_CLOSE_WRITE, "close_write" },
    { IN_CLOSE_NOWRITE, "close_nowrite" },
    { IN_OPEN, "open" },
    { IN_MOVED_FROM, "moved_from" },
    { IN_MOVED_TO, "moved_to" },
    { IN_CREATE, "create" },
    { IN_DELETE, "delete" },
    { IN_DELETE_SELF, "delete_self" },
    { IN_MOVE_SELF, "move_self" },
    { IN_Q_OVERFLOW, "overflow" },
    { IN_IGNORED, "ignored" },
    { IN_ISDIR, "dir" },
};

static size_t describe(const struct inotify_event *e, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "%d", e->wd);

    for (size_t i = 0; i < sizeof g_names / sizeof g_names[0]; i++)
        if (e->mask & g_names[i].bit)
            used += (size_t)snprintf(text + used, size - used, ":%s", g_names[i].name);
    if (e->len)
        used += (size_t)snprintf(text + used, size - used, ":%s", e->name);
    return used + (size_t)snprintf(text + used, size - used, " ");
}

/* All events that wait, as one line: "wd:kind[:kind][:name] ". */
static void check_events(int fd, const char *want)
{
    _Alignas(struct inotify_event) char bytes[8192];
    char text[4096] = "";
    size_t used = 0;
    ssize_t n;

    while ((n = read(fd, bytes, sizeof bytes)) > 0)
        for (char *at = bytes; at < bytes + n;) {
            struct inotify_event *e = (struct inotify_event *)at;

            used += describe(e, text + used, sizeof text - used);
            at += sizeof *e + e->len;
        }
    CHECK_EQ(errno, EAGAIN);
    if (strcmp(text, want) != 0)
        printf("# got:  %s\n# want: %s\n", text, want);
    CHECK(strcmp(text, want) == 0);
}

static int watch(int fd, const char *path, uint32_t mask)
{
    return OK(inotify_add_watch(fd, path, mask));
}

TEST(inotify_file)
{
    int fd = OK(inotify_init1(IN_NONBLOCK)), file;
    char text[4];

    close(file_with("file", "text"));
    watch(fd, ".", IN_ALL_EVENTS);
    watch(fd, "file", IN_ALL_EVENTS);
    file = OK(open("file", O_RDWR));
    check_events(fd, "1:open:file 2:open ");
    CHECK_EQ(read(file, text, 4), 4);
    CHECK_EQ(read(file, text, 4), 0);
    CHECK_EQ(pwrite(file, "x", 1, 0), 1);
    CHECK_EQ(pwrite(file, "x", 1, 0), 1); /* like the last: one event */
    OK(ftruncate(file, 2));
    check_events(fd, "1:access:file 2:access 1:modify:file 2:modify 1:modify:file 2:modify "
                     "1:modify:file 2:modify ");
    OK(fchmod(file, 0600));
    OK(fchown(file, getuid(), getgid()));
    check_events(fd, "1:attrib:file 2:attrib 1:attrib:file 2:attrib ");
    close(file);
    check_events(fd, "1:close_write:file 2:close_write ");
    close(OK(open("file", O_RDONLY)));
    check_events(fd, "1:open:file 2:open 1:close_nowrite:file 2:close_nowrite ");
    close(OK(open("file", O_WRONLY | O_TRUNC)));
    check_events(fd, "1:open:file 2:open 1:modify:file 2:modify 1:close_write:file 2:close_write ");
    OK(truncate("file", 100));
    check_events(fd, "1:modify:file 2:modify ");
    close(OK(open("file", O_PATH)));
    check_events(fd, "");
}

TEST(inotify_one_watch)
{
    int fd = OK(inotify_init1(IN_NONBLOCK)), file = file_with("file", "text");

    watch(fd, "file", IN_MODIFY);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(pwrite(file, "x", 1, 0), 1);
    check_events(fd, "1:modify ");
    CHECK_EQ(pwrite(file, "x", 1, 0), 1);
    check_events(fd, "1:modify ");
}

TEST(inotify_times)
{
    int fd = OK(inotify_init1(IN_NONBLOCK));
    struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_OMIT } };

    close(file_with("file", ""));
    watch(fd, "file", IN_ALL_EVENTS);
    OK(utimensat(AT_FDCWD, "file", NULL, 0));
    check_events(fd, "1:attrib ");
    OK(utimensat(AT_FDCWD, "file", times, 0));
    check_events(fd, "1:access ");
    times[1].tv_nsec = UTIME_NOW;
    times[0].tv_nsec = UTIME_OMIT;
    OK(utimensat(AT_FDCWD, "file", times, 0));
    check_events(fd, "1:modify ");
    if (setxattr("file", "user.x", "y", 1, 0) == 0)
        check_events(fd, "1:attrib ");
}

TEST(inotify_names)
{
    int fd = OK(inotify_init1(IN_NONBLOCK));

    watch(fd, ".", IN_ALL_EVENTS & ~(uint32_t)(IN_OPEN | IN_CLOSE | IN_ACCESS));
    close(OK(open("file", O_CREAT | O_RDWR, 0644)));
    check_events(fd, "1:create:file ");
    OK(mkdir("folder", 0755));
    check_events(fd, "1:create:dir:folder ");
    OK(symlink("x", "link"));
    OK(mknod("fifo", S_IFIFO | 0600, 0));
    check_events(fd, "1:create:link 1:create:fifo ");
    OK(link("file", "other"));
    check_events(fd, "1:create:other ");
    OK(chmod("folder", 0700));
    check_events(fd, "1:attrib:dir:folder ");
    OK(unlink("other"));
    OK(unlink("link"));
    OK(rmdir("folder"));
    check_events(fd, "1:delete:other 1:delete:link 1:delete:dir:folder ");
}

TEST(inotify_folder_reads)
{
    int fd = OK(inotify_init1(IN_NONBLOCK)), folder;
    char bytes[512];

    OK(mkdir("folder", 0755));
    watch(fd, ".", IN_ALL_EVENTS);
    folder = OK(open("folder", O_RDONLY | O_DIRECTORY));
    CHECK(syscall(SYS_getdents64, folder, bytes, sizeof bytes) > 0);
    close(folder);
    check_events(fd, "1:open:dir:folder 1:access:dir:folder 1:close_nowrite:dir:folder ");
}

TEST(inotify_end_of_file)
{
    int fd = OK(inotify_init1(IN_NONBLOCK)), file = file_with("file", "");

    watch(fd, "file", IN_ALL_EVENTS);
    OK(link("file", "second"));
    check_events(fd, "1:attrib ");
    OK(unlink("second"));
    check_events(fd, "1:attrib ");
    OK(unlink("file"));
    check_events(fd, "1:attrib "); /* still open */
    CHECK_EQ(write(file, "x", 1), 1);
    check_events(fd, "1:modify ");
    close(file);
    check_events(fd, "1:close_write 1:delete_self 1:ignored ");
    FAILS(inotify_rm_watch(fd, 1), EINVAL);
    close(file_with("file", ""));
    watch(fd, ".", IN_DELETE);
    watch(fd, "file", IN_DELETE_SELF);
    OK(unlink("file"));
    check_events(fd, "3:delete_self 3:ignored 2:delete:file ");
    OK(mkdir("folder", 0755));
    watch(fd, "folder", IN_ALL_EVENTS);
    OK(rmdir("folder"));
    check_events(fd, "4:delete_self 4:ignored 2:delete:dir:folder ");
}

TEST(inotify_rename)
{
    int fd = OK(inotify_init1(IN_NONBLOCK));
    _Alignas(struct inotify_event) char bytes[512];
    struct inotify_event *from = (struct inotify_event *)bytes, *to;
    uint32_t first;

    OK(mkdir("a", 0755));
    OK(mkdir("b", 0755));
    close(file_with("a/file", ""));
    close(file_with("b/old", ""));
    watch(fd, "a", IN_ALL_EVENTS);
    watch(fd, "b", IN_ALL_EVENTS);
    watch(fd, "a/file", IN_ALL_EVENTS);
    watch(fd, "b/old", IN_ALL_EVENTS);
    OK(rename("a/file", "b/new"));
    CHECK(read(fd, bytes, sizeof bytes) > 0);
    to = (struct inotify_event *)(bytes + sizeof *from + from->len);
    CHECK_EQ(from->mask, IN_MOVED_FROM);
    CHECK_EQ(from->len, 16);
    CHECK_EQ(to->mask, IN_MOVED_TO);
    CHECK(from->cookie != 0 && from->cookie == to->cookie);
    first = from->cookie;
    to = (struct inotify_event *)((char *)to + sizeof *to + to->len);
    CHECK_EQ(to->mask, IN_MOVE_SELF);
    CHECK_EQ(to->wd, 3);
    OK(rename("b/new", "b/old")); /* replaces a watched file */
    CHECK(read(fd, bytes, sizeof bytes) > 0);
    CHECK(from->cookie != 0 && from->cookie != first);
    close(file_with("b/x", ""));
    OK(inotify_rm_watch(fd, 3));
    check_events(fd, "2:create:x 2:open:x 2:close_write:x 3:ignored ");
}

TEST(inotify_rename_over)
{
    int fd = OK(inotify_init1(IN_NONBLOCK));

    close(file_with("one", "1"));
    close(file_with("two", "2"));
    watch(fd, ".", IN_MOVE | IN_DELETE);
    watch(fd, "one", IN_ALL_EVENTS);
    watch(fd, "two", IN_ALL_EVENTS);
    OK(rename("one", "two"));
    check_events(fd,
                 "1:moved_from:one 1:moved_to:two 3:attrib 2:move_self 3:delete_self 3:ignored ");
    OK(mkdir("d", 0755));
    OK(rename("d", "e"));
    check_events(fd, "1:moved_from:dir:d 1:moved_to:dir:e ");
}

TEST(inotify_exchange)
{
    int fd = OK(inotify_init1(IN_NONBLOCK));

    close(file_with("one", "1"));
    OK(mkdir("two", 0755));
    watch(fd, ".", IN_MOVE);
    if (syscall(SYS_renameat2, AT_FDCWD, "one", AT_FDCWD, "two", 2) < 0)
        case_skip("no exchange here");
    check_events(fd, "1:moved_from:one 1:moved_to:two 1:moved_from:dir:two 1:moved_to:dir:one ");
}

TEST(inotify_masks)
{
    int fd = OK(inotify_init1(IN_NONBLOCK)), wd;

    close(file_with("file", ""));
    OK(symlink("file", "link"));
    OK(mkdir("folder", 0755));
    wd = watch(fd, "file", IN_OPEN);
    CHECK_EQ(watch(fd, "link", IN_CLOSE | IN_MASK_ADD), wd);
    close(OK(open("file", O_RDONLY)));
    check_events(fd, "1:open 1:close_nowrite ");
    CHECK_EQ(watch(fd, "file", IN_CLOSE), wd);
    close(OK(open("file", O_RDONLY)));
    check_events(fd, "1:close_nowrite ");
    CHECK_EQ(watch(fd, "link", IN_ATTRIB | IN_DONT_FOLLOW), 2);
    FAILS(inotify_add_watch(fd, "file", IN_OPEN | IN_MASK_CREATE), EEXIST);
    FAILS(inotify_add_watch(fd, "file", IN_OPEN | IN_MASK_CREATE | IN_MASK_ADD), EINVAL);
    FAILS(inotify_add_watch(fd, "file", IN_OPEN | IN_ONLYDIR), ENOTDIR);
    CHECK_EQ(watch(fd, "folder", IN_OPEN | IN_ONLYDIR | IN_MASK_CREATE), 3);
    CHECK_EQ(watch(fd, "file", IN_OPEN | IN_ONESHOT), wd);
    close(OK(open("file", O_RDONLY)));
    close(OK(open("file", O_RDONLY)));
    check_events(fd, "1:open 1:ignored ");
}

TEST(inotify_excl_unlink)
{
    int fd = OK(inotify_init1(IN_NONBLOCK)), file = file_with("file", "");

    watch(fd, ".", IN_MODIFY | IN_EXCL_UNLINK);
    CHECK_EQ(write(file, "x", 1), 1);
    check_events(fd, "1:modify:file ");
    OK(unlink("file"));
    CHECK_EQ(write(file, "x", 1), 1);
    check_events(fd, "");
}

TEST(inotify_two_instances)
{
    int a = OK(inotify_init1(IN_NONBLOCK)), b = OK(inotify_init1(IN_NONBLOCK));

    watch(a, ".", IN_CREATE);
    watch(b, ".", IN_CREATE | IN_DELETE);
    OK(mkdir("x", 0755));
    close(a);
    OK(rmdir("x"));
    check_events(b, "1:create:dir:x 1:delete:dir:x ");
}

static void *touch(void *arg)
{
    (void)arg;
    usleep(50000);
    mkdir("later", 0755);
    return NULL;
}

TEST(inotify_waits)
{
    int fd = OK(inotify_init1(0)), bytes_left = -1;
    struct pollfd p = { .fd = fd, .events = POLLIN };
    _Alignas(struct inotify_event) char bytes[64];
    pthread_t thread;

    watch(fd, ".", IN_CREATE);
    CHECK_EQ(poll(&p, 1, 0), 0);
    OK(ioctl(fd, FIONREAD, &bytes_left));
    CHECK_EQ(bytes_left, 0);
    ZERO(pthread_create(&thread, NULL, touch, NULL));
    CHECK_EQ(poll(&p, 1, 5000), 1);
    CHECK_EQ(p.revents, POLLIN);
    OK(ioctl(fd, FIONREAD, &bytes_left));
    CHECK_EQ(bytes_left, 32);
    FAILS(read(fd, bytes, 16), EINVAL);
    FAILS(read(fd, NULL, 64), EFAULT);
    ZERO(pthread_join(thread, NULL));
    OK(rmdir("later"));
    ZERO(pthread_create(&thread, NULL, touch, NULL));
    CHECK_EQ(read(fd, bytes, sizeof bytes), 32);
    ZERO(pthread_join(thread, NULL));
}

TEST(inotify_overflow)
{
    int fd = OK(inotify_init1(IN_NONBLOCK)), limit = 0, events = 0, last = 0;
    static _Alignas(struct inotify_event) char bytes[65536];
    FILE *f = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    ssize_t n;

    CHECK(f != NULL && fscanf(f, "%d", &limit) == 1);
    fclose(f);
    if (limit > 20000)
        case_skip("the queue is too long here");
    close(file_with("file", ""));
    watch(fd, "file", IN_OPEN | IN_CLOSE);
    for (int i = 0; i < limit / 2 + 10; i++)
        close(OK(open("file", O_RDONLY)));
    while ((n = read(fd, bytes, sizeof bytes)) > 0)
        for (ssize_t at = 0; at < n; at += (ssize_t)sizeof(struct inotify_event), events++)
            last = (int)((struct inotify_event *)(bytes + at))->mask;
    CHECK_EQ(events, limit + 1);
    CHECK_EQ(last, IN_Q_OVERFLOW);
    close(OK(open("file", O_RDONLY)));
    check_events(fd, "1:open 1:close_nowrite ");
}

TEST(inotify_errors)
{
    int fd = OK(inotify_init1(IN_NONBLOCK)), pipes[2];
    char c;

    FAILS(inotify_init1(1), EINVAL);
    FAILS(inotify_add_watch(fd, ".", 0), EINVAL);
    FAILS(inotify_add_watch(fd, "missing", IN_OPEN), ENOENT);
    FAILS(inotify_add_watch(fd, NULL, IN_OPEN), EFAULT);
    FAILS(inotify_add_watch(999, ".", IN_OPEN), EBADF);
    OK(pipe(pipes));
    FAILS(inotify_add_watch(pipes[0], ".", IN_OPEN), EINVAL);
    FAILS(inotify_rm_watch(pipes[0], 1), EINVAL);
    FAILS(inotify_rm_watch(999, 1), EBADF);
    FAILS(inotify_rm_watch(fd, 1), EINVAL);
    FAILS(write(fd, "x", 1), EBADF);
    FAILS(read(fd, &c, 1), EAGAIN);
}
