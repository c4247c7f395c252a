/* SPDX-License-Identifier: Apache-2.0 */
/* The table that table.c makes of the .def files, by system call number. Trusted. */
#pragma once

#include "tee/libos/syscall/syscall.h"

#define SYSCALL_TABLE_SIZE 512u

extern syscall_fn *const g_syscall_table[SYSCALL_TABLE_SIZE];
