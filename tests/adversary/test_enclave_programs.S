/* SPDX-License-Identifier: Apache-2.0 */
/* Programs of the test enclave, copied into program memory and run there. */
    .section .rodata.test_program, "a"
    .globl test_program_start, test_program_end, test_program_spin, test_program_fault, test_program_trap
    .p2align 6
test_program_start:
    /* Spins until a signal ends it. */
test_program_spin:
    pause
    jmp test_program_spin

    /* A fault that the handler skips, then exit with 5 when RAX and a vector register are right. */
test_program_fault:
    mov $0x1122334455667788, %rbx
    movq %rbx, %xmm7
    xor %ecx, %ecx
    movl 0x10(%rcx), %ebp
    nop
    cmp $0xfa017, %rax
    jne 1f
    movq %xmm7, %rdx
    cmp %rdx, %rbx
    jne 1f
    mov $5, %edi
    jmp 2f
1:  mov $1, %edi
2:  mov $60, %eax
    syscall

    /* System calls by trap, then by the entry that trampolines use; registers and flags must stay. */
test_program_trap:
    mov $0x77, %r12
    mov $0x1122334455667788, %rbx
    movq %rbx, %xmm9
    mov $39, %eax
    stc
    syscall
    jnc 1b
    cmp $4711, %rax
    jne 1b
    mov $1000, %r14
3:  mov $39, %eax
    lea 4f(%rip), %rcx
    stc
    jmp *%gs:0x18
4:  jnc 1b
    cmp $4711, %rax
    jne 1b
    dec %r14
    jnz 3b
    cmp $0x77, %r12
    jne 1b
    movq %xmm9, %rdx
    cmp %rdx, %rbx
    jne 1b
    mov $40, %eax
    syscall
    cmp $1, %rax
    jne 1b
    mov $6, %edi
    mov $60, %eax
    syscall
test_program_end:
    .section .note.GNU-stack, "", @progbits
