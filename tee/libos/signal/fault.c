/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Synchronous exceptions of programs: pages that are to be made present, instructions that an enclave
 * must emulate, and signals for the rest. Trusted.
 */
#include <asm/errno.h>
#include <asm/siginfo.h>
#include <asm/signal.h>

#include "tee/enclave/clock.h"
#include "tee/enclave/log.h"
#include "tee/enclave/ocall.h"
#include "tee/libos/mm/mm.h"
#include "tee/libos/signal/queue.h"
#include "tee/libos/task/task.h"

#define CPUID_CACHE_SIZE 64u
#define XSAVE_FSW_OFF 2u
#define XSAVE_MXCSR_OFF 24u

/* ---- CPUID, which cannot run in an enclave ---- */

struct cpuid_entry {
    uint32_t leaf, subleaf, answer[4];
};
static struct {
    struct spin lock;
    unsigned count;
    struct cpuid_entry entries[CPUID_CACHE_SIZE];
} g_cpuid;

static bool find_cached_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t answer[4])
{
    bool found = false;

    spin_lock(&g_cpuid.lock);
    for (unsigned i = 0; i < g_cpuid.count && !found; i++) {
        const struct cpuid_entry *e = &g_cpuid.entries[i];

        found = e->leaf == leaf && e->subleaf == subleaf;
        for (unsigned k = 0; found && k < 4; k++)
            answer[k] = e->answer[k];
    }
    spin_unlock(&g_cpuid.lock);
    return found;
}

static void read_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t answer[4])
{
    if (find_cached_cpuid(leaf, subleaf, answer))
        return;
    ocall_cpuid(leaf, subleaf, answer);
    spin_lock(&g_cpuid.lock);
    if (g_cpuid.count < CPUID_CACHE_SIZE)
        g_cpuid.entries[g_cpuid.count++] = (struct cpuid_entry){
            leaf, subleaf, { answer[0], answer[1], answer[2], answer[3] }
        };
    spin_unlock(&g_cpuid.lock);
}

/* returns: true when the instruction at RIP was emulated. */
static bool emulate(struct regs *regs)
{
    uint8_t code[2];
    uint32_t answer[4];
    uint64_t now_ns;

    if (user_copy_in(code, regs->rip, sizeof code) < 0 || code[0] != 0x0f)
        return false;
    if (code[1] == 0xa2) {              /* CPUID */
        read_cpuid((uint32_t)regs->rax, (uint32_t)regs->rcx, answer);
        regs->rax = answer[0];
        regs->rbx = answer[1];
        regs->rcx = answer[2];
        regs->rdx = answer[3];
    } else if (code[1] == 0x31) {       /* RDTSC, where enclaves may not: a counter of 1 GHz */
        now_ns = clock_monotonic_ns();
        regs->rax = (uint32_t)now_ns;
        regs->rdx = now_ns >> 32;
    } else {
        return false;
    }
    regs->rip += 2;
    return true;
}

/* ---- faults ---- */

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
             "cloche.yaml", current()->name, process_current()->pid);
    process_exit(SIGKILL);
}

static void page_fault(const struct fault *f)
{
    int si_code = SEGV_MAPERR, rc;

    if (!f->has_address) {
        signal_force(SIGSEGV, SI_KERNEL, 0);
        return;
    }
    rc = mm_fault(mm_current(), f->address, f->error_code, &si_code);
    if (rc == 0)
        return;
    if (rc == -ENOMEM)
        die_out_of_memory();
    if (rc == -EIO)
        signal_force(SIGBUS, BUS_ADRERR, f->address);
    else
        signal_force(SIGSEGV, si_code, f->address);
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
        signal_force(SIGILL, ILL_ILLOPN, regs->rip);
        break;
    case VECTOR_DB:
        signal_force(SIGTRAP, TRAP_TRACE, regs->rip);
        break;
    case VECTOR_BP:
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

    regs->orig_rax = UINT64_MAX;
    if ((fault->vector != VECTOR_UD && fault->vector != VECTOR_GP) || !emulate(regs)) {
        t->fault_vector = fault->vector;
        t->fault_error_code = fault->error_code;
        t->fault_address = fault->address;
        raise(regs, fault);
    }
    if (__atomic_load_n(&t->attention, __ATOMIC_ACQUIRE))
        signal_handle(regs, false);
}
