/* SPDX-License-Identifier: Apache-2.0 */
/* First bytes of the enclave (struct enclave_header, abi/image.h) and the ENCLU stubs. Trusted. */
#include "tee/enclave/asm.h"

    .section .enclave_header, "a"
    .globl enclave_header
    .hidden enclave_header
enclave_header:
    .quad ASM_HEADER_MAGIC
    .long 1
    .long ASM_STUB_COUNT
    .quad enclu_stubs - enclave_header
    .quad enclave_entry - enclave_header

    .section .text.enclu_stubs, "ax"
    .globl enclu_stubs
    .hidden enclu_stubs
    .p2align 6
enclu_stubs:
    .rept ASM_STUB_COUNT
    .p2align 4, 0xcc
1:  enclu
    EX_TABLE(1b, 1b + 1, enclu_fault)
    ret
    .p2align 4, 0xcc
    .endr

/* The host could not give a page that a leaf needs. */
FUNCTION(enclu_fault)
    mov $-1, %eax
    ret
END(enclu_fault)

/* int enclu_page(unsigned leaf, const struct sgx_secinfo *secinfo, uint64_t addr): EACCEPT, EMODPE. */
FUNCTION(enclu_page)
    push %rbx
    mov %edi, %eax
    mov %rsi, %rbx
    mov %rdx, %rcx
    mov %edi, %edx
    shl $4, %edx
    lea enclu_stubs(%rip), %r8
    add %rdx, %r8
    call *%r8
    pop %rbx
    ret
END(enclu_page)

/* int enclu_key(unsigned leaf, const void *rbx, const void *rcx, void *rdx): EREPORT, EGETKEY. */
FUNCTION(enclu_key)
    push %rbx
    mov %edi, %eax
    mov %rsi, %rbx
    xchg %rdx, %rcx
    shl $4, %edi
    lea enclu_stubs(%rip), %r8
    add %rdi, %r8
    call *%r8
    pop %rbx
    ret
END(enclu_key)

    .section .note.GNU-stack, "", @progbits
