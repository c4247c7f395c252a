/* SPDX-License-Identifier: Apache-2.0 */
/* Looking into other processes. Trusted. */
#pragma once

#include "tee/libos/task/task.h"

/* May the calling process read what ptrace(2) would let it read of p: memory, environment, descriptors? Its own always; else
 * of a dumpable process of the same user and groups throughout, with no more capabilities; CAP_SYS_PTRACE is enough for
 * all. The caller holds a reference to p. */
bool process_may_inspect(const struct process *p);
