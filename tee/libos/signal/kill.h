/* SPDX-License-Identifier: Apache-2.0 */
/* Signals that one process sends to another: who may, and what they carry. Trusted. */
#pragma once

#include "tee/libos/signal/signal.h"

/* May the calling process send signo to p? (kill(2)) The caller holds a reference to p. */
bool kill_is_permitted(struct process *p, int signo);
/* Sends signo, as given by the program and unchecked, to p: with the siginfo_t at info_addr, or as kill(2) when that
 * is 0. returns: 0; -EINVAL, -EFAULT, -EPERM, -ESRCH, -EAGAIN. */
MUST_CHECK int64_t kill_with_info(struct process *p, uint64_t signo, uintptr_t info_addr);
