/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions and host signals. The first half runs at CSSA 1 and only decides where the thread goes on;
 * it takes no locks and touches no memory but this thread's. The second half runs as the thread.
 * SDM vol. 3D, "EXITINFO" and "EXINFO". Trusted.
 */
#include <linux/errno.h>

#include "abi/start.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/log.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/runtime.h"
#include "tee/enclave/string.h"

struct ex_entry {
    uint64_t start, end, fixup;
};
extern const struct ex_entry enclave_ex_table_start[], enclave_ex_table_end[];

#define RFLAGS_SANE 0x202ull
#define GPR_OFF (SLOT_SSA_FRAME_PAGES * PAGE_SIZE - sizeof(struct sgx_ssa_gpr))

static uint64_t ssa_addr(const struct tcb *tcb)
{
    return (uint64_t)tcb - SLOT_TCB_OFF + SLOT_SSA_OFF;
}

static void regs_from_ssa(struct regs *regs, const struct sgx_ssa_gpr *gpr)
{
    *regs = (struct regs){
        .r15 = gpr->r15,
        .r14 = gpr->r14,
        .r13 = gpr->r13,
        .r12 = gpr->r12,
        .rbp = gpr->rbp,
        .rbx = gpr->rbx,
        .r11 = gpr->r11,
        .r10 = gpr->r10,
        .r9 = gpr->r9,
        .r8 = gpr->r8,
        .rax = gpr->rax,
        .rcx = gpr->rcx,
        .rdx = gpr->rdx,
        .rsi = gpr->rsi,
        .rdi = gpr->rdi,
        .orig_rax = UINT64_MAX,
        .rip = gpr->rip,
        .rflags = gpr->rflags,
        .rsp = gpr->rsp,
        .fs_base = gpr->fs_base,
    };
}

/* The program stopped at gpr: the thread goes on at `entry`, with the program's registers saved. */
static void redirect_program(struct tcb *tcb, struct sgx_ssa_gpr *gpr, void (*entry)(void))
{
    struct regs *regs = (struct regs *)(tcb->stack_top - sizeof *regs);

    regs_from_ssa(regs, gpr);
    gpr->rip = (uint64_t)entry;
    gpr->rsp = (uint64_t)regs;
    gpr->rflags = RFLAGS_SANE;
}

static void fault_note(struct tcb *tcb, uint32_t info)
{
    const struct sgx_exinfo *exinfo =
        (const struct sgx_exinfo *)(ssa_addr(tcb) + GPR_OFF - sizeof *exinfo);
    uint32_t vector = info & SGX_EXITINFO_VECTOR;
    bool has_exinfo = vector == VECTOR_PF || vector == VECTOR_GP;

    tcb->fault_vector = vector;
    tcb->fault_error_code = has_exinfo ? exinfo->errcd : 0;
    tcb->fault_address = has_exinfo ? exinfo->maddr : 0;
    tcb->fault_has_address = has_exinfo;
}

static const struct ex_entry *ex_find(uint64_t rip)
{
    for (const struct ex_entry *e = enclave_ex_table_start; e < enclave_ex_table_end; e++)
        if (rip >= e->start && rip < e->end)
            return e;
    return NULL;
}

static void handle_exception(struct tcb *tcb, struct sgx_ssa_gpr *gpr)
{
    uint32_t info = gpr->exit_info;
    const struct ex_entry *fixup;

    if (!(info & SGX_EXITINFO_VALID))
        return;         /* the host made it up */
    gpr->exit_info = 0; /* once only */
    fault_note(tcb, info);
    fixup = ex_find(gpr->rip);
    if (fixup) {
        gpr->rip = fixup->fixup;
    } else if (addr_is_user(gpr->rip) && tcb->phase == TCB_PHASE_INSIDE) {
        redirect_program(tcb, gpr, enclave_redirect_fault);
    } else if (tcb->panic_rip != 0) {
        /* The report itself faults: the host took what it stands on. No stack is needed to leave. */
        __atomic_store_n(&enclave_dead, 1, __ATOMIC_SEQ_CST);
        gpr->rip = (uint64_t)enclave_leave_for_good;
        gpr->rdi = TCB_PHASE_DEAD;
        gpr->rflags = RFLAGS_SANE;
    } else {
        tcb->panic_rip = gpr->rip;
        tcb->panic_rsp = gpr->rsp;
        gpr->rip = (uint64_t)enclave_redirect_panic;
        gpr->rsp = tcb->stack_top - 8;
        gpr->rflags = RFLAGS_SANE;
    }
}

static void handle_signal(struct tcb *tcb, struct sgx_ssa_gpr *gpr, uint64_t signo)
{
    uint64_t site;

    if (signo >= 1 && signo <= 31 && (START_SIGNALS & (1u << (signo - 1))))
        libos_host_signal((int)signo);
    if (addr_is_user(gpr->rip) && tcb->phase == TCB_PHASE_INSIDE) {
        if (libos_trampoline_find(gpr->rip, &site))
            gpr->rip = site;
        redirect_program(tcb, gpr, enclave_redirect_interrupt);
        return;
    }
    tcb->flags |= TCB_FLAG_INTERRUPTED;
    if (gpr->rip >= (uint64_t)enclave_return && gpr->rip < (uint64_t)enclave_return_end) {
        gpr->rip = (uint64_t)enclave_return;
        gpr->rsp = tcb->stack_top - sizeof(struct regs);
        gpr->rflags = RFLAGS_SANE;
    }
}

void exception_handle(uint64_t event, uint64_t arg)
{
    struct tcb *tcb = tcb_self();
    struct sgx_ssa_gpr *gpr = (struct sgx_ssa_gpr *)(ssa_addr(tcb) + GPR_OFF);

    if (event == ENTER_EXCEPTION)
        handle_exception(tcb, gpr);
    else if (event == ENTER_SIGNAL)
        handle_signal(tcb, gpr, arg);
}

/* ---- second half: on the thread's own stack ---- */

static void emulate_cpuid(struct regs *regs)
{
    uint32_t r[4];

    ocall_cpuid((uint32_t)regs->rax, (uint32_t)regs->rcx, r);
    regs->rax = r[0];
    regs->rbx = r[1];
    regs->rcx = r[2];
    regs->rdx = r[3];
    regs->rip += 2;
}

/* RDTSC and RDTSCP where the CPU refuses them in an enclave: the monotonic clock in ns. */
static void emulate_rdtsc(struct regs *regs, unsigned size)
{
    uint64_t ticks = clock_monotonic_ns();

    regs->rax = (uint32_t)ticks;
    regs->rdx = ticks >> 32;
    if (size == 3)
        regs->rcx = 0;
    regs->rip += size;
}

static bool emulate_undefined(struct regs *regs)
{
    uint8_t code[3] = { 0 };
    size_t left = user_raw_copy(code, (const void *)regs->rip, sizeof code);

    if (left == sizeof code)
        return true; /* the page went away: the fetch faults again, as a #PF */
    /* A jump: another thread rewrote the site (tee/libos/rewrite) after this one had trapped there. */
    if (code[0] == 0xe9 || code[0] == 0xeb || (code[0] == 0x48 && code[1] == 0xe9))
        return true;
    if (left >= 2 || code[0] != 0x0f)
        return false;
    if (code[1] == 0x05) { /* SYSCALL */
        regs->trapped = 1;
        regs->orig_rax = regs->rax;
        regs->rip += 2;
        regs->rcx = regs->rip;
        regs->r11 = regs->rflags;
        libos_syscall(regs);
        return true;
    }
    if (code[1] == 0xa2) {
        emulate_cpuid(regs);
        return true;
    }
    if (code[1] == 0x31) {
        emulate_rdtsc(regs, 2);
        return true;
    }
    if (left == 0 && code[1] == 0x01 && code[2] == 0xf9) {
        emulate_rdtsc(regs, 3);
        return true;
    }
    return false;
}

void exception_program_fault(struct regs *regs)
{
    const struct tcb *tcb = tcb_self();
    struct fault fault = {
        .vector = tcb->fault_vector,
        .error_code = tcb->fault_error_code,
        .address = tcb->fault_address,
        .has_address = tcb->fault_has_address,
    };

    if ((fault.vector == VECTOR_UD || fault.vector == VECTOR_GP) && emulate_undefined(regs))
        return;
    if (fault.vector != VECTOR_PF)
        log_debug("program fault: vector %u at 0x%lx, error 0x%x", fault.vector,
                  (unsigned long)regs->rip, fault.error_code);
    libos_fault(regs, &fault);
}

/* Return addresses on the stack of the thread that failed, as offsets into the enclave's image. */
static void trace_log(const struct tcb *tcb)
{
    uint64_t low = (uint64_t)tcb - SLOT_TCB_OFF + SLOT_STACK_OFF;
    uint64_t sp = ALIGN_UP(tcb->panic_rsp, 8ul);
    unsigned found = 0;

    if (sp < low || sp >= low + SLOT_STACK_SIZE)
        return;
    for (; sp + 8 <= low + SLOT_STACK_SIZE && found < 24; sp += 8) {
        uint64_t word = *(const uint64_t *)sp;

        if (word >= (uint64_t)enclave_text_start && word < (uint64_t)enclave_text_end) {
            log_debug("  from +0x%lx", (unsigned long)(word - LIBOS_BASE));
            found++;
        }
    }
}

void exception_panic(void)
{
    const struct tcb *tcb = tcb_self();
    char text[LOG_LINE_MAX];

    trace_log(tcb);
    format(text, sizeof text,
           "fault in the library OS: vector %u at +0x%lx, error 0x%x, address 0x%lx",
           tcb->fault_vector, (unsigned long)(tcb->panic_rip - LIBOS_BASE), tcb->fault_error_code,
           tcb->fault_address);
    enclave_panic(text);
}
