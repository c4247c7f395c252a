/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Futexes within tee/libos. All processes share one address space, so the key of a futex is its address, but for
 * memory that is mapped shared from a file: there it is the place in the file. Trusted.
 */
#pragma once

#include "lib/defs.h"

struct thread;

/* Wakes at most count waiters of the word at addr. returns: how many. Costs one fence and one load when nobody
 * waits. May be called with no spin lock held. */
unsigned futex_wake(uintptr_t addr, unsigned count);
/* The end of t, the calling thread: its robust list, and the word that pthread_join waits for. */
void futex_thread_exit(struct thread *t);
/* The robust list alone (execve: the memory is still there). */
void futex_robust_exit(struct thread *t);
