/* SPDX-License-Identifier: Apache-2.0 */
/* What processes have used: CPU time and memory, their own and their children's. Trusted. */
#pragma once

#include "tee/libos/task/task.h"

struct rusage;

#define USAGE_TICK_NS 10000000u /* USER_HZ is 100 */

/* Of all threads of p, those that are gone too. */
void usage_of_process(struct process *p, struct process_usage *ret);
/* Of p and of the children that it has waited for; under the family lock (children.h). */
void usage_of_family(struct process *p, struct process_usage *ret);
void usage_add(struct process_usage *sum, const struct process_usage *u);
/* CPU time is given as user time: who ran, program or library OS, is not told apart. */
void usage_encode(const struct process_usage *u, struct rusage *ret);
/* Notes how much memory p has now: before its memory goes, and whenever somebody asks. */
void usage_note_memory(struct process *p);
