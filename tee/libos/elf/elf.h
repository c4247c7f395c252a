/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading programs: ELF (PIE, non-PIE, static, static-PIE, with interpreter), `#!` scripts, the initial
 * stack with auxv, and the vDSO. Trusted; program files are input like any other and may be malformed.
 */
#pragma once

#include "tee/libos/mm/mm.h"

/* An exec argument or environment list in library-OS memory: `count` strings, NUL-separated. */
struct exec_strings {
    unsigned count;
    size_t size; /* bytes, NULs included */
    char *bytes; /* owned by the caller */
};

struct exec_result {
    uintptr_t entry, stack_pointer; /* where the program starts */
    char *exe_path;                 /* mem_alloc'd, for process->exe_path; the caller owns it */
    uintptr_t arg_start, arg_end, env_start, env_end;
};

/*
 * Loads the program at path (resolved in the calling process's fs context) into the empty mm.
 * returns: 0; -ENOENT, -EACCES, -ENOEXEC, -ELIBBAD, -E2BIG, -ENOMEM, -EIO, -ELOOP, -ETXTBSY; a non-PIE program's addresses are
 * taken: -EEXIST by the calling process, -EADDRINUSE by another.
 */
MUST_CHECK int exec_load(struct mm *mm, const char *path, const struct exec_strings *args,
                         const struct exec_strings *env, struct exec_result *ret);
/* For the very first process and execve: takes everything over and runs. See sys_execve. */
