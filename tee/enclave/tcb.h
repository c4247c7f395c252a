/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Per-thread block of the enclave, found through the GS base (one page a slot, abi/image.h), and the
 * register frame of a program that entered the library OS. Trusted. Assembly uses the TCB_* and REGS_*
 * offsets below; trampolines (tee/libos/rewrite) use TCB_SYSCALL_ENTRY.
 *
 * The program runs with its own FS base and never changes GS.
 */
#pragma once

#define TCB_SELF 0x00
#define TCB_USER_RSP 0x08
#define TCB_STACK_TOP 0x10
#define TCB_SYSCALL_ENTRY 0x18
#define TCB_RESUME_RIP 0x20
#define TCB_CANARY 0x28
#define TCB_CURRENT 0x30
#define TCB_EXC_STACK_TOP 0x38
#define TCB_FRAME 0x40
#define TCB_OCALL_RSP 0x48
#define TCB_SLOT 0x50
#define TCB_FLAGS 0x54
#define TCB_HOST_RSP 0x58
#define TCB_HOST_RBP 0x60
#define TCB_HOST_RET 0x68
#define TCB_EXC_HOST_RSP 0x70
#define TCB_EXC_HOST_RBP 0x78
#define TCB_EXC_HOST_RET 0x80
#define TCB_PHASE 0x88
#define TCB_MXCSR 0xb0
#define TCB_VECTOR_KIND 0xb4
#define TCB_VECTORS 0x200
#define TCB_XSTATE 0x400

/* tcb->flags: an interrupt came while the library OS ran; looked at before going back to the program. */
#define TCB_FLAG_INTERRUPTED 0x1

/* tcb->phase: which entries at CSSA 0 are expected. */
#define TCB_PHASE_IDLE 0   /* no thread: ENTER_START or ENTER_THREAD */
#define TCB_PHASE_INSIDE 1 /* none */
#define TCB_PHASE_OCALL 2  /* ENTER_OCALL_RETURN */
#define TCB_PHASE_DEAD 3   /* none, for good */

/* tcb->vector_kind: where the program's vector state is during an OCALL. */
#define TCB_VECTOR_WHOLE 0 /* xstate */
#define TCB_VECTOR_XMM 1   /* vectors and mxcsr; the rest is initial */
#define TCB_VECTOR_YMM 2   /* the same with the upper halves */

#define REGS_SIZE 0xa8
#define REGS_R15 0x00
#define REGS_R14 0x08
#define REGS_R13 0x10
#define REGS_R12 0x18
#define REGS_RBP 0x20
#define REGS_RBX 0x28
#define REGS_R11 0x30
#define REGS_R10 0x38
#define REGS_R9 0x40
#define REGS_R8 0x48
#define REGS_RAX 0x50
#define REGS_RCX 0x58
#define REGS_RDX 0x60
#define REGS_RSI 0x68
#define REGS_RDI 0x70
#define REGS_ORIG_RAX 0x78
#define REGS_RIP 0x80
#define REGS_RFLAGS 0x88
#define REGS_RSP 0x90

#ifndef __ASSEMBLER__
#include "lib/defs.h"

struct thread; /* tee/libos/task/task.h */

/* A program's registers, as they are saved at the top of its library-OS stack. */
struct regs {
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
    uint64_t rax, rcx, rdx, rsi, rdi;
    uint64_t orig_rax; /* system call number, or -1 when a fault or signal brought us here */
    uint64_t rip, rflags, rsp;
    uint64_t fs_base; /* valid for faults and signals; set through thread_set_fs_base() */
    uint64_t trapped; /* 1: this system call came by a trap: its site may be rewritten */
};
_Static_assert(sizeof(struct regs) == REGS_SIZE, "REGS_SIZE");

struct tcb {
    struct tcb *self;
    uint64_t user_rsp;      /* scratch of the system-call entry */
    uint64_t stack_top;     /* where struct regs ends */
    uint64_t syscall_entry; /* address; trampolines do `jmp *%gs:TCB_SYSCALL_ENTRY`, RCX = return */
    uint64_t resume_rip;    /* scratch of the return path */
    uint64_t canary;        /* -mstack-protector-guard-offset */
    struct thread *current; /* NULL before the library OS has a thread here */
    uint64_t exc_stack_top;
    uint64_t frame;     /* untrusted address of this thread's struct ocall_frame, checked */
    uint64_t ocall_rsp; /* library-OS stack during an OCALL */
    uint32_t slot;      /* index of the thread slot */
    uint32_t flags;     /* TCB_FLAG_*; changed by this thread alone */
    uint64_t host_rsp, host_rbp, host_ret; /* untrusted; given back at the next EEXIT from CSSA 0 */
    uint64_t exc_host_rsp, exc_host_rbp, exc_host_ret; /* the same for CSSA 1 */
    uint32_t phase;                                    /* TCB_PHASE_* */
    uint32_t fault_vector; /* the exception that is being handed to the thread */
    uint32_t fault_error_code;
    uint32_t fault_has_address;
    uint64_t fault_address;
    uint64_t panic_rip; /* fault in the library OS: where, with rsp for the trace */
    uint64_t panic_rsp;
    uint32_t mxcsr;
    uint32_t vector_kind; /* TCB_VECTOR_* */
    uint32_t news;        /* ocall_news */
    uint32_t
        timer_slack_ns; /* for the host's timers of this thread's sleeps: 0 = the host's default; wait.c sets it */
    uint8_t reserved[0x200 - 0xc0];
    uint8_t vectors[16 * 32]; /* YMM0 to YMM15, or XMM0 to XMM15 at the same places */
    uint8_t xstate[2752];     /* the program's vector state during an OCALL, XSAVE format */
    uint8_t reserved2[0x1000 - 0x400 - 2752];
} ALIGNED(64);
_Static_assert(sizeof(struct tcb) == 4096, "one page");
_Static_assert(offsetof(struct tcb, flags) == TCB_FLAGS, "flags");
_Static_assert(offsetof(struct tcb, host_rsp) == TCB_HOST_RSP, "host_rsp");
_Static_assert(offsetof(struct tcb, exc_host_rsp) == TCB_EXC_HOST_RSP, "exc_host_rsp");
_Static_assert(offsetof(struct tcb, phase) == TCB_PHASE, "phase");
_Static_assert(offsetof(struct tcb, xstate) == TCB_XSTATE, "xstate");
_Static_assert(offsetof(struct tcb, mxcsr) == TCB_MXCSR, "mxcsr");
_Static_assert(offsetof(struct tcb, vector_kind) == TCB_VECTOR_KIND, "vector_kind");
_Static_assert(offsetof(struct tcb, vectors) == TCB_VECTORS, "vectors");
_Static_assert(offsetof(struct tcb, canary) == TCB_CANARY, "canary");
_Static_assert(offsetof(struct tcb, slot) == TCB_SLOT, "slot");

static inline struct tcb *tcb_self(void)
{
    struct tcb *tcb;

    __asm__("mov %%gs:%c1, %0" : "=r"(tcb) : "i"(TCB_SELF));
    return tcb;
}

/* The calling thread; NULL only during start-up. */
static inline struct thread *current(void)
{
    struct thread *thread;

    __asm__ volatile("mov %%gs:%c1, %0" : "=r"(thread) : "i"(TCB_CURRENT));
    return thread;
}

/* Registers with which the calling thread's program entered the library OS; changes to them take
 * effect when it returns. */
static inline struct regs *current_regs(void)
{
    return (struct regs *)(tcb_self()->stack_top - sizeof(struct regs));
}
#endif
