/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls an sgx_enter_fn and keeps what the enclave left in RSI and RDX. All entries of one thread use
 * the same stack: an enclave that was entered in one call and leaves in another (after ERESUME)
 * restores the RBP of the first, and the vDSO's frame must then be where it was.
 */
    .text
    .globl fix_enter_raw
/* int fix_enter_raw(fn, rdi, rsi, rdx, leaf, r8, run, uint64_t out[2], void *stack_top) */
fix_enter_raw:
    push %rbp
    mov %rsp, %rbp
    push %rbx
    push %r12
    mov 24(%rbp), %rbx
    mov %rsp, %r12
    mov 16(%rbp), %r10
    mov 32(%rbp), %rsp
    mov %rdi, %rax
    mov %rsi, %rdi
    mov %rdx, %rsi
    mov %rcx, %rdx
    mov %r8, %rcx
    mov %r9, %r8
    xor %r9d, %r9d
    push $0
    push %r10
    call *%rax
    mov %r12, %rsp
    mov %rsi, 0(%rbx)
    mov %rdx, 8(%rbx)
    pop %r12
    pop %rbx
    pop %rbp
    ret
    .section .note.GNU-stack, "", @progbits
