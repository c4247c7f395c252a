/* SPDX-License-Identifier: Apache-2.0 */
/* OCALLs about threads: start, sleep, wake, kick, poll. Untrusted side. */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/ocall/ocall.h"

#define NS_PER_S 1000000000ull

int ocall_kick_signal(void)
{
    return SIGRTMIN + 3;
}

/* A slot keeps its host thread when the enclave's thread ends: making one costs more than a sleep. */
void ocall_serve_thread_start(struct ocall_thread *t, struct ocall_frame *f)
{
    struct ocall_host *h = t->host;
    struct ocall_thread *fresh;
    pthread_t thread;
    int rc = 0;

    if (t->args[0] >= h->thread_limit) {
        f->result = -EAGAIN;
        return;
    }
    fresh = &h->threads[t->args[0]];
    pthread_mutex_lock(&h->lock);
    fresh->host = h;
    if (!fresh->exists) {
        rc = pthread_create(&thread, &h->thread_attr, h->thread_main, fresh);
        fresh->exists = rc == 0;
    }
    pthread_mutex_unlock(&h->lock);
    if (rc == 0) {
        __atomic_store_n(&fresh->start, 1, __ATOMIC_SEQ_CST);
        syscall(SYS_futex, &fresh->start, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
    f->result = rc == 0 ? 0 : -EAGAIN;
}

void ocall_thread_wait(struct ocall_thread *t)
{
    __atomic_store_n(&t->idle, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_exchange_n(&t->start, 0, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &t->start, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    __atomic_store_n(&t->idle, 0, __ATOMIC_SEQ_CST);
}

static struct timespec *timeout_of(uint64_t ns, struct timespec *ts)
{
    if (ns == OCALL_FOREVER)
        return NULL;
    ts->tv_sec = (time_t)(ns / NS_PER_S);
    ts->tv_nsec = (long)(ns % NS_PER_S);
    return ts;
}

void ocall_timer_slack_set(struct ocall_thread *t, uint64_t ns)
{
    if (t->timer_slack_ns == ns)
        return;
    t->timer_slack_ns = ns;
    prctl(PR_SET_TIMERSLACK, ns == 0 ? t->host->timer_slack_ns : MIN(ns, (uint64_t)INT32_MAX));
}

void ocall_serve_park(struct ocall_thread *t, struct ocall_frame *f)
{
    struct timespec ts;
    long rc = 0;

    f->result = 0;
    ocall_timer_slack_set(t, t->args[1]);
    if (__atomic_exchange_n(&t->wake, 0, __ATOMIC_SEQ_CST))
        return;
    rc = syscall(SYS_futex, &t->wake, FUTEX_WAIT_PRIVATE, 0, timeout_of(t->args[0], &ts), NULL, 0);
    if (rc < 0 && errno == ETIMEDOUT)
        f->result = -ETIMEDOUT;
    __atomic_store_n(&t->wake, 0, __ATOMIC_SEQ_CST);
}

void ocall_wake_thread(struct ocall_thread *t)
{
    static const uint64_t one = 1;

    __atomic_store_n(&t->wake, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&t->polling, __ATOMIC_SEQ_CST)) {
        if (write(t->wake_fd, &one, sizeof one) < 0)
            return; /* full: it is awake already */
    } else {
        syscall(SYS_futex, &t->wake, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

static struct ocall_thread *find_thread(struct ocall_thread *t, uint64_t slot)
{
    return slot < t->host->thread_limit && t->host->threads[slot].host ? &t->host->threads[slot]
                                                                       : NULL;
}

void ocall_serve_unpark(struct ocall_thread *t, struct ocall_frame *f)
{
    struct ocall_thread *other = find_thread(t, t->args[0]);

    if (other)
        ocall_wake_thread(other);
    f->result = 0;
}

void ocall_kick_thread(struct ocall_thread *t)
{
    if (__atomic_exchange_n(&t->kicked, 1, __ATOMIC_SEQ_CST) == 0 && t->tid != 0)
        syscall(SYS_tgkill, getpid(), t->tid, ocall_kick_signal());
}

void ocall_serve_kick(struct ocall_thread *t, struct ocall_frame *f)
{
    struct ocall_thread *other = find_thread(t, t->args[0]);

    if (other)
        ocall_kick_thread(other);
    f->result = 0;
}

void ocall_serve_yield(struct ocall_thread *t, struct ocall_frame *f)
{
    sched_yield();
    f->result = 0;
}

bool ocall_wake_fd_get(struct ocall_thread *t)
{
    if (t->wake_fd < 0)
        t->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return t->wake_fd >= 0;
}

static void drain(struct ocall_thread *t)
{
    uint64_t drained;

    if (read(t->wake_fd, &drained, sizeof drained) < 0)
        return; /* somebody was faster */
}

/* The descriptors of the request, with this thread's own eventfd behind them. */
static unsigned gather(struct ocall_thread *t, const struct ocall_pollfd *asked, uint64_t count,
                       struct pollfd *fds)
{
    for (uint64_t i = 0; i < count; i++)
        fds[i] = (struct pollfd){ .fd = asked[i].host_fd, .events = (short)asked[i].events };
    fds[count] = (struct pollfd){ .fd = t->wake_fd, .events = POLLIN };
    return (unsigned)count + 1;
}

void ocall_serve_poll(struct ocall_thread *t, struct ocall_frame *f)
{
    struct ocall_pollfd *asked = (struct ocall_pollfd *)f->buffer;
    struct pollfd fds[OCALL_POLL_COUNT_MAX + 1];
    uint64_t count = t->args[0];
    struct timespec ts;
    int rc = 0;

    if (count > OCALL_POLL_COUNT_MAX) {
        f->result = -EINVAL;
        return;
    }
    if (!ocall_wake_fd_get(t)) {
        f->result = -ENOMEM;
        return;
    }
    ocall_timer_slack_set(t, t->args[2]);
    gather(t, asked, count, fds);
    __atomic_store_n(&t->polling, 1, __ATOMIC_SEQ_CST);
    if (__atomic_exchange_n(&t->wake, 0, __ATOMIC_SEQ_CST))
        rc = ppoll(fds, count, &(struct timespec){ 0 }, NULL);
    else
        rc = ppoll(fds, count + 1, timeout_of(t->args[1], &ts), NULL);
    __atomic_store_n(&t->polling, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&t->wake, 0, __ATOMIC_SEQ_CST);
    if (rc > 0 && fds[count].revents) {
        drain(t);
        rc--;
    }
    f->result = rc < 0 ? (errno == EINTR ? 0 : -errno) : MIN((uint64_t)rc, count);
    for (uint64_t i = 0; i < count; i++)
        asked[i].revents = rc > 0 ? (uint16_t)fds[i].revents : 0;
}
