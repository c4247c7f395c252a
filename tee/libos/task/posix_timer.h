/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX and interval timers of a process. Trusted. */
#pragma once

#include "lib/defs.h"

struct process;

/* execve: timers of timer_create vanish, interval timers stay. all: the process ends, both go. */
void process_timers_drop(struct process *p, bool all);
