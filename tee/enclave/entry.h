/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the enclave runtime (tee/enclave) calls the library OS (tee/libos), and back. Trusted.
 *
 * A program's exception or a host signal first lands at CSSA 1 in the runtime, which only decides
 * where the thread goes on (docs/adr: two-phase faults): it copies the SSA's registers into the
 * thread's struct regs, points the SSA at an entry of the library OS on the thread's own stack, and
 * resumes. So the functions below all run as ordinary code of the thread, may take locks, sleep and
 * make OCALLs, and the program's vector registers stay live in the CPU (all code under tee/ but the
 * crypto is built without them).
 */
#pragma once

#include "tee/enclave/tcb.h"

/* x86 vectors as EXITINFO gives them. */
#define VECTOR_DE 0
#define VECTOR_DB 1
#define VECTOR_BP 3
#define VECTOR_BR 5
#define VECTOR_UD 6
#define VECTOR_MF 16
#define VECTOR_GP 13
#define VECTOR_PF 14
#define VECTOR_AC 17
#define VECTOR_XM 19

/* A synchronous exception of the program. With no EXINFO (SGX1) address is 0 and has_address false. */
struct fault {
    uint32_t vector;
    uint32_t error_code; /* #PF: bit 0 present, 1 write, 4 instruction fetch, as EXINFO gives it */
    uint64_t address;
    bool has_address;
};

/* ---- provided by the library OS, called by the runtime ---- */

struct start_info; /* tee/enclave/start.h: what the host handed over, checked and copied */

/* First thread, on its own stack, tcb->current == NULL. Does not return. */
NORETURN void libos_start(const struct start_info *start);
/* A new thread that thread_slot_start() asked for; arg as given there. Does not return. */
NORETURN void libos_thread_start(void *arg);
/* A system call of the program. Result goes to regs->rax by the callee. Before it returns it has
 * handled whatever is pending (signals, exit). */
void libos_syscall(struct regs *regs);
/* A synchronous exception in program code. */
void libos_fault(struct regs *regs, const struct fault *fault);
/* The program was interrupted because something is pending for the thread (thread_kick, a host
 * signal). Handles it (delivers signals) and returns to go on. */
void libos_interrupt(struct regs *regs);
/* Called at CSSA 1, async: note host signal `signo`; must not lock or sleep: sets atomics only. */
void libos_host_signal(int signo);
/* True when rip lies in code that belongs to no program instruction boundary: a trampoline of
 * tee/libos/rewrite. *ret_restart is then the address of the system-call site to go back to. Called at
 * CSSA 1: no locks (reads a table that only grows). */
bool libos_trampoline_find(uint64_t rip, uint64_t *ret_restart);

/* ---- provided by the runtime ---- */

/* Starts a thread on a free slot: host thread, EENTER, then libos_thread_start(arg).
 * returns: slot index; -EAGAIN no slot, memory or host thread. */
MUST_CHECK int thread_slot_start(void *arg);
/* The same in two steps: a slot that is kept for the caller, and its start, which may still fail (-EAGAIN, the slot is free
 * then). A reserved slot is run or dropped. */
MUST_CHECK int thread_slot_reserve(void);
void thread_slot_drop(uint32_t slot);
MUST_CHECK int thread_slot_run(uint32_t slot, void *arg);
/* Ends the calling host thread for good; its slot becomes free. The caller has left its struct
 * thread; if clear_tid is not 0 then *(uint32_t *)clear_tid is zeroed and woken by `wake` after the stack is out
 * of use. */
NORETURN void thread_slot_exit(void);
/* Runs the program from regs (fresh exec): never returns. Vector state is reset to the initial one
 * when reset_xstate. */
NORETURN void regs_resume(const struct regs *regs, bool reset_xstate);

static inline void thread_set_fs_base(uint64_t base)
{
    __asm__ volatile("wrfsbase %0" : : "r"(base));
}
static inline uint64_t thread_get_fs_base(void)
{
    uint64_t base;

    __asm__ volatile("rdfsbase %0" : "=r"(base));
    return base;
}
/* XSAVE area of the live vector state; area is 64-aligned, xstate_size() bytes. */
void xstate_save(void *area);
void xstate_restore(const void *area); /* area is sanitised first: no #GP whatever its bytes */
/* The same for an area of the library OS's own, which is sanitised where it stands: no copy. */
void xstate_restore_own(void *area);
size_t xstate_size(void);

/* Ends the whole enclave: status as wait(2) reports the program's exit code, 0 to 255. */
NORETURN void enclave_exit(int status);
/* A bug or an attack that leaves no safe way on: one line to the operator, then the end. text is
 * static and holds no data of the program. */
NORETURN void enclave_panic(const char *text);

/*
 * Copies that may fault on program memory: these touch memory as it is, and a fault in them makes them
 * return early. For tee/libos/mm/user.c alone, which checks the range and faults pages in.
 * returns: bytes NOT done (0: all done).
 */
MUST_CHECK size_t user_raw_copy(void *dst, const void *src, size_t size);
MUST_CHECK size_t user_raw_zero(void *dst, size_t size);
/* Copies up to and with the NUL, at most size bytes; returns bytes not done, 0 when the NUL was copied;
 * *ret_faulted tells a fault from a string that is too long. */
MUST_CHECK size_t user_raw_copy_str(char *dst, const char *src, size_t size, bool *ret_faulted);
/* 4-byte accesses for futexes. returns: 0 or -EFAULT. */
MUST_CHECK int user_raw_load32(uint32_t *ret, const uint32_t *src);
MUST_CHECK int user_raw_cmpxchg32(uint32_t *word, uint32_t *expected_and_ret, uint32_t desired);
