/* SPDX-License-Identifier: Apache-2.0 */
/* Files at full width: what few programs ask for, and how it is refused where Linux refuses it. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#define MFD_EXEC 0x10u
#endif
#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#define F_GET_SEALS 1034
#define F_SEAL_SEAL 1
#define F_SEAL_SHRINK 2
#define F_SEAL_GROW 4
#define F_SEAL_WRITE 8
#endif
#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif

/* Some C libraries lack them. */
static long read_at(int fd, const struct iovec *v, int count, long off, int flags)
{
    return syscall(SYS_preadv2, fd, v, count, off, 0, flags);
}

static long write_at(int fd, const struct iovec *v, int count, long off, int flags)
{
    return syscall(SYS_pwritev2, fd, v, count, off, 0, flags);
}

static int memfd(unsigned flags)
{
    return (int)OK(syscall(SYS_memfd_create, "name", flags));
}

TEST(memfd_seals)
{
    int fd = memfd(MFD_ALLOW_SEALING | MFD_CLOEXEC);
    void *map;

    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    OK(ftruncate(fd, 8192));
    CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
    OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
    FAILS(ftruncate(fd, 4096), EPERM);
    OK(ftruncate(fd, 12288));
    OK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    FAILS(ftruncate(fd, 16384), EPERM);
    FAILS(pwrite(fd, "x", 1, 12288), EPERM);
    FAILS(fallocate(fd, 0, 12288, 4096), EPERM);
    CHECK_EQ(pwrite(fd, "xy", 2, 12287), 1);
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    OK(munmap(map, 4096));
    OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    FAILS(pwrite(fd, "x", 1, 0), EPERM);
    FAILS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), EPERM);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    CHECK_EQ(errno, EPERM);
    map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    FAILS(mprotect(map, 4096, PROT_READ | PROT_WRITE), EACCES);
    OK(munmap(map, 4096));
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
    FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), EPERM);
    FAILS(fcntl(fd, F_ADD_SEALS, 0x8000), EINVAL);
}

TEST(memfd_seals_future)
{
    int fd = memfd(MFD_ALLOW_SEALING);
    char *map;

    OK(ftruncate(fd, 4096));
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    OK(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
    map[0] = 'x'; /* it was there before */
    FAILS(pwrite(fd, "y", 1, 0), EPERM);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    CHECK_EQ(errno, EPERM);
    OK(munmap(map, 4096));
}

TEST(memfd_flags)
{
    int pipes[2];
    char long_name[300];
    int fd = memfd(0);
    struct stat st;

    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
    FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_mode, S_IFREG | 0777);
    fd = memfd(MFD_NOEXEC_SEAL);
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_mode, S_IFREG | 0666);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_EXEC);
    FAILS(fchmod(fd, 0777), EPERM);
    fd = memfd(MFD_EXEC);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
    FAILS(syscall(SYS_memfd_create, "x", MFD_EXEC | MFD_NOEXEC_SEAL), EINVAL);
    FAILS(syscall(SYS_memfd_create, "x", 0x4000), EINVAL);
    FAILS(syscall(SYS_memfd_create, NULL, 0), EFAULT);
    memset(long_name, 'n', sizeof long_name);
    long_name[249] = 0;
    OK(syscall(SYS_memfd_create, long_name, 0));
    long_name[249] = 'n';
    long_name[299] = 0;
    FAILS(syscall(SYS_memfd_create, long_name, 0), EINVAL);
    OK(pipe(pipes)); /* a plain file has seals in some file systems */
    FAILS(fcntl(pipes[0], F_GET_SEALS), EINVAL);
}

TEST(file_allocate_modes)
{
    int fd = file_with("file", "");
    char bytes[3 * 4096], zeros[4096] = { 0 };
    struct stat st;
    int pipes[2];

    memset(bytes, 'a', sizeof bytes);
    CHECK_EQ(write(fd, bytes, sizeof bytes), sizeof bytes);
    OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4000, 200));
    CHECK_EQ(pread(fd, bytes, sizeof bytes, 0), sizeof bytes);
    CHECK(bytes[3999] == 'a' && bytes[4000] == 0 && bytes[4199] == 0 && bytes[4200] == 'a');
    OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096));
    CHECK_EQ(pread(fd, bytes, 4096, 4096), 4096);
    CHECK(memcmp(bytes, zeros, 4096) == 0);
    CHECK_EQ(lseek(fd, 0, SEEK_HOLE), 4096);
    CHECK_EQ(lseek(fd, 4096, SEEK_DATA), 8192);
    CHECK_EQ(lseek(fd, 8192, SEEK_HOLE), sizeof bytes);
    FAILS(lseek(fd, sizeof bytes, SEEK_DATA), ENXIO);
    FAILS(lseek(fd, sizeof bytes, SEEK_HOLE), ENXIO);
    FAILS(lseek(fd, -1, SEEK_DATA), ENXIO);
    OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 20, 4096)); /* beyond */
    OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 1 << 16, 4096));
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, sizeof bytes);
    OK(fallocate(fd, 0, 1 << 16, 10));
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, (1 << 16) + 10);
    FAILS(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096), EOPNOTSUPP);
    FAILS(fallocate(fd, 0x8000, 0, 4096), EOPNOTSUPP);
    FAILS(fallocate(fd, 0, -1, 4096), EINVAL);
    FAILS(fallocate(fd, 0, 0, 0), EINVAL);
    FAILS(fallocate(fd, 0, INT64_MAX, 4096), EFBIG);
    close(fd);
    fd = OK(open("file", O_RDONLY));
    FAILS(fallocate(fd, 0, 0, 4096), EBADF);
    OK(pipe(pipes));
    FAILS(fallocate(pipes[1], 0, 0, 4096), ESPIPE);
    FAILS(fallocate(OK(open("/dev/null", O_WRONLY)), 0, 0, 4096), ENODEV);
    FAILS(fallocate(OK(open(".", O_RDONLY)), 0, 0, 4096), EBADF);
}

TEST(file_zero_range)
{
    int fd = file_with("file", "0123456789");
    char bytes[16];
    struct stat st;

    if (fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 2, 3) < 0 && errno == EOPNOTSUPP)
        case_skip("not on this file system");
    CHECK_EQ(pread(fd, bytes, sizeof bytes, 0), 10);
    CHECK(memcmp(bytes,
                 "01\0\0\0"
                 "56789",
                 10) == 0);
    OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 8, 8));
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, 16);
}

static void note_signal(int signo)
{
    (void)signo;
}

TEST(file_size_limit)
{
    struct rlimit old, limit;
    int fd = file_with("file", "");
    char bytes[300] = { 0 };
    sigset_t pending;

    OK(getrlimit(RLIMIT_FSIZE, &old));
    limit = (struct rlimit){ .rlim_cur = 1000, .rlim_max = old.rlim_max };
    OK(setrlimit(RLIMIT_FSIZE, &limit));
    signal(SIGXFSZ, note_signal);
    CHECK_EQ(pwrite(fd, bytes, 300, 900), 100); /* up to the limit */
    FAILS(pwrite(fd, bytes, 1, 1000), EFBIG);
    FAILS(ftruncate(fd, 1001), EFBIG);
    OK(ftruncate(fd, 1000));
    FAILS(truncate("file", 2000), EFBIG);
    FAILS(fallocate(fd, 0, 0, 2000), EFBIG);
    sigset_t block;
    sigemptyset(&block);
    sigaddset(&block, SIGXFSZ);
    OK(sigprocmask(SIG_BLOCK, &block, NULL));
    FAILS(ftruncate(fd, 1001), EFBIG);
    OK(sigpending(&pending));
    CHECK(sigismember(&pending, SIGXFSZ));
    OK(ftruncate(fd, 10));
    OK(setrlimit(RLIMIT_FSIZE, &old));
}

TEST(file_leases_and_notices)
{
    int fd = file_with("file", ""), dir = OK(open(".", O_RDONLY | O_DIRECTORY)), pipes[2];

    OK(pipe(pipes));
    FAILS(fcntl(pipes[0], F_SETLEASE, F_RDLCK), EINVAL);
    FAILS(fcntl(dir, F_SETLEASE, F_RDLCK), EINVAL);
    FAILS(fcntl(fd, F_SETLEASE, 77), EINVAL);
    FAILS(fcntl(fd, F_NOTIFY, 1), ENOTDIR);
    CHECK_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
    FAILS(fcntl(fd, 9999), EINVAL);
    OK(fcntl(fd, F_SETSIG, 0));
    CHECK_EQ(fcntl(fd, F_GETSIG), 0);
    FAILS(fcntl(fd, F_SETSIG, 1000), EINVAL);
}

TEST(file_owner)
{
    struct f_owner_ex owner = { F_OWNER_PID, getpid() };
    int fd = file_with("file", "");

    CHECK_EQ(fcntl(fd, F_GETOWN), 0);
    OK(fcntl(fd, F_SETOWN, getpid()));
    CHECK_EQ(fcntl(fd, F_GETOWN), getpid());
    OK(fcntl(fd, F_SETOWN_EX, &owner));
    owner.pid = 0;
    OK(fcntl(fd, F_GETOWN_EX, &owner));
    CHECK_EQ(owner.pid, getpid());
    CHECK_EQ(owner.type, F_OWNER_PID);
    owner.type = 77;
    FAILS(fcntl(fd, F_SETOWN_EX, &owner), EINVAL);
    owner = (struct f_owner_ex){ F_OWNER_PID, 99999 };
    FAILS(fcntl(fd, F_SETOWN_EX, &owner), ESRCH);
    FAILS(fcntl(fd, F_SETOWN, 99999), ESRCH);
    FAILS(fcntl(fd, F_SETOWN_EX, NULL), EFAULT);
}

TEST(file_vector_flags)
{
    int fd = file_with("file", "0123456789");
    char bytes[16];
    struct iovec v = { bytes, 4 };

    CHECK_EQ(read_at(fd, &v, 1, 2, RWF_HIPRI), 4);
    CHECK(memcmp(bytes, "2345", 4) == 0);
    FAILS(read_at(fd, &v, 1, 2, 0x10000), EOPNOTSUPP);
    FAILS(read_at(fd, &v, 1, -2, 0), EINVAL);
    CHECK_EQ(read_at(fd, &v, 1, -1, 0), 4); /* the file's position */
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 4);
    memcpy(bytes, "wxyz", 4);
    CHECK_EQ(write_at(fd, &v, 1, 0, RWF_APPEND), 4);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 14);
    CHECK_EQ(write_at(fd, &v, 1, 0, RWF_SYNC | RWF_DSYNC), 4);
    CHECK_EQ(pread(fd, bytes, 4, 0), 4);
    CHECK(memcmp(bytes, "wxyz", 4) == 0);
    FAILS(read_at(fd, &v, 1025, 0, 0), EINVAL);
    v.iov_len = (size_t)-1;
    FAILS(read_at(fd, &v, 1, 0, 0), EINVAL);
    close(fd);
    fd = OK(open("file", O_WRONLY | O_APPEND));
    v = (struct iovec){ bytes, 2 };
    if (write_at(fd, &v, 1, 0, RWF_NOAPPEND) < 0)
        CHECK_EQ(errno, EOPNOTSUPP);
}

TEST(file_sync_ranges)
{
    int fd = file_with("file", "x"), pipes[2];

    OK(sync_file_range(fd, 0, 0, 7));
    FAILS(sync_file_range(fd, 0, 0, 8), EINVAL);
    FAILS(sync_file_range(fd, -1, 0, 2), EINVAL);
    FAILS(sync_file_range(fd, 0, -1, 2), EINVAL);
    FAILS(sync_file_range(999, 0, 0, 2), EBADF);
    OK(pipe(pipes));
    FAILS(sync_file_range(pipes[0], 0, 0, 2), ESPIPE);
    FAILS(fsync(pipes[0]), EINVAL);
    FAILS(syncfs(999), EBADF);
    CHECK_EQ(posix_fadvise(fd, 0, 0, 77), EINVAL);
    CHECK_EQ(posix_fadvise(pipes[0], 0, 0, POSIX_FADV_NORMAL), ESPIPE);
}

/* ---- names ---- */

static long open_how(const char *path, uint64_t flags, uint64_t resolve)
{
    struct open_how how = { .flags = flags, .resolve = resolve };

    return syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

TEST(path_openat2)
{
    struct open_how how = { .flags = O_RDONLY };
    char more[sizeof how + 8] = { 0 };

    close(file_with("file", ""));
    OK(mkdir("dir", 0755));
    OK(symlink("file", "link"));
    OK(symlink("../file", "dir/up"));
    OK(symlink("/etc/passwd", "absolute"));
    OK(open_how("file", O_RDONLY, RESOLVE_BENEATH));
    OK(open_how("link", O_RDONLY, RESOLVE_BENEATH));
    FAILS(open_how("link", O_RDONLY, RESOLVE_NO_SYMLINKS), ELOOP);
    OK(open_how("dir/up", O_RDONLY, RESOLVE_BENEATH));
    FAILS(open_how("../x", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    FAILS(open_how("/etc/passwd", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    FAILS(open_how("absolute", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    FAILS(open_how("absolute", O_RDONLY, RESOLVE_IN_ROOT), ENOENT);
    OK(open_how("../../../file", O_RDONLY, RESOLVE_IN_ROOT));
    FAILS(open_how("/proc/self/exe", O_RDONLY, RESOLVE_NO_MAGICLINKS), ELOOP);
    FAILS(open_how("/proc/version", O_RDONLY, RESOLVE_NO_XDEV), EXDEV);
    FAILS(open_how("file", O_RDONLY, RESOLVE_BENEATH | RESOLVE_IN_ROOT), EINVAL);
    FAILS(open_how("file", O_RDONLY, 0x1000), EINVAL);
    FAILS(open_how("file", 1ull << 40, 0), EINVAL);
    FAILS(open_how("file", O_PATH | O_RDWR, 0), EINVAL);
    how.mode = 0644; /* without O_CREAT */
    FAILS(syscall(SYS_openat2, AT_FDCWD, "file", &how, sizeof how), EINVAL);
    how.mode = 0;
    FAILS(syscall(SYS_openat2, AT_FDCWD, "file", &how, 8), EINVAL);
    FAILS(syscall(SYS_openat2, AT_FDCWD, "file", NULL, sizeof how), EFAULT);
    memcpy(more, &how, sizeof how);
    OK(syscall(SYS_openat2, AT_FDCWD, "file", more, sizeof more));
    more[sizeof more - 1] = 1;
    FAILS(syscall(SYS_openat2, AT_FDCWD, "file", more, sizeof more), E2BIG);
}

TEST(path_renameat2)
{
    struct stat a, b, c;

    close(file_with("one", "1"));
    close(file_with("two", "22"));
    OK(mkdir("dir", 0755));
    OK(mkdir("dir/sub", 0755));
    FAILS(syscall(SYS_renameat2, AT_FDCWD, "one", AT_FDCWD, "two", 1), EEXIST);
    FAILS(syscall(SYS_renameat2, AT_FDCWD, "one", AT_FDCWD, "two", 3), EINVAL);
    FAILS(syscall(SYS_renameat2, AT_FDCWD, "one", AT_FDCWD, "two", 6), EINVAL);
    FAILS(syscall(SYS_renameat2, AT_FDCWD, "one", AT_FDCWD, "two", 8), EINVAL);
    FAILS(syscall(SYS_renameat2, AT_FDCWD, "one", AT_FDCWD, "missing", 2), ENOENT);
    OK(stat("one", &a));
    OK(stat("dir/sub", &b));
    OK(syscall(SYS_renameat2, AT_FDCWD, "one", AT_FDCWD, "dir/sub", 2));
    OK(stat("one", &c));
    CHECK_EQ(c.st_ino, b.st_ino);
    OK(stat("dir/sub", &c));
    CHECK_EQ(c.st_ino, a.st_ino);
    FAILS(syscall(SYS_renameat2, AT_FDCWD, "dir", AT_FDCWD, "dir/sub", 2), EINVAL);
    FAILS(rename("dir", "dir/x"), EINVAL);
    FAILS(rename("dir", "two"), ENOTDIR);
    FAILS(rename("two", "dir"), EISDIR);
    OK(mkdir("full", 0755));
    close(file_with("full/x", ""));
    FAILS(rename("dir", "full"), ENOTEMPTY);
    FAILS(rename("missing", "x"), ENOENT);
    FAILS(rename("two/", "x"), ENOTDIR);
    FAILS(rename("dir/.", "x"), EBUSY);
    FAILS(rename("/proc/version", "x"), EXDEV);
}

TEST(proc_self_mem)
{
    static char text[] = "hello world";
    char bytes[16] = "";
    int fd = OK(open("/proc/self/mem", O_RDWR));
    char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct stat st;

    CHECK(map != MAP_FAILED);
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_mode, S_IFREG | 0600);
    CHECK_EQ(pread(fd, bytes, 5, (long)text), 5);
    CHECK(memcmp(bytes, "hello", 5) == 0);
    CHECK_EQ(pwrite(fd, "HELLO", 5, (long)text), 5);
    CHECK(memcmp(text, "HELLO world", 11) == 0);
    CHECK_EQ(lseek(fd, (long)text + 6, SEEK_SET), (long)text + 6);
    CHECK_EQ(read(fd, bytes, 5), 5);
    CHECK(memcmp(bytes, "world", 5) == 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), (long)text + 11);
    FAILS(lseek(fd, 0, SEEK_END), EINVAL);
    FAILS(pread(fd, bytes, 1, 0), EIO);
    OK(munmap(map + 4096, 4096));
    CHECK_EQ(pread(fd, bytes, 16, (long)map + 4088), 8); /* up to what is not there */
    CHECK_EQ(pwrite(fd, bytes, 16, (long)map + 4088), 8);
    FAILS(pread(fd, bytes, 1, (long)map + 4096), EIO);
    FAILS(pread(fd, NULL, 5, (long)text), EFAULT);
    OK(munmap(map, 4096));
}

TEST(path_rename_whiteout)
{
    struct stat st;

    close(file_with("one", "1"));
    close(file_with("two", "2"));
    if (syscall(SYS_renameat2, AT_FDCWD, "one", AT_FDCWD, "three", 4) < 0 && errno == EINVAL)
        case_skip("not on this file system");
    OK(stat("three", &st));
    CHECK_EQ(st.st_size, 1);
    OK(lstat("one", &st));
    CHECK_EQ(st.st_mode, S_IFCHR);
    CHECK_EQ(st.st_rdev, 0);
    CHECK_EQ(st.st_nlink, 1);
    FAILS(syscall(SYS_renameat2, AT_FDCWD, "two", AT_FDCWD, "three", 4 | 1), EEXIST);
    FAILS(syscall(SYS_renameat2, AT_FDCWD, "two", AT_FDCWD, "three", 4 | 2), EINVAL);
    OK(syscall(SYS_renameat2, AT_FDCWD, "two", AT_FDCWD, "three", 4)); /* over another */
    OK(lstat("two", &st));
    CHECK_EQ(st.st_mode, S_IFCHR);
    OK(unlink("one"));
    OK(unlink("two"));
    FAILS(lstat("one", &st), ENOENT);
}

TEST(path_link)
{
    int fd = file_with("file", "x"), nameless;
    char path[64];
    struct stat st;

    OK(symlink("file", "sym"));
    OK(linkat(AT_FDCWD, "sym", AT_FDCWD, "sym2", 0));
    OK(lstat("sym2", &st));
    CHECK(S_ISLNK(st.st_mode));
    OK(linkat(AT_FDCWD, "sym", AT_FDCWD, "file2", AT_SYMLINK_FOLLOW));
    OK(lstat("file2", &st));
    CHECK(S_ISREG(st.st_mode));
    CHECK_EQ(st.st_nlink, 2);
    FAILS(linkat(AT_FDCWD, "file", AT_FDCWD, "x", 0x1), EINVAL);
    FAILS(linkat(AT_FDCWD, "file", AT_FDCWD, "file2", 0), EEXIST);
    FAILS(link(".", "x"), EPERM);
    FAILS(link("/proc/version", "x"), EXDEV);
    nameless = OK(open(".", O_TMPFILE | O_RDWR, 0600));
    CHECK_EQ(write(nameless, "abc", 3), 3);
    OK(fstat(nameless, &st));
    CHECK_EQ(st.st_nlink, 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", nameless);
    OK(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    OK(stat("named", &st));
    CHECK(st.st_size == 3 && st.st_nlink == 1 && (st.st_mode & 07777) == 0600);
    nameless = OK(open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600));
    snprintf(path, sizeof path, "/proc/self/fd/%d", nameless);
    FAILS(linkat(AT_FDCWD, path, AT_FDCWD, "never", AT_SYMLINK_FOLLOW), ENOENT);
    FAILS(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
    FAILS(open("file", O_TMPFILE | O_RDWR, 0600), ENOTDIR);
    OK(unlink("file"));
    OK(unlink("file2"));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    FAILS(linkat(AT_FDCWD, path, AT_FDCWD, "again", AT_SYMLINK_FOLLOW), ENOENT);
}

TEST(path_handles_and_mounts)
{
    char bytes[256] = { 0 };
    int id;

    FAILS(syscall(SYS_name_to_handle_at, AT_FDCWD, "missing", bytes, &id, 0), ENOENT);
    FAILS(syscall(SYS_name_to_handle_at, AT_FDCWD, ".", bytes, &id, 0x8000), EINVAL);
    FAILS(syscall(SYS_umount2, ".", 0x100), EINVAL);
    id = OK(syscall(SYS_open_tree, AT_FDCWD, ".", O_CLOEXEC));
    CHECK_EQ(fcntl(id, F_GETFD), FD_CLOEXEC);
    FAILS(read(id, bytes, 1), EBADF);
    FAILS(syscall(SYS_open_tree, AT_FDCWD, ".", 0x8000), EINVAL);
    FAILS(syscall(SYS_open_tree, AT_FDCWD, "missing", 0), ENOENT);
}

TEST(xattr_names)
{
    char value[64], list[512];
    int fd = file_with("file", "");

    if (fsetxattr(fd, "user.a", "1234", 4, 0) < 0 && errno == EOPNOTSUPP)
        case_skip("not on this file system");
    CHECK_EQ(getxattr("file", "user.a", value, sizeof value), 4);
    CHECK_EQ(getxattr("file", "user.a", NULL, 0), 4);
    FAILS(getxattr("file", "user.a", value, 3), ERANGE);
    FAILS(getxattr("file", "user.b", value, 3), ENODATA);
    FAILS(setxattr("file", "user.a", "x", 1, XATTR_CREATE), EEXIST);
    FAILS(setxattr("file", "user.b", "x", 1, XATTR_REPLACE), ENODATA);
    FAILS(setxattr("file", "user.b", "x", 1, 0x10), EINVAL);
    FAILS(setxattr("file", "nothing", "x", 1, 0), EOPNOTSUPP);
    FAILS(setxattr("file", "", "x", 1, 0), ERANGE);
    FAILS(setxattr("file", "user.", "x", 1, 0), EINVAL);
    FAILS(setxattr("file", "user.b", list, 65537, 0), E2BIG);
    FAILS(setxattr("missing", "user.b", "x", 1, 0), ENOENT);
    OK(setxattr("file", "user.empty", NULL, 0, 0));
    CHECK_EQ(getxattr("file", "user.empty", value, sizeof value), 0);
    CHECK_EQ(listxattr("file", list, sizeof list), 7 + 11);
    FAILS(listxattr("file", list, 3), ERANGE);
    OK(removexattr("file", "user.empty"));
    FAILS(removexattr("file", "user.empty"), ENODATA);
    OK(symlink("file", "link"));
    FAILS(lsetxattr("link", "user.a", "x", 1, 0), EPERM);
    CHECK_EQ(getxattr("link", "user.a", value, sizeof value), 4);
    OK(mkdir("dir", 0755));
    OK(setxattr("dir", "user.d", "x", 1, 0));
    memset(list, 'n', sizeof list);
    memcpy(list, "user.", 5);
    list[300] = 0;
    FAILS(setxattr("file", list, "x", 1, 0), ERANGE);
}

TEST(lock_ofd)
{
    int a = file_with("file", "0123456789"), b = OK(open("file", O_RDWR)), reader;
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 4 };

    OK(fcntl(a, F_OFD_SETLK, &lock));
    FAILS(fcntl(b, F_OFD_SETLK, &lock), EAGAIN);
    lock.l_start = 6;
    OK(fcntl(b, F_OFD_SETLK, &lock));
    lock = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET };
    OK(fcntl(b, F_OFD_GETLK, &lock));
    CHECK_EQ(lock.l_type, F_WRLCK);
    CHECK_EQ(lock.l_start, 2);
    CHECK_EQ(lock.l_len, 4);
    CHECK_EQ(lock.l_pid, -1);
    lock = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_pid = 5 };
    FAILS(fcntl(a, F_OFD_SETLK, &lock), EINVAL);
    close(a); /* the last of its open file: the lock goes */
    lock = (struct flock){ .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 1 };
    OK(fcntl(b, F_OFD_SETLK, &lock));
    reader = OK(open("file", O_RDONLY));
    lock.l_type = F_WRLCK;
    FAILS(fcntl(reader, F_OFD_SETLK, &lock), EBADF);
    lock.l_type = 77;
    FAILS(fcntl(reader, F_SETLK, &lock), EINVAL);
    lock = (struct flock){ .l_type = F_RDLCK, .l_whence = SEEK_END, .l_start = -100 };
    FAILS(fcntl(reader, F_SETLK, &lock), EINVAL);
    lock = (struct flock){ .l_type = F_RDLCK, .l_whence = 9 };
    FAILS(fcntl(reader, F_SETLK, &lock), EINVAL);
    FAILS(fcntl(reader, F_SETLK, NULL), EFAULT);
}

TEST(file_statx_masks)
{
    struct statx x;

    close(file_with("file", "abc"));
    memset(&x, 0xff, sizeof x);
    OK(statx(AT_FDCWD, "file", 0, STATX_SIZE, &x));
    CHECK(x.stx_mask & STATX_SIZE);
    CHECK_EQ(x.stx_size, 3);
    OK(statx(AT_FDCWD, "file", AT_STATX_FORCE_SYNC, STATX_ALL, &x));
    FAILS(statx(AT_FDCWD, "file", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_ALL, &x), EINVAL);
    FAILS(statx(AT_FDCWD, "file", 0x8000000, STATX_ALL, &x), EINVAL);
    FAILS(statx(AT_FDCWD, "file", 0, 0x80000000u, &x), EINVAL);
    FAILS(statx(AT_FDCWD, "", 0, STATX_ALL, &x), ENOENT);
    OK(statx(AT_FDCWD, "", AT_EMPTY_PATH, STATX_ALL, &x));
    CHECK(S_ISDIR(x.stx_mode));
    FAILS(statx(999, "", AT_EMPTY_PATH, STATX_ALL, &x), EBADF);
    FAILS(statx(AT_FDCWD, "file", 0, STATX_ALL, NULL), EFAULT);
}

TEST(file_copies)
{
    int in = file_with("in", "0123456789"), out = file_with("out", ""), pipes[2], append;
    off_t from = 2, to = 100;
    char bytes[16];

    CHECK_EQ(copy_file_range(in, &from, out, &to, 5, 0), 5);
    CHECK(from == 7 && to == 105 && lseek(in, 0, SEEK_CUR) == 0 && lseek(out, 0, SEEK_CUR) == 0);
    CHECK_EQ(pread(out, bytes, 5, 100), 5);
    CHECK(memcmp(bytes, "23456", 5) == 0);
    CHECK_EQ(copy_file_range(in, NULL, out, NULL, 100, 0), 10);
    CHECK_EQ(copy_file_range(in, NULL, out, NULL, 100, 0), 0);
    from = 0, to = 5;
    FAILS(copy_file_range(in, &from, in, &to, 10, 0), EINVAL); /* they overlap */
    FAILS(copy_file_range(in, &from, out, &to, 10, 1), EINVAL);
    OK(pipe(pipes));
    FAILS(copy_file_range(in, &from, pipes[1], NULL, 10, 0), EINVAL);
    FAILS(copy_file_range(OK(open(".", O_RDONLY)), NULL, out, NULL, 10, 0), EISDIR);
    append = OK(open("out", O_WRONLY | O_APPEND));
    FAILS(copy_file_range(in, &from, append, NULL, 10, 0), EBADF);
    FAILS(copy_file_range(append, NULL, out, NULL, 10, 0), EBADF);
    from = -1;
    FAILS(copy_file_range(in, &from, out, NULL, 10, 0), EOVERFLOW);
}
