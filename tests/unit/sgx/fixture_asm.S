/* SPDX-License-Identifier: Apache-2.0 */
/* Calls an sgx_enter_fn and keeps what the enclave left in RSI and RDX. */
    .text
    .globl fix_enter_raw
/* int fix_enter_raw(fn, rdi, rsi, rdx, leaf, r8, run on stack +8, uint64_t out[2] on stack +16) */
fix_enter_raw:
    push %rbp
    mov %rsp, %rbp
    push %rbx
    sub $8, %rsp
    mov 24(%rbp), %rbx
    mov %rdi, %rax
    mov %rsi, %rdi
    mov %rdx, %rsi
    mov %rcx, %rdx
    mov %r8, %rcx
    mov %r9, %r8
    xor %r9d, %r9d
    push $0
    push 16(%rbp)
    call *%rax
    mov %rsi, 0(%rbx)
    mov %rdx, 8(%rbx)
    add $24, %rsp
    pop %rbx
    pop %rbp
    ret
    .section .note.GNU-stack, "", @progbits
