/* SPDX-License-Identifier: Apache-2.0 */
/* Hosted stand-in for tee/enclave. Tests only. */
#define _GNU_SOURCE
#include "tests/unit/libos/fake_enclave.h"

#include <asm/prctl.h>
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/image.h"
#include "tee/enclave/alloc.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/entry.h"
#include "tee/enclave/log.h"
#include "tee/enclave/random.h"
#include "tee/libos/task/task.h"

static size_t g_page_limit;
static size_t g_pages_used;
static struct fake_enclave_counts g_counts;
static struct process g_process;
static struct thread g_thread;
static __thread struct tcb g_tcb;
static __thread sigjmp_buf *g_fault_jump; /* set while a raw copy runs */

static void on_fault(int signo, siginfo_t *info, void *context)
{
    if (g_fault_jump)
        siglongjmp(*g_fault_jump, 1);
    signal(signo, SIG_DFL);
}

/* Test frameworks install handlers of their own when a test begins: take the signals back. */
static void catch_faults(void)
{
    struct sigaction act = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER };

    sigaction(SIGSEGV, &act, NULL);
    sigaction(SIGBUS, &act, NULL);
}

void fake_enclave_thread_init(void)
{
    g_tcb.self = &g_tcb;
    g_tcb.current = &g_thread;
    if (syscall(SYS_arch_prctl, ARCH_SET_GS, &g_tcb) != 0)
        abort();
}

void fake_enclave_init(size_t page_limit)
{
    struct enclave_config *config =
        mmap((void *)LIBOS_CONFIG_ADDR, sizeof *config, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    if (config == MAP_FAILED)
        abort();
    config->magic = ENCLAVE_CONFIG_MAGIC;
    config->elrange_size = ELRANGE_SIZE_DEFAULT;
    g_page_limit = page_limit;
    g_thread.process = &g_process;
    for (unsigned i = 0; i < RLIMIT_COUNT; i++)
        g_process.limits[i] = (struct rlimit64_pair){ UINT64_MAX, UINT64_MAX };
    fake_enclave_thread_init();
}

void fake_enclave_set_syscall_entry(void (*entry)(void))
{
    g_tcb.syscall_entry = (uint64_t)(uintptr_t)entry;
}

struct process *fake_enclave_process(void)
{
    return &g_process;
}

struct thread *fake_enclave_thread(void)
{
    return &g_thread;
}

void fake_enclave_set_limit(size_t page_limit)
{
    g_page_limit = page_limit;
}

struct fake_enclave_counts fake_enclave_counts(void)
{
    return g_counts;
}

/* ---- tee/enclave/alloc.h ---- */

void *mem_alloc(size_t size)
{
    return aligned_alloc(64, ALIGN_UP(size ? size : 1, 64ul));
}

void *mem_zalloc(size_t size)
{
    void *p = mem_alloc(size);

    return p ? memset(p, 0, size) : NULL;
}

void *mem_calloc(size_t count, size_t size)
{
    size_t total;

    return __builtin_mul_overflow(count, size, &total) ? NULL : mem_zalloc(total);
}

void *mem_realloc(void *ptr, size_t size)
{
    return realloc(ptr, size ? size : 1);
}

void mem_free(void *ptr)
{
    free(ptr);
}

void mem_freep(void *ptr_to_ptr)
{
    free(*(void **)ptr_to_ptr);
}

char *mem_strdup(const char *s)
{
    return strdup(s);
}

void *page_alloc(size_t count)
{
    return aligned_alloc(PAGE_SIZE, count * PAGE_SIZE);
}

void page_free(void *pages, size_t count)
{
    free(pages);
}

int enclave_commit(uint64_t addr, size_t count, int prot)
{
    void *p;

    if (__atomic_add_fetch(&g_pages_used, count, __ATOMIC_RELAXED) > g_page_limit) {
        __atomic_sub_fetch(&g_pages_used, count, __ATOMIC_RELAXED);
        return -ENOMEM;
    }
    __atomic_add_fetch(&g_counts.commits, 1, __ATOMIC_RELAXED);
    p = mmap((void *)addr, count * PAGE_SIZE, prot,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (p != (void *)addr) {
        fprintf(stderr, "fake_enclave: page at %#lx is committed twice\n", (unsigned long)addr);
        abort();
    }
    return 0;
}

int enclave_commit_copy(uint64_t addr, size_t count, const void *src, int prot)
{
    int rc = enclave_commit(addr, count, PROT_READ | PROT_WRITE);

    if (rc < 0)
        return rc;
    memcpy((void *)addr, src, count * PAGE_SIZE);
    return enclave_protect(addr, count, PROT_READ | PROT_WRITE, prot);
}

int enclave_protect(uint64_t addr, size_t count, int old_prot, int new_prot)
{
    __atomic_add_fetch(&g_counts.protects, 1, __ATOMIC_RELAXED);
    if (mprotect((void *)addr, count * PAGE_SIZE, new_prot) != 0) {
        fprintf(stderr, "fake_enclave: protect of absent page %#lx\n", (unsigned long)addr);
        abort();
    }
    return 0;
}

void enclave_decommit(uint64_t addr, size_t count)
{
    __atomic_add_fetch(&g_counts.decommits, 1, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&g_pages_used, count, __ATOMIC_RELAXED);
    if (munmap((void *)addr, count * PAGE_SIZE) != 0)
        abort();
}

size_t enclave_pages_used(void)
{
    return g_pages_used;
}

size_t enclave_pages_limit(void)
{
    return g_page_limit;
}

/* ---- tee/enclave/entry.h ---- */

/* Page by page, so that a fault tells how far the copy came. */
#define RAW_LOOP(size, addr_for_pages, statement)                                                  \
    sigjmp_buf jump, *volatile outer = g_fault_jump;                                               \
    volatile size_t done = 0;                                                                      \
    catch_faults();                                                                                \
    if (sigsetjmp(jump, 0) == 0) {                                                                 \
        g_fault_jump = &jump;                                                                      \
        while (done < (size)) {                                                                    \
            size_t part =                                                                          \
                MIN((size)-done, PAGE_SIZE - ((uintptr_t)(addr_for_pages) + done) % PAGE_SIZE);    \
            statement;                                                                             \
            done += part;                                                                          \
        }                                                                                          \
    }                                                                                              \
    g_fault_jump = outer;                                                                          \
    return (size)-done

size_t uptr_put_user(struct uptr dst, uintptr_t user, size_t size)
{
    return size - user_raw_copy((void *)dst.addr, (const void *)user, size);
}

size_t uptr_get_user(uintptr_t user, struct uptr src, size_t size)
{
    return size - user_raw_copy((void *)user, (const void *)src.addr, size);
}

size_t user_raw_copy(void *dst, const void *src, size_t size)
{
    bool out = (uintptr_t)dst < ELRANGE_SIZE_DEFAULT;

    RAW_LOOP(size, out ? dst : src, memcpy((char *)dst + done, (const char *)src + done, part));
}

size_t user_raw_zero(void *dst, size_t size)
{
    RAW_LOOP(size, dst, memset((char *)dst + done, 0, part));
}

size_t user_raw_copy_str(char *dst, const char *src, size_t size, bool *ret_faulted)
{
    sigjmp_buf jump;
    volatile size_t done = 0;

    *ret_faulted = false;
    catch_faults();
    if (sigsetjmp(jump, 0) == 0) {
        g_fault_jump = &jump;
        while (done < size) {
            dst[done] = *(volatile const char *)&src[done];
            if (dst[done] == 0) {
                g_fault_jump = NULL;
                return 0;
            }
            done++;
        }
    } else {
        *ret_faulted = true;
    }
    g_fault_jump = NULL;
    return size - done;
}

int user_raw_load32(uint32_t *ret, const uint32_t *src)
{
    return user_raw_copy(ret, src, sizeof *ret) ? -EFAULT : 0;
}

int user_raw_cmpxchg32(uint32_t *word, uint32_t *expected_and_ret, uint32_t desired)
{
    sigjmp_buf jump;

    catch_faults();
    if (sigsetjmp(jump, 0) != 0) {
        g_fault_jump = NULL;
        return -EFAULT;
    }
    g_fault_jump = &jump;
    __atomic_compare_exchange_n(word, expected_and_ret, desired, false, __ATOMIC_SEQ_CST,
                                __ATOMIC_SEQ_CST);
    g_fault_jump = NULL;
    return 0;
}

NORETURN void enclave_panic(const char *text)
{
    fprintf(stderr, "panic: %s\n", text);
    abort();
}

/* ---- tee/enclave/{random,log,clock}.h ---- */

void random_bytes(void *dst, size_t size)
{
    if (getrandom(dst, size, 0) != (ssize_t)size)
        abort();
}

uint64_t random_u64(void)
{
    uint64_t r;

    random_bytes(&r, sizeof r);
    return r;
}

void log_line(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

void log_debug(const char *fmt, ...)
{
}

int format_v(char *dst, size_t size, const char *fmt, va_list args)
{
    return vsnprintf(dst, size, fmt, args);
}

int format(char *dst, size_t size, const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(dst, size, fmt, args);
    va_end(args);
    return n;
}

/* A clock that is never valid: readers make the system call. */
const struct clock_data *clock_data(void)
{
    static struct clock_data data;

    return &data;
}

size_t xstate_size(void)
{
    return 832;
}

/* ---- tee/libos/task: sleeping locks ---- */

void mutex_lock(struct mutex *m)
{
    while (__atomic_exchange_n(&m->state, 1, __ATOMIC_ACQUIRE))
        sched_yield();
}

bool mutex_try(struct mutex *m)
{
    return !__atomic_exchange_n(&m->state, 1, __ATOMIC_ACQUIRE);
}

void mutex_unlock(struct mutex *m)
{
    __atomic_store_n(&m->state, 0, __ATOMIC_RELEASE);
}

void ocall_yield(void)
{
    sched_yield();
}
