/* SPDX-License-Identifier: Apache-2.0 */
/* Lending a slot to a vfork child, and getting it back. Trusted. */
#include "tee/libos/task/vfork.h"

#include <asm/errno.h>
#include <asm/signal.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/signal/queue.h"

/* One thread waits for another. */
static void begin_hold(struct thread *child, struct thread *parent)
{
    thread_ref(child);
    child->vfork_parent = parent;
    spin_lock(&parent->lock);
    __atomic_store_n(&parent->vfork_child, child, __ATOMIC_SEQ_CST);
    spin_unlock(&parent->lock);
    wait_hold_begin(parent);
    /* Pairs with thread_attention: who did not see the child has set the bits before this look. */
    if (__atomic_load_n(&parent->attention, __ATOMIC_SEQ_CST))
        __atomic_or_fetch(&child->attention, TASK_ATTENTION_PARENT, __ATOMIC_SEQ_CST);
}

static void end_hold(struct thread *child, struct thread *parent)
{
    child->vfork_parent = NULL;
    spin_lock(&parent->lock);
    __atomic_store_n(&parent->vfork_child, NULL, __ATOMIC_SEQ_CST);
    spin_unlock(&parent->lock);
    wait_hold_end(parent);
    thread_unref(child);
}

void vfork_lend(struct thread *child, struct regs *own_regs, int64_t result)
{
    struct thread *self = current();

    xstate_save(self->xstate);
    *own_regs = *current_regs();
    own_regs->rax = (uint64_t)result;
    own_regs->fs_base = thread_get_fs_base();
    own_regs->trapped = 0;
    self->start_regs = own_regs;
    child->slot = self->slot;
    begin_hold(child, self);
    tcb_self()->current = child;
}

int vfork_slot_reserve(const struct thread *t, int *ret_slot)
{
    int slot = -1;

    if (t->vfork_parent) {
        slot = thread_slot_reserve();
        if (slot < 0)
            return slot;
    }
    *ret_slot = slot;
    return 0;
}

void vfork_slot_drop(int slot)
{
    if (slot >= 0)
        thread_slot_drop((uint32_t)slot);
}

int vfork_release(struct thread *t, int slot)
{
    struct thread *parent = t->vfork_parent;

    if (!parent)
        return 0;
    end_hold(t, parent);
    if (thread_slot_run((uint32_t)slot, parent) == 0)
        return 0;
    begin_hold(t, parent);
    return -EAGAIN;
}

void vfork_give_back(struct thread *t)
{
    struct thread *parent = t->vfork_parent;
    struct regs regs;

    if (!parent)
        return;
    __atomic_store_n(&parent->slot, tcb_self()->slot, __ATOMIC_SEQ_CST);
    end_hold(t, parent);
    tcb_self()->current = parent;
    thread_unref(t);
    regs = *parent->start_regs;
    mem_free(parent->start_regs);
    parent->start_regs = NULL;
    thread_set_fs_base(regs.fs_base);
    xstate_restore(parent->xstate);
    if (__atomic_load_n(&parent->attention, __ATOMIC_SEQ_CST))
        signal_handle(&regs, true);
    regs_resume(&regs, false);
}

struct thread *vfork_runner_find(struct thread *t)
{
    struct thread *runner = NULL;

    while (UNLIKELY(__atomic_load_n(&t->vfork_child, __ATOMIC_SEQ_CST))) {
        struct thread *child;

        spin_lock(&t->lock);
        child = t->vfork_child;
        if (child)
            thread_ref(child);
        spin_unlock(&t->lock);
        if (!child)
            break;
        thread_unref(runner);
        t = runner = child;
    }
    return runner;
}

static bool must_die(const struct thread *t)
{
    uint64_t pending = sig_queue_mask(t->pending) | sig_queue_mask(t->process->pending);

    return (__atomic_load_n(&t->attention, __ATOMIC_SEQ_CST) & TASK_ATTENTION_DIE) ||
           (pending & SIGNAL_BIT(SIGKILL));
}

/* A signal that ends the process without a dump, as Linux's wait for a vfork child is broken off by those only. */
static int find_fatal(const struct thread *t)
{
    uint64_t pending =
        (sig_queue_mask(t->pending) | sig_queue_mask(t->process->pending)) & ~t->sig_mask;
    struct sig_state *s;
    int found = 0;

    if (!pending || t->process->pid == 1)
        return 0;
    s = sig_state_lock(t->process);
    for (int signo = 1; signo <= SIGNAL_COUNT && !found; signo++)
        if (pending & SIGNAL_BIT(signo) && s->actions[signo - 1].handler == (uintptr_t)SIG_DFL &&
            sig_default_of(signo) == SIG_DEFAULT_TERMINATE)
            found = signo;
    spin_unlock(&s->lock);
    return found;
}

/* Its end is settled here: a handler that another thread installs now must not let it go on beside its child. */
static void condemn(struct process *p, int signo)
{
    mutex_lock(&p->lock);
    if (!p->exiting) {
        p->exiting = true;
        p->exit_status = signo;
    }
    for (struct thread *t = p->threads; t; t = t->next)
        thread_attention(t, TASK_ATTENTION_DIE);
    mutex_unlock(&p->lock);
}

void vfork_parents_check(struct thread *t)
{
    __atomic_and_fetch(&t->attention, ~TASK_ATTENTION_PARENT, __ATOMIC_SEQ_CST);
    for (struct thread *parent; (parent = t->vfork_parent); t = parent) {
        int signo = find_fatal(parent), slot;

        if (signo)
            condemn(parent->process, signo);

        /* Without a slot it dies when its child ends or executes a program. */
        if (must_die(parent) && vfork_slot_reserve(t, &slot) == 0 && vfork_release(t, slot) == 0)
            return;
    }
}
