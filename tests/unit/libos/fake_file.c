/* SPDX-License-Identifier: Apache-2.0 */
/* Hosted stand-in for tee/libos/fs/vfs. Tests only. */
#include "tests/unit/libos/fake_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tee/libos/task/task.h"

static unsigned g_file_count;
static struct cred g_cred = { .refs = 1 };

struct host_file {
    struct file file;
    struct inode inode;
    int fd;
    uint64_t size;
};

static int64_t read_host(struct file *f, void *dst, size_t size, uint64_t off)
{
    ssize_t n = pread(CONTAINER_OF(f, struct host_file, file)->fd, dst, size, (off_t)off);

    return n < 0 ? -errno : n;
}

static int map_page_host(struct file *f, uint64_t off, void *page)
{
    int64_t n = read_host(f, page, PAGE_SIZE, off);

    if (n <= 0)
        return -EIO;
    memset((char *)page + n, 0, PAGE_SIZE - (size_t)n);
    return 0;
}

static const struct file_ops g_host_ops = { .map_page = map_page_host };

int file_open(const char *path, uint32_t flags, uint32_t mode, struct file **ret)
{
    struct host_file *h = calloc(1, sizeof *h);
    struct stat st;

    h->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (h->fd < 0 || fstat(h->fd, &st) < 0) {
        free(h);
        return -errno;
    }
    h->inode.mode = st.st_mode;
    h->size = (uint64_t)st.st_size;
    h->file = (struct file){ .ops = &g_host_ops, .refs = 1, .flags = flags, .inode = &h->inode };
    *ret = &h->file;
    g_file_count++;
    return 0;
}

void file_ref(struct file *f)
{
    f->refs++;
}

void file_unref(struct file *f)
{
    struct host_file *h = CONTAINER_OF(f, struct host_file, file);

    if (--f->refs > 0)
        return;
    close(h->fd);
    free(h);
    g_file_count--;
}

void file_unrefp(struct file **f)
{
    if (*f)
        file_unref(*f);
}

int file_deny_write(struct file *f)
{
    return 0;
}

int64_t file_read_kernel(struct file *f, void *dst, size_t size, uint64_t off)
{
    return read_host(f, dst, size, off);
}

int inode_permission(struct inode *inode, uint32_t mask)
{
    return (inode->mode & 0111) || mask != 1 ? 0 : -EACCES;
}

int inode_get_attr(struct inode *inode, struct inode_attr *ret)
{
    *ret = (struct inode_attr){ .size = CONTAINER_OF(inode, struct host_file, inode)->size,
                                .mode = inode->mode };
    return 0;
}

int64_t dentry_path(struct dentry *d, char *dst, size_t size)
{
    return -ENOENT;
}

const struct cred *process_cred(void)
{
    return &g_cred;
}

unsigned fake_file_count(void)
{
    return g_file_count;
}
