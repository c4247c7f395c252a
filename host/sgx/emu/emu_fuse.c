/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key file that stands in for the CPU's fuses: 32 random bytes, one file an installation.
 * Untrusted side: whoever reads it can compute every key of every emulated enclave here.
 */
#include "host/sgx/emu/emu.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define FUSE_SIZE 32
#define FUSE_SYSTEM "/var/lib/cloche/emu/fuse.key"

static int make_parents(const char *path)
{
    char dir[PATH_MAX];

    if (snprintf(dir, sizeof dir, "%s", path) >= (int)sizeof dir)
        return -ENAMETOOLONG;
    for (char *p = dir + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        if (mkdir(dir, 0755) < 0 && errno != EEXIST)
            return -errno;
        *p = '/';
    }
    return 0;
}

static int read_key(const char *path, uint8_t ret[FUSE_SIZE])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    ssize_t size = read(fd, ret, FUSE_SIZE);
    int rc = size == FUSE_SIZE ? 0 : size < 0 ? -errno : -EBADMSG;

    close(fd);
    return rc;
}

/* Written under another name and linked: two processes that race agree on one key. */
static int create_key(const char *path)
{
    char temp[PATH_MAX];
    uint8_t key[FUSE_SIZE];
    int rc = make_parents(path);

    if (rc < 0)
        return rc;
    if (snprintf(temp, sizeof temp, "%s.%ld", path, (long)getpid()) >= (int)sizeof temp)
        return -ENAMETOOLONG;
    if (getrandom(key, sizeof key, 0) != sizeof key)
        return -EIO;
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return -errno;
    rc = write(fd, key, sizeof key) == sizeof key && fsync(fd) == 0 ? 0 : -EIO;
    close(fd);
    if (rc == 0 && link(temp, path) < 0 && errno != EEXIST)
        rc = -errno;
    unlink(temp);
    return rc;
}

static int get_at(const char *path, uint8_t ret[FUSE_SIZE])
{
    int rc = read_key(path, ret);

    if (rc != -ENOENT)
        return rc;
    rc = create_key(path);
    return rc < 0 ? rc : read_key(path, ret);
}

int emu_fuse_get(uint8_t ret[FUSE_SIZE])
{
    const char *given = getenv("CLOCHE_EMU_FUSE"), *state = getenv("XDG_STATE_HOME"),
               *home = getenv("HOME");
    char path[PATH_MAX];

    if (given && given[0])
        return get_at(given, ret);
    int rc = get_at(FUSE_SYSTEM, ret);

    if (rc == 0 || rc == -EBADMSG)
        return rc;
    int len = state && state[0] == '/'
                  ? snprintf(path, sizeof path, "%s/cloche/emu/fuse.key", state)
              : home && home[0] == '/'
                  ? snprintf(path, sizeof path, "%s/.local/state/cloche/emu/fuse.key", home)
                  : -1;

    return len < 0 || len >= (int)sizeof path ? rc : get_at(path, ret);
}
