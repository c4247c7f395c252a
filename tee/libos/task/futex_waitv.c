/* SPDX-License-Identifier: Apache-2.0 */
/* futex_waitv: waits for any of several futexes. Trusted. */
#include <asm/errno.h>
#include <linux/futex.h>
#include <linux/time.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/mm/user.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/clocks.h"
#include "tee/libos/task/futex_private.h"

#define WAITER_FLAGS (FUTEX_32 | FUTEX_PRIVATE_FLAG)

static int read_deadline(uintptr_t address, int32_t clock_id, uint64_t *ret)
{
    struct __kernel_timespec ts;

    *ret = WAIT_FOREVER;
    if (!address)
        return 0;
    if (clock_id != CLOCK_MONOTONIC && clock_id != CLOCK_REALTIME)
        return -EINVAL;
    if (USER_GET(&ts, address) < 0)
        return -EFAULT;
    if (ts.tv_sec < 0 || ts.tv_nsec < 0 || ts.tv_nsec >= NS_PER_S)
        return -EINVAL;
    *ret = timespec_to_ns(&ts);
    if (clock_id == CLOCK_REALTIME)
        *ret = deadline_of_realtime_ns(*ret);
    return 0;
}

static int check_waiter(const struct futex_waitv *v)
{
    if ((v->flags & ~(uint32_t)WAITER_FLAGS) || !(v->flags & FUTEX_32) || v->__reserved ||
        v->val > UINT32_MAX)
        return -EINVAL;
    return futex_check(v->uaddr);
}

/* Enters the lists one after the other. *ret_entered: how many. returns: 0; -errno of the one that could not. */
static int enter_all(struct futex_waiter *waiters, uintptr_t from, unsigned count,
                     unsigned *ret_entered)
{
    struct futex_waitv v;
    int rc = 0;

    for (*ret_entered = 0; *ret_entered < count && rc == 0; *ret_entered += rc == 0) {
        struct futex_waiter *w = &waiters[*ret_entered];

        if (USER_GET(&v, from + *ret_entered * sizeof v) < 0)
            return -EFAULT;
        rc = check_waiter(&v);
        if (rc < 0)
            return rc;
        *w = (struct futex_waiter){
            .thread = current(),
            .addr = v.uaddr,
            .key = futex_key_of(v.uaddr, v.flags & FUTEX_PRIVATE_FLAG),
            .bitset = FUTEX_BITSET_MATCH_ANY,
        };
        rc = futex_waiter_enter(w, (uint32_t)v.val);
    }
    return rc;
}

/* Takes them out of their lists. returns: the index of the last that was woken; -1: none was. */
static int leave_all(struct futex_waiter *waiters, unsigned count)
{
    int woken = -1;

    for (unsigned i = 0; i < count; i++) {
        struct futex_bucket *b = futex_waiter_lock(&waiters[i]);

        if (waiters[i].woken)
            woken = (int)i;
        else
            futex_bucket_remove(b, &waiters[i]);
        spin_unlock(&b->lock);
    }
    return woken;
}

static bool has_woken(const struct futex_waiter *waiters, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (__atomic_load_n(&waiters[i].woken, __ATOMIC_ACQUIRE))
            return true;
    return false;
}

SYSCALL_DEFINE(futex_waitv)
{
    struct futex_waiter *waiters;
    unsigned count = (unsigned)b, entered;
    uint64_t deadline_ns;
    int rc, woken;

    if (c || !count || count > FUTEX_WAITV_MAX || !a)
        return -EINVAL;
    rc = read_deadline(d, (int32_t)e, &deadline_ns);
    if (rc < 0)
        return rc;
    waiters = mem_alloc(count * sizeof *waiters);
    if (!waiters)
        return -ENOMEM;
    rc = enter_all(waiters, a, count, &entered);
    while (rc == 0 && !has_woken(waiters, entered))
        rc = wait_sleep(NULL, 0, deadline_ns, true);
    woken = leave_all(waiters, entered);
    mem_free(waiters);
    return woken >= 0 ? woken : rc;
}
