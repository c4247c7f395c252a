/* SPDX-License-Identifier: Apache-2.0 */
/* timerfd_create(2) and its calls. Trusted. */
#include <asm/errno.h>
#include <asm/ioctl.h>
#include <asm/poll.h>
#include <linux/fcntl.h>
#include <linux/time.h>
#include <linux/time_types.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/clock_set.h"
#include "tee/libos/task/timer.h"

#define TFD_TIMER_ABSTIME 1
#define TFD_TIMER_CANCEL_ON_SET 2
#define TFD_IOC_SET_TICKS _IOW('T', 0, uint64_t)
#define NS_PER_SEC 1000000000ull

struct timerfd {
    struct mutex set_lock; /* one settime at a time; taken before lock */
    struct spin lock;      /* what follows */
    uint64_t ticks;        /* not yet read */
    uint64_t expires_ns;   /* monotonic; 0: disarmed */
    uint64_t interval_ns;  /* 0: once */
    uint64_t wall_ns;      /* as expires_ns, of the wall clock, where that was asked for; else 0 */
    bool is_cancel_on_set; /* a step of the wall clock is to be told */
    bool is_cancelled;     /* one is to be told */
    struct timer timer;
    struct clock_watch watch;
    struct waitq wait;
    int clock;
};

/* On the timer thread. A failure to arm again ends the interval; the ticks so far stand. */
static void on_time(struct timer *timer, void *arg)
{
    struct timerfd *t = arg;
    uint64_t now = clock_monotonic_ns(), next = 0;

    spin_lock(&t->lock);
    t->ticks++;
    if (t->interval_ns) {
        uint64_t late = now > t->expires_ns ? (now - t->expires_ns) / t->interval_ns : 0;

        t->ticks += late;
        next = t->expires_ns += (late + 1) * t->interval_ns;
        if (t->wall_ns)
            t->wall_ns += (late + 1) * t->interval_ns;
    } else {
        t->expires_ns = 0;
    }
    spin_unlock(&t->lock);
    wait_wake(&t->wait, WAKE_ALL, POLLIN | POLLRDNORM);
    if (next) {
        int rc UNUSED = timer_add(timer, next);
    }
}

/* The wall clock was set. */
static void on_clock_set(void *arg)
{
    struct timerfd *t = arg;
    uint64_t mono = clock_monotonic_ns(), wall = clock_realtime_ns(), next = 0;

    spin_lock(&t->lock);
    if (t->is_cancel_on_set) {
        t->is_cancelled = true;
        t->ticks++;
    }
    if (t->wall_ns && t->expires_ns)
        next = t->expires_ns = MAX(mono + (t->wall_ns > wall ? t->wall_ns - wall : 0), 1u);
    spin_unlock(&t->lock);
    wait_wake(&t->wait, WAKE_ALL, POLLIN | POLLRDNORM);
    if (next) {
        int rc UNUSED = timer_add(&t->timer, next);
    }
}

/* returns: whether there were any. With *ret_cancelled they are none that a reader gets: the wall clock was set. */
static bool take_ticks(struct timerfd *t, uint64_t *ret, bool *ret_cancelled)
{
    spin_lock(&t->lock);
    *ret = t->ticks;
    *ret_cancelled = t->is_cancelled;
    t->ticks = 0;
    t->is_cancelled = false;
    spin_unlock(&t->lock);
    return *ret != 0;
}

static int64_t timerfd_read(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct timerfd *t = f->private_data;
    bool is_cancelled;
    uint64_t ticks;

    if (u->left < sizeof ticks)
        return -EINVAL;
    if (!take_ticks(t, &ticks, &is_cancelled)) {
        int rc;

        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        WAIT_UNTIL(rc, &t->wait, take_ticks(t, &ticks, &is_cancelled), WAIT_FOREVER);
        if (!ticks)
            return rc;
    }
    return is_cancelled ? -ECANCELED : uio_put(u, &ticks, sizeof ticks);
}

static uint32_t timerfd_poll(struct file *f, struct poll_table *pt)
{
    struct timerfd *t = f->private_data;

    poll_add(pt, &t->wait);
    __atomic_thread_fence(
        __ATOMIC_SEQ_CST); /* registered before the look; pairs with wait_wake() */
    return __atomic_load_n(&t->ticks, __ATOMIC_RELAXED) ? POLLIN | POLLRDNORM : 0;
}

static int64_t timerfd_ioctl(struct file *f, uint32_t request, uintptr_t arg)
{
    struct timerfd *t = f->private_data;
    uint64_t ticks;

    if (request != TFD_IOC_SET_TICKS)
        return -ENOTTY;
    int rc = USER_GET(&ticks, arg);
    if (rc < 0)
        return rc;
    if (!ticks)
        return -EINVAL;
    spin_lock(&t->lock);
    t->ticks = ticks;
    spin_unlock(&t->lock);
    wait_wake(&t->wait, WAKE_ALL, POLLIN | POLLRDNORM);
    return 0;
}

static void timerfd_release(struct file *f)
{
    struct timerfd *t = f->private_data;

    clock_watch_remove(&t->watch);
    timer_cancel(&t->timer);
    mem_free(t);
}

static const struct file_ops timerfd_ops = {
    .read = timerfd_read,
    .poll = timerfd_poll,
    .ioctl = timerfd_ioctl,
    .release = timerfd_release,
};

SYSCALL_DEFINE(timerfd_create)
{
    int clock = (int)a;
    uint32_t flags = (uint32_t)b;
    struct file *file;

    if (flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME &&
        clock != CLOCK_REALTIME_ALARM && clock != CLOCK_BOOTTIME_ALARM)
        return -EINVAL;
    struct timerfd *t = mem_zalloc(sizeof *t);
    if (!t)
        return -ENOMEM;
    t->clock = clock;
    timer_init(&t->timer, on_time, t);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM)
        clock_watch_add(&t->watch, on_clock_set, t);
    int rc = file_new(&timerfd_ops, O_RDWR | (flags & O_NONBLOCK), t, &file);
    if (rc < 0) {
        clock_watch_remove(&t->watch);
        mem_free(t);
        return rc;
    }
    file->anon_name = "anon_inode:[timerfd]";
    return poll_fd_install(file, (flags & O_CLOEXEC) != 0);
}

static int to_ns(const struct __kernel_timespec *t, uint64_t *ret)
{
    if (t->tv_sec < 0 || t->tv_nsec < 0 || (uint64_t)t->tv_nsec >= NS_PER_SEC)
        return -EINVAL;
    *ret = (uint64_t)t->tv_sec < INT64_MAX / NS_PER_SEC
               ? (uint64_t)t->tv_sec * NS_PER_SEC + (uint64_t)t->tv_nsec
               : INT64_MAX;
    return 0;
}

static struct __kernel_timespec from_ns(uint64_t ns)
{
    return (struct __kernel_timespec){ .tv_sec = (int64_t)(ns / NS_PER_SEC),
                                       .tv_nsec = (int64_t)(ns % NS_PER_SEC) };
}

static uint64_t clock_now(int clock)
{
    switch (clock) {
    case CLOCK_MONOTONIC:
        return clock_monotonic_ns();
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        return clock_boottime_ns();
    default:
        return clock_realtime_ns();
    }
}

/* Time of the timer's clock as a monotonic deadline; never 0. */
static uint64_t to_deadline(const struct timerfd *t, uint64_t ns, bool absolute)
{
    uint64_t mono = clock_monotonic_ns();
    uint64_t left = ns;

    if (absolute) {
        uint64_t now = clock_now(t->clock);

        left = ns > now ? ns - now : 0;
    }
    return MAX(mono + left, 1u);
}

static void get_setting(struct timerfd *t, struct __kernel_itimerspec *ret)
{
    uint64_t now = clock_monotonic_ns();

    spin_lock(&t->lock);
    uint64_t left = !t->expires_ns ? 0 : t->expires_ns > now ? t->expires_ns - now : 1;
    ret->it_value = from_ns(left);
    ret->it_interval = from_ns(t->interval_ns);
    spin_unlock(&t->lock);
}

static int timerfd_get(int fd, struct file **ret)
{
    struct file *f = fd_get(fd);

    if (!f)
        return -EBADF;
    if (f->ops != &timerfd_ops) {
        file_unref(f);
        return -EINVAL;
    }
    *ret = f;
    return 0;
}

/* What timerfd_settime asks for, checked. */
struct setting {
    uint64_t value, interval;
    bool is_absolute, is_cancel_on_set;
};

static int arm(struct timerfd *t, const struct setting *s)
{
    uint64_t deadline = s->value ? to_deadline(t, s->value, s->is_absolute) : 0;

    spin_lock(&t->lock);
    t->expires_ns = deadline;
    t->interval_ns = deadline ? s->interval : 0;
    t->wall_ns = deadline && s->is_absolute && t->watch.fn ? s->value : 0;
    spin_unlock(&t->lock);
    return deadline ? timer_add(&t->timer, deadline) : 0;
}

/* returns: 0; -ECANCELED armed, but the wall clock was set and that had not been read. */
static int set(struct timerfd *t, const struct setting *s, struct __kernel_itimerspec *ret_old)
{
    bool was_cancelled;
    uint32_t count;
    int rc;

    mutex_lock(&t->set_lock);
    timer_cancel(&t->timer);
    get_setting(t, ret_old);
    spin_lock(&t->lock);
    t->ticks = 0;
    t->expires_ns = 0;
    t->is_cancel_on_set = s->is_cancel_on_set;
    was_cancelled = t->is_cancelled && s->is_cancel_on_set && s->value;
    t->is_cancelled = false;
    spin_unlock(&t->lock);
    do {
        count = clock_set_count();
        rc = arm(t, s);
    } while (rc == 0 && t->wall_ns && count != clock_set_count());
    mutex_unlock(&t->set_lock);
    return rc == 0 && was_cancelled ? -ECANCELED : rc;
}

SYSCALL_DEFINE(timerfd_settime)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    struct __kernel_itimerspec setting, old;
    struct setting s = { 0 };

    if ((uint32_t)b & ~(uint32_t)(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET))
        return -EINVAL;
    int rc = USER_GET(&setting, c);
    if (rc == 0)
        rc = to_ns(&setting.it_value, &s.value);
    if (rc == 0)
        rc = to_ns(&setting.it_interval, &s.interval);
    if (rc == 0)
        rc = timerfd_get((int)a, &file);
    if (rc < 0)
        return rc;
    s.is_absolute = (b & TFD_TIMER_ABSTIME) != 0;
    s.is_cancel_on_set = s.is_absolute && (b & TFD_TIMER_CANCEL_ON_SET) != 0 &&
                         ((struct timerfd *)file->private_data)->watch.fn;
    rc = set(file->private_data, &s, &old);
    return rc == 0 && d ? USER_PUT(d, &old) : rc;
}

SYSCALL_DEFINE(timerfd_gettime)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    struct __kernel_itimerspec setting;
    int rc = timerfd_get((int)a, &file);

    if (rc < 0)
        return rc;
    get_setting(file->private_data, &setting);
    return USER_PUT(b, &setting);
}
