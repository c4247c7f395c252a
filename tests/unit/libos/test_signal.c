/* SPDX-License-Identifier: Apache-2.0 */
/* Signals: queues, sending, frames, restarts, sigtimedwait. Unit test over tee/libos/signal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/signal.h>
#include <linux/time_types.h>
#include <string.h>
#include <unistd.h>

#include "tee/enclave/ocall.h"
#include "tee/libos/signal/frame.h"
#include "tests/unit/libos/fake_task.h"

#define MS 1000000
#define UC_OFF 8u          /* of struct ucontext in struct rt_sigframe */
#define UC_CONTEXT_OFF 40u /* of struct sigcontext in struct ucontext */

syscall_fn sys_rt_sigaction, sys_rt_sigprocmask, sys_rt_sigpending, sys_rt_sigtimedwait, sys_tgkill,
    sys_kill, sys_sigaltstack, sys_rt_sigqueueinfo, sys_nanosleep, sys_rt_sigsuspend;

static uint8_t g_stack[65536] __attribute__((aligned(64)));

static void set_action(int signo, uint64_t handler, uint64_t flags)
{
    struct sig_action action = { .handler = handler,
                                 .flags = flags | 0x04000000,
                                 .restorer = 0x5000 };

    assert_int_equal(SYS(rt_sigaction, signo, &action, 0, 8), 0);
}

static uint64_t set_mask(uint64_t mask)
{
    uint64_t old;

    assert_int_equal(SYS(rt_sigprocmask, SIG_SETMASK, &mask, &old, 8), 0);
    return old;
}

static int send_self(int signo)
{
    return (int)SYS(tgkill, 1, current()->tid, signo);
}

static struct regs program_regs(void)
{
    return (struct regs){ .rip = 0x401000,
                          .rsp = (uint64_t)g_stack + sizeof g_stack - 512,
                          .rax = 5,
                          .rbx = 0xb,
                          .r15 = 15,
                          .rflags = 0x246,
                          .orig_rax = UINT64_MAX };
}

/* ---- queues ---- */

static struct sig_entry *entry(int signo, int value)
{
    struct sig_entry *e = test_calloc(1, sizeof *e);

    e->info = (struct siginfo_linux){ .signo = signo, .code = value };
    return e;
}

static void test_queue_order(void **state)
{
    static const int order[][2] = { { SIGSEGV, 1 }, { SIGHUP, 2 }, { SIGTERM, 3 },
                                    { 40, 4 },      { 40, 5 },     { 41, 6 } };
    struct sig_queue q = { 0 };
    struct siginfo_linux info;
    struct sig_entry *e;

    assert_true(sig_queue_add(&q, 41, entry(41, 6)));
    assert_true(sig_queue_add(&q, 40, entry(40, 4)));
    assert_true(sig_queue_add(&q, SIGTERM, entry(SIGTERM, 3)));
    assert_true(sig_queue_add(&q, 40, entry(40, 5)));
    assert_true(sig_queue_add(&q, SIGHUP, entry(SIGHUP, 2)));
    assert_true(sig_queue_add(&q, SIGSEGV, entry(SIGSEGV, 1)));
    e = entry(SIGTERM, 9);
    assert_false(sig_queue_add(&q, SIGTERM, e)); /* pends already */
    test_free(e);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(sig_queue_take(&q, UINT64_MAX, &info, &e), order[i][0]);
        assert_int_equal(info.code, order[i][1]);
        test_free(e);
    }
    assert_int_equal(sig_queue_take(&q, UINT64_MAX, &info, &e), 0);
    assert_int_equal(q.mask, 0);
    assert_int_equal(q.count, 0);
    /* The bit alone, when no entry could be made. */
    assert_false(sig_queue_add(&q, SIGUSR1, NULL));
    assert_int_equal(sig_queue_take(&q, SIGNAL_BIT(SIGUSR2), &info, &e), 0);
    assert_int_equal(sig_queue_take(&q, UINT64_MAX, &info, &e), SIGUSR1);
}

static void test_queue_is_bounded(void **state)
{
    struct siginfo_linux info = { .code = SI_QUEUE };
    int rc = 0;
    unsigned count = 0;

    set_mask(SIGNAL_BIT(50));
    for (; rc == 0 && count <= SIGNAL_QUEUE_MAX; count++)
        rc = (int)SYS(rt_sigqueueinfo, 1, 50, &info);
    assert_int_equal(rc, -EAGAIN);
    assert_int_equal(count, SIGNAL_QUEUE_MAX + 1);
    while (signal_take(SIGNAL_BIT(50), &info))
        count--;
    assert_int_equal(count, 1);
    set_mask(0);
}

/* ---- masks and sending ---- */

static void test_blocked_signals_pend(void **state)
{
    uint64_t pending = 0;

    set_action(SIGUSR1, 0x4000, 0);
    set_mask(SIGNAL_BIT(SIGUSR1));
    assert_int_equal(send_self(SIGUSR1), 0);
    assert_false(signal_pending());
    assert_int_equal(SYS(rt_sigpending, &pending, 8), 0);
    assert_int_equal(pending, SIGNAL_BIT(SIGUSR1));
    set_action(SIGUSR1, 1, 0); /* ignoring drops what pends */
    assert_int_equal(SYS(rt_sigpending, &pending, 8), 0);
    assert_int_equal(pending, 0);
    set_mask(0);
    assert_int_equal(send_self(SIGUSR1), 0);
    assert_false(signal_pending());
}

static void test_arguments(void **state)
{
    struct sig_action action = { 0 };

    assert_int_equal(SYS(rt_sigaction, SIGKILL, &action, 0, 8), -EINVAL);
    assert_int_equal(SYS(rt_sigaction, 65, 0, &action, 8), -EINVAL);
    assert_int_equal(SYS(rt_sigaction, SIGUSR1, 0, &action, 4), -EINVAL);
    assert_int_equal(SYS(rt_sigaction, SIGUSR1, 8, 0, 8), -EFAULT);
    assert_int_equal(SYS(rt_sigprocmask, 7, &action, 0, 8), -EINVAL);
    assert_int_equal(SYS(tgkill, 1, 999999, SIGUSR1), -ESRCH);
    assert_int_equal(SYS(tgkill, 2, current()->tid, SIGUSR1), -ESRCH);
    assert_int_equal(SYS(tgkill, 1, current()->tid, 65), -EINVAL);
    assert_int_equal(SYS(kill, 777777, 0), -ESRCH);
    assert_int_equal(SYS(kill, 1, 0), 0);
    set_mask(UINT64_MAX);
    assert_int_equal(set_mask(0), ~SIGNALS_UNBLOCKABLE);
}

/* ---- frames ---- */

static void test_frame_and_back(void **state)
{
    struct regs before = program_regs(), regs = before;
    uint64_t *frame;

    set_action(SIGUSR1, 0x4000, 0x4 /* SA_SIGINFO */);
    set_mask(SIGNAL_BIT(SIGUSR2));
    assert_int_equal(send_self(SIGUSR1), 0);
    assert_true(signal_pending());
    signal_handle(&regs, false);
    assert_int_equal(regs.rip, 0x4000);
    assert_int_equal(regs.rdi, SIGUSR1);
    assert_int_equal(regs.rsp % 16, 8);
    assert_true(regs.rsp < before.rsp - 128 - 440);
    frame = (uint64_t *)regs.rsp;
    assert_int_equal(frame[0], 0x5000);
    assert_int_equal(regs.rdx, regs.rsp + UC_OFF);
    assert_int_equal(*(int32_t *)regs.rsi, SIGUSR1);
    assert_int_equal(((int32_t *)regs.rsi)[2], -6); /* SI_TKILL */
    assert_int_equal(*(uint64_t *)(regs.rdx + UC_CONTEXT_OFF + 16 * 8), before.rip);
    assert_int_equal(current()->sig_mask, SIGNAL_BIT(SIGUSR2) | SIGNAL_BIT(SIGUSR1));
    /* The handler changes RBX and tries what it may not. */
    *(uint64_t *)(regs.rdx + UC_CONTEXT_OFF + 11 * 8) = 0xbeef;
    *(uint64_t *)(regs.rdx + UC_CONTEXT_OFF + 17 * 8) |= 0x3000; /* IOPL */
    regs.rsp += 8;                                               /* RET to the restorer */
    assert_int_equal(sigframe_pop(&regs), 0);
    assert_int_equal(regs.rip, before.rip);
    assert_int_equal(regs.rsp, before.rsp);
    assert_int_equal(regs.rbx, 0xbeef);
    assert_int_equal(regs.r15, 15);
    assert_int_equal(regs.rflags, before.rflags);
    assert_int_equal(current()->sig_mask, SIGNAL_BIT(SIGUSR2));
    set_mask(0);
}

static void test_bad_frames_are_refused(void **state)
{
    struct regs regs = program_regs(), before;

    set_action(SIGUSR1, 0x4000, 0);
    assert_int_equal(send_self(SIGUSR1), 0);
    signal_handle(&regs, false);
    regs.rsp += 8;
    *(uint64_t *)(regs.rsp + UC_CONTEXT_OFF + 16 * 8) = 1ull << 63; /* RIP not canonical */
    before = regs;
    assert_int_equal(sigframe_pop(&regs), -EFAULT);
    assert_memory_equal(&before, &regs, sizeof regs);
    regs.rsp = 100;
    assert_int_equal(sigframe_pop(&regs), -EFAULT);
    set_mask(0);
}

static void test_alternate_stack(void **state)
{
    static uint8_t alt[16384];
    struct {
        void *sp;
        int flags;
        size_t size;
    } s = { alt, 0, sizeof alt }, old;
    struct regs regs = program_regs();

    s.size = 100;
    assert_int_equal(SYS(sigaltstack, &s, 0), -ENOMEM);
    s.size = sizeof alt;
    assert_int_equal(SYS(sigaltstack, &s, 0), 0);
    set_action(SIGUSR1, 0x4000, 0x08000000 /* SA_ONSTACK */);
    assert_int_equal(send_self(SIGUSR1), 0);
    signal_handle(&regs, false);
    assert_true(regs.rsp > (uint64_t)alt && regs.rsp < (uint64_t)alt + sizeof alt);
    *current_regs() = regs;
    assert_int_equal(SYS(sigaltstack, 0, &old), 0);
    assert_int_equal(old.flags, SS_ONSTACK);
    assert_int_equal(SYS(sigaltstack, &s, 0), -EPERM);
    *current_regs() = program_regs();
    s.flags = SS_DISABLE;
    assert_int_equal(SYS(sigaltstack, &s, &old), 0);
    assert_int_equal(old.flags, 0);
    assert_ptr_equal(old.sp, alt);
    set_mask(0);
}

static uint64_t rax_after(int64_t result, uint64_t flags, uint64_t *ret_rip)
{
    struct regs regs = program_regs();
    struct regs inside;

    set_action(SIGUSR1, 0x4000, flags);
    regs.orig_rax = 7;
    regs.rax = (uint64_t)result;
    assert_int_equal(send_self(SIGUSR1), 0);
    signal_handle(&regs, true);
    inside = regs;
    inside.rsp += 8;
    assert_int_equal(sigframe_pop(&inside), 0);
    *ret_rip = inside.rip;
    return inside.rax;
}

static void test_restarts(void **state)
{
    struct regs regs = program_regs();
    uint64_t rip, at = regs.rip;

    assert_int_equal((int64_t)rax_after(-ERESTARTSYS, 0, &rip), -EINTR);
    assert_int_equal(rip, at);
    assert_int_equal(rax_after(-ERESTARTSYS, 0x10000000 /* SA_RESTART */, &rip), 7);
    assert_int_equal(rip, at - 2);
    assert_int_equal((int64_t)rax_after(-ERESTARTNOHAND, 0x10000000, &rip), -EINTR);
    assert_int_equal((int64_t)rax_after(-ERESTART_RESTARTBLOCK, 0x10000000, &rip), -EINTR);
    assert_int_equal(rax_after(-ERESTARTNOINTR, 0, &rip), 7);
    assert_int_equal(rax_after(42, 0, &rip), 42);
    regs.orig_rax = 7;
    regs.rax = (uint64_t)-ERESTART_RESTARTBLOCK; /* no handler runs */
    signal_handle(&regs, true);
    assert_int_equal(regs.rax, 219);
    assert_int_equal(regs.rip, at - 2);
}

/* ---- waiting ---- */

static int64_t g_result;

static void wait_for_usr2(void *arg)
{
    uint64_t set = SIGNAL_BIT(SIGUSR2);

    current()->sig_mask = set;
    g_result = SYS(rt_sigtimedwait, &set, 0, 0, 8);
}

static void test_sigtimedwait(void **state)
{
    struct __kernel_timespec ts = { 0, 2 * MS };
    uint64_t set = SIGNAL_BIT(SIGUSR2);
    struct fake_thread *f;

    set_mask(set);
    assert_int_equal(SYS(rt_sigtimedwait, &set, 0, &ts, 8), -EAGAIN);
    set_action(SIGUSR2, 0, 0);
    f = fake_thread_start(wait_for_usr2, NULL);
    fake_wait_parked(fake_thread_of(f));
    assert_int_equal(SYS(kill, 1, SIGUSR2), 0);
    fake_thread_join(f);
    assert_int_equal(g_result, SIGUSR2);
    set_mask(0);
}

static void sleep_long(void *arg)
{
    struct __kernel_timespec ts = { 100, 0 }, left = { 0 };

    g_result = SYS(nanosleep, &ts, &left);
    if (left.tv_sec < 98)
        g_result = 0;
}

static void test_signal_interrupts_sleep(void **state)
{
    struct fake_thread *f = fake_thread_start(sleep_long, NULL);

    set_action(SIGUSR1, 0x4000, 0);
    fake_wait_parked(fake_thread_of(f));
    assert_int_equal(SYS(tgkill, 1, fake_thread_of(f)->tid, SIGUSR1), 0);
    fake_thread_join(f);
    assert_int_equal(g_result, -ERESTART_RESTARTBLOCK);
}

/* A host signal that this thread itself hands to its process ends the sleep it is about to begin: nobody else wakes it. */
static void test_host_signal_before_sleep(void **state)
{
    uint64_t set = SIGNAL_BIT(SIGTERM);

    set_mask(set);
    (void)!ocall_park(0); /* and no unpark is left from before */
    libos_host_signal(SIGTERM);
    ((struct thread *)current())->wake_token = 0; /* as another wake has taken it */
    assert_int_equal(SYS(rt_sigtimedwait, &set, 0, 0, 8), SIGTERM);
    set_mask(0);
}

static void test_host_signals(void **state)
{
    set_action(SIGTERM, 0x4000, 0);
    libos_host_signal(SIGKILL); /* not the host's to send */
    libos_host_signal(0);
    libos_host_signal(99);
    assert_false(signal_host_drain() && signal_pending());
    assert_false(signal_host_drain());
    libos_host_signal(SIGTERM);
    assert_true(signal_host_drain());
    assert_true(signal_pending());
    struct regs regs = program_regs();

    signal_handle(&regs, false);
    assert_int_equal(regs.rdi, SIGTERM);
}

/* ---- dying ---- */

static void die_of_fault(void *arg)
{
    struct regs regs = program_regs();
    struct fault fault = { .vector = VECTOR_PF, .address = 0x10, .has_address = true };

    current()->sig_mask = SIGNAL_BIT(SIGSEGV); /* blocked: kills all the same */
    set_action(SIGSEGV, 0x4000, 0);
    libos_fault(&regs, &fault);
}

static void test_fault_kills(void **state)
{
    struct fake_thread *f = fake_thread_start(die_of_fault, NULL);

    while (fake_exit_status() < 0)
        usleep(1000);
    assert_int_equal(fake_exit_status(), 128 + SIGSEGV);
    assert_non_null(strstr(fake_last_line(), "SIGSEGV"));
    (void)f;
}

static int init(void **state)
{
    fake_task_init();
    *current_regs() = program_regs();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue_order),
        cmocka_unit_test(test_queue_is_bounded),
        cmocka_unit_test(test_blocked_signals_pend),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_frame_and_back),
        cmocka_unit_test(test_bad_frames_are_refused),
        cmocka_unit_test(test_alternate_stack),
        cmocka_unit_test(test_restarts),
        cmocka_unit_test(test_host_signal_before_sleep),
        cmocka_unit_test(test_sigtimedwait),
        cmocka_unit_test(test_signal_interrupts_sleep),
        cmocka_unit_test(test_host_signals),
        cmocka_unit_test(test_fault_kills),
    };

    return cmocka_run_group_tests(tests, init, NULL);
}
