/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the system calls of programs arrive. Trusted. The way of a call that has nothing to wait for:
 * one table look-up, the call, one look at thread->attention. No locks, no atomics.
 */
#include <asm/errno.h>

#include "tee/libos/rewrite/rewrite.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/report.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/syscall/table.h"
#include "tee/libos/task/task.h"

#define SYSCALL_SIZE 2 /* bytes of the instruction: 0F 05 */

/* ERESTARTSYS (512) to ERESTART_RESTARTBLOCK (516) must not reach the program. */
static inline bool is_restart(int64_t result)
{
    return (uint64_t)(result + ERESTART_RESTARTBLOCK) <= ERESTART_RESTARTBLOCK - ERESTARTSYS;
}

void libos_syscall(struct regs *regs)
{
    struct thread *t = current();
    uint64_t number = regs->orig_rax;
    int64_t result;

    if (UNLIKELY(regs->trapped)) {
        rewrite_site(t->process->mm, regs->rip - SYSCALL_SIZE);
        regs->trapped = 0;
    }
    if (LIKELY(number < SYSCALL_TABLE_SIZE && g_syscall_table[number]))
        result =
            g_syscall_table[number](regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9);
    else
        result = syscall_unknown(number);
    regs->rax = (uint64_t)result;
    if (UNLIKELY(__atomic_load_n(&t->attention, __ATOMIC_ACQUIRE) || is_restart(result)))
        signal_handle(regs, true);
}
