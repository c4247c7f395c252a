/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hosted stand-in for everything around tee/libos/task and tee/libos/signal: the enclave runtime with real
 * host threads, memory, files. The test program's own memory is the programs' memory. Tests only.
 */
#pragma once

#include "tee/libos/signal/queue.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/task.h"

/* Process 1 with the calling thread as its leader. Once a program. */
void fake_task_init(void);
/* Starts a thread of process 1 that runs fn(arg) and then leaves. */
struct fake_thread;
struct fake_thread *fake_thread_start(void (*fn)(void *arg), void *arg);
struct thread *fake_thread_of(struct fake_thread *f);
void fake_thread_join(struct fake_thread *f);
/* Sleeps until t sleeps in ocall_park. */
void fake_wait_parked(struct thread *t);
/* What enclave_exit() was called with by a thread of fake_thread_start; -1: not called. */
int fake_exit_status(void);
uint64_t fake_park_count(void);
/* Text of the last log_line(). */
const char *fake_last_line(void);

#define SYS(name, ...) SYS_(name, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define SYS_(name, a, b, c, d, e, f, ...)                                                          \
    sys_##name((uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e),          \
               (uint64_t)(f))
