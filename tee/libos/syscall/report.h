/* SPDX-License-Identifier: Apache-2.0 */
/* Within the library OS: what syscall_unsupported() and syscall_explain() need. Trusted. */
#pragma once

#include "lib/defs.h"

/* explain: print the table at the end. */
void syscall_report_init(bool explain);
/* A call without a row in the table: reported once a site, counted. returns: -ENOSYS. */
int64_t syscall_unknown(uint64_t number);
/* "read", "mmap"; NULL: no call of Linux x86-64 that was known when this was built. */
const char *syscall_name(uint64_t number);
