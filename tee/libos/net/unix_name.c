/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of UNIX sockets: paths (the inode knows its socket) and abstract names. Trusted. */
#include <asm/errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "tee/enclave/log.h"
#include "tee/enclave/string.h"
#include "tee/libos/net/unix.h"

#define BUCKETS 64u
#define AUTO_TRIES 4096u

/* Guards all names, abstract and inode->bound_socket. Taken inside unix_sock.base.lock. */
static struct mutex g_names;
static struct unix_sock *g_abstract[BUCKETS];
static uint32_t g_next_auto;

static bool is_path(const struct sock_addr *a)
{
    return a->bytes[UNIX_ADDR_PATH] != 0;
}

static int check(const struct sock_addr *a)
{
    if (a->size < UNIX_ADDR_PATH || a->size > UNIX_ADDR_PATH + UNIX_PATH_SIZE ||
        a->family != AF_UNIX)
        return -EINVAL;
    return 0;
}

static unsigned bucket(const struct sock_addr *a)
{
    uint32_t h = 2166136261u;

    for (uint32_t i = UNIX_ADDR_PATH; i < a->size; i++)
        h = (h ^ a->bytes[i]) * 16777619u;
    return h % BUCKETS;
}

static struct unix_sock *find_abstract(const struct sock_addr *a)
{
    struct unix_sock *s = g_abstract[bucket(a)];

    while (s && (s->name.size != a->size || memcmp(s->name.bytes, a->bytes, a->size) != 0))
        s = s->name_next;
    return s;
}

/* Under g_names. */
static void add_abstract(struct unix_sock *s, const struct sock_addr *a)
{
    s->name = *a;
    s->name_next = g_abstract[bucket(a)];
    g_abstract[bucket(a)] = s;
}

/* The path, NUL-ended, in dst of UNIX_PATH_SIZE + 1 bytes. */
static void path_of(const struct sock_addr *a, char *dst)
{
    uint32_t size = a->size - UNIX_ADDR_PATH;

    memcpy(dst, a->bytes + UNIX_ADDR_PATH, size);
    dst[size] = 0;
}

static int bind_path(struct unix_sock *s, const struct sock_addr *a)
{
    char path[UNIX_PATH_SIZE + 1];
    struct dentry *d;

    path_of(a, path);
    int rc = path_make_node(AT_FDCWD, path, S_IFSOCK | 0777, 0, &d);
    if (rc < 0)
        return rc == -EEXIST ? -EADDRINUSE : rc;
    mutex_lock(&g_names);
    s->inode = dentry_inode(d);
    inode_ref(s->inode);
    s->inode->bound_socket = s;
    s->name = *a;
    s->name.size = UNIX_ADDR_PATH + (uint32_t)strlen(path) + 1;
    s->name.bytes[MIN(s->name.size, SOCK_ADDR_MAX) - 1] = 0;
    mutex_unlock(&g_names);
    dentry_unref(d);
    return 0;
}

int unix_name_bind(struct unix_sock *s, const struct sock_addr *a)
{
    int rc = check(a);

    if (rc < 0)
        return rc;
    if (s->name.size)
        return -EINVAL;
    if (a->size == UNIX_ADDR_PATH)
        return unix_name_auto(s);
    if (is_path(a))
        return bind_path(s, a);
    mutex_lock(&g_names);
    if (find_abstract(a))
        rc = -EADDRINUSE;
    else
        add_abstract(s, a);
    mutex_unlock(&g_names);
    return rc;
}

int unix_name_auto(struct unix_sock *s)
{
    struct sock_addr a = { .size = UNIX_ADDR_PATH + 6, .family = AF_UNIX };
    int rc = -EADDRINUSE;

    mutex_lock(&g_names);
    for (unsigned i = 0; i < AUTO_TRIES && rc < 0; i++) {
        char digits[8];

        format(digits, sizeof digits, "%05x", g_next_auto++ & 0xfffff);
        memcpy(a.bytes + UNIX_ADDR_PATH + 1, digits, 5);
        if (!find_abstract(&a)) {
            add_abstract(s, &a);
            rc = 0;
        }
    }
    mutex_unlock(&g_names);
    return rc;
}

void unix_name_release(struct unix_sock *s)
{
    struct inode *inode;

    if (!s->name.size)
        return;
    mutex_lock(&g_names);
    inode = s->inode;
    s->inode = NULL;
    if (inode) {
        if (inode->bound_socket == s)
            inode->bound_socket = NULL;
    } else if (!is_path(&s->name)) {
        struct unix_sock **p = &g_abstract[bucket(&s->name)];

        while (*p && *p != s)
            p = &(*p)->name_next;
        if (*p)
            *p = s->name_next;
    }
    mutex_unlock(&g_names);
    if (inode)
        inode_unref(inode);
}

static int find_path(const struct sock_addr *a, struct unix_sock **ret)
{
    char path[UNIX_PATH_SIZE + 1];
    struct dentry *d;

    path_of(a, path);
    int rc = path_lookup(AT_FDCWD, path, LOOKUP_FOLLOW, &d);
    if (rc < 0)
        return rc;
    struct inode *inode = dentry_inode(d);
    if (!inode)
        rc = -ENOENT;
    else if (!S_ISSOCK(inode->mode))
        rc = -ECONNREFUSED;
    else
        rc = inode_permission(inode, 2);
    if (rc == 0) {
        mutex_lock(&g_names);
        *ret = inode->bound_socket;
        if (*ret)
            unix_ref(*ret);
        else
            rc = -ECONNREFUSED;
        mutex_unlock(&g_names);
    }
    dentry_unref(d);
    return rc;
}

int unix_name_find(const struct sock_addr *a, struct unix_sock **ret)
{
    int rc = check(a);

    if (rc < 0)
        return rc;
    if (a->size == UNIX_ADDR_PATH)
        return -EINVAL;
    if (is_path(a))
        return find_path(a, ret);
    mutex_lock(&g_names);
    *ret = find_abstract(a);
    if (*ret)
        unix_ref(*ret);
    mutex_unlock(&g_names);
    return *ret ? 0 : -ECONNREFUSED;
}
