/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hosted stand-in for tee/enclave and the sleeping locks, so that modules of the library OS run in ordinary
 * test programs: pages come from mmap at the addresses that the enclave would use, faults from SIGSEGV. Tests only; not for
 * sanitizers that keep shadow memory below 1 TiB (ASan).
 */
#pragma once

#include "lib/defs.h"

struct process;
struct thread;

/* Maps the config page, sets the GS base to a TCB whose current thread belongs to one process, and
 * starts to count pages. page_limit: as the descriptor's memory_size, in pages. */
void fake_enclave_init(size_t page_limit);
/* For further threads of a test: the same thread structure is current. */
void fake_enclave_thread_init(void);
/* Where trampolines jump on the calling thread; RCX is the return address. */
void fake_enclave_set_syscall_entry(void (*entry)(void));
struct process *fake_enclave_process(void);
struct thread *fake_enclave_thread(void);
void fake_enclave_set_limit(size_t page_limit);
/* Calls of enclave_commit, enclave_protect and enclave_decommit since the start. */
struct fake_enclave_counts {
    size_t commits, protects, decommits;
};
struct fake_enclave_counts fake_enclave_counts(void);
