/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that take names, by number: the old ones without "at", and the new ones. */
#include "tests/syscall/call.h"

#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <utime.h>

TEST(call_open)
{
    int fd = OK(CALL(open, "f", O_RDWR | O_CREAT | O_EXCL, 0640));
    struct stat st;

    CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_mode, S_IFREG | 0640);
    FAILS(CALL(open, "f", O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST);
    FAILS(CALL(open, "nothing", O_RDONLY), ENOENT);
    FAILS(CALL(open, "f/below", O_RDONLY), ENOTDIR);
    FAILS(CALL(open, "f", O_RDONLY | O_DIRECTORY), ENOTDIR);
    FAILS(CALL(open, ".", O_WRONLY), EISDIR);
    FAILS(CALL(open, call_long_name(), O_RDONLY), ENAMETOOLONG);
    FAILS(CALL(open, "", O_RDONLY), ENOENT);
    FAILS(CALL(open, BAD_ADDRESS, O_RDONLY), EFAULT);
    OK(symlink("loop", "loop"));
    FAILS(CALL(open, "loop", O_RDONLY), ELOOP);
    FAILS(CALL(open, "loop", O_RDONLY | O_NOFOLLOW), ELOOP);
}

TEST(call_creat)
{
    int fd = OK(CALL(creat, "f", 0600));

    CHECK_EQ(write(fd, "abc", 3), 3);
    OK(CALL(creat, "f", 0644));
    CHECK_EQ(lseek(fd, 0, SEEK_END), 0);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);
    FAILS(CALL(creat, ".", 0644), EISDIR);
    FAILS(CALL(creat, "no/f", 0644), ENOENT);
}

TEST(call_stat)
{
    struct stat st, other;

    file_with("f", "hello");
    OK(symlink("f", "link"));
    OK(CALL(stat, "link", &st));
    CHECK_EQ(st.st_size, 5);
    OK(CALL(lstat, "link", &other));
    CHECK(S_ISLNK(other.st_mode));
    CHECK_EQ(other.st_size, 1);
    FAILS(CALL(stat, "nothing", &st), ENOENT);
    FAILS(CALL(stat, "f", BAD_ADDRESS), EFAULT);
    FAILS(CALL(stat, "f/x", &st), ENOTDIR);
    FAILS(CALL(lstat, "nothing", &st), ENOENT);
    FAILS(CALL(lstat, "link", BAD_ADDRESS), EFAULT);
    OK(CALL(fstat, open("f", O_PATH), &st));
    CHECK_EQ(st.st_size, 5);
    FAILS(CALL(fstat, BAD_FD, &st), EBADF);
    FAILS(CALL(fstat, 0, BAD_ADDRESS), EFAULT);
}

TEST(call_getdents)
{
    struct {
        unsigned long ino, off;
        unsigned short size;
        char name[];
    } * entry;
    char buffer[1024];
    int fd = OK(open(".", O_RDONLY)), count = 0;
    long size;

    file_with("one", "");
    file_with("two", "");
    while ((size = OK(CALL(getdents, fd, buffer, sizeof buffer))) > 0)
        for (long at = 0; at < size; at += entry->size, count++)
            entry = (void *)(buffer + at);
    CHECK_EQ(count, 4);
    OK(lseek(fd, 0, SEEK_SET));
    FAILS(CALL(getdents, fd, buffer, 8), EINVAL);
    FAILS(CALL(getdents, fd, BAD_ADDRESS, 1024), EFAULT);
    FAILS(CALL(getdents, open("one", O_RDONLY), buffer, sizeof buffer), ENOTDIR);
    FAILS(CALL(getdents, BAD_FD, buffer, sizeof buffer), EBADF);
}

TEST(call_chown)
{
    int fd = file_with("f", "");
    struct stat st;

    OK(symlink("f", "link"));
    OK(CALL(chown, "link", 11, 12));
    OK(stat("f", &st));
    CHECK_EQ(st.st_uid, 11);
    CHECK_EQ(st.st_gid, 12);
    OK(CALL(lchown, "link", 13, -1));
    OK(lstat("link", &st));
    CHECK_EQ(st.st_uid, 13);
    OK(CALL(fchown, fd, -1, 14));
    OK(CALL(fchownat, AT_FDCWD, "f", 15, -1, 0));
    OK(CALL(fchownat, fd, "", 15, -1, AT_EMPTY_PATH));
    OK(stat("f", &st));
    CHECK_EQ(st.st_uid, 15);
    CHECK_EQ(st.st_gid, 14);
    FAILS(CALL(chown, "nothing", 1, 1), ENOENT);
    FAILS(CALL(lchown, "nothing", 1, 1), ENOENT);
    FAILS(CALL(fchown, BAD_FD, 1, 1), EBADF);
    FAILS(CALL(fchownat, AT_FDCWD, "f", 1, 1, 0x8000), EINVAL);
    call_drop_capabilities();
    FAILS(CALL(chown, "f", 1, 1), EPERM);
    call_take_capabilities();
}

TEST(call_chmod)
{
    int fd = file_with("f", "");
    struct stat st;

    OK(CALL(chmod, "f", 04755));
    OK(stat("f", &st));
    CHECK_EQ(st.st_mode & 07777, 04755);
    OK(CALL(fchmod, fd, 0600));
    OK(CALL(fchmodat, AT_FDCWD, "f", 0640));
    OK(stat("f", &st));
    CHECK_EQ(st.st_mode & 07777, 0640);
    FAILS(CALL(chmod, "nothing", 0600), ENOENT);
    FAILS(CALL(fchmod, BAD_FD, 0600), EBADF);
    FAILS(CALL(fchmod, open("f", O_PATH), 0600), EBADF);
    FAILS(CALL(fchmodat, BAD_FD, "f", 0600), EBADF);
}

TEST(call_times)
{
    struct utimbuf times = { 1000, 2000 };
    struct timeval both[2] = { { 3000, 5 }, { 4000, 6 } }, wrong[2] = { { 0, 1000000 }, { 0, 0 } };
    struct stat st;

    file_with("f", "");
    OK(CALL(utime, "f", &times));
    OK(stat("f", &st));
    CHECK_EQ(st.st_atime, 1000);
    CHECK_EQ(st.st_mtime, 2000);
    OK(CALL(utimes, "f", both));
    OK(stat("f", &st));
    CHECK_EQ(st.st_mtim.tv_nsec, 6000);
    OK(CALL(futimesat, AT_FDCWD, "f", both));
    OK(CALL(utime, "f", NULL));
    OK(stat("f", &st));
    CHECK(st.st_mtime > 1000000);
    FAILS(CALL(utime, "nothing", &times), ENOENT);
    FAILS(CALL(utime, "f", BAD_ADDRESS), EFAULT);
    FAILS(CALL(utimes, "f", wrong), EINVAL);
    FAILS(CALL(futimesat, BAD_FD, "f", both), EBADF);
    FAILS(CALL(utimensat, AT_FDCWD, "f", NULL, 0x8000), EINVAL);
}

TEST(call_mknod)
{
    struct stat st;

    OK(CALL(mknod, "fifo", S_IFIFO | 0600, 0));
    OK(stat("fifo", &st));
    CHECK(S_ISFIFO(st.st_mode));
    OK(CALL(mknodat, AT_FDCWD, "plain", S_IFREG | 0600, 0));
    FAILS(CALL(mknod, "fifo", S_IFIFO | 0600, 0), EEXIST);
    FAILS(CALL(mknod, "d", S_IFDIR | 0700, 0), EPERM);
    FAILS(CALL(mknod, "x", 0110000 | 0700, 0), EINVAL);
    FAILS(CALL(mknodat, BAD_FD, "x", S_IFIFO | 0600, 0), EBADF);
}

TEST(call_folders)
{
    int fd = OK(open(".", O_RDONLY | O_DIRECTORY));

    OK(CALL(mkdir, "a", 0700));
    OK(CALL(mkdirat, fd, "a/b", 0700));
    FAILS(CALL(mkdir, "a", 0700), EEXIST);
    FAILS(CALL(mkdir, "no/b", 0700), ENOENT);
    FAILS(CALL(mkdirat, BAD_FD, "c", 0700), EBADF);
    FAILS(CALL(mkdirat, fd, call_long_name(), 0700), ENAMETOOLONG);
    FAILS(CALL(rmdir, "a"), ENOTEMPTY);
    FAILS(CALL(rmdir, "a/."), EINVAL);
    FAILS(CALL(rmdir, "nothing"), ENOENT);
    OK(CALL(rmdir, "a/b"));
    OK(CALL(fchdir, OK(open("a", O_RDONLY))));
    FAILS(CALL(fchdir, BAD_FD), EBADF);
    FAILS(CALL(fchdir, OK(open("/proc/self/maps", O_RDONLY))), ENOTDIR);
    FAILS(CALL(chdir, "nothing"), ENOENT);
    OK(CALL(fchdir, fd));
}

TEST(call_links)
{
    char target[16];
    int fd = OK(open(".", O_RDONLY | O_DIRECTORY));

    file_with("f", "x");
    OK(CALL(link, "f", "g"));
    OK(CALL(linkat, fd, "f", fd, "h", 0));
    OK(CALL(symlink, "f", "s"));
    OK(CALL(symlinkat, "f", fd, "t"));
    CHECK_EQ(OK(CALL(readlink, "s", target, sizeof target)), 1);
    CHECK_EQ(OK(CALL(readlinkat, fd, "t", target, sizeof target)), 1);
    FAILS(CALL(link, "f", "g"), EEXIST);
    FAILS(CALL(link, ".", "d"), EPERM);
    FAILS(CALL(linkat, fd, "f", fd, "i", 0x8000), EINVAL);
    FAILS(CALL(symlink, "", "u"), ENOENT);
    FAILS(CALL(symlinkat, "f", BAD_FD, "u"), EBADF);
    FAILS(CALL(symlinkat, "f", fd, "t"), EEXIST);
    FAILS(CALL(readlink, "f", target, sizeof target), EINVAL);
    FAILS(CALL(readlinkat, fd, "t", target, 0), EINVAL);
    FAILS(CALL(unlinkat, fd, "f", 0x8000), EINVAL);
    FAILS(CALL(unlink, "."), EISDIR);
}

TEST(call_renames)
{
    int fd = OK(open(".", O_RDONLY | O_DIRECTORY));

    file_with("f", "x");
    OK(mkdir("d", 0700));
    OK(CALL(rename, "f", "g"));
    OK(CALL(renameat, fd, "g", fd, "f"));
    OK(CALL(renameat2, fd, "f", fd, "g", 1)); /* RENAME_NOREPLACE */
    FAILS(CALL(rename, "nothing", "x"), ENOENT);
    FAILS(CALL(rename, "g", "d"), EISDIR);
    FAILS(CALL(rename, "d", "g"), ENOTDIR);
    FAILS(CALL(rename, "d", "d/below"), EINVAL);
    FAILS(CALL(renameat, BAD_FD, "g", fd, "f"), EBADF);
    FAILS(CALL(renameat2, fd, "g", fd, "d", 1), EEXIST);
    FAILS(CALL(renameat2, fd, "g", fd, "f", 3), EINVAL);
}

TEST(call_access)
{
    file_with("f", "");
    OK(CALL(access, "f", R_OK));
    OK(CALL(faccessat, AT_FDCWD, "f", W_OK));
    OK(CALL(faccessat2, AT_FDCWD, "f", F_OK, AT_EACCESS));
    FAILS(CALL(access, "f", X_OK), EACCES);
    FAILS(CALL(access, "f", 8), EINVAL);
    FAILS(CALL(faccessat, AT_FDCWD, "nothing", F_OK), ENOENT);
    FAILS(CALL(faccessat2, AT_FDCWD, "f", F_OK, 0x8000), EINVAL);
}

TEST(call_xattr)
{
    int fd = file_with("f", "");
    char value[16];

    if (CALL(setxattr, "f", "user.a", "1", 1, 0) < 0 && errno == EOPNOTSUPP)
        return case_skip("this file system has no user attributes");
    OK(symlink("f", "link"));
    OK(CALL(lsetxattr, "f", "user.b", "22", 2, XATTR_CREATE));
    OK(CALL(fsetxattr, fd, "user.c", "333", 3, 0));
    CHECK_EQ(OK(CALL(getxattr, "link", "user.a", value, sizeof value)), 1);
    CHECK_EQ(OK(CALL(lgetxattr, "f", "user.b", NULL, 0)), 2);
    CHECK_EQ(OK(CALL(fgetxattr, fd, "user.c", value, sizeof value)), 3);
    CHECK(OK(CALL(listxattr, "f", NULL, 0)) >= 21);
    CHECK(OK(CALL(llistxattr, "f", NULL, 0)) >= 21);
    CHECK(OK(CALL(flistxattr, fd, NULL, 0)) >= 21);
    FAILS(CALL(setxattr, "f", "user.a", "1", 1, XATTR_CREATE), EEXIST);
    FAILS(CALL(lsetxattr, "f", "user.no", "1", 1, XATTR_REPLACE), ENODATA);
    FAILS(CALL(lsetxattr, "link", "user.a", "1", 1, 0), EPERM);
    FAILS(CALL(fsetxattr, fd, "nonsense", "1", 1, 0), EOPNOTSUPP);
    FAILS(CALL(setxattr, "f", "user.", "1", 1, 0), EINVAL);
    FAILS(CALL(getxattr, "f", "user.no", value, sizeof value), ENODATA);
    FAILS(CALL(lgetxattr, "nothing", "user.a", value, sizeof value), ENOENT);
    FAILS(CALL(fgetxattr, fd, "user.c", value, 1), ERANGE);
    FAILS(CALL(listxattr, "nothing", NULL, 0), ENOENT);
    FAILS(CALL(llistxattr, "f", value, 1), ERANGE);
    FAILS(CALL(flistxattr, BAD_FD, NULL, 0), EBADF);
    OK(CALL(removexattr, "f", "user.a"));
    OK(CALL(lremovexattr, "f", "user.b"));
    OK(CALL(fremovexattr, fd, "user.c"));
    FAILS(CALL(removexattr, "f", "user.a"), ENODATA);
    FAILS(CALL(lremovexattr, "f", "user.b"), ENODATA);
    FAILS(CALL(fremovexattr, BAD_FD, "user.c"), EBADF);
}

TEST(call_openat2)
{
    struct open_how how = { .flags = O_RDONLY }, bad = { .flags = O_RDONLY, .mode = 0644 };

    file_with("f", "");
    OK(symlink("f", "link"));
    OK(CALL(openat2, AT_FDCWD, "f", &how, sizeof how));
    how.resolve = RESOLVE_NO_SYMLINKS;
    FAILS(CALL(openat2, AT_FDCWD, "link", &how, sizeof how), ELOOP);
    how.resolve = RESOLVE_BENEATH;
    FAILS(CALL(openat2, AT_FDCWD, "../f", &how, sizeof how), EXDEV);
    FAILS(CALL(openat2, AT_FDCWD, "f", &bad, sizeof bad), EINVAL);
    FAILS(CALL(openat2, AT_FDCWD, "f", &how, 8), EINVAL);
    FAILS(CALL(openat2, AT_FDCWD, "f", BAD_ADDRESS, sizeof how), EFAULT);
}

TEST(call_mounts)
{
    uint64_t attributes[4] = { 1 }; /* MOUNT_ATTR_RDONLY */

    call_drop_capabilities();
    FAILS(CALL(mount, "none", ".", "tmpfs", 0, NULL), EPERM);
    FAILS(CALL(umount2, ".", 0), EPERM);
    FAILS(CALL(pivot_root, ".", "."), EPERM);
    FAILS(CALL(chroot, "."), EPERM);
    FAILS(CALL(acct, "f"), EPERM);
    FAILS(CALL(swapon, "f", 0), EPERM);
    FAILS(CALL(swapoff, "f"), EPERM);
    FAILS(CALL(open_tree, AT_FDCWD, ".", 1), EPERM); /* OPEN_TREE_CLONE */
    FAILS(CALL(move_mount, AT_FDCWD, ".", AT_FDCWD, ".", 0), EPERM);
    FAILS(CALL(fsopen, "tmpfs", 0), EPERM);
    FAILS(CALL(fsconfig, BAD_FD, 6, NULL, NULL, 0), EBADF); /* FSCONFIG_CMD_CREATE */
    FAILS(CALL(fsmount, BAD_FD, 0, 0), EPERM);
    FAILS(CALL(fspick, AT_FDCWD, ".", 0), EPERM);
    FAILS(CALL(mount_setattr, AT_FDCWD, ".", 0, &attributes, sizeof attributes), EPERM);
    call_take_capabilities();
    FAILS(CALL(chroot, "nothing"), ENOENT);
}

TEST(call_handles)
{
    struct {
        unsigned size;
        int type;
        char bytes[128];
    } handle = { .size = 0 }, same, other;
    int mount_id;

    file_with("f", "");
    /* Some file systems have handles, others not; neither gives one that does not fit. */
    CHECK_EQ(CALL(name_to_handle_at, AT_FDCWD, "f", &handle, &mount_id, 0), -1);
    CHECK(errno == EOVERFLOW || errno == EOPNOTSUPP);
    if (errno == EOVERFLOW) {
        same = other = handle;
        CHECK(handle.size > 0 && handle.size <= sizeof handle.bytes);
        file_with("g", "");
        OK(CALL(name_to_handle_at, AT_FDCWD, "f", &handle, &mount_id, 0));
        OK(CALL(name_to_handle_at, AT_FDCWD, "./f", &same, &mount_id, 0));
        OK(CALL(name_to_handle_at, AT_FDCWD, "g", &other, &mount_id, 0));
        CHECK_EQ(memcmp(&handle, &same, sizeof same), 0);
        CHECK(memcmp(&handle, &other, sizeof other) != 0);
        same.size = sizeof same.bytes + 1;
        FAILS(CALL(name_to_handle_at, AT_FDCWD, "f", &same, &mount_id, 0), EINVAL);
        FAILS(CALL(name_to_handle_at, AT_FDCWD, "f", 8, &mount_id, 0), EFAULT);
    }
    call_drop_capabilities();
    FAILS(CALL(open_by_handle_at, AT_FDCWD, &handle, O_RDONLY), EPERM);
    call_take_capabilities();
}
