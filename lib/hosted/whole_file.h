/* SPDX-License-Identifier: Apache-2.0 */
/* Files as a whole: read with a limit, replaced at one moment. Hosted sides; no state. What is in a file may be hostile. */
#pragma once

#ifdef TEE_BUILD
#error "the freestanding enclave has no files of the host"
#endif

#include "lib/defs.h"
#include "lib/err.h"

/* Reads until `size` bytes or the end. returns: 0; errno of read. */
MUST_CHECK int whole_file_fd_read(int fd, void *dst, size_t size, size_t *ret_size);
/* Writes all of it. returns: 0; errno of write. */
MUST_CHECK int whole_file_fd_write(int fd, const void *data, size_t size);
/*
 * *ret: one NUL more than *ret_size, for free().
 * returns: 0; -E2BIG longer than max; another errno of open and read, -ENOENT included. err names the file.
 */
MUST_CHECK int whole_file_read(const char *path, size_t max, char **ret, size_t *ret_size,
                               struct err *err);
/*
 * Writes the file beside its place, with this mode, then puts it there: whoever opens it, also after a crash, finds the old one or the new one, whole. One writer of a
 * process at a time. returns: 0; errno, and the old file is as it was.
 */
MUST_CHECK int whole_file_replace(const char *path, const void *data, size_t size, unsigned mode,
                                  struct err *err);
