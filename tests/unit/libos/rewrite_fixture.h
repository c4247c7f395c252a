/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of tee/libos/rewrite share: program memory that they put code into. Hosted. */
#pragma once

#include "lib/defs.h"

struct mm;

extern struct mm *g_mm; /* of the process that runs the test */

int rewrite_setup(void **state);
int rewrite_teardown(void **state);

/* A page of no-operations at `at`, executable, with code at off; returns where the code is. */
uint8_t *code_page(uintptr_t at, const void *code, size_t size, unsigned off);
/* Where the instruction at `at` jumps; 0 when it is no direct jump. */
uintptr_t jump_target(uintptr_t at);
