/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks an ELF file's headers and says what to map. Pure: no I/O, no allocation; the bytes may be
 * hostile. Trusted. Spec: System V gABI, chapter 5; Linux's binfmt_elf for what is accepted.
 */
#pragma once

#include "lib/defs.h"

#define ELF_SEGMENTS_MAX 64u
#define ELF_PHDRS_MAX 512u
#define ELF_EHDR_SIZE 64u
#define ELF_PHDR_SIZE 56u
#define ELF_INTERP_SIZE_MAX 4096u

/* A PT_LOAD. start..file_end comes from the file, file_end..mem_end is zero. Addresses are those of the file. */
struct elf_segment {
    uint64_t vaddr;     /* equal to off modulo the page size */
    uint64_t off;       /* in the file */
    uint64_t file_size; /* bytes, at most mem_size, within the file */
    uint64_t mem_size;  /* bytes, not 0 */
    int prot;           /* PROT_* */
};

struct elf_image {
    bool is_fixed;      /* ET_EXEC: at its own addresses; else anywhere (ET_DYN) */
    bool has_phdr_addr; /* the program headers are part of a segment */
    bool stack_exec;    /* PT_GNU_STACK asks for an executable stack */
    uint64_t entry;
    uint64_t phdr_addr;
    uint32_t phdr_count;
    uint64_t interp_off;  /* 0: no PT_INTERP */
    uint32_t interp_size; /* with NUL */
    uint64_t low, high;   /* page-aligned bounds of all segments */
    uint64_t
        align; /* largest p_align of a PT_LOAD, a power of two of 4 KiB or more, at most 1 GiB */
    uint32_t segment_count; /* 1 or more; rising, they do not overlap */
    struct elf_segment segments[ELF_SEGMENTS_MAX];
};

/* What elf_ehdr_parse found out: where the program headers lie. */
struct elf_header {
    bool is_fixed;
    uint64_t entry;
    uint64_t phdrs_off; /* phdr_count * ELF_PHDR_SIZE bytes from here lie within the file */
    uint32_t phdr_count;
};

/* head: the first ELF_EHDR_SIZE bytes. returns: 0; -ENOEXEC not an x86-64 program. */
MUST_CHECK int elf_header_parse(const uint8_t *head, size_t head_size, uint64_t file_size,
                                struct elf_header *ret);
/* phdrs: the bytes that h names. returns: 0; -ENOEXEC malformed. *ret is undefined on failure. */
MUST_CHECK int elf_phdrs_parse(const struct elf_header *h, const uint8_t *phdrs, uint64_t file_size,
                               struct elf_image *ret);

/* The interpreter line of a script. */
struct script_line {
    const char *interp; /* within the buffer, not NUL-ended */
    size_t interp_len;
    const char *arg; /* NULL: none */
    size_t arg_len;
};
#define SCRIPT_HEAD_SIZE 256u
/* head: the first bytes of the file. returns: 0; -ENOEXEC no script, or its line is too long or empty. */
MUST_CHECK int script_parse(const char *head, size_t size, struct script_line *ret);
