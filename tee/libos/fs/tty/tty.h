/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terminals: pseudo-terminals (/dev/ptmx, /dev/pts), the console, /dev/tty. Trusted.
 *
 * A terminal is a line discipline between a slave side (what programs have as their terminal) and a far end: an open
 * file of /dev/ptmx, or for the console the host's terminal. tty->lock guards it; sessions and process groups are
 * task/group.h's.
 */
#pragma once

#include "tee/libos/fs/vfs/vfs.h"

struct tty;
struct start_info;

#define TTY_COUNT_MAX 1024u

void tty_ref(struct tty *t);
void tty_unref(struct tty *t);
/* Linux's encoding of the device number, for /proc/PID/stat. */
uint64_t tty_device(const struct tty *t);
/* The foreground group; 0: none. */
int32_t tty_foreground(const struct tty *t);

/* /dev/pts. */
MUST_CHECK int devptsfs_new(struct super **ret);
/* Opens by device node: /dev/ptmx, /dev/tty, /dev/console. returns: 0; -ENXIO; -EIO; -ENOSPC, -ENOMEM. */
MUST_CHECK int tty_open_ptmx(struct file *f);
MUST_CHECK int tty_open_current(struct file *f);
MUST_CHECK int tty_open_console(struct file *f);

/* ---- the console: a terminal inside whose far end is the host's ---- */

/* Makes terminal 0 and its service; with_input: what the host gives is typed. returns: 0; -errno. */
MUST_CHECK int console_start(uint32_t uid, bool with_input);
/* The host's terminal has another size. Cheap; false when there is no console. Async: from signal delivery. */
bool console_resize(void);
/* What programs have written is given to the host before the enclave ends. */
void console_drain(void);
