/* SPDX-License-Identifier: Apache-2.0 */
/* See poll_fake.h. Tests only. */
#define _GNU_SOURCE
#include "tests/unit/libos/poll_fake.h"

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/time_types.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/log.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/random.h"
#include "tee/enclave/tcb.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/children.h"
#include "tee/libos/task/group.h"
#include "tee/libos/task/task.h"
#include "tee/libos/task/timer.h"

#define SLOTS 512
#define ADDRESS_MIN 65536u /* smaller addresses are bad */

unsigned long g_poll_fake_ocalls;
long g_poll_fake_blocks;

/* ---- threads ---- */

struct fake_thread {
    struct tcb tcb;
    struct thread thread;
    bool used;
};

static struct fake_thread g_slots[SLOTS];
static int g_unpark_fds[SLOTS];
static pthread_mutex_t g_slots_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_key_t g_key;
static pthread_once_t g_once = PTHREAD_ONCE_INIT;
static struct process g_process = { .refs = 1, .pid = 1, .pgid = 1, .sid = 1 };
static struct cred g_cred = { .refs = 1 };
static uint32_t g_thread_count;
static __thread bool t_entered;

static void leave(void *slot)
{
    struct fake_thread *t = slot;

    t->used = false;
    __atomic_sub_fetch(&g_thread_count, 1, __ATOMIC_RELAXED);
}

static void start(void)
{
    pthread_key_create(&g_key, leave);
    for (int i = 0; i < 16; i++)
        g_process.limits[i] = (struct rlimit64_pair){ POLL_FAKE_FD_COUNT, POLL_FAKE_FD_COUNT };
    g_process.cred = &g_cred;
    g_process.pid = getpid();
}

int poll_fake_move_fd(int fd)
{
    int moved = fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, POLL_FAKE_HOST_FD_FIRST);

    if (fd >= 0)
        close(fd);
    return moved;
}

void poll_fake_enter(void)
{
    struct fake_thread *t = NULL;

    if (t_entered)
        return;
    pthread_once(&g_once, start);
    pthread_mutex_lock(&g_slots_lock);
    for (unsigned i = 0; i < SLOTS && !t; i++) {
        if (g_slots[i].used)
            continue;
        t = &g_slots[i];
        memset(t, 0, sizeof *t);
        t->used = true;
        t->tcb.slot = t->thread.slot = i;
        if (!g_unpark_fds[i])
            g_unpark_fds[i] = poll_fake_move_fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    }
    pthread_mutex_unlock(&g_slots_lock);
    if (!t)
        abort();
    t->tcb.self = &t->tcb;
    t->tcb.current = &t->thread;
    t->thread.process = &g_process;
    t->thread.refs = 1;
    t->thread.tid = (int)t->tcb.slot + 1;
    pthread_setspecific(g_key, t);
    if (syscall(SYS_arch_prctl, ARCH_SET_GS, &t->tcb) != 0)
        abort();
    __atomic_add_fetch(&g_thread_count, 1, __ATOMIC_RELAXED);
    t_entered = true;
}

struct thread *thread_current(void)
{
    return current();
}

unsigned task_thread_count(void)
{
    return g_thread_count;
}

const struct cred *process_cred(void)
{
    return &g_cred;
}

bool thread_must_die(void)
{
    return false;
}

void thread_attention(struct thread *t, uint32_t bits)
{
    __atomic_or_fetch(&t->attention, bits, __ATOMIC_RELAXED);
}

bool signal_pending(void)
{
    return false;
}

bool signal_host_drain(void)
{
    return false;
}

int signal_send_thread(struct thread *t, int signo, const struct siginfo_linux *info)
{
    (void)t, (void)info;
    return raise(signo);
}

int signal_take(uint64_t wanted, struct siginfo_linux *ret)
{
    (void)wanted, (void)ret;
    return 0;
}

void syscall_unsupported(const char *what, const char *advice)
{
    (void)what, (void)advice;
}

/* ---- sleeping ---- */

uint64_t clock_monotonic_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int64_t g_wall_step_ns; /* atomic */

uint64_t clock_realtime_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec +
           (uint64_t)__atomic_load_n(&g_wall_step_ns, __ATOMIC_SEQ_CST);
}

/* A step to earliest_ns; the checks are those of tests/unit/enclave/test_clock.c. */
int clock_realtime_bind(const struct clock_bound *bound, int64_t *ret_step_ns)
{
    *ret_step_ns = (int64_t)(bound->earliest_ns - clock_realtime_ns());
    __atomic_add_fetch(&g_wall_step_ns, *ret_step_ns, __ATOMIC_SEQ_CST);
    return 0;
}

uint64_t clock_boottime_ns(void)
{
    return clock_monotonic_ns();
}

static int host_poll(struct pollfd *fds, unsigned count, uint64_t deadline_ns)
{
    struct timespec t = { 0 };
    uint64_t now = clock_monotonic_ns();

    __atomic_add_fetch(&g_poll_fake_ocalls, 1, __ATOMIC_RELAXED);
    if (deadline_ns > now) {
        t.tv_sec = (time_t)((deadline_ns - now) / 1000000000u);
        t.tv_nsec = (long)((deadline_ns - now) % 1000000000u);
    }
    return ppoll(fds, count, deadline_ns == UINT64_MAX ? NULL : &t, NULL);
}

static void drain(uint32_t slot)
{
    uint64_t value;

    if (read(g_unpark_fds[slot], &value, sizeof value) < 0)
        return;
}

int ocall_park(uint64_t deadline_ns)
{
    uint32_t slot = tcb_self()->slot;
    struct pollfd p = { .fd = g_unpark_fds[slot], .events = POLLIN };
    int n = host_poll(&p, 1, deadline_ns);

    drain(slot);
    return n == 0 ? -ETIMEDOUT : 0;
}

void ocall_unpark(uint32_t slot)
{
    uint64_t one = 1;

    __atomic_add_fetch(&g_poll_fake_ocalls, 1, __ATOMIC_RELAXED);
    if (write(g_unpark_fds[slot], &one, sizeof one) < 0)
        abort();
}

int ocall_poll(struct ocall_pollfd *fds, unsigned count, uint64_t deadline_ns)
{
    uint32_t slot = tcb_self()->slot;
    struct pollfd *p = calloc(count + 1, sizeof *p);

    for (unsigned i = 0; i < count; i++)
        p[i] = (struct pollfd){ .fd = fds[i].host_fd, .events = (short)fds[i].events };
    p[count] = (struct pollfd){ .fd = g_unpark_fds[slot], .events = POLLIN };
    int n = host_poll(p, count + 1, deadline_ns);
    int ready = 0;
    for (unsigned i = 0; i < count; i++) {
        fds[i].revents = n > 0 ? (uint16_t)p[i].revents : 0;
        if (g_poll_fake_lie == POLL_FAKE_LIE_READY)
            fds[i].revents = UINT16_MAX;
        ready += fds[i].revents != 0;
    }
    if (p[count].revents)
        drain(slot);
    free(p);
    return ready;
}

int ocall_events_new(void)
{
    __atomic_add_fetch(&g_poll_fake_ocalls, 1, __ATOMIC_RELAXED);
    return poll_fake_move_fd(epoll_create1(EPOLL_CLOEXEC));
}

int ocall_events_change(int set, enum ocall_event_change how, int host_fd, uint32_t events,
                        uint64_t data)
{
    static const int ops[] = { 0, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD };
    struct epoll_event e = { .events = events, .data.u64 = data };

    __atomic_add_fetch(&g_poll_fake_ocalls, 1, __ATOMIC_RELAXED);
    return epoll_ctl(set, ops[how], host_fd, &e) < 0 ? -errno : 0;
}

/* Whatever is asked, something may have come in between. */
uint32_t ocall_news(void)
{
    static uint32_t news;

    return __atomic_add_fetch(&news, 1, __ATOMIC_RELAXED);
}

int ocall_events_wait(int set, struct ocall_event *ret, unsigned count, uint64_t deadline_ns,
                      enum ocall_event_wake wake)
{
    struct pollfd p[] = { { .fd = set, .events = POLLIN },
                          { .fd = g_unpark_fds[tcb_self()->slot], .events = POLLIN } };
    struct epoll_event events[OCALL_EVENT_COUNT_MAX];
    int n = 0;

    (void)wake;
    if (host_poll(p, 2, deadline_ns) > 0 && p[0].revents)
        n = epoll_wait(set, events, (int)count, 0);
    if (p[1].revents)
        drain(tcb_self()->slot);
    for (int i = 0; i < n; i++)
        ret[i] = (struct ocall_event){ .data = events[i].data.u64, .events = events[i].events };
    if (g_poll_fake_lie == POLL_FAKE_LIE_READY) {
        for (unsigned i = 0; i < count; i++)
            ret[i] = (struct ocall_event){
                .data = i % 2 ? i / 2 : (uint64_t)i * 0x123456789abcdefu,
                .events = UINT32_MAX,
            };
        n = (int)count;
    }
    return n;
}

int ocall_dup(int host_fd)
{
    __atomic_add_fetch(&g_poll_fake_ocalls, 1, __ATOMIC_RELAXED);
    return fcntl(host_fd, F_DUPFD_CLOEXEC, POLL_FAKE_HOST_FD_FIRST);
}

/* ---- timers: a thread for each, which looks each millisecond ---- */

struct waitq g_signal_arrival;

static void *run_timer(void *arg)
{
    struct timer *t = arg;

    poll_fake_enter();
    while (__atomic_load_n(&t->is_armed, __ATOMIC_ACQUIRE)) {
        if (clock_monotonic_ns() >= __atomic_load_n(&t->expires_ns, __ATOMIC_RELAXED)) {
            __atomic_store_n(&t->is_armed, false, __ATOMIC_RELEASE);
            t->fn(t, t->arg);
        }
        usleep(200);
    }
    __atomic_store_n(&t->next, NULL, __ATOMIC_RELEASE);
    return NULL;
}

void timer_init(struct timer *t, timer_fn *fn, void *arg)
{
    *t = (struct timer){ .fn = fn, .arg = arg };
}

int timer_add(struct timer *t, uint64_t expires_ns)
{
    pthread_t thread;

    __atomic_store_n(&t->expires_ns, expires_ns, __ATOMIC_RELAXED);
    __atomic_store_n(&t->is_armed, true, __ATOMIC_RELEASE);
    if (t->next) /* its thread runs: this is its callback, or it was armed */
        return 0;
    t->next = t;
    if (pthread_create(&thread, NULL, run_timer, t) != 0)
        return -EAGAIN;
    return -pthread_detach(thread);
}

bool timer_cancel(struct timer *t)
{
    bool was_armed = __atomic_exchange_n(&t->is_armed, false, __ATOMIC_ACQ_REL);

    while (__atomic_load_n(&t->next, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&t->is_armed, false, __ATOMIC_RELEASE);
        usleep(100);
    }
    return was_armed;
}

/* ---- memory ---- */

void *mem_alloc(size_t size)
{
    __atomic_add_fetch(&g_poll_fake_blocks, 1, __ATOMIC_RELAXED);
    return malloc(size ? size : 1);
}

void *mem_zalloc(size_t size)
{
    return mem_calloc(1, size);
}

void *mem_calloc(size_t count, size_t size)
{
    __atomic_add_fetch(&g_poll_fake_blocks, 1, __ATOMIC_RELAXED);
    return calloc(count ? count : 1, size ? size : 1);
}

void *mem_realloc(void *ptr, size_t size)
{
    if (!ptr)
        return mem_alloc(size);
    return realloc(ptr, size);
}

void mem_free(void *ptr)
{
    if (ptr)
        __atomic_sub_fetch(&g_poll_fake_blocks, 1, __ATOMIC_RELAXED);
    free(ptr);
}

void mem_freep(void *ptr_to_ptr)
{
    mem_free(*(void **)ptr_to_ptr);
}

void *page_alloc(size_t count)
{
    __atomic_add_fetch(&g_poll_fake_blocks, 1, __ATOMIC_RELAXED);
    return aligned_alloc(PAGE_SIZE, count * PAGE_SIZE);
}

void page_free(void *pages, size_t count)
{
    (void)count;
    mem_free(pages);
}

int user_copy_in(void *dst, uintptr_t src, size_t size)
{
    if (size && src < ADDRESS_MIN)
        return -EFAULT;
    memcpy(dst, (const void *)src, size);
    return 0;
}

int user_copy_out(uintptr_t dst, const void *src, size_t size)
{
    if (size && dst < ADDRESS_MIN)
        return -EFAULT;
    memcpy((void *)dst, src, size);
    return 0;
}

int user_zero(uintptr_t dst, size_t size)
{
    memset((void *)dst, 0, size);
    return 0;
}

int user_move_part(bool out, bool zero, void *kernel, uintptr_t user, size_t size,
                   size_t *ret_done);
int user_move_part(bool out, bool zero, void *kernel, uintptr_t user, size_t size, size_t *ret_done)
{
    int rc = !out   ? user_copy_in(kernel, user, size)
             : zero ? user_zero(user, size)
                    : user_copy_out(user, kernel, size);

    *ret_done = rc < 0 ? 0 : size;
    return rc;
}

int user_prefault(uintptr_t addr, size_t size, bool for_write)
{
    (void)addr, (void)size, (void)for_write;
    return 0;
}

bool user_is_present(uintptr_t addr, size_t size, bool for_write)
{
    (void)addr, (void)size, (void)for_write;
    return true;
}

bool user_range_ok(uintptr_t addr, size_t size)
{
    return size == 0 || (addr < (1ull << 47) && size < (1ull << 47) - addr);
}

int format(char *dst, size_t size, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(dst, size, fmt, args);
    va_end(args);
    return n;
}

void log_line(const char *fmt, ...)
{
    (void)fmt;
}

uint64_t random_u64(void)
{
    static uint64_t state = 88172645463325252ull;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* ---- files and descriptors ---- */

struct fd_slot {
    struct file *file;
};
static struct fd_slot g_fds[POLL_FAKE_FD_COUNT];
static pthread_mutex_t g_fds_lock = PTHREAD_MUTEX_INITIALIZER;

int file_new(const struct file_ops *ops, uint32_t flags, void *private_data, struct file **ret)
{
    struct file *f = mem_zalloc(sizeof *f);

    f->ops = ops;
    f->refs = 1;
    f->flags = flags;
    f->private_data = private_data;
    *ret = f;
    return 0;
}

void file_ref(struct file *f)
{
    __atomic_add_fetch(&f->refs, 1, __ATOMIC_RELAXED);
}

void file_unref(struct file *f)
{
    if (__atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL))
        return;
    epoll_file_gone(f);
    if (f->ops->release)
        f->ops->release(f);
    mem_free(f);
}

void file_unrefp(struct file **f)
{
    if (*f)
        file_unref(*f);
}

int fd_install(struct file *f, bool cloexec, int from)
{
    int fd = -EMFILE;

    (void)cloexec, (void)from;
    pthread_mutex_lock(&g_fds_lock);
    for (int i = 0; i < POLL_FAKE_FD_COUNT && fd < 0; i++) {
        if (g_fds[i].file)
            continue;
        g_fds[i].file = f;
        fd = POLL_FAKE_FD_FIRST + i;
    }
    pthread_mutex_unlock(&g_fds_lock);
    return fd;
}

/* ---- the machine's own descriptors, as regular files ---- */

static int64_t regular_read(struct file *f, struct uio *u, uint64_t *pos)
{
    char data[4096];
    ssize_t n = read((int)(intptr_t)f->private_data, data, MIN(u->left, sizeof data));

    (void)pos;
    return n < 0 ? -errno : uio_put(u, data, (size_t)n);
}

static void regular_release(struct file *f)
{
    close((int)(intptr_t)f->private_data);
}

static const struct file_ops regular_ops = { .read = regular_read, .release = regular_release };

struct file *fd_get(int fd)
{
    struct file *f = NULL;

    if (fd >= 0 && fd < POLL_FAKE_FD_FIRST && fcntl(fd, F_GETFD) >= 0) {
        int moved = fcntl(fd, F_DUPFD_CLOEXEC, POLL_FAKE_HOST_FD_FIRST);

        if (file_new(&regular_ops, O_RDWR, (void *)(intptr_t)moved, &f) < 0)
            return NULL;
        return f;
    }

    pthread_mutex_lock(&g_fds_lock);
    if (fd >= POLL_FAKE_FD_FIRST && fd < POLL_FAKE_FD_FIRST + POLL_FAKE_FD_COUNT)
        f = g_fds[fd - POLL_FAKE_FD_FIRST].file;
    if (f)
        file_ref(f);
    pthread_mutex_unlock(&g_fds_lock);
    return f;
}

int fd_close(int fd)
{
    struct file *f = NULL;

    pthread_mutex_lock(&g_fds_lock);
    if (fd >= POLL_FAKE_FD_FIRST && fd < POLL_FAKE_FD_FIRST + POLL_FAKE_FD_COUNT) {
        f = g_fds[fd - POLL_FAKE_FD_FIRST].file;
        g_fds[fd - POLL_FAKE_FD_FIRST].file = NULL;
    }
    pthread_mutex_unlock(&g_fds_lock);
    if (!f)
        return -EBADF;
    file_unref(f);
    return 0;
}

void poll_fake_close_all(void)
{
    for (int i = 0; i < POLL_FAKE_FD_COUNT; i++)
        if (g_fds[i].file) {
            int rc = fd_close(POLL_FAKE_FD_FIRST + i);
            (void)rc;
        }
}

/* ---- names: inodes of the machine's own files, for what the library OS hangs on them ---- */

struct dentry {
    struct inode inode;
    uint32_t refs;
};
static struct dentry *g_dentries[256];

void inode_ref(struct inode *inode)
{
    __atomic_add_fetch(&inode->refs, 1, __ATOMIC_RELAXED);
}

void inode_unref(struct inode *inode)
{
    __atomic_sub_fetch(&inode->refs, 1, __ATOMIC_RELAXED);
}

struct inode *dentry_inode(struct dentry *d)
{
    return &d->inode;
}

void dentry_unref(struct dentry *d)
{
    (void)d;
}

int inode_permission(struct inode *inode, uint32_t mask)
{
    (void)inode, (void)mask;
    return 0;
}

int path_lookup(int dirfd, const char *path, uint32_t flags, struct dentry **ret)
{
    struct stat st;

    (void)flags;
    if (fstatat(dirfd, path, &st, 0) < 0)
        return -errno;
    for (unsigned i = 0; i < ARRAY_COUNT(g_dentries); i++) {
        struct dentry *d = g_dentries[i];

        if (!d) {
            d = g_dentries[i] = calloc(1, sizeof *d);
            d->inode.ino = st.st_ino;
        }
        if (d->inode.ino == st.st_ino) {
            d->inode.mode = st.st_mode;
            *ret = d;
            return 0;
        }
    }
    return -ENOMEM;
}

int path_make_node(int dirfd, const char *path, uint32_t mode, uint64_t rdev, struct dentry **ret)
{
    if (mknodat(dirfd, path, mode, (dev_t)rdev) < 0)
        return -errno;
    return path_lookup(dirfd, path, 0, ret);
}

/* ---- whom files tell (O_ASYNC): there is one process, and nobody is found by its number ---- */

struct process *process_find(int32_t pid)
{
    (void)pid;
    return NULL;
}

struct thread *thread_find(int32_t tid)
{
    (void)tid;
    return NULL;
}

void process_unref(struct process *p)
{
    (void)p;
}

void thread_unref(struct thread *t)
{
    (void)t;
}

struct process *process_list(void)
{
    return NULL;
}

void family_lock(void)
{
}

void family_unlock(void)
{
}

int group_signal(int32_t pgid, int signo, const struct siginfo_linux *info)
{
    (void)pgid;
    (void)signo;
    (void)info;
    return -ESRCH;
}

int thread_start_kernel(void (*fn)(void *arg), void *arg, const char *name)
{
    (void)fn;
    (void)arg;
    (void)name;
    return -EAGAIN;
}

int signal_send_process(struct process *p, int signo, const struct siginfo_linux *info)
{
    (void)p;
    (void)signo;
    (void)info;
    return 0;
}

void ocall_yield(void)
{
    sched_yield();
}
