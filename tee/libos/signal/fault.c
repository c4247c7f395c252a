/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Synchronous exceptions of programs: pages that are to be made present, and signals for the rest.
 * Trusted. Instructions that an enclave cannot run (CPUID, RDTSC) the runtime has emulated before.
 */
#include <asm/errno.h>
#include <asm/siginfo.h>
#include <asm/signal.h>

#include "tee/enclave/entry.h"
#include "tee/enclave/log.h"
#include "tee/libos/mm/mm.h"
#include "tee/libos/signal/queue.h"
#include "tee/libos/task/task.h"

#define FAULT_REPEATS_MAX                                                                          \
    65536u /* spurious ones come from other threads that were faster, a few at a time */
#define XSAVE_FSW_OFF 2u
#define XSAVE_MXCSR_OFF 24u

static int float_code_of(uint32_t flags)
{
    if (flags & 0x01)
        return FPE_FLTINV;
    if (flags & 0x04)
        return FPE_FLTDIV;
    if (flags & 0x08)
        return FPE_FLTOVF;
    if (flags & 0x12)
        return FPE_FLTUND;
    return flags & 0x20 ? FPE_FLTRES : 0;
}

static int float_code(uint32_t vector)
{
    const uint8_t *area = thread_xstate(current());

    if (!area)
        return 0;
    xstate_save(thread_xstate(current()));
    if (vector == VECTOR_XM) {
        uint32_t mxcsr = *(const uint32_t *)(area + XSAVE_MXCSR_OFF);

        return float_code_of(~(mxcsr >> 7) & mxcsr & 0x3f);
    }
    uint16_t control = *(const uint16_t *)area;
    uint16_t status = *(const uint16_t *)(area + XSAVE_FSW_OFF);

    return float_code_of((uint32_t)(~control & status & 0x3f));
}

NORETURN static void die_out_of_memory(void)
{
    log_line("%s (process %d) was ended: the enclave's memory is used up; raise memory in "
             "cloche.yaml",
             current()->name, process_current()->pid);
    process_exit(SIGKILL);
}

/* The same access faults again and again although the page is there: only a host that took it away, or its
 * permissions, does that. */
static bool repeats_for_ever(struct thread *t)
{
    return ++t->fault_repeats > FAULT_REPEATS_MAX;
}

static void page_fault(const struct fault *f)
{
    int si_code = SEGV_MAPERR, rc;

    if (!f->has_address) {
        signal_force(SIGSEGV, SI_KERNEL, 0);
        return;
    }
    rc = mm_fault(mm_current(), f->address, f->error_code, &si_code);
    if (rc == 0 && repeats_for_ever(current())) {
        log_line("%s (process %d): the host keeps a page of its memory away", current()->name,
                 process_current()->pid);
        rc = -EIO;
    }
    if (rc == 0)
        return;
    if (rc == -ENOMEM)
        die_out_of_memory();
    if (rc == -EIO)
        signal_force(SIGBUS, BUS_ADRERR, f->address);
    else
        signal_force(SIGSEGV, si_code, f->address);
}

/* First byte of the instruction; 0 when it cannot be read. */
static uint8_t code_at(uint64_t rip)
{
    uint8_t code;

    return user_copy_in(&code, rip, sizeof code) == 0 ? code : 0;
}

/*
 * Another thread has rewritten the system call that trapped here, after the trap and before the look at its
 * bytes: they are a jump now (E9 or EB), which cannot raise #UD. The instruction is run again.
 */
static bool is_rewritten_site(uint64_t rip)
{
    return code_at(rip) == 0xe9 || code_at(rip) == 0xeb;
}

static void raise(struct regs *regs, const struct fault *f)
{
    switch (f->vector) {
    case VECTOR_PF:
        page_fault(f);
        break;
    case VECTOR_DE:
        signal_force(SIGFPE, FPE_INTDIV, regs->rip);
        break;
    case VECTOR_MF:
    case VECTOR_XM:
        signal_force(SIGFPE, float_code(f->vector), regs->rip);
        break;
    case VECTOR_UD:
        if (is_rewritten_site(regs->rip))
            break;
        signal_force(SIGILL, ILL_ILLOPN, regs->rip);
        break;
    case VECTOR_DB:
        signal_force(SIGTRAP, TRAP_TRACE, regs->rip);
        break;
    case VECTOR_BP:
        /* SDM vol. 3D, INT3 in an enclave entered with opt-out: reported as a fault, RIP is at the INT3. */
        if (code_at(regs->rip) == 0xcc)
            regs->rip++;
        signal_force(SIGTRAP, SI_KERNEL, 0);
        break;
    case VECTOR_AC:
        signal_force(SIGBUS, BUS_ADRALN, f->address);
        break;
    default:
        signal_force(SIGSEGV, SI_KERNEL, 0);
        break;
    }
}

void libos_fault(struct regs *regs, const struct fault *fault)
{
    struct thread *t = current();
    uint64_t rip;

    regs->orig_rax = UINT64_MAX;
    if (regs->rip != t->fault_rip || fault->address != t->fault_address)
        t->fault_repeats = 0;
    t->fault_rip = regs->rip;
    t->fault_vector = fault->vector;
    t->fault_error_code = fault->error_code;
    t->fault_address = fault->address;
    raise(regs, fault);
    if (!__atomic_load_n(&t->attention, __ATOMIC_ACQUIRE))
        return;
    /* The program is told of the instruction in its text, not of one that a trampoline does for it. */
    if (libos_trampoline_find(regs->rip, &rip))
        regs->rip = rip;
    signal_handle(regs, false);
}
