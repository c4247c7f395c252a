/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX and interval timers of a process. Trusted. */
#pragma once

#include "lib/defs.h"

struct process;
struct siginfo_linux;

/* execve: timers of timer_create vanish, interval timers stay. all: the process ends, both go. */
void process_timers_drop(struct process *p, bool all);
/* A signal with SI_TIMER leaves the queues of the calling process: fills in how often its timer has expired since it was
 * sent. No lock is held. */
void timer_signal_taken(struct siginfo_linux *info);
