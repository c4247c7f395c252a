/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host threads that enter enclaves: their state, signal stack and Syscall User Dispatch. Untrusted
 * side.
 */
#include "host/sgx/emu/emu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <x86intrin.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_OFF 0
#define PR_SYS_DISPATCH_ON 1
#endif
#ifndef PR_SYS_DISPATCH_INCLUSIVE_ON
#define PR_SYS_DISPATCH_INCLUSIVE_ON 2 /* Linux 6.17: the range given is the one that traps */
#endif
#define USER_SPACE_END (1ul << 47)

_Thread_local struct emu_thread *sgx_emu_self;

static struct emu_thread *g_gs_table[EMU_GS_TABLE_COUNT];
struct emu_thread **sgx_emu_gs_table_addr = g_gs_table;

static atomic_int g_free_lock;
static struct emu_thread *g_free; /* blocks to use again; g_free_lock */

static void close_file(FILE **f)
{
    if (*f)
        fclose(*f);
}

bool emu_thread_has_dispatch(void)
{
    if (sgx_emu_self)
        sgx_emu_self->sud_id = 0;
    return prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0) == 0;
}

/* Does code of this process lie below `end`? Then "all but the range above" would trap it too. */
static bool has_code_below(uint64_t end)
{
    CLEANUP(close_file)
    FILE *f = fopen("/proc/self/maps", "re");
    char line[512], flags[5];
    unsigned long start;

    if (!f)
        return true;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%lx-%*x %4s", &start, flags) == 2 && start < end && flags[2] == 'x')
            return true;
    return false;
}

int emu_thread_plan_dispatch(struct sgx_enclave *e)
{
    if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_INCLUSIVE_ON, e->base, e->size, 0) ==
        0) {
        (void)emu_thread_has_dispatch(); /* off again */
        e->sud_mode = PR_SYS_DISPATCH_INCLUSIVE_ON;
        e->sud_off = e->base;
        e->sud_size = e->size;
        return 0;
    }
    if (has_code_below(e->base + e->size))
        return -ENOTSUP;
    e->sud_mode = PR_SYS_DISPATCH_ON;
    e->sud_off = e->base + e->size;
    e->sud_size = USER_SPACE_END - e->sud_off;
    return 0;
}

int emu_thread_dispatch(struct emu_thread *t, struct sgx_enclave *e)
{
    unsigned long mode = e ? e->sud_mode : PR_SYS_DISPATCH_OFF;

    if (prctl(PR_SET_SYSCALL_USER_DISPATCH, mode, e ? e->sud_off : 0, e ? e->sud_size : 0, 0) < 0)
        return -errno;
    t->sud_id = e ? e->id : 0;
    return 0;
}

/* Every block there ever was; filled from the front, never emptied, read without a lock. */
static _Atomic(struct emu_thread *) g_blocks[EMU_THREADS_MAX];

bool emu_thread_is_known(const struct emu_thread *t)
{
    for (size_t i = 0; i < EMU_THREADS_MAX; i++) {
        struct emu_thread *known = atomic_load_explicit(&g_blocks[i], memory_order_acquire);

        if (!known || known == t)
            return known != NULL;
    }
    return false;
}

static bool remember_block(struct emu_thread *t)
{
    for (size_t i = 0; i < EMU_THREADS_MAX; i++) {
        struct emu_thread *expected = NULL;

        if (atomic_compare_exchange_strong(&g_blocks[i], &expected, t))
            return true;
    }
    return false;
}

static struct emu_thread *take_free(void)
{
    while (atomic_exchange(&g_free_lock, 1))
        _mm_pause();
    struct emu_thread *t = g_free;

    if (t)
        g_free = t->next_free;
    atomic_store(&g_free_lock, 0);
    return t;
}

/* Blocks are never unmapped: a stub may look at a thread that is gone. */
static void give_free(struct emu_thread *t)
{
    while (atomic_exchange(&g_free_lock, 1))
        _mm_pause();
    t->next_free = g_free;
    g_free = t;
    atomic_store(&g_free_lock, 0);
}

static struct emu_thread *map_block(void)
{
    uint8_t *p = mmap(NULL, 2 * EMU_THREAD_BLOCK, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    uint8_t *block = (uint8_t *)ALIGN_UP((uintptr_t)p, EMU_THREAD_BLOCK);

    if (block > p)
        munmap(p, (size_t)(block - p));
    munmap(block + EMU_THREAD_BLOCK, (size_t)(p + EMU_THREAD_BLOCK - block));
    if (mprotect(block + EMU_THREAD_STATE, PAGE_SIZE, PROT_NONE) < 0 ||
        !remember_block((struct emu_thread *)block)) {
        munmap(block, EMU_THREAD_BLOCK);
        return NULL;
    }
    return (struct emu_thread *)block;
}

int emu_thread_init(struct sgx_enclave *e)
{
    struct emu_thread *t = sgx_emu_self;
    const char *wait = getenv("CLOCHE_EMU_TRANSITION_NS");

    if (t) {
        t->init_count++;
        return t->sud_id == e->id ? 0 : emu_thread_dispatch(t, e);
    }
    t = take_free();
    if (!t)
        t = map_block();
    if (!t)
        return -ENOMEM;
    memset(t, 0, sizeof *t);
    t->stub_gs = EMU_STUB_GS_NONE;
    t->host_fs = _readfsbase_u64();
    t->host_gs = _readgsbase_u64();
    t->spin = wait ? emu_cpu_ticks(strtoull(wait, NULL, 10)) : 0;
    t->init_count = 1;
    int rc = emu_step_init();
    stack_t stack = { .ss_sp = (uint8_t *)t + EMU_THREAD_STATE + PAGE_SIZE,
                      .ss_size = EMU_THREAD_BLOCK - EMU_THREAD_STATE - PAGE_SIZE };
    if (rc == 0)
        rc = sigaltstack(&stack, &t->old_stack) < 0 ? -errno : emu_thread_dispatch(t, e);

    if (rc < 0) {
        give_free(t);
        return rc;
    }
    sgx_emu_self = t;
    return 0;
}

void emu_thread_done(struct sgx_enclave *e)
{
    struct emu_thread *t = sgx_emu_self;

    if (!t || --t->init_count > 0)
        return;
    (void)emu_thread_dispatch(t, NULL);
    sgx_emu_self = NULL;
    if (t->old_stack.ss_flags & SS_DISABLE)
        t->old_stack.ss_size = 0;
    sigaltstack(&t->old_stack, NULL);
    for (size_t i = 0; i < EMU_GS_TABLE_COUNT; i++) {
        struct emu_thread *expected = t;

        if (__atomic_load_n(&g_gs_table[i], __ATOMIC_RELAXED) != t)
            continue;
        __atomic_compare_exchange_n(&g_gs_table[i], &expected, NULL, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_RELAXED);
    }
    give_free(t);
}
