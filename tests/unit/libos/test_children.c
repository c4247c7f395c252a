/* SPDX-License-Identifier: Apache-2.0 */
/* Families: zombies, adoption, SIGCHLD, groups, sessions and their terminals. Unit test over tee/libos/task. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/signal.h>
#include <linux/wait.h>

#include "tee/libos/task/children.h"
#include "tee/libos/task/group.h"
#include "tests/unit/libos/fake_task.h"

syscall_fn sys_wait4, sys_waitid, sys_setpgid, sys_getpgid, sys_getsid, sys_setsid,
    sys_rt_sigaction, sys_kill, sys_rt_sigprocmask;

/* A child of `parent` without threads; the test holds a reference. */
static struct process *child_of(struct process *parent)
{
    struct process *p;
    struct cred cred = { .ruid = 7 };

    assert_int_equal(process_new(parent, &p), 0);
    p->sig = sig_state_new();
    assert_int_equal(process_set_cred(p, &cred), 0);
    process_publish(p);
    return p;
}

static void end(struct process *p, int status)
{
    p->exit_status = status;
    process_exited(p);
}

static int64_t wait_any(int options, int *status)
{
    return SYS(wait4, -1, status, options, 0);
}

static void set_chld(uint64_t handler, uint64_t flags)
{
    struct sig_action action = { .handler = handler, .flags = flags };

    assert_int_equal(SYS(rt_sigaction, SIGCHLD, &action, 0, 8), 0);
}

static void test_zombie(void **state)
{
    struct process *p = child_of(process_current());
    int status = -1, pid = p->pid;

    (void)state;
    assert_int_equal(wait_any(WNOHANG, &status), 0);
    end(p, 42 << 8);
    assert_true(p->zombie && process_find(pid) == p);
    process_unref(p);
    assert_int_equal(wait_any(0, &status), pid);
    assert_int_equal(status, 42 << 8);
    assert_null(process_find(pid));
    assert_true(p->is_reaped);
    process_unref(p);
    assert_int_equal(wait_any(WNOHANG, &status), -ECHILD);
}

static void test_wait_selects(void **state)
{
    struct process *a = child_of(process_current()), *b = child_of(process_current());
    int status;

    (void)state;
    end(a, 9);
    assert_int_equal(SYS(wait4, b->pid, 0, WNOHANG, 0), 0);
    assert_int_equal(SYS(wait4, 99999, 0, WNOHANG, 0), -ECHILD);
    assert_int_equal(SYS(wait4, -99999, 0, WNOHANG, 0), -ECHILD);
    assert_int_equal(SYS(wait4, INT32_MIN, 0, WNOHANG, 0), -ESRCH);
    assert_int_equal(SYS(wait4, -1, 0, 0x100, 0), -EINVAL);
    assert_int_equal(SYS(wait4, -1, &status, __WCLONE | WNOHANG, 0), -ECHILD);
    assert_int_equal(SYS(waitid, P_PID, 0, 0, WEXITED, 0), -EINVAL);
    assert_int_equal(SYS(waitid, P_ALL, 0, 0, WNOHANG, 0), -EINVAL);
    assert_int_equal(SYS(waitid, P_PID, a->pid, 0, WEXITED | WNOWAIT, 0), 0);
    assert_int_equal(SYS(wait4, a->pid, &status, 0, 0), a->pid);
    assert_int_equal(status, 9);
    b->exit_signal = SIGUSR1;
    end(b, 0);
    assert_int_equal(SYS(wait4, -1, &status, WNOHANG, 0), -ECHILD);
    assert_int_equal(SYS(wait4, -1, &status, __WALL, 0), b->pid);
    process_unref(a);
    process_unref(b);
}

static void test_signal_to_parent(void **state)
{
    uint64_t blocked = SIGNAL_BIT(SIGCHLD), old;
    struct siginfo_linux info;
    struct process *p;
    int32_t pid;

    (void)state;
    set_chld(0x1000, 0);
    SYS(rt_sigprocmask, SIG_SETMASK, &blocked, &old, 8);
    p = child_of(process_current());
    pid = p->pid;
    end(p, 15);
    assert_int_equal(signal_take(SIGNAL_BIT(SIGCHLD), &info), SIGCHLD);
    assert_int_equal(info.code, CLD_KILLED);
    assert_int_equal(((int32_t *)info.fields)[0], pid);
    assert_int_equal(((int32_t *)info.fields)[1], 7);
    assert_int_equal(((int32_t *)info.fields)[2], 15);
    process_unref(p);
    assert_int_equal(wait_any(0, 0), pid);

    set_chld((uintptr_t)SIG_IGN, 0);
    p = child_of(process_current());
    end(p, 0);
    assert_true(p->is_reaped);
    assert_int_equal(signal_take(SIGNAL_BIT(SIGCHLD), &info), 0);
    process_unref(p);

    set_chld(0x1000, SA_NOCLDWAIT);
    p = child_of(process_current());
    end(p, 0);
    assert_true(p->is_reaped);
    assert_int_equal(signal_take(SIGNAL_BIT(SIGCHLD), &info), SIGCHLD);
    process_unref(p);
    assert_int_equal(wait_any(0, 0), -ECHILD);
    set_chld((uintptr_t)SIG_DFL, 0);
    SYS(rt_sigprocmask, SIG_SETMASK, &old, 0, 8);
}

static void test_orphans(void **state)
{
    struct process *a = child_of(process_current()), *b = child_of(a), *c = child_of(b),
                   *d = child_of(c);
    int status;

    (void)state;
    a->child_subreaper = true;
    end(d, 3 << 8); /* a zombie that nobody waited for */
    end(c, 0);
    assert_ptr_equal(c->parent, b);
    assert_ptr_equal(d->parent, a);
    end(b, 0);
    assert_ptr_equal(c->parent, a);
    end(a, 0);
    assert_ptr_equal(d->parent, process_current());
    assert_int_equal(SYS(wait4, d->pid, &status, 0, 0), d->pid);
    assert_int_equal(status, 3 << 8);
    assert_int_equal(SYS(wait4, c->pid, 0, 0, 0), c->pid);
    assert_int_equal(SYS(wait4, b->pid, 0, 0, 0), b->pid);
    assert_int_equal(SYS(wait4, a->pid, 0, 0, 0), a->pid);
    assert_int_equal(wait_any(0, 0), -ECHILD);
    process_unref(a);
    process_unref(b);
    process_unref(c);
    process_unref(d);
}

/* One made when its parent had become a zombie already. */
static void test_late_child(void **state)
{
    struct process *a = child_of(process_current()), *b;

    (void)state;
    assert_int_equal(process_new(a, &b), 0);
    b->sig = sig_state_new();
    end(a, 0);
    process_publish(b);
    assert_ptr_equal(b->parent, process_current());
    end(b, 0);
    assert_int_equal(SYS(wait4, a->pid, 0, 0, 0), a->pid);
    assert_int_equal(SYS(wait4, b->pid, 0, 0, 0), b->pid);
    process_unref(a);
    process_unref(b);
}

static void test_stop_and_continue(void **state)
{
    struct process *p = child_of(process_current());
    int status = 0;

    (void)state;
    p->stopped = true;
    p->stop_signal = SIGTSTP;
    process_stopped(p, SIGTSTP);
    assert_int_equal(wait_any(WNOHANG, &status), 0);
    assert_int_equal(wait_any(WNOHANG | WUNTRACED, &status), p->pid);
    assert_int_equal(status, SIGTSTP << 8 | 0x7f);
    assert_int_equal(wait_any(WNOHANG | WUNTRACED, &status), 0);
    p->stop_signal = SIGSTOP;
    assert_int_equal(signal_send_process(p, SIGCONT, NULL), 0);
    assert_false(p->stopped);
    assert_int_equal(wait_any(WNOHANG | WUNTRACED, &status), 0);
    assert_int_equal(wait_any(WNOHANG | WCONTINUED, &status), p->pid);
    assert_int_equal(status, 0xffff);
    end(p, 0);
    assert_int_equal(wait_any(WUNTRACED | WCONTINUED, &status), p->pid);
    process_unref(p);
}

static void test_setpgid(void **state)
{
    struct process *a = child_of(process_current()), *b = child_of(process_current()),
                   *c = child_of(a);

    (void)state;
    assert_int_equal(SYS(setpgid, 0, -1), -EINVAL);
    assert_int_equal(SYS(setpgid, 99999, 0), -ESRCH);
    assert_int_equal(SYS(setpgid, c->pid, 0), -ESRCH); /* a grandchild */
    assert_int_equal(SYS(setpgid, 0, 0), -EPERM);      /* process 1 leads its session */
    assert_int_equal(SYS(setpgid, a->pid, 99999), -EPERM);
    assert_int_equal(SYS(setpgid, a->pid, 0), 0);
    assert_int_equal(SYS(getpgid, a->pid), a->pid);
    assert_int_equal(SYS(setpgid, b->pid, a->pid), 0);
    assert_int_equal(SYS(getpgid, b->pid), a->pid);
    b->did_exec = true;
    assert_int_equal(SYS(setpgid, b->pid, b->pid), -EACCES);
    b->did_exec = false;
    b->sid = b->pid;
    assert_int_equal(SYS(setpgid, b->pid, b->pid), -EPERM); /* another session */
    assert_int_equal(SYS(setsid, 0), -EPERM);
    assert_int_equal(SYS(getsid, b->pid), b->pid);
    assert_int_equal(SYS(getsid, 99999), -ESRCH);
    assert_true(group_in_session(a->pid, 1) && group_in_session(a->pid, b->pid));
    assert_false(group_in_session(99999, 1));
    end(c, 0);
    end(a, 0);
    end(b, 0);
    for (int i = 0; i < 3; i++)
        assert_true(wait_any(0, 0) > 0);
    process_unref(a);
    process_unref(b);
    process_unref(c);
}

static void test_group_signals(void **state)
{
    struct process *shell = child_of(process_current()), *job = child_of(shell);

    (void)state;
    shell->pgid = shell->sid = job->sid = shell->pid;
    job->pgid = job->pid;
    assert_int_equal(group_signal(99999, SIGUSR1, NULL), -ESRCH);
    assert_int_equal(group_signal(job->pgid, SIGUSR1, NULL), 0);
    assert_int_equal(sig_queue_mask(job->pending), SIGNAL_BIT(SIGUSR1));
    assert_int_equal(sig_queue_mask(shell->pending), 0);
    assert_true(group_is_orphaned(shell->pgid) && !group_is_orphaned(job->pgid));
    job->stopped = true;
    end(shell, 0); /* nobody can continue the job any more */
    assert_int_equal(sig_queue_mask(job->pending),
                     SIGNAL_BIT(SIGUSR1) | SIGNAL_BIT(SIGHUP) | SIGNAL_BIT(SIGCONT));
    assert_false(job->stopped);
    assert_true(group_is_orphaned(job->pgid));
    end(job, 0);
    assert_true(wait_any(0, 0) > 0 && wait_any(0, 0) > 0);
    process_unref(shell);
    process_unref(job);
}

/* ---- terminals ---- */

struct tty {
    int refs, gone;
};

static void tty_ref_fake(struct tty *t)
{
    t->refs++;
}

static void tty_unref_fake(struct tty *t)
{
    t->refs--;
}

static void tty_gone_fake(struct tty *t)
{
    t->gone++;
}

static uint64_t tty_device_fake(const struct tty *t)
{
    (void)t;
    return 136 << 8;
}

static int32_t tty_foreground_fake(const struct tty *t)
{
    (void)t;
    return 5;
}

static void test_session_tty(void **state)
{
    static const struct session_tty_ops ops = { tty_ref_fake, tty_unref_fake, tty_gone_fake,
                                                tty_device_fake, tty_foreground_fake };
    struct process *leader = child_of(process_current()), *member = child_of(leader);
    struct tty tty = { 0 }, other = { 0 };
    uint64_t device;
    int32_t foreground;

    (void)state;
    session_tty_init(&ops);
    leader->sid = member->sid = leader->pid;
    assert_int_equal(session_tty_set(member, &tty), -EPERM);
    assert_null(session_tty_ref(leader->sid));
    assert_int_equal(session_tty_set(leader, &tty), 0);
    assert_int_equal(session_tty_set(leader, &other), -EPERM);
    assert_int_equal(other.refs, 0);
    assert_ptr_equal(session_tty_ref(leader->sid), &tty);
    assert_int_equal(tty.refs, 2);
    session_tty_stat(leader->sid, &device, &foreground);
    assert_true(device == 136 << 8 && foreground == 5);
    session_tty_drop(leader->sid);
    session_tty_drop(leader->sid);
    assert_int_equal(tty.refs, 1);
    session_tty_stat(leader->sid, &device, &foreground);
    assert_true(device == 0 && foreground == -1);
    assert_int_equal(session_tty_set(leader, &tty), 0);
    end(member, 0);
    assert_int_equal(tty.gone, 0);
    end(leader, 0);
    assert_int_equal(tty.gone, 1);
    assert_int_equal(tty.refs, 1);
    assert_true(wait_any(0, 0) > 0 && wait_any(0, 0) > 0);
    process_unref(leader);
    process_unref(member);
}

/* An id stays taken while a group or a session has it. */
static void test_ids_of_groups(void **state)
{
    struct process *a = child_of(process_current()), *b;

    (void)state;
    a->pgid = a->pid + 1;
    a->sid = a->pid + 2;
    b = child_of(process_current());
    assert_int_equal(b->pid, a->pid + 3);
    end(a, 0);
    end(b, 0);
    assert_true(wait_any(0, 0) > 0 && wait_any(0, 0) > 0);
    process_unref(a);
    process_unref(b);
}

static int setup(void **state)
{
    (void)state;
    fake_task_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zombie),           cmocka_unit_test(test_wait_selects),
        cmocka_unit_test(test_signal_to_parent), cmocka_unit_test(test_orphans),
        cmocka_unit_test(test_late_child),       cmocka_unit_test(test_stop_and_continue),
        cmocka_unit_test(test_setpgid),          cmocka_unit_test(test_group_signals),
        cmocka_unit_test(test_session_tty),      cmocka_unit_test(test_ids_of_groups),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
