/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system-call table. Trusted. Each topic has a file tee/libos/syscall/table/<topic>.def with rows
 *
 *     SYSCALL(number, name, level, "note")
 *
 * level: FULL, PARTIAL (the note says what is missing) or NONE_YET is not a level: calls without a row
 * answer -ENOSYS and are reported. The row binds sys_<name>, whose arguments are the registers in
 * order: `int64_t sys_<name>(uint64_t a, ...)` declared by SYSCALL_DECLARE; the result is returned to the program in RAX.
 * docs/syscalls.md is made from these rows.
 */
#pragma once

#include "lib/defs.h"

typedef int64_t syscall_fn(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);

/* Defines a system call with the common signature; unused arguments are allowed. */
#define SYSCALL_DEFINE(name)                                                                       \
    syscall_fn sys_##name;                                                                         \
    int64_t sys_##name(uint64_t a UNUSED, uint64_t b UNUSED, uint64_t c UNUSED, uint64_t d UNUSED, \
                       uint64_t e UNUSED, uint64_t f UNUSED)

/* Reports, once a site, a call or flag that is not supported, and counts it (`--explain`). what: static
 * text, e.g. "mmap: MAP_GROWSDOWN"; advice: static text that says what to do. */
void syscall_unsupported(const char *what, const char *advice);
/* Prints the table of START_EXPLAIN to the operator. */
void syscall_explain(void);
