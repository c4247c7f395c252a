/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts at random moments: nothing of the enclave's state may change, no leaf may be lost or
 * done twice, and no thread-local variable of the host may be reached with the enclave's FS base.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/sgx/fixture.h"

#define RUN_MS 400
#define THREADS 3

static struct fixture g_f;
static atomic_bool g_stop;
static atomic_ulong g_inside, g_outside;
static _Thread_local unsigned t_slot, t_depth;
static _Thread_local uint64_t t_canary = 0x1234;
static _Thread_local unsigned long t_signals;

static void on_signal(int sig, siginfo_t *si, void *context)
{
    ucontext_t *uc = context;
    greg_t *g = uc->uc_mcontext.gregs;

    if (!g_f.backend->signal_at_aep(g_f.e, uc)) {
        atomic_fetch_add(&g_outside, 1);
        if (t_canary != 0x1234)
            abort();
        return;
    }
    if (t_canary != 0x1234 || (uint32_t)g[REG_RAX] != SGX_ERESUME ||
        (uint64_t)g[REG_RBX] != g_f.base + FIX_TCS(t_slot))
        abort();
    atomic_fetch_add(&g_inside, 1);
    if (t_depth == 0 && ++t_signals % 2 == 0) {
        t_depth++;
        g[REG_RAX] = SGX_EENTER;
        g[REG_RDI] = 2;
    }
}

static void install(void)
{
    struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };

    sigfillset(&sa.sa_mask);
    assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
}

/* Enters, and resumes after each visit of the handler at CSSA 1. */
static uint64_t call(uint64_t command, uint64_t rsi, uint64_t rdx, uint64_t r8)
{
    struct fix_result r = fix_enter(&g_f, t_slot, command, rsi, rdx, r8);

    for (;;) {
        if (r.rc != 0 || r.run.function != SGX_EEXIT) {
            fprintf(stderr, "command %lu: rc %d function %u vector %u code 0x%x address 0x%lx\n",
                    command, r.rc, r.run.function, r.run.exception_vector,
                    r.run.exception_error_code, r.run.exception_addr);
            abort();
        }
        if (t_depth == 0)
            return r.rsi;
        t_depth--;
        r = fix_enter_leaf(&g_f, t_slot, SGX_ERESUME, 0, 0, 0);
    }
}

struct registers {
    uint64_t gpr[16];
    uint8_t ymm[4][32];
};

/* What ends the loops of `spin` below; the hammering thread sets them. */
static uint8_t *g_flags[THREADS];
static pthread_mutex_t g_flags_lock = PTHREAD_MUTEX_INITIALIZER;

static void set_flag(unsigned slot, uint8_t *flag)
{
    pthread_mutex_lock(&g_flags_lock);
    g_flags[slot] = flag;
    pthread_mutex_unlock(&g_flags_lock);
}

static void *spin(void *arg)
{
    struct registers regs;
    uint8_t done;
    unsigned seed = (unsigned)(uintptr_t)arg + 1;

    t_slot = (unsigned)(uintptr_t)arg;
    if (g_f.backend->thread_init(g_f.e) < 0)
        abort();
    for (size_t i = 0; i < sizeof regs; i++)
        ((uint8_t *)&regs)[i] = (uint8_t)rand_r(&seed);
    while (!atomic_load(&g_stop)) {
        __atomic_store_n(&done, 0, __ATOMIC_SEQ_CST);
        set_flag(t_slot, &done);
        if (call(FIX_CMD_SPIN, (uint64_t)&regs, (uint64_t)&done, 0) != 0) {
            fprintf(stderr, "registers changed\n");
            abort();
        }
        set_flag(t_slot, NULL);
    }
    g_f.backend->thread_done(g_f.e);
    return NULL;
}

static void *enter_often(void *arg)
{
    t_slot = (unsigned)(uintptr_t)arg;
    if (g_f.backend->thread_init(g_f.e) < 0)
        abort();
    for (uint64_t i = 0; !atomic_load(&g_stop); i++)
        if (call(FIX_CMD_INC, i, 0, 0) != i + 1)
            abort();
    g_f.backend->thread_done(g_f.e);
    return NULL;
}

/* Each page must be accepted exactly once: a second EACCEPT of it would report a mismatch. */
static void *accept_often(void *arg)
{
    const uint64_t pages = 256, slot = (uintptr_t)arg;
    const uint64_t start = FIX_FREE + slot * 0x2000000;
    uint64_t done;

    t_slot = (unsigned)slot;
    if (g_f.backend->thread_init(g_f.e) < 0)
        abort();
    for (uint64_t off = 0; !atomic_load(&g_stop); off = (off + pages * 4096) % 0x1000000) {
        if (call(FIX_CMD_ACCEPT, g_f.base + start + off, g_f.base + FIX_DATA, pages) != 0) {
            fprintf(stderr, "an EACCEPT was done twice\n");
            abort();
        }
        call(FIX_CMD_WRITE, g_f.base + start + off, 1, 0);
        if (g_f.backend->modify_types(g_f.e, start + off, pages * 4096, SGX_PT_TRIM, &done) != 0)
            abort();
        if (call(FIX_CMD_ACCEPT, g_f.base + start + off, g_f.base + FIX_DATA + 64, pages) != 0)
            abort();
        if (g_f.backend->remove_pages(g_f.e, start + off, pages * 4096, &done) != 0)
            abort();
    }
    g_f.backend->thread_done(g_f.e);
    return NULL;
}

/* EMODPE changes no register; through a patched stub only flags. */
static void *extend_often(void *arg)
{
    const uint64_t slot = (uintptr_t)arg, page = g_f.base + FIX_DATA + (4 + slot) * 4096;
    struct fix_enclu regs;

    t_slot = (unsigned)slot;
    if (g_f.backend->thread_init(g_f.e) < 0)
        abort();
    for (uint64_t i = 0; !atomic_load(&g_stop); i++) {
        regs = (struct fix_enclu){ SGX_EMODPE, g_f.base + FIX_DATA + 128, page, i, 0 };
        call(FIX_CMD_ENCLU, (uint64_t)&regs, 0, 0);
        if (regs.rax != SGX_EMODPE || regs.rbx != g_f.base + FIX_DATA + 128 || regs.rcx != page ||
            regs.rdx != i) {
            fprintf(stderr, "EMODPE changed a register\n");
            abort();
        }
    }
    g_f.backend->thread_done(g_f.e);
    return NULL;
}

static void hammer(bool stubs, void *(*victim)(void *))
{
    pthread_t threads[THREADS];
    struct sgx_secinfo accept = { .flags = 0x20b }, trim = { .flags = 0x410 },
                       extend = { .flags = 0x207 };
    struct timespec start, now, pause = { 0 };
    unsigned seed = 7;

    fix_start(&g_f, stubs, THREADS);
    install();
    fix_poke(&g_f, FIX_DATA, &accept, sizeof accept);
    fix_poke(&g_f, FIX_DATA + 64, &trim, sizeof trim);
    fix_poke(&g_f, FIX_DATA + 128, &extend, sizeof extend);
    atomic_store(&g_stop, false);
    atomic_store(&g_inside, 0);
    atomic_store(&g_outside, 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, victim, (void *)i), 0);
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        pthread_kill(threads[(unsigned)rand_r(&seed) % THREADS], SIGUSR1);
        if ((unsigned)rand_r(&seed) % 8 == 0) {
            pause.tv_nsec = rand_r(&seed) % 50000;
            nanosleep(&pause, NULL);
        }
        if ((unsigned)rand_r(&seed) % 16 == 0) {
            unsigned slot = (unsigned)rand_r(&seed) % THREADS;

            pthread_mutex_lock(&g_flags_lock);
            if (g_flags[slot])
                __atomic_store_n(g_flags[slot], 1, __ATOMIC_SEQ_CST);
            pthread_mutex_unlock(&g_flags_lock);
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < RUN_MS);
    atomic_store(&g_stop, true);
    for (unsigned i = 0; i < THREADS; i++) {
        while (pthread_tryjoin_np(threads[i], NULL) == EBUSY) {
            pthread_mutex_lock(&g_flags_lock);
            if (g_flags[i])
                __atomic_store_n(g_flags[i], 1, __ATOMIC_SEQ_CST);
            pthread_mutex_unlock(&g_flags_lock);
            usleep(100);
        }
    }
    print_message("signals: %lu inside, %lu outside\n", atomic_load(&g_inside),
                  atomic_load(&g_outside));
    /* short visits may be missed every time */
    assert_true(atomic_load(&g_inside) > 0 || victim != spin);
    fix_stop(&g_f);
}

static void test_registers(void **state)
{
    hammer(true, spin);
    hammer(false, spin);
}

static void test_entries(void **state)
{
    hammer(true, enter_often);
    hammer(false, enter_often);
}

static void test_accepts(void **state)
{
    hammer(true, accept_often);
    hammer(false, accept_often);
}

static void test_extends(void **state)
{
    hammer(true, extend_often);
    hammer(false, extend_often);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registers),
        cmocka_unit_test(test_entries),
        cmocka_unit_test(test_accepts),
        cmocka_unit_test(test_extends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
