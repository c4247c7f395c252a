/* SPDX-License-Identifier: Apache-2.0 */
/* Untrusted host folders: how paths are made, and a host that shows nonsense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tee/enclave/ocall.h"
#include "tee/libos/fs/host/hostfs.h"
#include "tests/unit/libos/poll_fake.h"

/* ---- the host: what it answers, and what it was asked ---- */

static uint32_t g_mode; /* of whatever is asked for */
static uint64_t g_size;
static char g_path[PATH_SIZE_MAX], g_to[PATH_SIZE_MAX];
static uint8_t g_listing[512];
static size_t g_listing_size;
static unsigned g_changes;

static void note(const char *path)
{
    if (path != g_path)
        snprintf(g_path, sizeof g_path, "%s", path);
}

static int change(const char *path)
{
    g_changes++;
    note(path);
    return 0;
}

int ocall_mount_stat(uint32_t mount, const char *path, struct ocall_stat *ret)
{
    assert_int_equal(mount, 3);
    note(path);
    *ret = (struct ocall_stat){ .ino = 5, .size = g_size, .mode = g_mode, .nlink = 1 };
    return g_mode ? 0 : -ENOENT;
}

int ocall_file_stat(int host_fd, struct ocall_stat *ret)
{
    (void)host_fd;
    char path[PATH_SIZE_MAX];

    memcpy(path, g_path, sizeof path);
    return ocall_mount_stat(3, path, ret);
}

int ocall_mount_open(uint32_t mount, const char *path, int flags, uint32_t mode)
{
    (void)mount, (void)mode;
    if ((flags & O_ACCMODE) != O_RDONLY)
        g_changes++;
    assert_true(flags & O_NOFOLLOW);
    note(path);
    return 77;
}

int64_t ocall_mount_readlink(uint32_t mount, const char *path, char *dst, size_t size)
{
    (void)mount;
    note(path);
    return snprintf(dst, size, "target");
}

int ocall_mount_mkdir(uint32_t mount, const char *path, uint32_t mode)
{
    (void)mount, (void)mode;
    return change(path);
}

int ocall_mount_unlink(uint32_t mount, const char *path, bool directory)
{
    (void)mount, (void)directory;
    return change(path);
}

int ocall_mount_rename(uint32_t mount, const char *from, const char *to, unsigned flags)
{
    (void)mount, (void)flags;
    snprintf(g_to, sizeof g_to, "%s", to);
    return change(from);
}

int ocall_mount_symlink(uint32_t mount, const char *target, const char *path)
{
    (void)mount, (void)target;
    return change(path);
}

int ocall_mount_link(uint32_t mount, const char *from, const char *to)
{
    (void)mount, (void)from;
    return change(to);
}

int ocall_mount_chmod(uint32_t mount, const char *path, uint32_t mode)
{
    (void)mount, (void)mode;
    return change(path);
}

int ocall_mount_utimens(uint32_t mount, const char *path, const int64_t times_s[2],
                        const uint32_t times_ns[2])
{
    (void)mount, (void)times_s, (void)times_ns;
    return change(path);
}

int64_t ocall_file_pread(int host_fd, void *dst, size_t size, uint64_t off)
{
    (void)host_fd;
    if (off >= 6)
        return 0;
    size = MIN(size, 6 - off);
    memcpy(dst, "hello\n" + off, size);
    return (int64_t)size;
}

int64_t ocall_file_pwrite(int host_fd, const void *src, size_t size, uint64_t off)
{
    (void)host_fd, (void)src, (void)off;
    g_changes++;
    return (int64_t)size;
}

int ocall_file_truncate(int host_fd, uint64_t size)
{
    (void)host_fd, (void)size;
    g_changes++;
    return 0;
}

int ocall_file_sync(int host_fd, bool data_only)
{
    (void)host_fd, (void)data_only;
    return 0;
}

int ocall_file_lock(int host_fd, unsigned operation)
{
    (void)host_fd, (void)operation;
    return 0;
}

int64_t ocall_file_getdents(int host_fd, void *dst, size_t size, bool restart)
{
    (void)host_fd;
    assert_true(size >= g_listing_size);
    memcpy(dst, g_listing, g_listing_size);
    return restart ? (int64_t)g_listing_size : 0;
}

uint64_t super_new_dev(void)
{
    return 9;
}

/* ---- cases ---- */

static struct super *mount_folder(bool read_only)
{
    struct super *s;

    poll_fake_enter();
    g_mode = S_IFDIR | 0755;
    g_changes = 0;
    assert_int_equal(hostfs_new(3, read_only, &s), 0);
    return s;
}

static struct inode *look_up(struct inode *dir, const char *name, uint32_t mode)
{
    struct inode *inode;

    g_mode = mode;
    assert_int_equal(dir->ops->lookup(dir, name, strlen(name), &inode), 0);
    return inode;
}

static void paths_follow_the_tree(void **state)
{
    struct super *s = mount_folder(false);
    struct inode *a = look_up(s->root, "a", S_IFDIR | 0755), *b = look_up(a, "b", S_IFDIR | 0755);
    struct inode *f = look_up(b, "f", S_IFREG | 0644);
    struct inode_attr attr;

    (void)state;
    assert_string_equal(g_path, "a/b/f");
    g_mode = S_IFDIR | 0755;
    assert_int_equal(a->ops->rename(a, "b", 1, s->root, "moved", 5, b, NULL, 0), 0);
    assert_string_equal(g_path, "a/b");
    assert_string_equal(g_to, "moved");
    g_mode = S_IFREG | 0644;
    assert_int_equal(f->ops->get_attr(f, &attr), 0);
    assert_string_equal(g_path, "moved/f");
}

static void names_that_lead_elsewhere_are_absent(void **state)
{
    struct super *s = mount_folder(false);
    struct inode *inode;

    (void)state;
    assert_int_equal(s->root->ops->lookup(s->root, "..", 2, &inode), -ENOENT);
    assert_int_equal(s->root->ops->lookup(s->root, "a/b", 3, &inode), -ENOENT);
    assert_int_equal(s->root->ops->lookup(s->root, "a\0b", 3, &inode), -ENOENT);
}

static void changed_type_is_stale(void **state)
{
    struct super *s = mount_folder(false);
    struct inode *f = look_up(s->root, "f", S_IFREG | 0644);
    struct inode_attr attr;
    struct file file = { .flags = O_RDONLY, .inode = f };

    (void)state;
    g_mode = S_IFLNK | 0777;
    assert_int_equal(f->ops->get_attr(f, &attr), -ESTALE);
    assert_int_equal(f->ops->open(f, &file), -ESTALE);
}

static void special_files_are_not_opened(void **state)
{
    struct super *s = mount_folder(false);
    struct file file = { .flags = O_RDONLY };

    (void)state;
    struct inode *f = look_up(s->root, "d", S_IFCHR | 0666);
    assert_int_equal(f->ops->open(f, &file), -ENXIO);
    f = look_up(s->root, "p", S_IFIFO | 0666);
    assert_int_equal(f->ops->open(f, &file), -ENXIO);
}

static void read_only_asks_for_no_change(void **state)
{
    struct super *s = mount_folder(true);
    struct inode *f = look_up(s->root, "f", S_IFREG | 0644), *made;
    struct file file = { .flags = O_RDWR, .inode = f };
    struct inode_attr attr = { .mode = 0600 };

    (void)state;
    assert_int_equal(s->root->ops->create(s->root, "n", 1, S_IFREG | 0644, 0, NULL, &made), -EROFS);
    assert_int_equal(s->root->ops->symlink(s->root, "n", 1, "t", NULL, &made), -EROFS);
    assert_int_equal(s->root->ops->link(s->root, "n", 1, f), -EROFS);
    assert_int_equal(s->root->ops->unlink(s->root, "f", 1, f), -EROFS);
    assert_int_equal(s->root->ops->rename(s->root, "f", 1, s->root, "g", 1, f, NULL, 0), -EROFS);
    assert_int_equal(f->ops->set_attr(f, &attr, ATTR_MODE), -EROFS);
    assert_int_equal(f->ops->open(f, &file), -EROFS);
    assert_int_equal(g_changes, 0);
}

static void add_record(const char *name, size_t name_size, uint16_t size)
{
    uint8_t *r = g_listing + g_listing_size;

    memset(r, 0, size);
    memcpy(r + 16, &size, sizeof size);
    r[18] = 8;
    memcpy(r + 19, name, name_size);
    g_listing_size += size;
}

static char g_seen[256];

static bool see(void *arg, const char *name, size_t name_size, uint64_t ino, uint8_t d_type,
                uint64_t next_pos)
{
    (void)arg, (void)ino, (void)d_type, (void)next_pos;
    snprintf(g_seen + strlen(g_seen), sizeof g_seen - strlen(g_seen), "%.*s,", (int)name_size,
             name);
    return true;
}

static void listing_is_checked(void **state)
{
    struct super *s = mount_folder(false);

    (void)state;
    g_listing_size = 0;
    add_record(".", 1, 24);
    add_record("good", 4, 24);
    add_record("a/b", 3, 24);
    add_record("", 0, 24);
    add_record("full0", 5, 24); /* no NUL within the record */
    g_seen[0] = 0;
    assert_int_equal(s->root->ops->readdir(s->root, 2, see, NULL), 0);
    assert_string_equal(g_seen, "good,full0,");

    g_listing_size = 0;
    add_record("good", 4, 24);
    add_record("lies", 4, 24);
    g_listing[24 + 16] = 0xff; /* the record is longer than the listing */
    assert_int_equal(s->root->ops->readdir(s->root, 2, see, NULL), -EIO);
    g_listing[24 + 16] = 0; /* or goes on for ever */
    assert_int_equal(s->root->ops->readdir(s->root, 2, see, NULL), -EIO);
}

static void file_reads_and_ends(void **state)
{
    struct super *s = mount_folder(false);
    struct inode *f = look_up(s->root, "f", S_IFREG | 0644);
    struct file file = { .flags = O_RDONLY, .inode = f };
    char text[16] = "", page[PAGE_SIZE];
    uint64_t pos = 2;
    struct uio u;

    (void)state;
    assert_int_equal(f->ops->open(f, &file), 0);
    uio_init_kernel(&u, text, sizeof text);
    assert_int_equal(file.ops->read(&file, &u, &pos), 4);
    assert_string_equal(text, "llo\n");
    assert_int_equal(pos, 6);
    g_size = UINT64_MAX;
    assert_int_equal(file.ops->seek(&file, 0, SEEK_END), -EIO);
    g_size = 6;
    assert_int_equal(file.ops->map_page(&file, 0, page), 0);
    assert_memory_equal(page, "hello\n\0\0", 8);
    assert_int_equal(file.ops->map_page(&file, PAGE_SIZE, page), -EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_follow_the_tree),
        cmocka_unit_test(names_that_lead_elsewhere_are_absent),
        cmocka_unit_test(changed_type_is_stale),
        cmocka_unit_test(special_files_are_not_opened),
        cmocka_unit_test(read_only_asks_for_no_change),
        cmocka_unit_test(listing_is_checked),
        cmocka_unit_test(file_reads_and_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
