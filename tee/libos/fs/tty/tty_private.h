/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of fs/tty share. Trusted. */
#pragma once

#include <asm/termios.h>

#include "tee/libos/fs/tty/ldisc.h"
#include "tee/libos/fs/tty/tty.h"

#define TTY_OUT_SIZE 16384u
#define TTY_SIZE_MAX 4096u /* rows and columns that the host may claim */

/* tty->state */
#define TTY_SLAVE_IN 0x01u   /* readers have something: poll's answer */
#define TTY_SLAVE_ANY 0x02u  /* at least a byte or a line */
#define TTY_SLAVE_OUT 0x04u  /* writers have room */
#define TTY_MASTER_IN 0x08u  /* output waits for the far end */
#define TTY_MASTER_OUT 0x10u /* the far end may type */
#define TTY_MASTER_PRI 0x20u /* packet mode: a status waits */
#define TTY_HUNG_UP 0x40u    /* the far end is gone */
#define TTY_CLOSED 0x80u     /* the slave side was open and is not any more */

/* What has just happened, for whom to wake. */
#define TTY_DID_TYPE 0x1u
#define TTY_DID_READ 0x2u
#define TTY_DID_OUTPUT 0x4u
#define TTY_DID_TAKE 0x8u
#define TTY_DID_ALL 0xfu

/* A far end that is no file; called without locks. */
struct tty_far_ops {
    void (*output)(struct tty *t); /* output waits */
    void (*room)(struct tty *t);   /* something was read: more may be typed */
};

struct tty {
    uint32_t refs; /* atomic: files, the node, sessions */
    uint32_t index;
    const struct tty_far_ops *far; /* NULL: a master file */
    struct mutex lock;             /* all below but the queues */
    struct ldisc ld;
    struct byte_ring out;
    struct winsize size;
    int32_t pgid, sid; /* foreground group; session whose terminal this is; 0: none */
    uint32_t slaves;   /* open files of the slave side */
    bool was_open, hung_up, locked, exclusive;
    bool packet;
    uint8_t packet_status; /* TIOCPKT_* that the master has not read */
    bool was_stopped;      /* as the master was told last, packet mode */
    struct inode *node;    /* of /dev/pts; NULL when the master is gone */
    uint32_t state;        /* atomic TTY_* as of the last unlock; poll reads it without the lock */
    struct waitq slave_read, slave_write, master_read, master_write;
    char name[24];         /* "/dev/pts/N" */
    uint8_t scratch[2048]; /* between program memory and the discipline */
};

extern const struct file_ops g_tty_slave_ops, g_tty_master_ops;

/* ---- tty.c ---- */

/* A terminal with the lowest free number. One reference. -ENOSPC; -ENOMEM. */
MUST_CHECK int tty_new(struct tty **ret);
/* With a reference; NULL: no such terminal. */
struct tty *tty_find(uint32_t index);
/* The lowest number >= from that exists; -1: none. */
int tty_next_index(uint32_t from);
static inline void tty_lock(struct tty *t)
{
    mutex_lock(&t->lock);
}
/* Renews state, unlocks, wakes, sends the signals that were typed. did: TTY_DID_* */
void tty_unlock(struct tty *t, uint32_t did);
static inline bool tty_is(const struct tty *t, uint32_t bits)
{
    return (__atomic_load_n(&t->state, __ATOMIC_ACQUIRE) & bits) != 0;
}
/* The far end is gone for good. */
void tty_hang_up(struct tty *t);
/* Types what fits. returns: bytes taken. */
size_t tty_type(struct tty *t, const uint8_t *src, size_t size);
/* SIGWINCH when it differs. */
void tty_set_size(struct tty *t, const struct winsize *size);

/* ---- pty.c ---- */

/* Makes f, opened at the slave side, one of t's; takes over no reference. -EIO, -EBUSY. */
MUST_CHECK int tty_slave_open(struct tty *t, struct file *f);
struct tty *tty_of(const struct file *f); /* the terminal of a file of either side; NULL */

/* ---- devpts.c ---- */

/* t gets its node in /dev/pts. -ENOMEM. */
MUST_CHECK int tty_node_new(struct tty *t, uint32_t uid);

/* ---- tty_ioctl.c ---- */

int64_t tty_ioctl(struct file *f, uint32_t request, uintptr_t arg);

/* ---- tty_termios.c ---- */

/* -ENOTTY: not about settings. */
int64_t tty_termios_ioctl(struct tty *t, uint32_t request, uintptr_t arg);

/* ---- tty_job.c ---- */

void tty_job_init(void); /* once */
/* May the calling process read (SIGTTIN), or write or change (SIGTTOU)? returns: 0; -EIO; -ERESTARTSYS. */
MUST_CHECK int tty_job_check(struct tty *t, int signo);
void tty_signal_group(int32_t pgid, int signo);
/* The calling process opened t: it becomes its terminal when the rules say so. */
void tty_job_opened(struct tty *t, struct file *f);
/* Is t the terminal of the calling process's session? */
bool tty_job_is_current(struct tty *t);
int64_t tty_job_ioctl(struct tty *t, bool is_master, uint32_t request, uintptr_t arg);
/* All processes of the session lose the terminal; t's lock is not held. is_hang_up: its leader is told. */
void tty_job_detach(struct tty *t, bool is_hang_up);
