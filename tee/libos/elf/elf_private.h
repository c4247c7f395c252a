/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of tee/libos/elf share. Trusted. */
#pragma once

#include "tee/libos/elf/elf.h"
#include "tee/libos/elf/elf_parse.h"

struct file;

/* An image in memory. */
struct elf_mapped {
    uintptr_t bias;         /* added to the file's addresses */
    uintptr_t entry, phdrs; /* phdrs 0: not in memory */
    uintptr_t end;          /* after the last segment, page-aligned */
    uint32_t phdr_count;
    bool stack_exec;
};

/* Reads and checks the headers of f. returns: 0; -ENOEXEC, -EIO, -ENOMEM. */
MUST_CHECK int elf_file_parse(struct file *f, struct elf_image *ret);
/* Maps all segments of f into mm. returns: 0; -ENOMEM, -EIO, -ENOEXEC its addresses are not free. */
MUST_CHECK int elf_file_map(struct mm *mm, struct file *f, const struct elf_image *image,
                            struct elf_mapped *ret);

/* What the initial stack tells the program. */
struct stack_plan {
    const struct exec_strings *args, *env;
    const char *exec_path; /* AT_EXECFN */
    const struct elf_mapped *program;
    uintptr_t interp_base; /* 0: none */
    uintptr_t vdso;        /* 0: none */
};
/* Maps the stack and fills it; sets stack_pointer and the bounds of arguments and environment. returns: 0; -E2BIG, -ENOMEM. */
MUST_CHECK int stack_build(struct mm *mm, const struct stack_plan *plan, struct exec_result *ret);

/* Maps the vDSO. returns: 0; -ENOMEM. */
MUST_CHECK int vdso_map(struct mm *mm, uintptr_t *ret_addr);
