/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restartable sequences, without a scheduler that could tell of preemption: each registered thread has a CPU number that no
 * other registered thread of the enclave has, so no other is ever on its CPU, and only signals and fences abort a
 * sequence (docs/adr/0008). Trusted; a thread's area and sequences are the program's and may hold anything.
 */
#pragma once

#include "lib/defs.h"

/* As AT_RSEQ_FEATURE_SIZE and AT_RSEQ_ALIGN tell programs: up to mm_cid. */
#define RSEQ_FEATURE_SIZE 28u
#define RSEQ_ALIGN 32u
#define RSEQ_SIZE_MIN 32u

struct regs;
struct thread;

/* Set once, before programs run: CPUs that programs see, most threads at a time. */
void rseq_init(uint32_t cpus, uint32_t threads_max);
/* Numbers are below this: the CPUs that are possible. */
uint32_t rseq_cpu_limit(void);
/* returns: true: t, the calling thread, has this number. */
bool rseq_cpu(const struct thread *t, uint32_t *ret);
/* The calling thread chose other CPUs: its number becomes one of them, if one is free. Ends by SIGSEGV as on Linux
 * when its area is gone. */
void rseq_move(struct thread *t);
/* Before a handler's frame is made: a sequence that regs stand in goes on at its abort address.
 * returns: 0; -EINVAL, -EFAULT: the area or the sequence is bad, the program gets SIGSEGV. */
MUST_CHECK int rseq_abort(struct thread *t, struct regs *regs);
/* TASK_ATTENTION_RSEQ was taken off: aborts, and writes the area anew. A bad one gives SIGSEGV. */
void rseq_notice(struct thread *t, struct regs *regs);
/* exec and exit: the calling thread is not registered any more; its area is not touched. */
void rseq_forget(struct thread *t);
