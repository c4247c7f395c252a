/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File types and permission bits of st_mode (inode(7)), and DT_* of getdents. The uapi header hides them from code that
 * has seen a C library header (tests). Trusted.
 */
#pragma once

#include <linux/stat.h>
#include <stdint.h>

#ifndef S_IFMT
#define S_IFMT 00170000
#define S_IFSOCK 0140000
#define S_IFLNK 0120000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000
#define S_IFCHR 0020000
#define S_IFIFO 0010000
#define S_ISUID 0004000
#define S_ISGID 0002000
#define S_ISVTX 0001000
#define S_ISLNK(m) (((m)&S_IFMT) == S_IFLNK)
#define S_ISREG(m) (((m)&S_IFMT) == S_IFREG)
#define S_ISDIR(m) (((m)&S_IFMT) == S_IFDIR)
#define S_ISCHR(m) (((m)&S_IFMT) == S_IFCHR)
#define S_ISBLK(m) (((m)&S_IFMT) == S_IFBLK)
#define S_ISFIFO(m) (((m)&S_IFMT) == S_IFIFO)
#define S_ISSOCK(m) (((m)&S_IFMT) == S_IFSOCK)
#endif

#define MODE_PERMISSIONS 07777u
#define MODE_GROUP_EXEC 0010u

/* DT_* of a mode. */
static inline uint8_t mode_dirent_type(uint32_t mode)
{
    return (uint8_t)((mode & S_IFMT) >> 12);
}
