/* SPDX-License-Identifier: Apache-2.0 */
/*
 * membarrier: a full memory barrier in every thread that runs program code, by making each of them leave it. A thread that
 * sleeps, or comes back from a system call, has had its barrier: sleeping and attention are noted in atomic operations.
 * The host delivers the kick; one that does not only holds the caller up. Trusted.
 *
 * The commands for rseq(2) ask with a bit of their own, which a thread takes off when it aborts its sequence; a thread that
 * sleeps, in a page fault within a sequence for instance, finds the bit on its way back.
 */
#include <asm/errno.h>
#include <linux/membarrier.h>

#include "tee/enclave/clock.h"
#include "tee/enclave/ocall.h"
#include "tee/libos/mm/mm.h"
#include "tee/libos/mm/user.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/task.h"
#include "tee/libos/task/wait.h"

#define SPIN_ROUNDS 20000u
#define YIELD_ROUNDS 100u
#define NAP_NS 1000000u

/* Core serialisation is not offered: a thread goes back to the program by a jump. */
#define COMMANDS                                                                                   \
    (MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |                                     \
     MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED |                 \
     MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ |           \
     MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ)

/* In program code, or may go there without an atomic operation on what it noted before. */
static bool may_run(const struct thread *t)
{
    return t != current() && !__atomic_load_n(&t->parked, __ATOMIC_SEQ_CST) && !t->exiting &&
           !t->vfork_child && t->slot != UINT32_MAX;
}

static void ask(struct process *p, uint32_t bit)
{
    mutex_lock(&p->lock);
    for (struct thread *t = p->threads; t; t = t->next) {
        if (bit == TASK_ATTENTION_RSEQ && t != current())
            __atomic_or_fetch(&t->attention, bit, __ATOMIC_SEQ_CST);
        if (may_run(t))
            thread_attention(t, bit);
    }
    mutex_unlock(&p->lock);
}

static bool all_answered(struct process *p, uint32_t bit)
{
    bool answered = true;

    mutex_lock(&p->lock);
    for (struct thread *t = p->threads; t && answered; t = t->next)
        if (__atomic_load_n(&t->attention, __ATOMIC_SEQ_CST) & bit)
            answered = !may_run(t);
    mutex_unlock(&p->lock);
    return answered;
}

static void barrier(struct process *p, uint32_t bit)
{
    struct thread *me = current();

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    ask(p, bit);
    for (unsigned round = 0; !all_answered(p, bit) && !thread_must_die(); round++) {
        /* Others may wait for this thread in the same way; where it waits is no program code, nor in a sequence. */
        __atomic_and_fetch(&me->attention, ~(TASK_ATTENTION_BARRIER | TASK_ATTENTION_RSEQ),
                           __ATOMIC_SEQ_CST);
        for (unsigned i = 0; i < SPIN_ROUNDS / YIELD_ROUNDS; i++)
            __builtin_ia32_pause();
        if (round >= 2 * YIELD_ROUNDS)
            (void)!wait_sleep(NULL, 0, clock_monotonic_ns() + NAP_NS, false);
        else if (round >= YIELD_ROUNDS)
            ocall_yield();
    }
}

struct next_process {
    int32_t above, found;
};

static void look_at(struct process *p, void *arg)
{
    struct next_process *n = arg;

    if (p->pid > n->above && (n->found == 0 || p->pid < n->found))
        n->found = p->pid;
}

static void barrier_everywhere(void)
{
    struct next_process n = { 0 };

    for (;;) {
        struct process *p;

        n.found = 0;
        process_each(look_at, &n);
        if (n.found == 0)
            return;
        n.above = n.found;
        p = process_find(n.found);
        if (p)
            barrier(p, TASK_ATTENTION_BARRIER);
        process_unref(p);
    }
}

SYSCALL_DEFINE(membarrier)
{
    int32_t command = (int32_t)a;
    struct process *p = process_current();

    if ((b &&
         !(command == MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ && b == MEMBARRIER_CMD_FLAG_CPU)) ||
        (command & ~COMMANDS) || (command & (command - 1)))
        return -EINVAL;
    switch (command) {
    case MEMBARRIER_CMD_QUERY:
        return COMMANDS;
    case MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ:
        (void)mm_barriers(mm_current(), (uint32_t)command);
        return 0;
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
        if (!(mm_barriers(mm_current(), 0) & MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED))
            return -EPERM;
        barrier(p, TASK_ATTENTION_BARRIER);
        return 0;
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ: /* of one CPU, or all: all */
        if (!(mm_barriers(mm_current(), 0) & MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ))
            return -EPERM;
        barrier(p, TASK_ATTENTION_RSEQ);
        return 0;
    default: /* the global ones: processes may share memory */
        barrier_everywhere();
        return 0;
    }
}
