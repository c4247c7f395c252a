/* SPDX-License-Identifier: Apache-2.0 */
/* See fake_task.h. Tests only. */
#include "tests/unit/libos/fake_task.h"

#include <asm/prctl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/log.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/random.h"
#include "tee/libos/fs/tty/tty.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/mm/mm.h"
#include "tee/libos/rewrite/rewrite.h"
#include "tee/libos/task/children.h"

#define SLOTS 4096
#define STACK_SIZE 8192
#define AREA_SIZE 2752

static struct slot {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool token, used;
} g_slots[SLOTS];
static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t g_parks;
static int g_exit_status = -1;
static char g_last_line[512];

struct fake_thread {
    pthread_t pthread;
    struct thread *thread;
    void (*fn)(void *arg);
    void *arg;
};

static uint32_t take_slot(void)
{
    uint32_t i = 0;

    pthread_mutex_lock(&g_lock);
    while (g_slots[i].used)
        i++;
    g_slots[i].used = true;
    pthread_mutex_unlock(&g_lock);
    return i;
}

static void enter(struct thread *t)
{
    struct tcb *tcb = aligned_alloc(4096, 4096);

    memset(tcb, 0, 4096);
    tcb->self = tcb;
    tcb->slot = take_slot();
    tcb->stack_top = (uint64_t)calloc(1, STACK_SIZE) + STACK_SIZE;
    tcb->current = t;
    if (t)
        t->slot = tcb->slot;
    if (syscall(SYS_arch_prctl, ARCH_SET_GS, tcb) != 0)
        abort();
}

void fake_task_init(void)
{
    pthread_condattr_t attr;
    struct cred cred = { 0 };
    struct process *p;
    struct thread *t;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    for (int i = 0; i < SLOTS; i++) {
        pthread_mutex_init(&g_slots[i].lock, NULL);
        pthread_cond_init(&g_slots[i].cond, &attr);
    }
    enter(NULL);
    if (process_new(NULL, &p) < 0 || thread_new(p, true, &t) < 0)
        abort();
    p->sig = sig_state_new();
    enter(t);
    if (process_set_cred(p, &cred) < 0)
        abort();
    process_publish(p);
}

static void *run(void *arg)
{
    struct fake_thread *f = arg;

    enter(f->thread);
    f->fn(f->arg);
    thread_remove(f->thread);
    tcb_self()->current = NULL;
    thread_unref(f->thread);
    return NULL;
}

struct fake_thread *fake_thread_start(void (*fn)(void *arg), void *arg)
{
    struct fake_thread *f = calloc(1, sizeof *f);

    if (thread_new(process_current(), false, &f->thread) < 0)
        abort();
    thread_ref(f->thread);
    f->fn = fn;
    f->arg = arg;
    pthread_create(&f->pthread, NULL, run, f);
    return f;
}

struct thread *fake_thread_of(struct fake_thread *f)
{
    return f->thread;
}

void fake_thread_join(struct fake_thread *f)
{
    pthread_join(f->pthread, NULL);
    thread_unref(f->thread);
    free(f);
}

void fake_wait_parked(struct thread *t)
{
    while (!__atomic_load_n(&t->parked, __ATOMIC_SEQ_CST))
        usleep(100);
    usleep(1000);
}

int fake_exit_status(void)
{
    return g_exit_status;
}

uint64_t fake_park_count(void)
{
    return __atomic_load_n(&g_parks, __ATOMIC_SEQ_CST);
}

const char *fake_last_line(void)
{
    return g_last_line;
}

/* ---- the runtime ---- */

int ocall_park(uint64_t deadline_ns)
{
    struct slot *s = &g_slots[tcb_self()->slot];
    struct timespec ts = { (time_t)(deadline_ns / 1000000000), (long)(deadline_ns % 1000000000) };
    int rc = 0;

    __atomic_add_fetch(&g_parks, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(&s->lock);
    while (!s->token && rc == 0)
        rc = deadline_ns == OCALL_FOREVER ? pthread_cond_wait(&s->cond, &s->lock)
                                          : pthread_cond_timedwait(&s->cond, &s->lock, &ts);
    s->token = false;
    pthread_mutex_unlock(&s->lock);
    return rc == ETIMEDOUT ? -ETIMEDOUT : 0;
}

void ocall_unpark(uint32_t slot)
{
    struct slot *s = &g_slots[slot];

    pthread_mutex_lock(&s->lock);
    s->token = true;
    pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->lock);
}

void ocall_kick(uint32_t slot)
{
}

void ocall_yield(void)
{
    sched_yield();
}

int ocall_poll(struct ocall_pollfd *fds, unsigned count, uint64_t deadline_ns)
{
    return ocall_park(deadline_ns) < 0 ? 0 : 0;
}

int ocall_events_wait(int set, struct ocall_event *ret, unsigned count, uint64_t deadline_ns,
                      enum ocall_event_wake wake)
{
    return ocall_park(deadline_ns) < 0 ? 0 : 0;
}

static void *run_slot(void *arg)
{
    enter(NULL);
    libos_thread_start(arg);
}

int thread_slot_reserve(void)
{
    return 1;
}

void thread_slot_drop(uint32_t slot)
{
}

int thread_slot_run(uint32_t slot, void *arg)
{
    return thread_slot_start(arg);
}

int thread_slot_start(void *arg)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, run_slot, arg) != 0)
        return -EAGAIN;
    pthread_detach(thread);
    return 0;
}

NORETURN void thread_slot_exit(void)
{
    pthread_exit(NULL);
}

NORETURN void enclave_exit(int status)
{
    g_exit_status = status;
    thread_slot_exit();
}

NORETURN void regs_resume(const struct regs *regs, bool reset_xstate)
{
    ((void (*)(void))regs->rip)();
    thread_slot_exit();
}

void xstate_save(void *area)
{
    memset(area, 0, AREA_SIZE);
}

void xstate_restore_own(void *area)
{
    xstate_restore(area);
}

void xstate_restore(const void *area)
{
}

size_t xstate_size(void)
{
    return AREA_SIZE;
}

static uint64_t read_clock(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

static int64_t g_wall_step_ns; /* atomic */

uint64_t clock_realtime_ns(void)
{
    return read_clock(CLOCK_REALTIME) +
           (uint64_t)__atomic_load_n(&g_wall_step_ns, __ATOMIC_SEQ_CST);
}

/* A step to earliest_ns; the checks are those of tests/unit/enclave/test_clock.c. */
int clock_realtime_bind(const struct clock_bound *bound, int64_t *ret_step_ns)
{
    *ret_step_ns = (int64_t)(bound->earliest_ns - clock_realtime_ns());
    __atomic_add_fetch(&g_wall_step_ns, *ret_step_ns, __ATOMIC_SEQ_CST);
    return 0;
}

bool clock_realtime_bound(struct clock_bound *ret)
{
    *ret = (struct clock_bound){ 0 };
    return false;
}

uint64_t clock_boottime_ns(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

void *mem_alloc(size_t size)
{
    return malloc(size);
}

void *mem_zalloc(size_t size)
{
    return calloc(1, size);
}

void *mem_realloc(void *ptr, size_t size)
{
    return realloc(ptr, size);
}

void mem_free(void *ptr)
{
    free(ptr);
}

void mem_freep(void *ptr_to_ptr)
{
    free(*(void **)ptr_to_ptr);
}

size_t enclave_pages_used(void)
{
    return 1;
}

size_t enclave_pages_limit(void)
{
    return 1024;
}

void random_bytes(void *dst, size_t size)
{
    memset(dst, 4, size);
}

void log_line(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(g_last_line, sizeof g_last_line, fmt, args);
    va_end(args);
}

/* ---- program memory: the test's own ---- */

bool user_range_ok(uintptr_t addr, size_t size)
{
    return addr >= 4096 && addr + size >= addr && addr + size < 1ull << 47;
}

bool mm_shared_find(uintptr_t addr, struct inode **ret_inode, uint64_t *ret_off)
{
    return false;
}

int user_copy_in(void *dst, uintptr_t src, size_t size)
{
    if (!user_range_ok(src, size))
        return -EFAULT;
    memcpy(dst, (const void *)src, size);
    return 0;
}

int user_copy_out(uintptr_t dst, const void *src, size_t size)
{
    if (!user_range_ok(dst, size))
        return -EFAULT;
    memcpy((void *)dst, src, size);
    return 0;
}

int64_t user_str_in(char *dst, uintptr_t src, size_t size)
{
    size_t len;

    if (!user_range_ok(src, 1))
        return -EFAULT;
    len = strnlen((const char *)src, size);
    if (len == size)
        return -ENAMETOOLONG;
    memcpy(dst, (const void *)src, len + 1);
    return (int64_t)len;
}

int user_load32(uint32_t *ret, uintptr_t addr)
{
    if (!user_range_ok(addr, 4))
        return -EFAULT;
    *ret = __atomic_load_n((uint32_t *)addr, __ATOMIC_SEQ_CST);
    return 0;
}

int user_raw_load32(uint32_t *ret, const uint32_t *src)
{
    return user_load32(ret, (uintptr_t)src);
}

int user_cmpxchg32(uintptr_t addr, uint32_t *expected, uint32_t desired)
{
    return !__atomic_compare_exchange_n((uint32_t *)addr, expected, desired, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

int user_raw_cmpxchg32(uint32_t *word, uint32_t *expected, uint32_t desired)
{
    return user_cmpxchg32((uintptr_t)word, expected, desired) < 0 ? -EFAULT : 0;
}

/* ---- neighbours ---- */

struct mm *mm_current(void)
{
    return NULL;
}

void mm_ref(struct mm *mm UNUSED)
{
}

void mm_unref(struct mm *mm)
{
}

void mm_stats(struct mm *mm, struct mm_stats *ret)
{
    memset(ret, 0, sizeof *ret);
}

int mm_fault(struct mm *mm, uintptr_t addr, uint32_t pf_error_code, int *ret_si_code)
{
    return -EFAULT;
}

void fs_context_unref(struct fs_context *c)
{
}

void fd_table_unref(struct fd_table *t)
{
}

bool libos_trampoline_find(uint64_t rip, uint64_t *ret_restart)
{
    return false;
}

void rewrite_site(struct mm *mm, uintptr_t site)
{
}

void rewrite_stats(struct rewrite_stats *ret)
{
    memset(ret, 0, sizeof *ret);
}

int pidfd_process(int fd UNUSED, struct process **ret UNUSED, uint32_t *ret_flags UNUSED)
{
    return -EBADF;
}

/* ---- terminals ---- */

bool console_resize(void)
{
    return false;
}

void console_drain(void)
{
}
