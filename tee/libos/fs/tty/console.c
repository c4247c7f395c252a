/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console: terminal 0, whose far end is the host's terminal. Trusted.
 *
 * What the host gives is typed by a thread of the library OS, so that a key that sends a signal works while no program
 * reads. Output is given to the host by the thread that wrote it; what the host does not take at once, the service
 * gives it later. The host may type anything, claim any size up to TTY_SIZE_MAX, and never take output: nothing more.
 */
#include <asm/errno.h>
#include <asm/poll.h>
#include <linux/fcntl.h>

#include "tee/enclave/clock.h"
#include "tee/enclave/ocall.h"
#include "tee/libos/fs/tty/tty_private.h"
#include "tee/libos/signal/signal.h"

#define HOST_IN 0
#define HOST_OUT 1
#define PIECE_SIZE 2048u

static struct {
    struct tty *tty;         /* set once, before programs run */
    struct thread *service;  /* atomic; set once */
    struct mutex flush_lock; /* one at a time gives output to the host; guards output */
    uint8_t output[PIECE_SIZE];
    uint8_t input[PIECE_SIZE]; /* the service's own, as all below */
    size_t input_size, input_off;
    bool with_input;
    bool is_stalled; /* the host does not take output just now; atomic */
    bool is_resized; /* atomic */
} g_console;

static void wake_service(void)
{
    struct thread *service = __atomic_load_n(&g_console.service, __ATOMIC_ACQUIRE);

    if (service && service != thread_current())
        thread_wake(service);
}

/* ---- output ---- */

/* One piece. flush_lock held. returns: true: go on. */
static bool give_piece(struct tty *t)
{
    uint32_t tail, size;
    int64_t n;

    tty_lock(t);
    tail = t->out.tail;
    size = byte_ring_peek(&t->out, g_console.output, PIECE_SIZE);
    tty_unlock(t, 0);
    if (size == 0)
        return false;
    n = ocall_write(HOST_OUT, g_console.output, size);
    if (n == -EAGAIN) {
        __atomic_store_n(&g_console.is_stalled, true, __ATOMIC_RELEASE);
        return false;
    }
    __atomic_store_n(&g_console.is_stalled, false, __ATOMIC_RELEASE);
    if (n <= 0)
        n = size; /* nobody is there to read it */
    tty_lock(t);
    if (t->out.tail == tail) /* else it was flushed meanwhile */
        t->out.tail += (uint32_t)n;
    tty_unlock(t, TTY_DID_TAKE);
    return true;
}

/* returns: false: the host does not take more now. */
static bool give_output(struct tty *t)
{
    bool is_stalled = false;

    /* Who finds the lock taken leaves its bytes to the holder, who looks again when it has given the lock up. */
    while (!is_stalled && tty_is(t, TTY_MASTER_IN) && mutex_try(&g_console.flush_lock)) {
        while (give_piece(t))
            ;
        is_stalled = __atomic_load_n(&g_console.is_stalled, __ATOMIC_ACQUIRE);
        mutex_unlock(&g_console.flush_lock);
    }
    return !is_stalled;
}

static void far_output(struct tty *t)
{
    if (__atomic_load_n(&g_console.is_stalled, __ATOMIC_ACQUIRE) || !give_output(t))
        wake_service();
}

static void far_room(struct tty *t UNUSED)
{
    wake_service();
}

static const struct tty_far_ops g_far_ops = { .output = far_output, .room = far_room };

void console_drain(void)
{
    struct tty *t = g_console.tty;

    if (!t)
        return;
    while (tty_is(t, TTY_MASTER_IN)) {
        struct ocall_pollfd p = { .host_fd = HOST_OUT, .events = POLLOUT };

        if (!give_output(t) && ocall_poll(&p, 1, WAIT_FOREVER) < 0)
            return;
        ocall_yield(); /* another thread may be at it */
    }
}

/* ---- input and size ---- */

static void take_size(struct tty *t)
{
    struct winsize size = { 0 };

    for (int fd = 0; fd < 3; fd++) {
        if (ocall_tty_size(fd, &size.ws_row, &size.ws_col) < 0)
            continue;
        size.ws_row = MIN(size.ws_row, TTY_SIZE_MAX);
        size.ws_col = MIN(size.ws_col, TTY_SIZE_MAX);
        tty_set_size(t, &size);
        return;
    }
}

bool console_resize(void)
{
    if (!g_console.tty)
        return false;
    __atomic_store_n(&g_console.is_resized, true, __ATOMIC_RELEASE);
    wake_service();
    return true;
}

/* Types what was read before, then what the host has now. */
static void take_input(struct tty *t)
{
    if (g_console.input_off == g_console.input_size) {
        int64_t n = ocall_read(HOST_IN, g_console.input, PIECE_SIZE);

        g_console.input_off = g_console.input_size = 0;
        if (n == -EAGAIN)
            return;
        if (n <= 0) { /* the host's terminal is gone */
            g_console.with_input = false;
            tty_hang_up(t);
            return;
        }
        g_console.input_size = (size_t)n;
    }
    g_console.input_off += tty_type(t, g_console.input + g_console.input_off,
                                    g_console.input_size - g_console.input_off);
}

static void serve(void *arg)
{
    struct tty *t = arg;

    __atomic_store_n(&g_console.service, thread_current(), __ATOMIC_RELEASE);
    for (;;) {
        struct wait_host hosts[2];
        unsigned count = 0;

        signal_host_drain();
        if (__atomic_exchange_n(&g_console.is_resized, false, __ATOMIC_ACQ_REL))
            take_size(t);
        if (!give_output(t))
            hosts[count++] = (struct wait_host){ .host_fd = HOST_OUT, .events = POLLOUT };
        if (g_console.with_input && tty_is(t, TTY_MASTER_OUT))
            hosts[count++] = (struct wait_host){ .host_fd = HOST_IN, .events = POLLIN };
        if (g_console.input_off < g_console.input_size && tty_is(t, TTY_MASTER_OUT))
            take_input(t);
        else if (wait_sleep(hosts, count, WAIT_FOREVER, false) == -ERESTARTSYS)
            return; /* nobody ends this thread; should it be, it goes */
        else if (count && hosts[count - 1].host_fd == HOST_IN && hosts[count - 1].revents)
            take_input(t);
    }
}

int console_start(uint32_t uid, bool with_input)
{
    struct tty *t;
    int rc = tty_new(&t);

    if (rc < 0)
        return rc;
    rc = tty_node_new(t, uid);
    if (rc < 0) {
        tty_unref(t);
        return rc;
    }
    t->far = &g_far_ops;
    g_console.with_input = with_input;
    take_size(t);
    g_console.tty = t; /* the reference stays */
    return thread_start_kernel(serve, t, "console");
}

int tty_open_console(struct file *f)
{
    if (!g_console.tty)
        return -ENXIO;
    f->flags |= O_NOCTTY;
    return tty_slave_open(g_console.tty, f);
}
