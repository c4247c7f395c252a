/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OCALLs on sets of descriptors (epoll). The thread that sleeps on a set most, its owner, has its wake descriptor in the set:
 * then a sleep is one system call. Other threads sleep on the set and their own wake descriptor. Untrusted side.
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "host/ocall/ocall.h"

#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000ull

void ocall_serve_events_new(struct ocall_thread *t, struct ocall_frame *f)
{
    f->result = ocall_answer(epoll_create1(EPOLL_CLOEXEC));
}

void ocall_serve_events_change(struct ocall_thread *t, struct ocall_frame *f)
{
    static const int ops[] = {
        [OCALL_EVENT_ADD] = EPOLL_CTL_ADD,
        [OCALL_EVENT_REMOVE] = EPOLL_CTL_DEL,
        [OCALL_EVENT_CHANGE] = EPOLL_CTL_MOD,
    };
    struct epoll_event event = { .events = (uint32_t)t->args[3], .data.u64 = t->args[4] };

    if (t->args[1] < OCALL_EVENT_ADD || t->args[1] > OCALL_EVENT_CHANGE) {
        f->result = -EINVAL;
        return;
    }
    f->result = ocall_answer(epoll_ctl((int)t->args[0], ops[t->args[1]], (int)t->args[2], &event));
}

void ocall_serve_dup(struct ocall_thread *t, struct ocall_frame *f)
{
    f->result = ocall_answer(dup((int)t->args[0])); /* nothing is executed from here */
}

static int wait_set(int set, struct epoll_event *events, int count, uint64_t timeout_ns)
{
    struct timespec ts = { (time_t)(timeout_ns / NS_PER_S), (long)(timeout_ns % NS_PER_S) };
    int n;

    if (timeout_ns == 0)
        return epoll_wait(set, events, count, 0);
    if (timeout_ns == OCALL_FOREVER)
        return epoll_wait(set, events, count, -1);
    n = epoll_pwait2(set, events, count, &ts, NULL);
    if (n < 0 && errno == ENOSYS) { /* before Linux 5.11 */
        uint64_t ms = (timeout_ns + NS_PER_MS - 1) / NS_PER_MS;

        n = epoll_wait(set, events, count, (int)(ms > INT32_MAX ? INT32_MAX : ms));
    }
    return n;
}

/*
 * The wake of a set's owner. Another thread that finds it while the owner does not sleep takes it away, lest it ends each
 * sleep on the set; a wake that came meanwhile is sent again.
 */
static void take_wake(struct ocall_thread *t, uint64_t slot)
{
    struct ocall_thread *owner = slot < t->host->thread_limit ? &t->host->threads[slot] : NULL;
    uint64_t drained;

    if (t->slot == slot)
        owner = t;
    if (!owner || owner->wake_fd < 0 ||
        (owner != t && __atomic_load_n(&owner->polling, __ATOMIC_SEQ_CST)))
        return;
    if (read(owner->wake_fd, &drained, sizeof drained) < 0)
        return; /* somebody was faster */
    if (owner != t && __atomic_load_n(&owner->wake, __ATOMIC_SEQ_CST))
        ocall_wake_thread(owner);
}

/* Sleeps as a guest of the set: until it has something, or this thread is woken. */
static int wait_beside(struct ocall_thread *t, int set, struct epoll_event *events, int count,
                       uint64_t timeout_ns)
{
    struct timespec ts = { (time_t)(timeout_ns / NS_PER_S), (long)(timeout_ns % NS_PER_S) };
    struct pollfd fds[] = { { .fd = set, .events = POLLIN },
                            { .fd = t->wake_fd, .events = POLLIN } };
    int n = ppoll(fds, 2, timeout_ns == OCALL_FOREVER ? NULL : &ts, NULL);

    if (n > 0 && fds[1].revents)
        take_wake(t, t->slot);
    return n > 0 && fds[0].revents ? wait_set(set, events, count, 0) : n < 0 ? n : 0;
}

/* Puts this thread's wake descriptor into the set. */
static int become_owner(struct ocall_thread *t, int set)
{
    struct epoll_event own = { .events = EPOLLIN, .data.u64 = OCALL_EVENT_OF_HOST | t->slot };

    return epoll_ctl(set, EPOLL_CTL_ADD, t->wake_fd, &own) < 0 && errno != EEXIST ? -1 : 0;
}

static int sleep_on(struct ocall_thread *t, const struct ocall_frame *f, struct epoll_event *events,
                    int count)
{
    int set = (int)t->args[0], n;
    uint64_t timeout_ns = t->args[2];

    ocall_timer_slack_set(t, t->args[4]);
    __atomic_store_n(&t->polling, 1, __ATOMIC_SEQ_CST);
    if (__atomic_exchange_n(&t->wake, 0, __ATOMIC_SEQ_CST))
        n = wait_set(set, events, count, 0);
    else if (t->args[3] == OCALL_EVENT_GUEST)
        n = wait_beside(t, set, events, count, timeout_ns);
    else
        n = wait_set(set, events, count, timeout_ns);
    __atomic_store_n(&t->polling, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&t->wake, 0, __ATOMIC_SEQ_CST);
    return n;
}

void ocall_serve_events_wait(struct ocall_thread *t, struct ocall_frame *f)
{
    struct epoll_event events[OCALL_EVENT_COUNT_MAX];
    struct ocall_event *out = (struct ocall_event *)f->buffer;
    uint64_t count = t->args[1];
    int n;

    if (count == 0 || count > OCALL_EVENT_COUNT_MAX) {
        f->result = -EINVAL;
        return;
    }
    if (!ocall_wake_fd_get(t)) {
        f->result = -ENOMEM;
        return;
    }
    n = t->args[3] == OCALL_EVENT_NEW_OWNER ? become_owner(t, (int)t->args[0]) : 0;
    if (n == 0)
        n = t->args[2] ? sleep_on(t, f, events, (int)count)
                       : wait_set((int)t->args[0], events, (int)count, 0);
    if (n < 0) {
        f->result = errno == EINTR ? 0 : -errno;
        return;
    }
    f->result = 0;
    for (int i = 0; i < n; i++) {
        if (events[i].data.u64 & OCALL_EVENT_OF_HOST)
            take_wake(t, events[i].data.u64 & ~OCALL_EVENT_OF_HOST);
        else
            out[f->result++] =
                (struct ocall_event){ .data = events[i].data.u64, .events = events[i].events };
    }
}
