/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals. Numbers and structures are Linux's for x86-64 (asm/signal.h, asm/siginfo.h,
 * asm/ucontext.h). Trusted.
 */
#pragma once

#include "tee/libos/task/task.h"

/* In-kernel results that never reach a program (linux/errno.h of the kernel). */
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTARTNOHAND 514
#define ERESTART_RESTARTBLOCK 516

struct siginfo_linux {
    int32_t signo, error, code, pad;
    uint8_t fields[112]; /* union of siginfo(2) from offset 16 */
};
_Static_assert(sizeof(struct siginfo_linux) == 128, "siginfo");

/* Sends to one thread, or to the process (any thread that does not block it). info may be NULL
 * (SI_KERNEL). returns: 0; -EAGAIN queue full. */
int signal_send_thread(struct thread *t, int signo, const struct siginfo_linux *info);
int signal_send_process(struct process *p, int signo, const struct siginfo_linux *info);
/* A fault of the calling thread: delivered even when blocked or ignored (then it kills). */
void signal_force(int signo, int code, uintptr_t address);
/* Host signals that libos_host_signal() noted become signals of process 1. One load when there are none. */
bool signal_host_drain(void);
/* True when an unblocked signal (or death) waits for the calling thread. */
bool signal_pending(void);
/* Takes a pending signal of `wanted` off the queues of the calling thread and process (signalfd, sigtimedwait).
 * returns: its number; 0: none. */
int signal_take(uint64_t wanted, struct siginfo_linux *ret);
/* Woken (key POLLIN) by each signal that is queued; where signalfds wait. */
extern struct waitq g_signal_arrival;
/* Before going back to the program: delivers what is pending, restarts calls, dies when told. */
void signal_handle(struct regs *regs, bool from_syscall);
