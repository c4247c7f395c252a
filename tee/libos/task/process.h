/* SPDX-License-Identifier: Apache-2.0 */
/* Within tee/libos/task: the end of processes, and the process of the library OS's own threads. Trusted. */
#pragma once

#include "tee/libos/task/task.h"

/* Carrier of service threads (process id 0): no memory, no files. Never freed. */
struct process *process_kernel(void);
/* Drops memory, files, folders and timers of p; they may be missing. */
void process_give_up(struct process *p);
/* The calling thread is the last of p: ends p, and takes the thread off it. Process 1 ends the enclave and does not return. */
void process_finish(struct process *p);
/* What the enclave exits with for a wait(2) status: the exit code, or 128 and the signal's number. */
int process_exit_code(int status);
