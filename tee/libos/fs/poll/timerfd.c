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
    struct timer timer;
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
    } else {
        t->expires_ns = 0;
    }
    spin_unlock(&t->lock);
    wait_wake(&t->wait, WAKE_ALL, POLLIN | POLLRDNORM);
    if (next) {
        int rc UNUSED = timer_add(timer, next);
    }
}

static uint64_t take_ticks(struct timerfd *t)
{
    uint64_t ticks;

    spin_lock(&t->lock);
    ticks = t->ticks;
    t->ticks = 0;
    spin_unlock(&t->lock);
    return ticks;
}

static int64_t timerfd_read(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct timerfd *t = f->private_data;
    uint64_t ticks;

    if (u->left < sizeof ticks)
        return -EINVAL;
    ticks = take_ticks(t);
    if (!ticks) {
        int rc;

        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        WAIT_UNTIL(rc, &t->wait, (ticks = take_ticks(t)) != 0, WAIT_FOREVER);
        if (!ticks)
            return rc;
    }
    return uio_put(u, &ticks, sizeof ticks);
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
    int rc = file_new(&timerfd_ops, O_RDWR | (flags & O_NONBLOCK), t, &file);
    if (rc < 0) {
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

static int set(struct timerfd *t, uint64_t value, uint64_t interval, bool absolute,
               struct __kernel_itimerspec *ret_old)
{
    uint64_t deadline = value ? to_deadline(t, value, absolute) : 0;
    int rc = 0;

    mutex_lock(&t->set_lock);
    timer_cancel(&t->timer);
    get_setting(t, ret_old);
    spin_lock(&t->lock);
    t->ticks = 0;
    t->expires_ns = deadline;
    t->interval_ns = deadline ? interval : 0;
    spin_unlock(&t->lock);
    if (deadline)
        rc = timer_add(&t->timer, deadline);
    mutex_unlock(&t->set_lock);
    return rc;
}

SYSCALL_DEFINE(timerfd_settime)
{
    CLEANUP(file_unrefp)
    struct file *file = NULL;
    struct __kernel_itimerspec setting, old;
    uint64_t value, interval;

    if ((uint32_t)b & ~(uint32_t)(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET))
        return -EINVAL;
    int rc = USER_GET(&setting, c);
    if (rc == 0)
        rc = to_ns(&setting.it_value, &value);
    if (rc == 0)
        rc = to_ns(&setting.it_interval, &interval);
    if (rc == 0)
        rc = timerfd_get((int)a, &file);
    if (rc == 0)
        rc = set(file->private_data, value, interval, (b & TFD_TIMER_ABSTIME) != 0, &old);
    if (rc == 0 && d)
        rc = USER_PUT(d, &old);
    return rc;
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
