/* SPDX-License-Identifier: Apache-2.0 */
/* Folders: making, removing, listing, the working folder, the *at calls. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

TEST(dir_make_and_remove)
{
    struct stat st;

    OK(mkdir("d", 0755));
    OK(stat("d", &st));
    CHECK(S_ISDIR(st.st_mode));
    CHECK_EQ(st.st_mode & 07777, 0755);
    FAILS(mkdir("d", 0755), EEXIST);
    FAILS(mkdir("missing/d", 0755), ENOENT);
    OK(close(file_with("d/f", "")));
    FAILS(rmdir("d"), ENOTEMPTY);
    FAILS(rmdir("d/f"), ENOTDIR);
    OK(unlink("d/f"));
    OK(rmdir("d"));
    FAILS(rmdir("d"), ENOENT);
    FAILS(rmdir("."), EINVAL);
    FAILS(mkdir("/", 0755), EEXIST);
}

TEST(dir_link_counts)
{
    struct stat st;

    OK(mkdir("d", 0755));
    OK(stat("d", &st));
    CHECK(st.st_nlink == 2 || st.st_nlink == 1);
}

static unsigned count_entries(const char *path, const char *prefix)
{
    unsigned count = 0;
    DIR *dir = opendir(path);

    CHECK(dir != NULL);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        count += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    closedir(dir);
    return count;
}

TEST(dir_list)
{
    char name[16];

    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "f%d", i);
        OK(close(file_with(name, "")));
    }
    CHECK_EQ(count_entries(".", "f"), 300);
    CHECK_EQ(count_entries(".", "."), 2);
}

TEST(dir_list_types)
{
    struct dirent *e;
    DIR *dir;

    OK(mkdir("d", 0755));
    OK(close(file_with("f", "")));
    OK(symlink("f", "s"));
    CHECK((dir = opendir(".")) != NULL);
    while ((e = readdir(dir)) != NULL) {
        struct stat st;

        OK(lstat(e->d_name, &st));
        if (e->d_name[0] != '.')
            CHECK_EQ(st.st_ino, e->d_ino);
        CHECK(e->d_type == DT_UNKNOWN || e->d_type == (st.st_mode & S_IFMT) >> 12);
    }
    closedir(dir);
}

TEST(dir_rewind_and_seek)
{
    DIR *dir;
    long at;
    char first[256], second[256];

    OK(close(file_with("a", "")));
    OK(close(file_with("b", "")));
    CHECK((dir = opendir(".")) != NULL);
    snprintf(first, sizeof first, "%s", readdir(dir)->d_name);
    at = telldir(dir);
    snprintf(second, sizeof second, "%s", readdir(dir)->d_name);
    seekdir(dir, at);
    CHECK(strcmp(readdir(dir)->d_name, second) == 0);
    rewinddir(dir);
    CHECK(strcmp(readdir(dir)->d_name, first) == 0);
    closedir(dir);
}

TEST(dir_getdents_errors)
{
    char buf[512];
    int fd = file_with("f", "");

    FAILS(syscall(SYS_getdents64, fd, buf, sizeof buf), ENOTDIR);
    fd = OK(open(".", O_RDONLY | O_DIRECTORY));
    FAILS(syscall(SYS_getdents64, fd, buf, 1), EINVAL);
    FAILS(read(fd, buf, 1), EISDIR);
}

TEST(dir_removed_while_open)
{
    char buf[512];
    int fd;

    OK(mkdir("d", 0755));
    fd = OK(open("d", O_RDONLY | O_DIRECTORY));
    OK(rmdir("d"));
    FAILS(syscall(SYS_getdents64, fd, buf, sizeof buf), ENOENT);
    FAILS(openat(fd, "x", O_CREAT | O_WRONLY, 0644), ENOENT);
}

TEST(dir_working_folder)
{
    char before[4096], after[4096];
    int back = OK(open(".", O_RDONLY | O_DIRECTORY));

    CHECK(getcwd(before, sizeof before) != NULL);
    OK(mkdir("d", 0755));
    OK(chdir("d"));
    CHECK(getcwd(after, sizeof after) != NULL);
    CHECK(strncmp(after, before, strlen(before)) == 0 && strcmp(strrchr(after, '/'), "/d") == 0);
    CHECK(getcwd(after, 3) == NULL && errno == ERANGE);
    OK(fchdir(back));
    CHECK(getcwd(after, sizeof after) != NULL && strcmp(before, after) == 0);
    FAILS(chdir("missing"), ENOENT);
    OK(close(file_with("f", "")));
    FAILS(chdir("f"), ENOTDIR);
}

TEST(dir_dots)
{
    struct stat a, b;

    OK(mkdir("d", 0755));
    OK(stat(".", &a));
    OK(stat("d/..", &b));
    CHECK_EQ(a.st_ino, b.st_ino);
    OK(stat("./d/.././d//", &b));
    OK(stat("d", &a));
    CHECK_EQ(a.st_ino, b.st_ino);
    OK(stat("/..", &a));
    OK(stat("/", &b));
    CHECK_EQ(a.st_ino, b.st_ino);
    OK(close(file_with("f", "")));
    FAILS(stat("f/", &a), ENOTDIR);
    FAILS(stat("f/..", &a), ENOTDIR);
}

TEST(dir_at_calls)
{
    struct stat st;
    char target[16];
    int d, fd;

    OK(mkdir("d", 0755));
    d = OK(open("d", O_RDONLY | O_DIRECTORY));
    fd = OK(openat(d, "f", O_CREAT | O_WRONLY, 0644));
    OK(stat("d/f", &st));
    OK(mkdirat(d, "e", 0755));
    OK(symlinkat("f", d, "s"));
    CHECK_EQ(readlinkat(d, "s", target, sizeof target), 1);
    OK(linkat(d, "f", d, "g", 0));
    OK(renameat(d, "g", AT_FDCWD, "g"));
    OK(fstatat(d, "f", &st, 0));
    OK(fstatat(d, "s", &st, AT_SYMLINK_NOFOLLOW));
    CHECK(S_ISLNK(st.st_mode));
    OK(faccessat(d, "f", R_OK, 0));
    OK(fchmodat(d, "f", 0600, 0));
    OK(unlinkat(d, "f", 0));
    FAILS(unlinkat(d, "e", 0), EISDIR);
    OK(unlinkat(d, "e", AT_REMOVEDIR));
    FAILS(openat(fd, "x", O_RDONLY), ENOTDIR);
    FAILS(openat(9999, "x", O_RDONLY), EBADF);
    OK(fstatat(9999, "/", &st, 0)); /* absolute: the descriptor is not looked at */
}

TEST(dir_root_lists)
{
    CHECK(count_entries("/", "tmp") == 1);
    CHECK(count_entries("/", "proc") == 1);
    CHECK(count_entries("/", "dev") == 1);
}

TEST(dir_rename_moves_tree)
{
    struct stat st;

    OK(mkdir("a", 0755));
    OK(mkdir("a/b", 0755));
    OK(close(file_with("a/b/f", "x")));
    OK(mkdir("c", 0755));
    OK(rename("a", "c/a"));
    OK(stat("c/a/b/f", &st));
    OK(chdir("c/a/b"));
    OK(stat("../../../c", &st));
}

TEST(dir_many_levels)
{
    char path[4096];

    for (int i = 0; i < 50; i++) {
        OK(mkdir("level", 0755));
        OK(chdir("level"));
    }
    CHECK(getcwd(path, sizeof path) != NULL);
    CHECK(strlen(path) > 300);
}
