/* SPDX-License-Identifier: Apache-2.0 */
/*
 * int stress_registers(const struct stress_state *in, struct stress_state *out, long rounds)
 * Loads every register of the program with the values of `in`, makes `rounds` system calls (getpid) with plain code
 * between them, and stores what the registers then hold in `out`. The red zone takes part. Signals may come at any
 * instruction; none may change a value. Layout of struct stress_state: sigstress.c.
 */
#define GPR(n) ((n) * 8)
#define FLAGS 88
#define RED(n) (96 + (n) * 8)
#define VECTOR(n) (192 + (n) * 32)

    .text
    .globl stress_registers
    .type stress_registers, @function
    .p2align 4
stress_registers:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    push %rsi               /* out */
    mov %rdx, %rbp          /* rounds */
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vmovdqu VECTOR(\n)(%rdi), %ymm\n
    .endr
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    mov RED(\n)(%rdi), %rax
    mov %rax, -128 + 8 * \n(%rsp)
    .endr
    mov GPR(0)(%rdi), %rbx
    mov GPR(1)(%rdi), %rdx
    mov GPR(2)(%rdi), %rsi
    mov GPR(3)(%rdi), %r8
    mov GPR(4)(%rdi), %r9
    mov GPR(5)(%rdi), %r10
    mov GPR(6)(%rdi), %r12
    mov GPR(7)(%rdi), %r13
    mov GPR(8)(%rdi), %r14
    mov GPR(9)(%rdi), %r15
    mov GPR(10)(%rdi), %rdi
1:  mov $39, %eax           /* getpid */
    stc
    syscall
    jnc 8f                  /* flags live through a system call */
    mov $20, %ecx
2:  lea 3(%rcx), %rax       /* and at any instruction of plain code */
    sub %rcx, %rax
    cmp $3, %rax
    jne 8f
    dec %ecx
    jnz 2b
    dec %rbp
    jnz 1b
    xor %ebp, %ebp
    jmp 3f
8:  mov $1, %ebp
3:  mov (%rsp), %rax
    mov %rbx, GPR(0)(%rax)
    mov %rdx, GPR(1)(%rax)
    mov %rsi, GPR(2)(%rax)
    mov %r8, GPR(3)(%rax)
    mov %r9, GPR(4)(%rax)
    mov %r10, GPR(5)(%rax)
    mov %r12, GPR(6)(%rax)
    mov %r13, GPR(7)(%rax)
    mov %r14, GPR(8)(%rax)
    mov %r15, GPR(9)(%rax)
    mov %rdi, GPR(10)(%rax)
    movq $0, FLAGS(%rax)
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    mov -128 + 8 * \n(%rsp), %rcx
    mov %rcx, RED(\n)(%rax)
    .endr
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vmovdqu %ymm\n, VECTOR(\n)(%rax)
    .endr
    vzeroupper
    mov %ebp, %eax
    pop %rsi
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret
    .size stress_registers, . - stress_registers
    .section .note.GNU-stack, "", @progbits
