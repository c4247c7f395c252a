/* SPDX-License-Identifier: Apache-2.0 */
/* For the build with musl only: calls of which Debian's musl has no wrapper. */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <unistd.h>

struct statx;
int statx(int folder, const char *path, int flags, unsigned mask, struct statx *ret);
int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags);

int statx(int folder, const char *path, int flags, unsigned mask, struct statx *ret)
{
    return (int)syscall(SYS_statx, folder, path, flags, mask, ret);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
}
