/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timer_create and its family, setitimer, alarm. Trusted. A timer counts on the monotonic clock or on
 * CPU time; for CPU time the service looks again when the rest could have passed at the earliest.
 */
#include <asm/errno.h>
#include <asm/siginfo.h>
#include <asm/signal.h>
#include <linux/time.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/libos/mm/user.h"
#include "tee/libos/signal/queue.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/clock_set.h"
#include "tee/libos/task/clocks.h"
#include "tee/libos/task/posix_timer.h"
#include "tee/libos/task/task.h"
#include "tee/libos/task/timer.h"

#define TIMERS_MAX 256u
#define ITIMER_COUNT 3u
#define RECHECK_MIN_NS 1000000u /* CPU time is looked at again at most this often */
#define OVERRUN_MAX INT32_MAX

struct posix_timer {
    struct timer timer;
    struct clock_watch watch;
    struct process *process;   /* outlives its timers */
    struct thread *target;     /* SIGEV_THREAD_ID; a reference, else NULL */
    struct thread *cpu_thread; /* whose CPU time it counts; a reference, NULL: the process's */
    int32_t id, clock_id, notify, signo;
    uint64_t value; /* sigev_value */
    bool is_itimer, on_cpu_time;
    struct spin lock; /* guards what follows */
    uint64_t next_ns; /* on the timer's clock; 0: disarmed */
    uint64_t interval_ns;
    uint64_t
        wall_ns; /* the same as next_ns on the wall clock, where an absolute time of that was asked for; else 0 */
    uint64_t overrun, overrun_sent;
    bool is_queued; /* its signal has been sent and not been taken yet */
};

struct timer_set {
    struct mutex lock;
    struct posix_timer *itimers[ITIMER_COUNT];
    struct posix_timer *timers[TIMERS_MAX];
};

static uint64_t timer_now_ns(const struct posix_timer *pt)
{
    if (pt->cpu_thread)
        return thread_cpu_ns(pt->cpu_thread);
    return pt->on_cpu_time ? process_cpu_ns(pt->process) : clock_monotonic_ns();
}

/* ---- expiry, on the service's thread ---- */

static bool is_still_pending(const struct posix_timer *pt)
{
    const struct sig_queue *q = pt->target ? pt->target->pending : pt->process->pending;

    return sig_queue_mask(q) & SIGNAL_BIT(pt->signo);
}

static void notify(struct posix_timer *pt)
{
    struct siginfo_linux info = { .signo = pt->signo, .code = SI_TIMER };
    struct thread *target = pt->target;

    if (pt->notify == SIGEV_NONE)
        return;
    spin_lock(&pt->lock);
    if (pt->is_queued && is_still_pending(pt)) {
        pt->overrun++;
        spin_unlock(&pt->lock);
        return;
    }
    pt->is_queued = !pt->is_itimer;
    ((int32_t *)info.fields)[0] = pt->id;
    ((uint64_t *)info.fields)[1] = pt->value;
    spin_unlock(&pt->lock);
    if (pt->is_itimer)
        info = (struct siginfo_linux){ .signo = pt->signo, .code = SI_KERNEL };
    if (target)
        (void)signal_send_thread(target, pt->signo, &info);
    else
        (void)signal_send_process(pt->process, pt->signo, &info);
    spin_lock(&pt->lock);
    if (!is_still_pending(pt))
        pt->is_queued = false; /* ignored, or taken already */
    spin_unlock(&pt->lock);
}

/* Moves next_ns past now. returns: when to look again, monotonic; 0: not any more. */
static uint64_t advance(struct posix_timer *pt, uint64_t now_ns)
{
    uint64_t missed;

    if (!pt->interval_ns) {
        pt->next_ns = 0;
        return 0;
    }
    missed = (now_ns - pt->next_ns) / pt->interval_ns;
    pt->overrun += missed;
    if (pt->wall_ns)
        pt->wall_ns += (missed + 1) * pt->interval_ns;
    pt->next_ns += (missed + 1) * pt->interval_ns;
    return clock_monotonic_ns() + (pt->next_ns - now_ns);
}

/* CPU time of a process can pass as fast as it has threads. */
static uint64_t recheck_after_ns(const struct posix_timer *pt, uint64_t left_ns)
{
    if (pt->on_cpu_time && !pt->cpu_thread)
        left_ns /= MAX(__atomic_load_n(&pt->process->thread_count, __ATOMIC_RELAXED), 1u);
    return MAX(left_ns, (uint64_t)RECHECK_MIN_NS);
}

static void expire(struct timer *timer, void *arg)
{
    struct posix_timer *pt = arg;
    uint64_t now_ns = timer_now_ns(pt), again_ns = 0;
    bool has_expired;

    spin_lock(&pt->lock);
    has_expired = pt->next_ns && now_ns >= pt->next_ns;
    if (has_expired)
        again_ns = advance(pt, now_ns);
    else if (pt->next_ns)
        again_ns = clock_monotonic_ns() + recheck_after_ns(pt, pt->next_ns - now_ns);
    spin_unlock(&pt->lock);
    if (has_expired)
        notify(pt);
    if (again_ns && timer_add(timer, again_ns) < 0)
        pt->next_ns = 0; /* cannot be: the service runs this */
}

/* ---- arming ---- */

/* The wall clock was set: a timer on an absolute time of it has another way to go. */
static void on_clock_set(void *arg)
{
    struct posix_timer *pt = arg;
    uint64_t mono_ns = clock_monotonic_ns(), wall_ns = clock_realtime_ns(), next_ns = 0;

    spin_lock(&pt->lock);
    if (pt->wall_ns && pt->next_ns)
        next_ns = pt->next_ns = mono_ns + (pt->wall_ns > wall_ns ? pt->wall_ns - wall_ns : 0);
    spin_unlock(&pt->lock);
    if (next_ns && timer_add(&pt->timer, next_ns) < 0)
        pt->next_ns = 0; /* cannot be: the service runs */
}

/* Of a timer that is set again or deleted no signal is left from before (Linux since 6.13). */
static void take_back(struct posix_timer *pt)
{
    struct sig_queue *q = pt->target ? pt->target->pending : pt->process->pending;
    struct sig_state *s;
    struct sig_entry *e;

    if (!pt->is_queued)
        return;
    s = sig_state_lock(pt->process);
    e = sig_queue_take_timer(q, pt->signo, pt->id);
    spin_unlock(&s->lock);
    sig_entry_free_chain(e);
    pt->is_queued = false;
}

/* value_ns 0: disarms. value_ns counts from now; wall_ns: the time of the wall clock that it comes from, or 0. */
static int arm(struct posix_timer *pt, uint64_t value_ns, uint64_t interval_ns, uint64_t wall_ns)
{
    (void)timer_cancel(&pt->timer);
    /* The callback may have armed it again before it returned. */
    (void)timer_cancel(&pt->timer);
    uint64_t now_ns = timer_now_ns(pt);

    take_back(pt);
    spin_lock(&pt->lock);
    pt->interval_ns = interval_ns;
    pt->next_ns = value_ns ? now_ns + value_ns : 0;
    pt->wall_ns = value_ns ? wall_ns : 0;
    pt->overrun = 0;
    spin_unlock(&pt->lock);
    return value_ns ? timer_add(&pt->timer, deadline_after_ns(value_ns)) : 0;
}

static void read_state(struct posix_timer *pt, uint64_t *ret_left_ns, uint64_t *ret_interval_ns)
{
    uint64_t now_ns = timer_now_ns(pt);

    spin_lock(&pt->lock);
    *ret_interval_ns = pt->interval_ns;
    *ret_left_ns = !pt->next_ns ? 0 : pt->next_ns > now_ns ? pt->next_ns - now_ns : 1;
    spin_unlock(&pt->lock);
}

static void posix_timer_free(struct posix_timer *pt)
{
    if (!pt)
        return;
    clock_watch_remove(&pt->watch);
    (void)arm(pt, 0, 0, 0);
    thread_unref(pt->target);
    thread_unref(pt->cpu_thread);
    mem_free(pt);
}

static struct timer_set *timers_of(struct process *p)
{
    mutex_lock(&p->lock);
    if (!p->timers)
        p->timers = mem_zalloc(sizeof *p->timers);
    mutex_unlock(&p->lock);
    return p->timers;
}

void process_timers_drop(struct process *p, bool all)
{
    struct timer_set *set = p->timers;

    if (!set)
        return;
    mutex_lock(&set->lock);
    for (unsigned i = 0; i < TIMERS_MAX; i++) {
        posix_timer_free(set->timers[i]);
        set->timers[i] = NULL;
    }
    for (unsigned i = 0; all && i < ITIMER_COUNT; i++) {
        posix_timer_free(set->itimers[i]);
        set->itimers[i] = NULL;
    }
    mutex_unlock(&set->lock);
    if (all) {
        p->timers = NULL;
        mem_free(set);
    }
}

/* ---- interval timers ---- */

static struct posix_timer *itimer_of(struct timer_set *set, unsigned which)
{
    static const int signals[ITIMER_COUNT] = { SIGALRM, SIGVTALRM, SIGPROF };
    struct posix_timer *pt = set->itimers[which];

    if (pt)
        return pt;
    pt = mem_zalloc(sizeof *pt);
    if (!pt)
        return NULL;
    timer_init(&pt->timer, expire, pt);
    pt->process = process_current();
    pt->notify = SIGEV_SIGNAL;
    pt->signo = signals[which];
    pt->is_itimer = true;
    pt->on_cpu_time = which != ITIMER_REAL;
    set->itimers[which] = pt;
    return pt;
}

/* Sets (unless only reading) interval timer `which`; both old values are given back. */
static int exchange_itimer(unsigned which, const uint64_t *value_ns, const uint64_t *interval_ns,
                           uint64_t *ret_left_ns, uint64_t *ret_interval_ns)
{
    struct timer_set *set = timers_of(process_current());
    struct posix_timer *pt;
    int rc = 0;

    if (!set)
        return -ENOMEM;
    mutex_lock(&set->lock);
    pt = itimer_of(set, which);
    if (pt) {
        read_state(pt, ret_left_ns, ret_interval_ns);
        if (value_ns)
            rc = arm(pt, *value_ns, *interval_ns, 0);
    }
    mutex_unlock(&set->lock);
    return pt ? rc : -ENOMEM;
}

static int timeval_to_ns(const struct __kernel_old_timeval *tv, uint64_t *ret_ns)
{
    struct __kernel_timespec ts = { .tv_sec = tv->tv_sec, .tv_nsec = tv->tv_usec * NS_PER_US };

    if (tv->tv_sec < 0 || tv->tv_usec < 0 || tv->tv_usec >= 1000000)
        return -EINVAL;
    *ret_ns = timespec_to_ns(&ts);
    return 0;
}

static struct __kernel_old_timeval timeval_from_ns(uint64_t ns)
{
    ns += NS_PER_US - 1; /* a timer that is armed never shows zero */
    return (struct __kernel_old_timeval){ .tv_sec = (int64_t)(ns / NS_PER_S),
                                          .tv_usec = (int64_t)(ns % NS_PER_S / NS_PER_US) };
}

struct old_itimerval {
    struct __kernel_old_timeval interval, value;
};

static int put_itimerval(uintptr_t addr, uint64_t left_ns, uint64_t interval_ns)
{
    struct old_itimerval out = { .interval = timeval_from_ns(interval_ns),
                                 .value = timeval_from_ns(left_ns) };

    return USER_PUT(addr, &out) < 0 ? -EFAULT : 0;
}

SYSCALL_DEFINE(getitimer)
{
    uint64_t left_ns, interval_ns;
    int rc;

    if (a >= ITIMER_COUNT)
        return -EINVAL;
    rc = exchange_itimer((unsigned)a, NULL, NULL, &left_ns, &interval_ns);
    return rc < 0 ? rc : put_itimerval(b, left_ns, interval_ns);
}

SYSCALL_DEFINE(setitimer)
{
    struct old_itimerval in = { 0 };
    uint64_t value_ns, wanted_interval_ns, left_ns, interval_ns;
    int rc;

    if (a >= ITIMER_COUNT)
        return -EINVAL;
    if (b && USER_GET(&in, b) < 0)
        return -EFAULT;
    rc = timeval_to_ns(&in.value, &value_ns);
    if (rc == 0)
        rc = timeval_to_ns(&in.interval, &wanted_interval_ns);
    if (rc == 0)
        rc = exchange_itimer((unsigned)a, &value_ns, &wanted_interval_ns, &left_ns, &interval_ns);
    if (rc < 0 || !c)
        return rc;
    return put_itimerval(c, left_ns, interval_ns);
}

SYSCALL_DEFINE(alarm)
{
    uint64_t value_ns = (uint64_t)(uint32_t)a * NS_PER_S, none_ns = 0, left_ns, interval_ns;

    if (exchange_itimer(ITIMER_REAL, &value_ns, &none_ns, &left_ns, &interval_ns) < 0)
        return 0;
    return (int64_t)((left_ns + NS_PER_S / 2) / NS_PER_S + (left_ns && left_ns < NS_PER_S / 2));
}

/* ---- timer_create ---- */

struct sigevent_linux {
    uint64_t value;
    int32_t signo, notify;
    int32_t tid;
    int32_t pad[11];
};
_Static_assert(sizeof(struct sigevent_linux) == 64, "struct sigevent");

static int check_clock(int32_t clock_id, bool *ret_cpu)
{
    uint64_t ns;

    *ret_cpu =
        clock_id == CLOCK_PROCESS_CPUTIME_ID || clock_id == CLOCK_THREAD_CPUTIME_ID || clock_id < 0;
    return *ret_cpu ? clock_read(clock_id, &ns) : clock_deadline(clock_id, 0, &ns);
}

static int fill_timer(struct posix_timer *pt, const struct sigevent_linux *event)
{
    int32_t kind = event->notify & ~SIGEV_THREAD_ID;

    pt->notify = kind;
    pt->signo = event->signo;
    pt->value = event->value;
    if (kind != SIGEV_SIGNAL && kind != SIGEV_NONE && kind != SIGEV_THREAD)
        return -EINVAL;
    if (kind != SIGEV_NONE && (event->signo < 1 || event->signo > SIGNAL_COUNT))
        return -EINVAL;
    if (!(event->notify & SIGEV_THREAD_ID))
        return 0;
    pt->target = thread_find(event->tid);
    return pt->target && pt->target->process == process_current() ? 0 : -EINVAL;
}

/* The thread whose CPU time clock_id is, with a reference; NULL: it is a process's. */
static struct thread *cpu_thread_of(int32_t clock_id)
{
    if (clock_id == CLOCK_THREAD_CPUTIME_ID) {
        thread_ref(current());
        return current();
    }
    /* As the kernel encodes them: ~id << 3, bit 2 for a thread, the kind of time below. */
    if (clock_id >= 0 || !(clock_id & 4))
        return NULL;
    if (~(clock_id >> 3) != 0)
        return thread_find(~(clock_id >> 3));
    thread_ref(current());
    return current();
}

static int32_t add_timer(struct timer_set *set, struct posix_timer *pt)
{
    int32_t id = -EAGAIN;

    mutex_lock(&set->lock);
    for (unsigned i = 0; i < TIMERS_MAX && id < 0; i++)
        if (!set->timers[i]) {
            id = (int32_t)i;
            pt->id = id;
            set->timers[i] = pt;
        }
    mutex_unlock(&set->lock);
    return id;
}

SYSCALL_DEFINE(timer_create)
{
    struct timer_set *set = timers_of(process_current());
    struct sigevent_linux event = { .signo = SIGALRM, .notify = SIGEV_SIGNAL };
    struct posix_timer *pt;
    bool on_cpu_time;
    int rc = check_clock((int32_t)a, &on_cpu_time);

    if (rc < 0)
        return rc;
    if (b && USER_GET(&event, b) < 0)
        return -EFAULT;
    pt = set ? mem_zalloc(sizeof *pt) : NULL;
    if (!pt)
        return -EAGAIN;
    timer_init(&pt->timer, expire, pt);
    pt->process = process_current();
    pt->clock_id = (int32_t)a;
    pt->on_cpu_time = on_cpu_time;
    pt->cpu_thread = on_cpu_time ? cpu_thread_of(pt->clock_id) : NULL;
    rc = fill_timer(pt, &event);
    if (clock_is_wall(pt->clock_id))
        clock_watch_add(&pt->watch, on_clock_set, pt);
    if (rc == 0)
        rc = add_timer(set, pt);
    if (rc < 0) {
        posix_timer_free(pt);
        return rc;
    }
    if (!b)
        pt->value = (uint64_t)pt->id;
    return USER_PUT(c, &pt->id) < 0 ? -EFAULT : 0;
}

/* The timer with set->lock held; NULL: no such timer, not locked. */
static struct posix_timer *get_timer(uint64_t id)
{
    struct timer_set *set = process_current()->timers;
    struct posix_timer *pt;

    if (!set || (uint32_t)id >= TIMERS_MAX)
        return NULL;
    mutex_lock(&set->lock);
    pt = set->timers[(uint32_t)id];
    if (!pt)
        mutex_unlock(&set->lock);
    return pt;
}

static void put_timer(void)
{
    mutex_unlock(&process_current()->timers->lock);
}

void timer_signal_taken(struct siginfo_linux *info)
{
    int32_t *fields = (int32_t *)info->fields;
    struct posix_timer *pt = get_timer((uint32_t)fields[0]);

    if (!pt)
        return;
    spin_lock(&pt->lock);
    if (pt->is_queued && pt->signo == info->signo) { /* programs can queue such signals, too */
        pt->overrun_sent = MIN(pt->overrun, (uint64_t)OVERRUN_MAX);
        pt->overrun = 0;
        pt->is_queued = false;
        fields[1] = (int32_t)pt->overrun_sent;
    }
    spin_unlock(&pt->lock);
    put_timer();
}

struct itimerspec_linux {
    struct __kernel_timespec interval, value;
};

static struct itimerspec_linux timer_state(struct posix_timer *pt)
{
    uint64_t left_ns, interval_ns;

    read_state(pt, &left_ns, &interval_ns);
    return (struct itimerspec_linux){ .interval = timespec_from_ns(interval_ns),
                                      .value = timespec_from_ns(left_ns) };
}

/* The time from now until an absolute time on the timer's clock; at least 1. */
static uint64_t until_absolute_ns(const struct posix_timer *pt, uint64_t absolute_ns)
{
    uint64_t now_ns = clock_monotonic_ns(), deadline_ns = now_ns;

    if (pt->on_cpu_time) {
        now_ns = timer_now_ns(pt);
        deadline_ns = absolute_ns;
    } else if (clock_deadline(pt->clock_id, absolute_ns, &deadline_ns) < 0) {
        deadline_ns = now_ns;
    }
    return deadline_ns > now_ns ? deadline_ns - now_ns : 1;
}

/* Arms at a time of the timer's clock; anew when the wall clock is set meanwhile. */
static int arm_absolute(struct posix_timer *pt, uint64_t absolute_ns, uint64_t interval_ns)
{
    bool is_wall = clock_is_wall(pt->clock_id);
    uint32_t count;
    int rc;

    do {
        count = clock_set_count();
        rc = arm(pt, until_absolute_ns(pt, absolute_ns), interval_ns, is_wall ? absolute_ns : 0);
    } while (rc == 0 && is_wall && count != clock_set_count());
    return rc;
}

SYSCALL_DEFINE(timer_settime)
{
    struct itimerspec_linux in, old;
    struct posix_timer *pt;
    uint64_t value_ns, interval_ns;
    int rc;

    if (!c)
        return -EINVAL;
    if (USER_GET(&in, c) < 0)
        return -EFAULT;
    if (in.value.tv_sec < 0 || in.interval.tv_sec < 0 || in.value.tv_nsec < 0 ||
        in.value.tv_nsec >= NS_PER_S || in.interval.tv_nsec < 0 || in.interval.tv_nsec >= NS_PER_S)
        return -EINVAL;
    pt = get_timer(a);
    if (!pt)
        return -EINVAL;
    old = timer_state(pt);
    value_ns = timespec_to_ns(&in.value);
    interval_ns = timespec_to_ns(&in.interval);
    rc = value_ns && (b & TIMER_ABSTIME) ? arm_absolute(pt, value_ns, interval_ns)
                                         : arm(pt, value_ns, interval_ns, 0);
    put_timer();
    return rc == 0 && d && USER_PUT(d, &old) < 0 ? -EFAULT : rc;
}

SYSCALL_DEFINE(timer_gettime)
{
    struct posix_timer *pt = get_timer(a);
    struct itimerspec_linux state;

    if (!pt)
        return -EINVAL;
    state = timer_state(pt);
    put_timer();
    return USER_PUT(b, &state) < 0 ? -EFAULT : 0;
}

SYSCALL_DEFINE(timer_getoverrun)
{
    struct posix_timer *pt = get_timer(a);
    int64_t overrun;

    if (!pt)
        return -EINVAL;
    overrun = (int64_t)pt->overrun_sent;
    put_timer();
    return overrun;
}

SYSCALL_DEFINE(timer_delete)
{
    struct posix_timer *pt = get_timer(a);

    if (!pt)
        return -EINVAL;
    process_current()->timers->timers[pt->id] = NULL;
    put_timer();
    posix_timer_free(pt);
    return 0;
}
