/* SPDX-License-Identifier: Apache-2.0 */
/* Regular files: open, read, write, seek, size, names, descriptors, times, locks. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

TEST(file_open_creates_and_reads_back)
{
    char text[16] = "";
    int fd = file_with("a", "hello");

    CHECK_EQ(read(fd, text, sizeof text), 5);
    CHECK(memcmp(text, "hello", 5) == 0);
    CHECK_EQ(read(fd, text, sizeof text), 0);
}

TEST(file_open_errors)
{
    OK(close(file_with("a", "x")));
    OK(mkdir("d", 0755));
    FAILS(open("missing", O_RDONLY), ENOENT);
    FAILS(open("a", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
    FAILS(open("a/b", O_RDONLY), ENOTDIR);
    FAILS(open("a", O_RDONLY | O_DIRECTORY), ENOTDIR);
    FAILS(open("d", O_WRONLY), EISDIR);
    FAILS(open("d", O_RDWR | O_CREAT, 0644), EISDIR);
    FAILS(open("missing/b", O_RDWR | O_CREAT, 0644), ENOENT);
    FAILS(open("", O_RDONLY), ENOENT);
    FAILS(open((const char *)8, O_RDONLY), EFAULT);
}

TEST(file_name_limits)
{
    char name[5000];

    memset(name, 'n', sizeof name);
    name[256] = '\0';
    FAILS(open(name, O_RDONLY), ENAMETOOLONG);
    name[255] = '\0';
    FAILS(open(name, O_RDONLY), ENOENT);
    OK(close(OK(open(name, O_CREAT | O_WRONLY, 0644))));
    memset(name, '/', 4100);
    name[4096] = '\0';
    FAILS(open(name, O_RDONLY), ENAMETOOLONG);
}

TEST(file_open_trunc_and_append)
{
    struct stat st;
    char text[16] = "";
    int fd;

    OK(close(file_with("a", "0123456789")));
    fd = OK(open("a", O_RDWR | O_APPEND));
    CHECK_EQ(write(fd, "ab", 2), 2);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 12);
    CHECK_EQ(pread(fd, text, 16, 8), 4);
    CHECK(memcmp(text, "89ab", 4) == 0);
    OK(close(fd));
    fd = OK(open("a", O_WRONLY | O_TRUNC));
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, 0);
}

TEST(file_access_mode_is_kept)
{
    char c;

    OK(close(file_with("a", "x")));
    FAILS(write(OK(open("a", O_RDONLY)), "y", 1), EBADF);
    FAILS(read(OK(open("a", O_WRONLY)), &c, 1), EBADF);
    FAILS(ftruncate(OK(open("a", O_RDONLY)), 0), EINVAL);
}

TEST(file_bad_descriptors)
{
    char c;
    struct stat st;

    FAILS(read(-1, &c, 1), EBADF);
    FAILS(write(9999, &c, 1), EBADF);
    FAILS(close(9999), EBADF);
    FAILS(lseek(9999, 0, SEEK_SET), EBADF);
    FAILS(fstat(9999, &st), EBADF);
    FAILS(dup(9999), EBADF);
    FAILS(fsync(-1), EBADF);
}

TEST(file_bad_addresses)
{
    int fd = file_with("a", "x");

    FAILS(read(fd, (void *)16, 1), EFAULT);
    FAILS(write(fd, (void *)16, 1), EFAULT);
    FAILS(syscall(SYS_newfstatat, AT_FDCWD, "a", (void *)16, 0), EFAULT);
    FAILS(syscall(SYS_readv, fd, (void *)16, 1), EFAULT);
}

TEST(file_seek)
{
    char c = 1;
    int fd = file_with("a", "0123456789");

    CHECK_EQ(lseek(fd, 3, SEEK_SET), 3);
    CHECK_EQ(lseek(fd, 2, SEEK_CUR), 5);
    CHECK_EQ(lseek(fd, -1, SEEK_END), 9);
    FAILS(lseek(fd, -1, SEEK_SET), EINVAL);
    FAILS(lseek(fd, -100, SEEK_CUR), EINVAL);
    FAILS(lseek(fd, 0, 99), EINVAL);
    CHECK_EQ(lseek(fd, 20, SEEK_SET), 20);
    CHECK_EQ(read(fd, &c, 1), 0);
    CHECK_EQ(write(fd, "z", 1), 1);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 21);
    CHECK_EQ(pread(fd, &c, 1, 15), 1);
    CHECK_EQ(c, 0);
}

TEST(file_pread_pwrite)
{
    char text[8] = "";
    int fd = file_with("a", "0123456789");

    CHECK_EQ(pwrite(fd, "XY", 2, 4), 2);
    CHECK_EQ(pread(fd, text, 4, 3), 4);
    CHECK(memcmp(text, "3XY6", 4) == 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    FAILS(pread(fd, text, 1, -1), EINVAL);
    CHECK_EQ(pread(fd, text, 1, 10), 0);
}

TEST(file_vectors)
{
    char a[3] = "", b[9] = "";
    struct iovec out[] = { { "abc", 3 }, { "", 0 }, { "defgh", 5 } };
    struct iovec in[] = { { a, sizeof a }, { b, sizeof b } };
    int fd = file_with("a", "");

    CHECK_EQ(writev(fd, out, 3), 8);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(readv(fd, in, 2), 8);
    CHECK(memcmp(a, "abc", 3) == 0 && memcmp(b, "defgh", 5) == 0);
    CHECK_EQ(preadv(fd, in, 2, 6), 2);
    CHECK(memcmp(a, "gh", 2) == 0);
    CHECK_EQ(pwritev(fd, out, 1, 8), 3);
    FAILS(readv(fd, in, -1), EINVAL);
    FAILS(readv(fd, in, 1025), EINVAL);
}

TEST(file_truncate)
{
    struct stat st;
    char c = 1;
    int fd = file_with("a", "0123456789");

    OK(ftruncate(fd, 4));
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, 4);
    OK(ftruncate(fd, 5000));
    CHECK_EQ(pread(fd, &c, 1, 4999), 1);
    CHECK_EQ(c, 0);
    CHECK_EQ(pread(fd, &c, 1, 5), 1);
    CHECK_EQ(c, 0);
    FAILS(ftruncate(fd, -1), EINVAL);
    OK(truncate("a", 1));
    OK(stat("a", &st));
    CHECK_EQ(st.st_size, 1);
    FAILS(truncate("missing", 1), ENOENT);
    FAILS(truncate(".", 1), EISDIR);
}

TEST(file_large_contents_survive)
{
    static unsigned char block[65536], got[65536];
    int fd = file_with("a", "");

    for (unsigned i = 0; i < 64; i++) {
        memset(block, (int)(i * 7 + 1), sizeof block);
        CHECK_EQ(write(fd, block, sizeof block), sizeof block);
    }
    for (unsigned i = 64; i-- > 0;) {
        CHECK_EQ(pread(fd, got, sizeof got, i * 65536L), sizeof got);
        CHECK(got[0] == (unsigned char)(i * 7 + 1) && got[65535] == got[0]);
    }
}

TEST(file_unlinked_stays_readable)
{
    char c;
    struct stat st;
    int fd = file_with("a", "x");

    OK(unlink("a"));
    FAILS(stat("a", &st), ENOENT);
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_nlink, 0);
    CHECK_EQ(read(fd, &c, 1), 1);
    CHECK_EQ(c, 'x');
}

TEST(file_stat_fields)
{
    struct stat st, same;
    int fd = file_with("a", "12345");

    OK(fstat(fd, &st));
    CHECK(S_ISREG(st.st_mode));
    CHECK_EQ(st.st_mode & 07777, 0644);
    CHECK_EQ(st.st_size, 5);
    CHECK_EQ(st.st_nlink, 1);
    CHECK_EQ(st.st_uid, geteuid());
    OK(stat("a", &same));
    CHECK_EQ(same.st_ino, st.st_ino);
    CHECK_EQ(same.st_dev, st.st_dev);
    OK(fstatat(fd, "", &same, AT_EMPTY_PATH));
    CHECK_EQ(same.st_ino, st.st_ino);
    OK(stat("/", &same));
    CHECK(S_ISDIR(same.st_mode));
    CHECK(st.st_mtime > 1000000000);
}

TEST(file_statx)
{
    struct statx stx;

    OK(close(file_with("a", "12345")));
    OK(statx(AT_FDCWD, "a", 0, STATX_BASIC_STATS, &stx));
    CHECK_EQ(stx.stx_size, 5);
    CHECK((stx.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
    FAILS(statx(AT_FDCWD, "missing", 0, STATX_BASIC_STATS, &stx), ENOENT);
}

TEST(file_access)
{
    OK(close(file_with("a", "")));
    OK(access("a", F_OK));
    OK(access("a", R_OK | W_OK));
    FAILS(access("missing", F_OK), ENOENT);
    OK(chmod("a", 0644));
    FAILS(access("a", X_OK), EACCES);
    OK(chmod("a", 0755));
    OK(access("a", X_OK));
    FAILS(access("a", 99), EINVAL);
}

TEST(file_chmod)
{
    struct stat st;
    int fd = file_with("a", "");

    OK(chmod("a", 0600));
    OK(stat("a", &st));
    CHECK_EQ(st.st_mode & 07777, 0600);
    OK(fchmod(fd, 04711));
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_mode & 07777, 04711);
    FAILS(chmod("missing", 0), ENOENT);
}

TEST(file_umask)
{
    struct stat st;

    CHECK_EQ(umask(077), 022);
    OK(close(OK(open("a", O_CREAT | O_WRONLY, 0666))));
    OK(stat("a", &st));
    CHECK_EQ(st.st_mode & 07777, 0600);
    OK(mkdir("d", 0777));
    OK(stat("d", &st));
    CHECK_EQ(st.st_mode & 07777, 0700);
    CHECK_EQ(umask(022), 077);
}

TEST(file_times)
{
    struct stat st;
    struct timespec times[2] = { { 1000, 5 }, { 2000, 6 } };

    OK(close(file_with("a", "")));
    OK(utimensat(AT_FDCWD, "a", times, 0));
    OK(stat("a", &st));
    CHECK_EQ(st.st_atim.tv_sec, 1000);
    CHECK_EQ(st.st_mtim.tv_sec, 2000);
    CHECK_EQ(st.st_mtim.tv_nsec, 6);
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_nsec = UTIME_NOW;
    OK(utimensat(AT_FDCWD, "a", times, 0));
    OK(stat("a", &st));
    CHECK_EQ(st.st_atim.tv_sec, 1000);
    CHECK(st.st_mtim.tv_sec > 1000000000);
    times[0].tv_nsec = 1000000000;
    FAILS(utimensat(AT_FDCWD, "a", times, 0), EINVAL);
}

TEST(file_links)
{
    struct stat a, b;

    OK(close(file_with("a", "text")));
    OK(link("a", "b"));
    OK(stat("a", &a));
    OK(stat("b", &b));
    CHECK_EQ(a.st_ino, b.st_ino);
    CHECK_EQ(a.st_nlink, 2);
    FAILS(link("a", "b"), EEXIST);
    FAILS(link("missing", "c"), ENOENT);
    OK(unlink("a"));
    OK(stat("b", &b));
    CHECK_EQ(b.st_nlink, 1);
    CHECK_EQ(b.st_size, 4);
    FAILS(unlink("a"), ENOENT);
    FAILS(unlink("."), EISDIR);
}

TEST(file_symlinks)
{
    struct stat st;
    char target[64] = "";

    OK(close(file_with("a", "text")));
    OK(symlink("a", "s"));
    OK(stat("s", &st));
    CHECK(S_ISREG(st.st_mode));
    OK(lstat("s", &st));
    CHECK(S_ISLNK(st.st_mode));
    CHECK_EQ(st.st_size, 1);
    CHECK_EQ(readlink("s", target, sizeof target), 1);
    CHECK_EQ(target[0], 'a');
    FAILS(readlink("a", target, sizeof target), EINVAL);
    FAILS(open("s", O_RDONLY | O_NOFOLLOW), ELOOP);
    OK(symlink("nowhere", "dangling"));
    FAILS(stat("dangling", &st), ENOENT);
    OK(close(OK(open("dangling", O_CREAT | O_WRONLY, 0644))));
    OK(stat("nowhere", &st));
    OK(symlink("loop", "loop"));
    FAILS(stat("loop", &st), ELOOP);
    FAILS(symlink("x", "a"), EEXIST);
}

TEST(file_rename)
{
    struct stat st;

    OK(close(file_with("a", "aaa")));
    OK(close(file_with("b", "b")));
    OK(rename("a", "b"));
    FAILS(stat("a", &st), ENOENT);
    OK(stat("b", &st));
    CHECK_EQ(st.st_size, 3);
    OK(mkdir("d", 0755));
    OK(mkdir("d/e", 0755));
    FAILS(rename("b", "d"), EISDIR);
    FAILS(rename("d", "b"), ENOTDIR);
    FAILS(rename("d", "d/e/f"), EINVAL);
    OK(rename("b", "d/e/b"));
    OK(rename("d/e", "e"));
    OK(stat("e/b", &st));
    FAILS(rename("missing", "x"), ENOENT);
    OK(mkdir("full", 0755));
    OK(close(file_with("full/x", "")));
    FAILS(rename("d", "full"), ENOTEMPTY);
}

TEST(file_renameat2)
{
    struct stat st;

    OK(close(file_with("a", "a")));
    OK(close(file_with("b", "bb")));
    FAILS(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
    OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
    OK(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_EXCHANGE));
    OK(stat("b", &st));
    CHECK_EQ(st.st_size, 1);
    OK(stat("c", &st));
    CHECK_EQ(st.st_size, 2);
}

TEST(file_dup)
{
    char c;
    int fd = file_with("a", "0123"), other = OK(dup(fd));

    CHECK_EQ(read(fd, &c, 1), 1);
    CHECK_EQ(read(other, &c, 1), 1);
    CHECK_EQ(c, '1');
    CHECK_EQ(dup2(fd, 77), 77);
    CHECK_EQ(dup2(77, 77), 77);
    OK(close(fd));
    CHECK_EQ(read(77, &c, 1), 1);
    CHECK_EQ(c, '2');
    FAILS(dup3(77, 77, 0), EINVAL);
    CHECK_EQ(dup3(77, 78, O_CLOEXEC), 78);
    CHECK_EQ(fcntl(78, F_GETFD), FD_CLOEXEC);
    FAILS(dup2(fd, 5), EBADF);
    FAILS(dup2(77, -1), EBADF);
}

TEST(file_fcntl)
{
    int fd = OK(open("a", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644));

    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    OK(fcntl(fd, F_SETFD, 0));
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND), O_RDWR | O_APPEND);
    OK(fcntl(fd, F_SETFL, O_NONBLOCK));
    CHECK_EQ(fcntl(fd, F_GETFL) & (O_APPEND | O_NONBLOCK), O_NONBLOCK);
    CHECK_EQ(fcntl(fd, F_DUPFD, 100), 100);
    CHECK_EQ(fcntl(fd, F_DUPFD_CLOEXEC, 100), 101);
    CHECK_EQ(fcntl(101, F_GETFD), FD_CLOEXEC);
    FAILS(fcntl(fd, 9999), EINVAL);
    FAILS(fcntl(9999, F_GETFD), EBADF);
}

TEST(file_lowest_descriptor_first)
{
    int a = file_with("a", ""), b = OK(dup(a)), c = OK(dup(a));

    OK(close(b));
    CHECK_EQ(dup(a), b);
    OK(close(c));
    CHECK_EQ(dup(a), c);
}

TEST(file_descriptor_limit)
{
    FAILS(dup2(0, 1 << 30), EBADF);
    FAILS(fcntl(0, F_DUPFD, 1 << 30), EINVAL);
}

TEST(file_sync_and_allocate)
{
    struct stat st;
    int fd = file_with("a", "x");

    OK(fsync(fd));
    OK(fdatasync(fd));
    OK(fallocate(fd, 0, 0, 10000));
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, 10000);
    OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 20000));
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, 10000);
    CHECK_EQ(posix_fallocate(fd, 0, 30000), 0);
    FAILS(fallocate(fd, 0, -1, 10), EINVAL);
}

TEST(file_sendfile)
{
    char text[8] = "";
    off_t off = 2;
    int in = file_with("a", "0123456789"), out = file_with("b", "");

    CHECK_EQ(sendfile(out, in, &off, 4), 4);
    CHECK_EQ(off, 6);
    CHECK_EQ(sendfile(out, in, NULL, 2), 2);
    CHECK_EQ(pread(out, text, 8, 0), 6);
    CHECK(memcmp(text, "234501", 6) == 0);
}

TEST(file_copy_file_range)
{
    char text[8] = "";
    int in = file_with("a", "0123456789"), out = file_with("b", "");
    ssize_t copied = copy_file_range(in, NULL, out, NULL, 6, 0);

    if (copied == -1 && (errno == EXDEV || errno == ENOSYS))
        case_skip("copy_file_range is not supported on this file system");
    CHECK_EQ(copied, 6);
    CHECK_EQ(pread(out, text, 8, 0), 6);
    CHECK(memcmp(text, "012345", 6) == 0);
}

TEST(file_flock)
{
    int a = file_with("a", ""), b = OK(open("a", O_RDWR));

    OK(flock(a, LOCK_EX));
    FAILS(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    OK(flock(a, LOCK_UN));
    OK(flock(b, LOCK_SH | LOCK_NB));
    OK(flock(a, LOCK_SH | LOCK_NB));
    FAILS(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
}

TEST(file_record_locks)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10 };
    int fd = file_with("a", "");

    OK(fcntl(fd, F_SETLK, &lock));
    lock.l_type = F_WRLCK;
    OK(fcntl(fd, F_GETLK, &lock));
    CHECK_EQ(lock.l_type, F_UNLCK); /* a process does not conflict with itself */
    lock.l_type = F_UNLCK;
    OK(fcntl(fd, F_SETLK, &lock));
    lock.l_type = 99;
    FAILS(fcntl(fd, F_SETLK, &lock), EINVAL);
}

TEST(file_readahead_hints)
{
    int fd = file_with("a", "x");

    CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL), 0);
    CHECK_EQ(posix_fadvise(fd, 0, 0, 99), EINVAL);
}

TEST(file_statfs)
{
    struct statfs fs;
    int fd = file_with("a", "");

    OK(statfs(".", &fs));
    CHECK(fs.f_bsize >= 512 && fs.f_blocks > 0 && fs.f_namelen >= 255);
    OK(fstatfs(fd, &fs));
    FAILS(statfs("missing", &fs), ENOENT);
}

TEST(file_ioctl_on_regular_file)
{
    int count = -1, fd = file_with("a", "12345");
    struct winsize size;

    OK(ioctl(fd, FIONREAD, &count));
    CHECK_EQ(count, 5);
    FAILS(ioctl(fd, TIOCGWINSZ, &size), ENOTTY);
    CHECK_EQ(isatty(fd), 0);
    OK(ioctl(fd, FIOCLEX));
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

TEST(file_o_path)
{
    char c;
    struct stat st;

    OK(close(file_with("a", "x")));
    int fd = OK(open("a", O_PATH));
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, 1);
    FAILS(read(fd, &c, 1), EBADF);
}

TEST(file_tmpfile)
{
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);

    if (fd == -1 && (errno == EOPNOTSUPP || errno == EISDIR))
        case_skip("O_TMPFILE is not supported on this file system");
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "x", 1), 1);
}

TEST(file_close_range)
{
    int fd = file_with("a", "");

    CHECK_EQ(dup2(fd, 50), 50);
    CHECK_EQ(dup2(fd, 51), 51);
    OK(syscall(SYS_close_range, 50, 51, 0));
    FAILS(fcntl(50, F_GETFD), EBADF);
    FAILS(fcntl(51, F_GETFD), EBADF);
    OK(fcntl(fd, F_GETFD));
    FAILS(syscall(SYS_close_range, 51, 50, 0), EINVAL);
}

TEST(file_image_is_readable)
{
    char magic[4] = "";
    int fd = OK(open("/proc/self/exe", O_RDONLY));

    CHECK_EQ(read(fd, magic, 4), 4);
    CHECK(memcmp(magic, "\177ELF", 4) == 0);
}
