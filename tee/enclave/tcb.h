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

#define REGS_SIZE 0xa8

#ifndef __ASSEMBLER__
#include "lib/defs.h"

struct thread; /* tee/libos/task/task.h */

/* A program's registers, as they are saved at the top of its library-OS stack. */
struct regs {
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
    uint64_t rax, rcx, rdx, rsi, rdi;
    uint64_t orig_rax;  /* system call number, or -1 when a fault or signal brought us here */
    uint64_t rip, rflags, rsp;
    uint64_t fs_base;   /* valid for faults and signals; set through thread_set_fs_base() */
    uint64_t trapped;   /* 1: this system call came by a trap: its site may be rewritten */
};
_Static_assert(sizeof(struct regs) == REGS_SIZE, "REGS_SIZE");

struct tcb {
    struct tcb *self;
    uint64_t user_rsp;          /* scratch of the system-call entry */
    uint64_t stack_top;         /* where struct regs ends */
    uint64_t syscall_entry;     /* address; trampolines do `jmp *%gs:TCB_SYSCALL_ENTRY`, RCX = return */
    uint64_t resume_rip;        /* scratch of the return path */
    uint64_t canary;            /* -mstack-protector-guard-offset */
    struct thread *current;     /* NULL before the library OS has a thread here */
    uint64_t exc_stack_top;
    uint64_t frame;             /* untrusted address of this thread's struct ocall_frame, checked */
    uint64_t ocall_rsp;         /* library-OS stack during an OCALL */
    uint32_t slot;              /* index of the thread slot */
    uint32_t flags;
};
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
