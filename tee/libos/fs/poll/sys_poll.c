/* SPDX-License-Identifier: Apache-2.0 */
/* poll(2), ppoll(2), select(2), pselect6(2). Trusted. */
#include <asm/errno.h>
#include <asm/poll.h>
#include <linux/time_types.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/poll/poll_set.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"

#define ITEMS_INLINE 16u
#define NS_PER_SEC 1000000000ull
#define RLIMIT_NOFILE_INDEX 7

/* ---- timeouts ---- */

/* A timespec of the program, as a deadline. ts 0: forever. */
static int timespec_deadline(uintptr_t ts, uint64_t *ret)
{
    struct __kernel_timespec t;
    int rc;

    *ret = WAIT_FOREVER;
    if (!ts)
        return 0;
    rc = USER_GET(&t, ts);
    if (rc < 0)
        return rc;
    if (t.tv_sec < 0 || t.tv_nsec < 0 || (uint64_t)t.tv_nsec >= NS_PER_SEC)
        return -EINVAL;
    if ((uint64_t)t.tv_sec < UINT64_MAX / NS_PER_SEC / 2)
        *ret = poll_deadline_ns((uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec);
    return 0;
}

/* What is left of the time, written back as Linux does; a fault there is not reported. */
static void put_left(uintptr_t ts, uint64_t deadline_ns, bool micro)
{
    uint64_t now = clock_monotonic_ns();
    uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
    struct __kernel_timespec t = { .tv_sec = (int64_t)(left / NS_PER_SEC),
                                   .tv_nsec = (int64_t)(left % NS_PER_SEC) };

    if (!ts || deadline_ns == WAIT_FOREVER)
        return;
    if (micro)
        t.tv_nsec /= 1000;
    int rc UNUSED = USER_PUT(ts, &t);
}

/* ---- poll ---- */

static void unref_items(struct poll_item *items, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (items[i].file)
            file_unref(items[i].file);
}

/* Returns how many entries are already answered (POLLNVAL). */
static int get_items(struct poll_item *items, const struct pollfd *fds, unsigned count)
{
    int bad = 0;

    for (unsigned i = 0; i < count; i++) {
        items[i] = (struct poll_item){ .events = (uint16_t)fds[i].events };
        if (fds[i].fd < 0)
            continue;
        items[i].file = fd_get(fds[i].fd);
        if (!items[i].file) {
            items[i].revents = POLLNVAL;
            bad++;
        }
    }
    return bad;
}

static int64_t poll_with(struct poll_item *items, struct pollfd *fds, uintptr_t addr,
                         unsigned count, uint64_t deadline_ns)
{
    int rc = count ? user_copy_in(fds, addr, count * sizeof *fds) : 0;
    if (rc < 0)
        return rc;

    int bad = get_items(items, fds, count);
    rc = poll_set_wait(items, count, bad ? 0 : deadline_ns);
    unref_items(items, count);
    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < count; i++) {
        fds[i].revents = (short)items[i].revents;
        int put = user_copy_out(addr + i * sizeof *fds + offsetof(struct pollfd, revents),
                                &fds[i].revents, sizeof fds[i].revents);
        if (put < 0)
            return put;
    }
    return rc + bad;
}

static int64_t poll_heap(uintptr_t addr, unsigned count, uint64_t deadline_ns)
{
    CLEANUP(mem_freep)
    struct poll_item *items = mem_calloc(count, sizeof *items);
    CLEANUP(mem_freep)
    struct pollfd *fds = mem_calloc(count, sizeof *fds);

    if (!items || !fds)
        return -ENOMEM;
    return poll_with(items, fds, addr, count, deadline_ns);
}

static int64_t poll_small(uintptr_t addr, unsigned count, uint64_t deadline_ns)
{
    struct poll_item items[ITEMS_INLINE];
    struct pollfd fds[ITEMS_INLINE];

    return poll_with(items, fds, addr, count, deadline_ns);
}

static int64_t poll_any(uintptr_t addr, uint64_t count, uint64_t deadline_ns)
{
    if (count > MIN(process_current()->limits[RLIMIT_NOFILE_INDEX].current, FD_COUNT_MAX))
        return -EINVAL;
    if (count <= ITEMS_INLINE)
        return poll_small(addr, (unsigned)count, deadline_ns);
    return poll_heap(addr, (unsigned)count, deadline_ns);
}

SYSCALL_DEFINE(poll)
{
    int timeout_ms = (int)c;
    uint64_t deadline =
        timeout_ms < 0 ? WAIT_FOREVER : poll_deadline_ns((uint64_t)timeout_ms * 1000000);
    int64_t rc = poll_any(a, (uint32_t)b, deadline);

    return rc == -ERESTARTSYS ? -EINTR : rc;
}

SYSCALL_DEFINE(ppoll)
{
    uint64_t deadline;
    int64_t rc = timespec_deadline(c, &deadline);

    if (rc == 0)
        rc = poll_sigmask_begin(d, e);
    if (rc < 0)
        return rc;
    rc = poll_sigmask_end(poll_any(a, (uint32_t)b, deadline), -EINTR);
    put_left(c, deadline, false);
    return rc;
}

/* ---- select ---- */

#define SELECT_FDS_MAX FD_COUNT_MAX
#define SELECT_IN (POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR)
#define SELECT_OUT (POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR)
#define SELECT_EX POLLPRI

/* The three sets of a call, as 64-bit words. */
struct select_sets {
    uint64_t *bits[3];
    unsigned words;
};

static const uint16_t select_ask[3] = { POLLIN | POLLRDNORM, POLLOUT | POLLWRNORM, POLLPRI };
static const uint16_t select_answer[3] = { SELECT_IN, SELECT_OUT, SELECT_EX };

/* The program's sets are whole longs: bytes up to the word that holds fd n - 1. */
static int get_sets(struct select_sets *s, const uintptr_t addrs[3])
{
    for (int i = 0; i < 3; i++) {
        if (!addrs[i])
            continue;
        int rc = user_copy_in(s->bits[i], addrs[i], s->words * 8);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static unsigned count_fds(const struct select_sets *s, unsigned n)
{
    unsigned count = 0;

    for (unsigned w = 0; w < s->words; w++) {
        uint64_t any = s->bits[0][w] | s->bits[1][w] | s->bits[2][w];

        if (w == n / 64)
            any &= (1ull << n % 64) - 1;
        for (; any; any &= any - 1)
            count++;
    }
    return count;
}

static int64_t select_wait(struct select_sets *s, unsigned n, struct poll_item *items,
                           uint32_t *fds, uint64_t deadline_ns)
{
    unsigned count = 0;
    int64_t rc = 0;

    for (unsigned fd = 0; fd < n; fd++) {
        uint16_t events = 0;

        if (fd % 64 == 0 && !(s->bits[0][fd / 64] | s->bits[1][fd / 64] | s->bits[2][fd / 64])) {
            fd += 63;
            continue;
        }
        for (int i = 0; i < 3; i++)
            if (s->bits[i][fd / 64] >> fd % 64 & 1)
                events |= select_ask[i];
        if (!events)
            continue;
        items[count] = (struct poll_item){ .file = fd_get((int)fd), .events = events };
        if (!items[count].file) {
            rc = -EBADF;
            break;
        }
        fds[count++] = fd;
    }
    if (rc == 0)
        rc = poll_set_wait(items, count, deadline_ns);
    unref_items(items, count);
    if (rc < 0)
        return rc;

    int64_t answered = 0;
    for (int i = 0; i < 3; i++) {
        for (unsigned j = 0; j < count; j++) {
            uint64_t bit = 1ull << fds[j] % 64;
            uint64_t *word = &s->bits[i][fds[j] / 64];

            if (!(*word & bit))
                continue;
            if (items[j].revents & select_answer[i])
                answered++;
            else
                *word &= ~bit;
        }
    }
    return answered;
}

static int64_t select_any(int n, const uintptr_t addrs[3], uint64_t deadline_ns)
{
    if (n < 0)
        return -EINVAL;
    n = MIN(n, (int)SELECT_FDS_MAX);

    struct select_sets s = { .words = ((unsigned)n + 63) / 64 };
    CLEANUP(mem_freep)
    uint64_t *bits = mem_calloc(s.words * 3 + 1, 8);
    if (!bits)
        return -ENOMEM;
    for (int i = 0; i < 3; i++)
        s.bits[i] = bits + (size_t)s.words * (unsigned)i;
    int rc = get_sets(&s, addrs);
    if (rc < 0)
        return rc;

    unsigned count = count_fds(&s, (unsigned)n);
    CLEANUP(mem_freep)
    struct poll_item *items = mem_calloc(count + 1, sizeof *items);
    CLEANUP(mem_freep)
    uint32_t *fds = mem_calloc(count + 1, sizeof *fds);
    if (!items || !fds)
        return -ENOMEM;
    int64_t answered = select_wait(&s, (unsigned)n, items, fds, deadline_ns);
    if (answered < 0)
        return answered;
    for (int i = 0; i < 3; i++) {
        if (!addrs[i])
            continue;
        rc = user_copy_out(addrs[i], s.bits[i], s.words * 8);
        if (rc < 0)
            return rc;
    }
    return answered;
}

SYSCALL_DEFINE(select)
{
    uintptr_t addrs[3] = { b, c, d };
    uint64_t deadline = WAIT_FOREVER;

    if (e) {
        struct __kernel_old_timeval t;
        int rc = USER_GET(&t, e);

        if (rc < 0)
            return rc;
        if (t.tv_sec < 0 || t.tv_usec < 0)
            return -EINVAL;
        if ((uint64_t)t.tv_sec < UINT64_MAX / NS_PER_SEC / 4 &&
            (uint64_t)t.tv_usec < UINT64_MAX / 4000)
            deadline =
                poll_deadline_ns((uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_usec * 1000);
    }
    int64_t rc = select_any((int)a, addrs, deadline);
    put_left(e, deadline, true);
    return rc == -ERESTARTSYS ? -ERESTARTNOHAND : rc;
}

SYSCALL_DEFINE(pselect6)
{
    uintptr_t addrs[3] = { b, c, d };
    uint64_t mask[2] = { 0, 0 }; /* address and size of the signal mask */
    uint64_t deadline;
    int64_t rc = timespec_deadline(e, &deadline);

    if (rc == 0 && f)
        rc = user_copy_in(mask, f, sizeof mask);
    if (rc == 0)
        rc = poll_sigmask_begin(mask[0], mask[1]);
    if (rc < 0)
        return rc;
    rc = poll_sigmask_end(select_any((int)a, addrs, deadline), -ERESTARTNOHAND);
    put_left(e, deadline, false);
    return rc;
}
