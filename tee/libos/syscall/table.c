/* SPDX-License-Identifier: Apache-2.0 */
/* The system-call table, made of the rows of table/. Trusted. */
#include "tee/libos/syscall/table.h"

#define SYSCALL(number, name, level, note) syscall_fn sys_##name;
#include "tee/libos/syscall/table/all.def"
#undef SYSCALL

syscall_fn *const g_syscall_table[SYSCALL_TABLE_SIZE] = {
#define SYSCALL(number, name, level, note) [number] = sys_##name,
#include "tee/libos/syscall/table/all.def"
#undef SYSCALL
};

/* Levels are these words; a number beyond the table does not compile. */
enum syscall_level { SYSCALL_LEVEL_FULL, SYSCALL_LEVEL_PARTIAL };
#define SYSCALL(number, name, level, note)                                                         \
    _Static_assert(                                                                                \
        SYSCALL_LEVEL_##level <= SYSCALL_LEVEL_PARTIAL && (number) < SYSCALL_TABLE_SIZE, #name);
#include "tee/libos/syscall/table/all.def"
#undef SYSCALL
