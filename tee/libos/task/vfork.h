/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfork: while the child runs in its parent's memory the parent's thread is on hold. The child borrows its slot (host
 * thread, stack of the library OS): nothing leaves the enclave until the child executes a program. Trusted.
 */
#pragma once

#include "tee/libos/task/task.h"

/*
 * The calling thread lends its slot to `child`, which is current() from here on, with the caller's registers. The
 * caller goes on after its clone call with `result`: on this slot when the child ends (vfork_give_back), or on
 * another when it executes a program or the caller must die (vfork_release).
 * own_regs: mem_alloc'd, taken over. The caller has its xstate block.
 */
void vfork_lend(struct thread *child, struct regs *own_regs, int64_t result);
/* A slot for the thread that waits for t. returns: 0 and the slot, -1 when no thread waits; -EAGAIN. */
MUST_CHECK int vfork_slot_reserve(const struct thread *t, int *ret_slot);
void vfork_slot_drop(int slot); /* accepts -1 */
/* The thread that waits for t, the calling thread, goes on, on `slot`. returns: 0; -EAGAIN: the host
 * has no thread; it still waits, the slot is dropped. */
MUST_CHECK int vfork_release(struct thread *t, int slot);
/* The end of t, the calling thread, which has left everything: its waiting parent goes on here. Drops the
 * caller's reference to t then. Returns only when there is none. */
void vfork_give_back(struct thread *t);
/* The thread that runs on the slot of t, with a reference, when t is on hold; NULL: it is not. */
struct thread *vfork_runner_find(struct thread *t);
/* The calling thread has TASK_ATTENTION_PARENT: lets those that wait for it go when they must die. */
void vfork_parents_check(struct thread *t);
