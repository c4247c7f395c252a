/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terminals: their numbers and lifetime, and the one place where a change becomes readiness, wakes and signals.
 * Trusted.
 */
#include "tee/libos/fs/tty/tty_private.h"

#include <asm/errno.h>
#include <asm/ioctls.h>
#include <asm/poll.h>
#include <asm/signal.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/log.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/poll/poll.h"

#define PTS_MAJOR 136u

/* All terminals by number. lock guards it and is a leaf. */
static struct {
    struct spin lock;
    struct tty *ttys[TTY_COUNT_MAX];
} g_ttys;

void tty_ref(struct tty *t)
{
    __atomic_fetch_add(&t->refs, 1, __ATOMIC_RELAXED);
}

void tty_unref(struct tty *t)
{
    if (!t || __atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    spin_lock(&g_ttys.lock);
    /* tty_find() may have raised it again. */
    bool is_last = __atomic_load_n(&t->refs, __ATOMIC_ACQUIRE) == 0 && g_ttys.ttys[t->index] == t;
    if (is_last)
        g_ttys.ttys[t->index] = NULL;
    spin_unlock(&g_ttys.lock);
    if (!is_last)
        return;
    mem_free(t->out.bytes);
    mem_free(t);
}

static int number_take(struct tty *t)
{
    uint32_t i = 0;

    spin_lock(&g_ttys.lock);
    while (i < TTY_COUNT_MAX && g_ttys.ttys[i])
        i++;
    if (i < TTY_COUNT_MAX) {
        t->index = i;
        g_ttys.ttys[i] = t;
    }
    spin_unlock(&g_ttys.lock);
    return i < TTY_COUNT_MAX ? 0 : -ENOSPC;
}

int tty_new(struct tty **ret)
{
    CLEANUP(mem_freep)
    struct tty *t = mem_zalloc(sizeof *t);
    CLEANUP(mem_freep)
    uint8_t *bytes = mem_alloc(TTY_OUT_SIZE);
    int rc;

    if (!t || !bytes)
        return -ENOMEM;
    t->refs = 1;
    t->out = (struct byte_ring){ .bytes = bytes, .size = TTY_OUT_SIZE };
    ldisc_init(&t->ld, &t->out);
    t->state = TTY_MASTER_OUT | TTY_SLAVE_OUT;
    rc = number_take(t);
    if (rc < 0)
        return rc;
    format(t->name, sizeof t->name, "/dev/pts/%u", t->index);
    bytes = NULL;
    *ret = TAKE_PTR(t);
    return 0;
}

struct tty *tty_find(uint32_t index)
{
    struct tty *t;

    if (index >= TTY_COUNT_MAX)
        return NULL;
    spin_lock(&g_ttys.lock);
    t = g_ttys.ttys[index];
    if (t && __atomic_fetch_add(&t->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        /* On its way out: tty_unref() decides under this lock. */
        __atomic_store_n(&t->refs, 0, __ATOMIC_RELEASE);
        t = NULL;
    }
    spin_unlock(&g_ttys.lock);
    return t;
}

int tty_next_index(uint32_t from)
{
    int found = -1;

    spin_lock(&g_ttys.lock);
    for (uint32_t i = from; i < TTY_COUNT_MAX && found < 0; i++)
        if (g_ttys.ttys[i] && __atomic_load_n(&g_ttys.ttys[i]->node, __ATOMIC_RELAXED))
            found = (int)i;
    spin_unlock(&g_ttys.lock);
    return found;
}

uint64_t tty_device(const struct tty *t)
{
    return (t->index & 0xffu) | PTS_MAJOR << 8 | (uint64_t)(t->index & ~0xffu) << 12;
}

int32_t tty_foreground(const struct tty *t)
{
    return __atomic_load_n(&t->pgid, __ATOMIC_RELAXED);
}

/* ---- after a change ---- */

static uint32_t state_of(const struct tty *t)
{
    const uint8_t *cc = t->ld.termios.c_cc;
    uint32_t state = 0;

    if (ldisc_is_readable(&t->ld, 1))
        state |= TTY_SLAVE_ANY;
    if (ldisc_is_readable(&t->ld, cc[VTIME] == 0 ? cc[VMIN] : 1))
        state |= TTY_SLAVE_IN;
    if (ldisc_is_writable(&t->ld))
        state |= TTY_SLAVE_OUT;
    if (byte_ring_used(&t->out))
        state |= TTY_MASTER_IN;
    if (ldisc_input_room(&t->ld))
        state |= TTY_MASTER_OUT;
    if (t->packet && t->packet_status)
        state |= TTY_MASTER_PRI;
    if (t->hung_up)
        state |= TTY_HUNG_UP;
    if (t->was_open && t->slaves == 0)
        state |= TTY_CLOSED;
    return state;
}

/* What a master in packet mode is told besides data. */
static void note_packet(struct tty *t)
{
    if (t->ld.flushed_output)
        t->packet_status |= TIOCPKT_FLUSHREAD | TIOCPKT_FLUSHWRITE;
    t->ld.flushed_output = false;
    if (t->ld.stopped != t->was_stopped) {
        t->packet_status &= (uint8_t) ~(TIOCPKT_STOP | TIOCPKT_START);
        t->packet_status |= t->ld.stopped ? TIOCPKT_STOP : TIOCPKT_START;
    }
    t->was_stopped = t->ld.stopped;
    if (!t->packet)
        t->packet_status = 0;
}

static void wake(struct tty *t, uint32_t state, uint32_t did)
{
    bool is_over = (state & TTY_HUNG_UP) != 0;

    if (is_over || ((did & TTY_DID_TYPE) && (state & TTY_SLAVE_ANY)))
        poll_wake_after_unlock(&t->slave_read, POLLIN | POLLRDNORM | (is_over ? POLLHUP : 0u));
    if (is_over || ((did & TTY_DID_TAKE) && (state & TTY_SLAVE_OUT)))
        poll_wake_after_unlock(&t->slave_write, POLLOUT | POLLWRNORM | (is_over ? POLLHUP : 0u));
    if (state & (TTY_CLOSED | TTY_MASTER_PRI) ||
        ((did & TTY_DID_OUTPUT) && (state & TTY_MASTER_IN)))
        poll_wake_after_unlock(&t->master_read, POLLIN | POLLRDNORM |
                                                    (state & TTY_CLOSED ? POLLHUP : 0u) |
                                                    (state & TTY_MASTER_PRI ? POLLPRI : 0u));
    if ((did & TTY_DID_READ) && (state & TTY_MASTER_OUT))
        poll_wake_after_unlock(&t->master_write, POLLOUT | POLLWRNORM);
}

void tty_unlock(struct tty *t, uint32_t did)
{
    uint32_t signals = t->ld.signals, state;
    int32_t pgid = t->pgid;

    t->ld.signals = 0;
    note_packet(t);
    state = state_of(t);
    __atomic_store_n(&t->state, state, __ATOMIC_RELEASE);
    mutex_unlock(&t->lock);
    if (did)
        wake(t, state, did);
    for (; signals && pgid; signals &= signals - 1)
        tty_signal_group(pgid, __builtin_ctz(signals) + 1);
    if (t->far && (did & TTY_DID_OUTPUT) && (state & TTY_MASTER_IN))
        t->far->output(t);
    if (t->far && (did & TTY_DID_READ))
        t->far->room(t);
}

void tty_hang_up(struct tty *t)
{
    tty_job_detach(t, true);
    tty_lock(t);
    t->hung_up = true;
    ldisc_start(&t->ld, true);
    tty_unlock(t, TTY_DID_ALL);
}

size_t tty_type(struct tty *t, const uint8_t *src, size_t size)
{
    size_t done;

    tty_lock(t);
    done = ldisc_input(&t->ld, src, size);
    /* A start or a flush makes room for output, too. */
    tty_unlock(t, TTY_DID_TYPE | TTY_DID_OUTPUT | TTY_DID_TAKE);
    return done;
}

void tty_set_size(struct tty *t, const struct winsize *size)
{
    int32_t pgid = 0;

    tty_lock(t);
    if (memcmp(&t->size, size, sizeof *size) != 0) {
        t->size = *size;
        pgid = t->pgid;
    }
    tty_unlock(t, 0);
    if (pgid)
        tty_signal_group(pgid, SIGWINCH);
}
