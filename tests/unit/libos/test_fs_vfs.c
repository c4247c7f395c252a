/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root file system (tmpfs over an EROFS image) through its system calls, hosted: what the layers must do together.
 * What Linux says about calls in general is tested by tests/syscall.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tee/libos/fs/erofs/erofs.h"
#include "tee/libos/fs/tmpfs/page_index.h"
#include "tee/libos/fs/tmpfs/tmpfs.h"
#include "tee/libos/syscall/syscall.h"
#include "tests/unit/libos/fake_fs.h"

#define P(s) ((uint64_t)(uintptr_t)(s))
/* clang-format off */
#define CALLS(X) \
    X(open) X(close) X(read) X(write) X(pread64) X(pwrite64) X(lseek) X(ftruncate) \
    X(fallocate) X(stat) X(lstat) X(fstat) X(unlink) X(rmdir) X(mkdir) X(rename) X(renameat2) \
    X(link) X(symlink) X(readlink) X(chmod) X(chown) X(getdents64) X(getxattr) X(setxattr) \
    X(listxattr) X(removexattr) X(fcntl) X(dup) X(dup2) X(chdir) X(getcwd) X(access) \
    X(openat2) X(utimensat) X(flock) X(statfs) X(copy_file_range) X(memfd_create) \
    X(close_range)
/* clang-format on */
#define DECLARE(name) syscall_fn sys_##name;
CALLS(DECLARE)

static int64_t on(syscall_fn *fn, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
    return fn(a, b, c, d, e, 0);
}
#define SYS1(n, a) on(sys_##n, a, 0, 0, 0, 0)
#define SYS2(n, a, b) on(sys_##n, a, b, 0, 0, 0)
#define SYS3(n, a, b, c) on(sys_##n, a, b, c, 0, 0)
#define SYS4(n, a, b, c, d) on(sys_##n, a, b, c, d, 0)
#define SYS5(n, a, b, c, d, e) on(sys_##n, a, b, c, d, e)

static uint8_t *g_data, *g_tree;

static int make_root(void **state)
{
    struct image_source s = { .cache_pages = 1, .salt = (const uint8_t *)"" };
    struct process *p = fake_fs_process();
    static uint8_t root[32];
    struct erofs *fs;
    struct image *img;
    struct super *super;
    char path[512];
    FILE *f;
    size_t size;

    (void)state;
    snprintf(path, sizeof path, "%s/small", getenv("CORPUS"));
    f = fopen(path, "rb");
    assert_non_null(f);
    g_data = malloc(65536);
    size = fread(g_data, 1, 65536, f);
    fclose(f);
    g_tree = fake_fs_tree(g_data, size, NULL, 0, &s.tree_size, root);
    s.data.addr = (uintptr_t)g_data;
    s.data_size = size;
    s.tree.addr = (uintptr_t)g_tree;
    s.root = root;
    assert_int_equal(image_new(&s, &img), 0);
    assert_int_equal(erofs_open(img, &fs), 0);
    assert_int_equal(tmpfs_with_lower(fs, &super), 0);
    assert_int_equal(vfs_mount(super, "rootfs", "/"), 0);
    assert_int_equal(fs_context_initial(&p->fs), 0);
    assert_int_equal(fd_table_new(&p->fds), 0);
    assert_int_equal(vfs_folder_make("/desk/tmp"), 0);
    assert_int_equal(tmpfs_new(1 << 20, 01777, &super), 0);
    assert_int_equal(vfs_mount(super, "tmpfs", "/desk/tmp"), 0);
    return 0;
}

static int open_at(const char *path, int flags)
{
    return (int)SYS3(open, P(path), (uint64_t)flags, 0644);
}

static void put(const char *path, const char *text)
{
    int fd = open_at(path, O_CREAT | O_WRONLY | O_TRUNC);

    assert_true(fd >= 0);
    assert_int_equal(SYS3(write, fd, P(text), strlen(text)), strlen(text));
    assert_int_equal(SYS1(close, fd), 0);
}

static char *get(const char *path)
{
    static char bytes[16384];
    int fd = open_at(path, O_RDONLY);
    int64_t size;

    assert_true(fd >= 0);
    size = SYS3(read, fd, P(bytes), sizeof bytes - 1);
    assert_true(size >= 0);
    bytes[size] = 0;
    assert_int_equal(SYS1(close, fd), 0);
    return bytes;
}

static struct stat stat_of(const char *path)
{
    struct stat st;

    assert_int_equal(SYS2(lstat, P(path), P(&st)), 0);
    return st;
}

/* Names of a folder in a sorted list "a b c", without "." and "..". */
static char *names(const char *path, size_t buffer_size)
{
    static char list[4096], all[100][64];
    char buffer[2048];
    int fd = open_at(path, O_RDONLY | O_DIRECTORY), count = 0;
    int64_t size;

    assert_true(fd >= 0);
    while ((size = SYS3(getdents64, fd, P(buffer), buffer_size)) > 0)
        for (int64_t at = 0; at < size;) {
            uint16_t entry_size;

            memcpy(&entry_size, buffer + at + 16, 2);
            if (buffer[at + 19] != '.')
                snprintf(all[count++], 64, "%s", buffer + at + 19);
            at += entry_size;
        }
    assert_int_equal(size, 0);
    assert_int_equal(SYS1(close, fd), 0);
    qsort(all, (size_t)count, 64, (int (*)(const void *, const void *))strcmp);
    list[0] = 0;
    for (int i = 0; i < count; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? " " : "", all[i]);
    return list;
}

static void test_lower_shows_through(void **state)
{
    char target[64];
    struct stat st = stat_of("/b");

    (void)state;
    assert_string_equal(get("/a"), "hello\n");
    assert_int_equal(st.st_size, 5000);
    assert_int_equal(st.st_ino, stat_of("/hard").st_ino);
    assert_int_equal(SYS3(readlink, P("/link"), P(target), sizeof target), 7);
    assert_memory_equal(target, "dir/sub", 7);
    assert_string_equal(names("/dir", 2048), "file1 file2 file3 file4 file5 file6 sub");
    assert_int_equal(SYS2(stat, P("/link"), P(&st)), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(open_at("/nothing", O_RDONLY), -ENOENT);
    assert_int_equal(open_at("/a/b", O_RDONLY), -ENOTDIR);
}

static void test_write_copies_up_one_page(void **state)
{
    char bytes[5000];
    int fd = open_at("/b", O_RDWR);
    uint64_t ino = stat_of("/b").st_ino;

    (void)state;
    assert_int_equal(SYS4(pwrite64, fd, P("YY"), 2, 4095), 2);
    assert_int_equal(SYS4(pread64, fd, P(bytes), sizeof bytes, 0), 5000);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(bytes[i], i == 4095 || i == 4096 ? 'Y' : 'x');
    assert_int_equal(SYS1(close, fd), 0);
    /* Kept though nobody holds it, and seen through the other link. */
    assert_int_equal(get("/hard")[4096], 'Y');
    assert_int_equal(stat_of("/b").st_ino, ino);
}

static void test_truncate_hides_lower(void **state)
{
    char bytes[64];
    int fd = open_at("/dir/file1", O_RDWR);

    (void)state;
    assert_int_equal(SYS2(ftruncate, fd, 1), 0);
    assert_int_equal(SYS2(ftruncate, fd, 3), 0);
    assert_int_equal(SYS4(pread64, fd, P(bytes), sizeof bytes, 0), 3);
    assert_memory_equal(bytes, "1\0\0", 3);
    assert_int_equal(SYS1(close, fd), 0);
    fd = open_at("/dir/file2", O_RDWR | O_TRUNC);
    assert_int_equal(SYS4(pwrite64, fd, P("z"), 1, 8191), 1);
    assert_int_equal(SYS4(pread64, fd, P(bytes), 2, 0), 2);
    assert_memory_equal(bytes, "\0\0", 2);
    assert_int_equal(SYS1(close, fd), 0);
}

static void test_punch_hole_in_lower(void **state)
{
    char bytes[5000];
    int fd = open_at("/hard", O_RDWR);

    (void)state;
    assert_int_equal(SYS4(fallocate, fd, 3 /* PUNCH_HOLE | KEEP_SIZE */, 0, 4096), 0);
    assert_int_equal(SYS4(pread64, fd, P(bytes), sizeof bytes, 0), 5000);
    for (int i = 0; i < 4096; i++)
        assert_int_equal(bytes[i], 0);
    assert_int_equal(bytes[4097], 'x');
    assert_int_equal(SYS3(lseek, fd, 0, 3 /* SEEK_DATA */), 4096);
    assert_int_equal(SYS3(lseek, fd, 0, 4 /* SEEK_HOLE */), 0);
    assert_int_equal(SYS1(close, fd), 0);
}

static void test_whiteouts_and_new_names(void **state)
{
    (void)state;
    assert_int_equal(SYS1(unlink, P("/dir/file3")), 0);
    assert_int_equal(open_at("/dir/file3", O_RDONLY), -ENOENT);
    put("/dir/new", "n");
    assert_string_equal(names("/dir", 2048), "file1 file2 file4 file5 file6 new sub");
    put("/dir/file3", "again");
    assert_string_equal(get("/dir/file3"), "again");
    assert_string_equal(names("/dir", 80), "file1 file2 file3 file4 file5 file6 new sub");
    assert_int_equal(SYS1(unlink, P("/dir/file3")), 0);
    assert_int_equal(open_at("/dir/file3", O_RDONLY), -ENOENT);
    assert_int_equal(SYS1(rmdir, P("/dir")), -ENOTEMPTY);
}

static void test_rename_lower_names(void **state)
{
    (void)state;
    assert_int_equal(SYS2(rename, P("/dir/file4"), P("/dir/moved")), 0);
    assert_string_equal(get("/dir/moved"), "4\n");
    assert_int_equal(open_at("/dir/file4", O_RDONLY), -ENOENT);
    assert_int_equal(SYS2(rename, P("/dir/moved"), P("/dir/file5")), 0);
    assert_string_equal(get("/dir/file5"), "4\n");
    assert_int_equal(SYS5(renameat2, AT_FDCWD, P("/dir/file5"), AT_FDCWD, P("/dir/file6"), 2), 0);
    assert_string_equal(get("/dir/file5"), "6\n");
    assert_string_equal(get("/dir/file6"), "4\n");
    assert_int_equal(SYS5(renameat2, AT_FDCWD, P("/dir/file5"), AT_FDCWD, P("/dir/file6"), 1),
                     -EEXIST);
}

static void test_rename_lower_folder(void **state)
{
    char path[64];

    (void)state;
    assert_int_equal(SYS2(mkdir, P("/other"), 0755), 0);
    assert_int_equal(SYS2(rename, P("/dir"), P("/other/dir")), 0);
    assert_string_equal(get("/other/dir/new"), "n");
    assert_string_equal(names("/other/dir", 2048), "file1 file2 file5 file6 new sub");
    assert_int_equal(open_at("/dir", O_RDONLY), -ENOENT);
    assert_int_equal(SYS2(rename, P("/other"), P("/other/dir/x")), -EINVAL);
    assert_int_equal(SYS1(chdir, P("/other/dir/sub")), 0);
    assert_int_equal(SYS2(getcwd, P(path), sizeof path), 15);
    assert_string_equal(path, "/other/dir/sub");
    assert_int_equal(SYS2(rename, P("/other/dir"), P("/dir")), 0);
    assert_int_equal(SYS2(getcwd, P(path), sizeof path), 9);
    assert_string_equal(path, "/dir/sub");
    assert_string_equal(names("..", 2048), "file1 file2 file5 file6 new sub");
    assert_int_equal(SYS1(chdir, P("/")), 0);
    assert_int_equal(SYS1(rmdir, P("/other")), 0);
}

static void test_attributes_copy_up(void **state)
{
    char value[64];
    struct stat before = stat_of("/a"), after;

    (void)state;
    assert_int_equal(SYS2(chmod, P("/a"), 0600), 0);
    assert_int_equal(SYS3(chown, P("/a"), 7, 8), 0);
    after = stat_of("/a");
    assert_int_equal(after.st_ino, before.st_ino);
    assert_int_equal(after.st_mode, S_IFREG | 0600);
    assert_int_equal(after.st_uid, 7);
    assert_int_equal(after.st_gid, 8);
    assert_int_equal(after.st_mtime, before.st_mtime);
    assert_int_equal(SYS4(getxattr, P("/a"), P("user.mime"), P(value), sizeof value), 10);
    assert_int_equal(SYS5(setxattr, P("/a"), P("user.new"), P("v"), 1, 0), 0);
    assert_int_equal(SYS3(listxattr, P("/a"), P(value), sizeof value), 19);
    assert_int_equal(SYS2(removexattr, P("/a"), P("user.mime")), 0);
    assert_int_equal(SYS4(getxattr, P("/a"), P("user.mime"), P(value), sizeof value), -ENODATA);
    assert_int_equal(SYS5(setxattr, P("/a"), P("user.new"), P("v"), 1, 1), -EEXIST);
    assert_string_equal(get("/a"), "hello\n");
}

static void test_unlinked_lower_file_lives_on(void **state)
{
    char bytes[16];
    int fd = open_at("/a", O_RDWR);

    (void)state;
    assert_int_equal(SYS1(unlink, P("/a")), 0);
    assert_int_equal(SYS4(pread64, fd, P(bytes), 5, 0), 5);
    assert_memory_equal(bytes, "hello", 5);
    assert_int_equal(SYS4(pwrite64, fd, P("J"), 1, 0), 1);
    assert_int_equal(SYS1(close, fd), 0);
    assert_int_equal(open_at("/a", O_RDONLY), -ENOENT);
}

static void test_mounts(void **state)
{
    char path[64];
    long pages = fake_fs_pages();

    (void)state;
    put("/desk/tmp/f", "t");
    assert_int_not_equal(stat_of("/desk/tmp/f").st_dev, stat_of("/b").st_dev);
    assert_int_equal(SYS2(rename, P("/desk/tmp/f"), P("/f")), -EXDEV);
    assert_int_equal(SYS2(link, P("/desk/tmp/f"), P("/f")), -EXDEV);
    assert_int_equal(SYS1(rmdir, P("/desk/tmp")), -EBUSY);
    assert_int_equal(SYS1(chdir, P("/desk/tmp")), 0);
    assert_int_equal(SYS2(getcwd, P(path), sizeof path), 10);
    assert_string_equal(path, "/desk/tmp");
    assert_string_equal(names("../..", 2048), "b desk dir fifo hard link null");
    assert_int_equal(SYS1(chdir, P("/")), 0);
    assert_int_equal(SYS1(unlink, P("/desk/tmp/f")), 0);
    assert_true(fake_fs_pages() <= pages + 1); /* one bounce page stays */
}

static void test_size_limit(void **state)
{
    static char megabyte[1 << 20];
    int fd = open_at("/desk/tmp/big", O_CREAT | O_RDWR);
    long pages;

    (void)state;
    assert_int_equal(SYS3(write, fd, P(megabyte), sizeof megabyte), sizeof megabyte);
    assert_int_equal(SYS3(write, fd, P(megabyte), 1), -ENOSPC);
    assert_int_equal(SYS2(ftruncate, fd, 4096), 0);
    pages = fake_fs_pages();
    assert_int_equal(SYS4(fallocate, fd, 0, 0, 2 << 20), -ENOSPC);
    assert_int_equal(fake_fs_pages(), pages); /* what it took before it failed is given back */
    assert_int_equal(SYS4(pwrite64, fd, P(megabyte), 4096, 1 << 30), 4096); /* sparse */
    assert_int_equal(SYS1(close, fd), 0);
    assert_int_equal(SYS1(unlink, P("/desk/tmp/big")), 0);
}

static void test_symlinks(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(SYS2(symlink, P("l2"), P("/desk/l1")), 0);
    assert_int_equal(SYS2(symlink, P("l1"), P("/desk/l2")), 0);
    assert_int_equal(SYS2(stat, P("/desk/l1"), P(&st)), -ELOOP);
    assert_int_equal(SYS2(symlink, P("../dir/./new"), P("/desk/l3")), 0);
    assert_string_equal(get("/desk/l3"), "n");
    assert_int_equal(SYS2(symlink, P("/desk/made"), P("/desk/l4")), 0);
    put("/desk/l4", "through");
    assert_string_equal(get("/desk/made"), "through");
    assert_int_equal(SYS3(open, P("/desk/l4"), O_RDONLY | O_NOFOLLOW, 0), -ELOOP);
    assert_int_equal(SYS3(open, P("/desk/l4"), O_CREAT | O_EXCL | O_WRONLY, 0), -EEXIST);
    assert_int_equal(SYS2(stat, P("/desk/made/"), P(&st)), -ENOTDIR);
}

static void test_openat2_stays_beneath(void **state)
{
    struct {
        uint64_t flags, mode, resolve;
    } beneath = { O_RDONLY, 0, 8 }, in_root = { O_RDONLY, 0, 16 };
    int dir = open_at("/desk", O_RDONLY | O_DIRECTORY), fd;

    (void)state;
    assert_int_equal(SYS4(openat2, dir, P("../b"), P(&beneath), 24), -EXDEV);
    assert_int_equal(SYS4(openat2, dir, P("/b"), P(&beneath), 24), -EXDEV);
    assert_int_equal(SYS4(openat2, dir, P("l3"), P(&beneath), 24), -EXDEV);
    fd = (int)SYS4(openat2, dir, P("tmp/../made"), P(&beneath), 24);
    assert_true(fd >= 0);
    assert_int_equal(SYS1(close, fd), 0);
    fd = (int)SYS4(openat2, dir, P("/../../made"), P(&in_root), 24);
    assert_true(fd >= 0);
    assert_int_equal(SYS1(close, fd), 0);
    assert_int_equal(SYS1(close, dir), 0);
}

static void test_permissions(void **state)
{
    struct cred user = { .refs = 1,
                         .ruid = 1000,
                         .euid = 1000,
                         .suid = 1000,
                         .fsuid = 1000,
                         .rgid = 1000,
                         .egid = 1000,
                         .sgid = 1000,
                         .fsgid = 1000 };
    struct process *p = fake_fs_process();
    struct cred *root = p->cred;

    (void)state;
    put("/desk/secret", "s");
    assert_int_equal(SYS2(chmod, P("/desk/secret"), 0600), 0);
    assert_int_equal(SYS2(mkdir, P("/desk/closed"), 0700), 0);
    put("/desk/tmp/roots", "r");
    p->cred = &user;
    assert_int_equal(open_at("/desk/secret", O_RDONLY), -EACCES);
    assert_int_equal(open_at("/desk/closed/x", O_RDONLY), -EACCES);
    assert_int_equal(SYS3(open, P("/desk/mine"), O_CREAT | O_WRONLY, 0644), -EACCES);
    assert_int_equal(SYS1(unlink, P("/desk/tmp/roots")), -EPERM); /* sticky */
    assert_int_equal(SYS2(chmod, P("/desk/secret"), 0666), -EPERM);
    assert_int_equal(SYS2(access, P("/desk/secret"), 4), -EACCES);
    put("/desk/tmp/mine", "m");
    assert_int_equal(stat_of("/desk/tmp/mine").st_uid, 1000);
    assert_int_equal(SYS1(unlink, P("/desk/tmp/mine")), 0);
    p->cred = root;
    assert_int_equal(SYS1(unlink, P("/desk/tmp/roots")), 0);
}

static void test_descriptors(void **state)
{
    int fd = open_at("/b", O_RDONLY), other;

    (void)state;
    other = (int)SYS1(dup, fd);
    assert_int_equal(other, fd + 1);
    assert_int_equal(SYS2(dup2, fd, 700), 700);
    assert_int_equal(SYS3(fcntl, fd, F_DUPFD_CLOEXEC, 300), 300);
    assert_int_equal(SYS2(fcntl, 300, F_GETFD), FD_CLOEXEC);
    assert_int_equal(SYS2(fcntl, 700, F_GETFD), 0);
    assert_int_equal(SYS3(lseek, fd, 10, SEEK_SET), 10);
    assert_int_equal(SYS3(lseek, 700, 0, SEEK_CUR), 10);
    fd_table_close_on_exec(fake_fs_process()->fds);
    assert_int_equal(SYS2(fcntl, 300, F_GETFD), -EBADF);
    assert_int_equal(SYS2(dup2, fd, 1024), -EBADF);
    assert_int_equal(SYS3(close_range, other, 1000, 0), 0);
    assert_int_equal(SYS1(close, 700), -EBADF);
    assert_int_equal(SYS1(close, fd), 0);
    assert_int_equal(SYS1(close, 1u << 30), -EBADF);
}

static void test_record_locks(void **state)
{
    struct flock lock = { .l_type = F_WRLCK, .l_start = 10, .l_len = 10 };
    struct fd_table *mine = fake_fs_process()->fds, *other;
    int fd = open_at("/desk/secret", O_RDWR);

    (void)state;
    assert_int_equal(SYS3(fcntl, fd, F_SETLK, P(&lock)), 0);
    assert_int_equal(fd_table_copy(mine, &other), 0);
    fake_fs_process()->fds = other;
    lock = (struct flock){ .l_type = F_RDLCK, .l_start = 15, .l_len = 1 };
    assert_int_equal(SYS3(fcntl, fd, F_SETLK, P(&lock)), -EAGAIN);
    assert_int_equal(SYS3(fcntl, fd, F_GETLK, P(&lock)), 0);
    assert_int_equal(lock.l_type, F_WRLCK);
    assert_int_equal(lock.l_start, 10);
    assert_int_equal(lock.l_len, 10);
    lock = (struct flock){ .l_type = F_RDLCK, .l_start = 20, .l_len = 0 };
    assert_int_equal(SYS3(fcntl, fd, F_SETLK, P(&lock)), 0);
    fake_fs_process()->fds = mine;
    /* Unlocking the middle leaves both ends. */
    lock = (struct flock){ .l_type = F_UNLCK, .l_start = 12, .l_len = 2 };
    assert_int_equal(SYS3(fcntl, fd, F_SETLK, P(&lock)), 0);
    fake_fs_process()->fds = other;
    lock = (struct flock){ .l_type = F_WRLCK, .l_start = 12, .l_len = 2 };
    assert_int_equal(SYS3(fcntl, fd, F_SETLK, P(&lock)), 0);
    lock = (struct flock){ .l_type = F_WRLCK, .l_start = 11, .l_len = 1 };
    assert_int_equal(SYS3(fcntl, fd, F_SETLK, P(&lock)), -EAGAIN);
    fd_table_unref(other);
    fake_fs_process()->fds = mine;
    lock = (struct flock){ .l_type = F_WRLCK };
    assert_int_equal(SYS3(fcntl, fd, F_SETLK, P(&lock)), 0);
    assert_int_equal(SYS1(close, fd), 0);
}

static void test_memfd_seals(void **state)
{
    int fd = (int)SYS2(memfd_create, P("m"), 2);
    char c = 'x';

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(SYS2(ftruncate, fd, 100), 0);
    assert_int_equal(SYS3(fcntl, fd, 1033 /* F_ADD_SEALS */, 2 | 4), 0);
    assert_int_equal(SYS2(ftruncate, fd, 50), -EPERM);
    assert_int_equal(SYS2(ftruncate, fd, 200), -EPERM);
    assert_int_equal(SYS4(pwrite64, fd, P(&c), 1, 0), 1);
    assert_int_equal(SYS3(fcntl, fd, 1033, 8 | 1), 0);
    assert_int_equal(SYS4(pwrite64, fd, P(&c), 1, 0), -EPERM);
    assert_int_equal(SYS3(fcntl, fd, 1033, 16), -EPERM);
    assert_int_equal(SYS2(fcntl, fd, 1034), 1 | 2 | 4 | 8);
    assert_int_equal(SYS1(close, fd), 0);
}

static void test_shared_pages(void **state)
{
    char *page = aligned_alloc(4096, 4096), *other = aligned_alloc(4096, 4096), c[3];
    int fd = (int)SYS2(memfd_create, P("m"), 0);
    long pages = fake_fs_pages();
    struct file *f = fd_get(fd);

    (void)state;
    assert_int_equal(SYS4(pwrite64, fd, P("abc"), 3, 0), 3);
    assert_int_equal(f->ops->share_page(f, 4096, page), -EIO); /* beyond the end */
    assert_int_equal(f->ops->share_page(f, 0, page), 0);
    assert_string_equal(page, "abc");
    assert_int_equal(f->ops->share_page(f, 0, other), -EBUSY);
    assert_ptr_equal(f->ops->shared_page(f, 0), page);
    page[1] = 'X';
    assert_int_equal(SYS4(pread64, fd, P(c), 3, 0), 3);
    assert_memory_equal(c, "aXc", 3);
    assert_int_equal(SYS4(pwrite64, fd, P("Y"), 1, 2), 1);
    assert_int_equal(page[2], 'Y');
    f->ops->unshare_page(f, 0, other); /* not the storage: nothing happens */
    f->ops->unshare_page(f, 0, page);
    memset(page, 0, 4096);
    assert_int_equal(SYS4(pread64, fd, P(c), 3, 0), 3);
    assert_memory_equal(c, "aXY", 3);
    file_unref(f);
    assert_int_equal(SYS1(close, fd), 0);
    assert_int_equal(fake_fs_pages(), pages);
    free(page);
    free(other);
}

static void test_shared_pages_of_the_image(void **state)
{
    char *page = aligned_alloc(4096, 4096), *other = aligned_alloc(4096, 4096);
    int fd = open_at("/dir/file6", O_RDONLY);
    struct file *f;

    (void)state;
    assert_true(fd >= 0);
    f = fd_get(fd);
    assert_int_equal(f->ops->share_page(f, 0, page), 0);
    assert_int_equal(f->ops->share_page(f, 0, other), 0);
    assert_memory_equal(page, "4\n\0", 3);
    assert_memory_equal(other, "4\n\0", 3);
    f->ops->unshare_page(f, 0, page);
    f->ops->unshare_page(f, 0, other);
    file_unref(f);
    assert_int_equal(SYS1(close, fd), 0);
    free(page);
    free(other);
}

/* More names than the cache holds: old ones go, changes stay. */
static void test_dentry_cache_is_bounded(void **state)
{
    char path[64];

    (void)state;
    put("/dir/new", "kept");
    for (int i = 0; i < 40000; i++) {
        struct stat st;

        snprintf(path, sizeof path, "/desk/absent-%d", i);
        assert_int_equal(SYS2(stat, P(path), P(&st)), -ENOENT);
    }
    assert_string_equal(get("/dir/new"), "kept");
    assert_int_equal(get("/hard")[4999], 'x');
}

static void test_without_memory(void **state)
{
    char path[64];
    int fd;

    (void)state;
    for (long i = 0; i < 40; i++) {
        snprintf(path, sizeof path, "/desk/oom-%ld", i);
        fake_fs_fail_after(i);
        fd = open_at(path, O_CREAT | O_RDWR);
        if (fd >= 0) {
            (void)SYS3(write, fd, P("hello"), 5);
            (void)SYS2(rename, P(path),
                       P("/desk/oom-target-with-a-name-that-is-longer-than-the-inline-one"));
        }
        fake_fs_fail_after(-1);
        if (fd >= 0)
            assert_int_equal(SYS1(close, fd), 0);
    }
    put("/desk/oom", "fine");
    assert_string_equal(get("/desk/oom"), "fine");
}

static void test_page_index(void **state)
{
    struct page_index x = { 0 };
    static const uint64_t at[] = { 0, 1, 63, 64, 4095, 4096, 1ull << 40, PAGE_INDEX_MAX };
    uint64_t index = 0;

    (void)state;
    assert_int_equal(page_index_set(&x, PAGE_INDEX_MAX + 1, &x), -EFBIG);
    for (size_t i = 0; i < ARRAY_COUNT(at); i++)
        assert_int_equal(page_index_set(&x, at[i], (void *)(at + i)), 0);
    for (size_t i = 0; i < ARRAY_COUNT(at); i++, index++) {
        assert_ptr_equal(page_index_get(&x, at[i]), at + i);
        assert_ptr_equal(page_index_next(&x, &index), at + i);
        assert_int_equal(index, at[i]);
    }
    assert_null(page_index_get(&x, 2));
    for (size_t i = 0; i < ARRAY_COUNT(at); i++) {
        assert_ptr_equal(page_index_remove(&x, at[i]), at + i);
        assert_null(page_index_get(&x, at[i]));
    }
    assert_null(x.root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lower_shows_through),
        cmocka_unit_test(test_write_copies_up_one_page),
        cmocka_unit_test(test_truncate_hides_lower),
        cmocka_unit_test(test_punch_hole_in_lower),
        cmocka_unit_test(test_whiteouts_and_new_names),
        cmocka_unit_test(test_rename_lower_names),
        cmocka_unit_test(test_rename_lower_folder),
        cmocka_unit_test(test_attributes_copy_up),
        cmocka_unit_test(test_unlinked_lower_file_lives_on),
        cmocka_unit_test(test_mounts),
        cmocka_unit_test(test_size_limit),
        cmocka_unit_test(test_symlinks),
        cmocka_unit_test(test_openat2_stays_beneath),
        cmocka_unit_test(test_permissions),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_record_locks),
        cmocka_unit_test(test_memfd_seals),
        cmocka_unit_test(test_shared_pages),
        cmocka_unit_test(test_shared_pages_of_the_image),
        cmocka_unit_test(test_dentry_cache_is_bounded),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_page_index),
    };

    fake_fs_init();
    return cmocka_run_group_tests(tests, make_root, NULL);
}
