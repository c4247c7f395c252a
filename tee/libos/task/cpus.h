/* SPDX-License-Identifier: Apache-2.0 */
/* CPUs that programs see: what the host said at start, 1 to CPU_COUNT_MAX. Trusted (a hint all the same). */
#pragma once

#include "lib/defs.h"

#define CPU_COUNT_MAX 1024u

uint32_t cpu_count(void);
void cpu_set_count(uint32_t count);
