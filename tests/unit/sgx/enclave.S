/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test enclave: a small interpreter of commands, position-independent, one page of code copied
 * out of this object's read-only data. With `header` it starts with struct enclave_header and its
 * ENCLU are stubs; without, they are bare instructions. Nothing of the project is included.
 *
 * EENTER with RDI = command, RSI and RDX = arguments (untrusted addresses or values), R8, R9.
 * GS base: a page of the thread's own: 0 exit target, 8 host RSP, 16 host RBP, 24 own stack top.
 */
    .set SAVE_TARGET, 0
    .set SAVE_RSP, 8
    .set SAVE_RBP, 16

    .macro ENCLAVE name header
    .section .rodata.\name, "a", @progbits
    .balign 4096
    .globl \name
\name:
    .if \header
    .quad 0x4e45454843304c43
    .long 1
    .long 8
    .quad .Lstubs_\name - \name
    .quad .Lentry_\name - \name
    .else
    .quad 0
    .endif
    .balign 32
    ret                     /* at offset 32, for tests that must come back from a jump */
    .balign 64
    .globl \name\()_entry
\name\()_entry:
.Lentry_\name:
    cld
    cmp $0, %rax
    jne .Lexc_\name
    mov %rcx, %gs:SAVE_TARGET
    mov %rsp, %gs:SAVE_RSP
    mov %rbp, %gs:SAVE_RBP
    rdgsbase %rsp
    add $4096, %rsp
    lea .Ltable_\name(%rip), %rax
    cmp $(.Ltable_end_\name - .Ltable_\name) / 4, %rdi
    jae .Lexit_\name
    movslq (%rax,%rdi,4), %rdi
    add %rax, %rdi
    jmp *%rdi
.Lexit_\name:           /* RSI, RDX, R8, R9: results */
    mov %gs:SAVE_TARGET, %rbx
    mov %gs:SAVE_RSP, %rsp
    mov %gs:SAVE_RBP, %rbp
    mov $4, %eax
    .if \header
    jmp .Lstub4_\name
    .else
    enclu
    .endif
    ud2

    .balign 4
.Ltable_\name:
    .long .Lcmd0_\name - .Ltable_\name
    .long .Lcmd1_\name - .Ltable_\name
    .long .Lcmd2_\name - .Ltable_\name
    .long .Lcmd3_\name - .Ltable_\name
    .long .Lcmd4_\name - .Ltable_\name
    .long .Lcmd5_\name - .Ltable_\name
    .long .Lcmd6_\name - .Ltable_\name
    .long .Lcmd7_\name - .Ltable_\name
    .long .Lcmd8_\name - .Ltable_\name
    .long .Lcmd9_\name - .Ltable_\name
.Ltable_end_\name:

.Lcmd0_\name:           /* add one */
    add $1, %rsi
    jmp .Lexit_\name

.Lcmd1_\name:           /* ENCLU: RSI -> { rax rbx rcx rdx rflags }, in and out */
    push %rsi
    mov 0(%rsi), %rax
    mov 8(%rsi), %rbx
    mov 16(%rsi), %rcx
    mov 24(%rsi), %rdx
    .if \header
    lea .Lstubs_\name(%rip), %r10
    mov %rax, %r11
    shl $4, %r11
    add %r11, %r10
    call *%r10
    .else
    enclu
    .endif
    pushfq
    pop %r11
    pop %rsi
    mov %rax, 0(%rsi)
    mov %rbx, 8(%rsi)
    mov %rcx, 16(%rsi)
    mov %rdx, 24(%rsi)
    mov %r11, 32(%rsi)
    jmp .Lexit_\name

.Lcmd2_\name:           /* copy R8 bytes from RDX to RSI */
    mov %rsi, %rdi
    mov %rdx, %rsi
    mov %r8, %rcx
    rep movsb
    jmp .Lexit_\name

.Lcmd3_\name:           /* run what lies at RSI; it returns */
    call *%rsi
    jmp .Lexit_\name

.Lcmd4_\name:           /* system call RSI with arguments that do no harm */
    mov %rsi, %rax
    mov $-1, %rdi
    syscall
    mov %rax, %rsi
    jmp .Lexit_\name

.Lcmd5_\name:           /* fill all registers from RSI (16 GPR-sized words, then 8 ymm), spin until
                           *RDX is set, count what differs */
    mov %rsp, %gs:32
    mov %rdx, %gs:40
    mov %rsi, %gs:48
    vmovdqu 128(%rsi), %ymm0
    vmovdqu 160(%rsi), %ymm1
    vmovdqu 192(%rsi), %ymm7
    vmovdqu 224(%rsi), %ymm15
    mov 0(%rsi), %rax
    mov 8(%rsi), %rbx
    mov 24(%rsi), %rdx
    mov 32(%rsi), %rbp
    mov 48(%rsi), %rdi
    mov 56(%rsi), %r8
    mov 64(%rsi), %r9
    mov 72(%rsi), %r10
    mov 80(%rsi), %r11
    mov 88(%rsi), %r12
    mov 96(%rsi), %r13
    mov 104(%rsi), %r14
    mov 112(%rsi), %r15
    mov 40(%rsi), %rsi
    stc
1:  mov %gs:40, %rcx
    mov (%rcx), %cl
    inc %cl             /* keeps CF */
    dec %cl
    jz 1b
    jnc .Lbad_\name
    push %rsi
    mov %gs:48, %rcx
    cmp 0(%rcx), %rax
    jne .Lbad_\name
    cmp 8(%rcx), %rbx
    jne .Lbad_\name
    cmp 24(%rcx), %rdx
    jne .Lbad_\name
    cmp 32(%rcx), %rbp
    jne .Lbad_\name
    cmp 48(%rcx), %rdi
    jne .Lbad_\name
    cmp 56(%rcx), %r8
    jne .Lbad_\name
    cmp 64(%rcx), %r9
    jne .Lbad_\name
    cmp 72(%rcx), %r10
    jne .Lbad_\name
    cmp 80(%rcx), %r11
    jne .Lbad_\name
    cmp 88(%rcx), %r12
    jne .Lbad_\name
    cmp 96(%rcx), %r13
    jne .Lbad_\name
    cmp 104(%rcx), %r14
    jne .Lbad_\name
    cmp 112(%rcx), %r15
    jne .Lbad_\name
    cmp %rsi, 40(%rcx)
    jne .Lbad_\name
    vmovdqu 128(%rcx), %ymm2
    vpcmpeqb %ymm0, %ymm2, %ymm2
    vmovdqu 160(%rcx), %ymm3
    vpcmpeqb %ymm1, %ymm3, %ymm3
    vpand %ymm3, %ymm2, %ymm2
    vmovdqu 192(%rcx), %ymm3
    vpcmpeqb %ymm7, %ymm3, %ymm3
    vpand %ymm3, %ymm2, %ymm2
    vmovdqu 224(%rcx), %ymm3
    vpcmpeqb %ymm15, %ymm3, %ymm3
    vpand %ymm3, %ymm2, %ymm2
    vpmovmskb %ymm2, %eax
    cmp $-1, %eax
    jne .Lbad_\name
    mov %gs:32, %rsp
    xor %esi, %esi
    vzeroall
    jmp .Lexit_\name
.Lbad_\name:
    mov %gs:32, %rsp
    mov $1, %esi
    jmp .Lexit_\name

.Lcmd6_\name:           /* ud2, then the exception handler may move RIP on by 2 */
    mov $0x1111, %r12
    ud2
    mov %r12, %rsi
    jmp .Lexit_\name

.Lcmd7_\name:           /* read the byte at RSI */
    movzbl (%rsi), %esi
    jmp .Lexit_\name

.Lcmd8_\name:           /* write RDX at RSI */
    mov %rdx, (%rsi)
    jmp .Lexit_\name

.Lcmd9_\name:           /* EACCEPT of R8 pages from RSI with the SECINFO at RDX; RSI = failures */
    xor %r9d, %r9d
    mov %rsi, %rcx
    mov %rdx, %rbx
2:  mov $5, %eax
    .if \header
    call .Lstub5_\name
    .else
    enclu
    .endif
    test %eax, %eax
    setnz %al
    movzbl %al, %eax
    add %rax, %r9
    add $4096, %rcx
    dec %r8
    jnz 2b
    mov %r9, %rsi
    jmp .Lexit_\name

    /* CSSA 1: RDI = 1: add RSI to SSA[0].RIP; 2: nothing; RDX = address of SSA[0]'s GPR area */
.Lexc_\name:
    mov %rcx, %rbx
    cmp $1, %rdi
    jne 3f
    add %rsi, 136(%rdx)
3:  mov $4, %eax
    .if \header
    jmp .Lstub4_\name
    .else
    enclu
    .endif
    ud2

    .if \header
    .balign 16
.Lstubs_\name:
    .rept 4
    enclu
    ret
    .fill 12, 1, 0xcc
    .endr
.Lstub4_\name:
    enclu
    ret
    .fill 12, 1, 0xcc
.Lstub5_\name:
    enclu
    ret
    .fill 12, 1, 0xcc
    .rept 2
    enclu
    ret
    .fill 12, 1, 0xcc
    .endr
    .endif
    .balign 4096
    .globl \name\()_end
\name\()_end:
    .endm

    ENCLAVE test_enclave_stubs 1
    ENCLAVE test_enclave_plain 0
    .section .note.GNU-stack, "", @progbits
