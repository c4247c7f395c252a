/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OENTRY, the way out by EEXIT, the program's way into the library OS and back. Trusted.
 * SDM vol. 3D, EENTER: RAX = CSSA, RBX = TCS, RCX = address after the EENTER; everything else is what
 * the host left there. GS is this thread's struct tcb; FS is the program's, except from EENTER until the
 * OCALL's return puts it back.
 */
#include "tee/enclave/asm.h"

    .macro EACH_VECTOR do
    .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    \do \number
    .endr
    .endm
    .macro STORE_XMM number
    movaps %xmm\number, TCB_VECTORS + 32 * \number(%rsi)
    .endm
    .macro LOAD_XMM number
    movaps TCB_VECTORS + 32 * \number(%rsi), %xmm\number
    .endm
    .macro STORE_YMM number
    vmovaps %ymm\number, TCB_VECTORS + 32 * \number(%rsi)
    .endm
    .macro LOAD_YMM number
    vmovaps TCB_VECTORS + 32 * \number(%rsi), %ymm\number
    .endm

    .section .text.entry, "ax"

FUNCTION(enclave_entry)
    cld
    cmp $1, %rax
    je .Lentry_exception
    ja .Lentry_refuse_now
    cmpq $0, %gs:TCB_SELF
    jne 1f
    /* First entry of this slot: its TCB page is still zero. */
    rdgsbase %r8
    lea ASM_TCB_TO_STACK_TOP - 8(%r8), %r9      /* struct regs ends here, so calls are aligned */
    mov %r9, %gs:TCB_STACK_TOP
    lea ASM_TCB_TO_EXC_STACK_TOP(%r8), %r9
    mov %r9, %gs:TCB_EXC_STACK_TOP
    lea enclave_syscall_entry(%rip), %r9
    mov %r9, %gs:TCB_SYSCALL_ENTRY
    mov %r8, %gs:TCB_SELF
1:
    mov %rsp, %gs:TCB_HOST_RSP
    mov %rbp, %gs:TCB_HOST_RBP
    mov %rcx, %gs:TCB_HOST_RET
    cmp $ASM_ENTER_OCALL_RETURN, %rdi
    je .Lentry_ocall_return
    cmpl $TCB_PHASE_IDLE, %gs:TCB_PHASE
    jne .Lentry_refuse
    movl $TCB_PHASE_INSIDE, %gs:TCB_PHASE
    mov %gs:TCB_STACK_TOP, %rsp
    push $ASM_RFLAGS_CLEAN
    popfq
    push $0
    xor %ebp, %ebp
    mov %rdx, %r12
    lea xstate_initial(%rip), %rcx
    mov $ASM_XSTATE_MASK, %eax
    xor %edx, %edx
    xrstor64 (%rcx)
    mov %r12, %rdx
    xor %ecx, %ecx
    call enclave_thread_enter       /* (event, argument, frame); does not return */
    ud2

.Lentry_ocall_return:
    cmpl $TCB_PHASE_OCALL, %gs:TCB_PHASE
    jne .Lentry_refuse
    cmpl $0, enclave_dead(%rip)
    jne .Lentry_refuse
    movl $TCB_PHASE_INSIDE, %gs:TCB_PHASE
    mov %gs:TCB_OCALL_RSP, %rsp
    push $ASM_RFLAGS_CLEAN
    popfq
    mov %gs:TCB_SELF, %rsi
    cmpl $TCB_VECTOR_WHOLE, TCB_VECTOR_KIND(%rsi)
    je .Lvector_get_whole
    mov $1, %ecx
    xgetbv
    test $~ASM_XINUSE_QUICK, %eax
    jnz .Lvector_clean
.Lvector_get:
    cmpl $TCB_VECTOR_YMM, TCB_VECTOR_KIND(%rsi)
    je .Lvector_get_ymm
    vzeroall
    EACH_VECTOR LOAD_XMM
.Lvector_got:
    ldmxcsr TCB_MXCSR(%rsi)
.Lvector_got_all:
    pop %rax
    wrfsbase %rax
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    xor %eax, %eax
    xor %ecx, %ecx
    xor %edx, %edx
    xor %esi, %esi
    xor %edi, %edi
    xor %r8d, %r8d
    xor %r9d, %r9d
    xor %r10d, %r10d
    xor %r11d, %r11d
    ret
.Lvector_get_ymm:
    EACH_VECTOR LOAD_YMM
    jmp .Lvector_got
.Lvector_get_whole:
    mov $ASM_XSTATE_MASK, %eax
    xor %edx, %edx
    xrstor64 TCB_XSTATE(%rsi)
    jmp .Lvector_got_all
.Lvector_clean:
    /* The host left x87 or AVX-512 registers in use. */
    lea xstate_initial(%rip), %rcx
    mov $ASM_XSTATE_MASK, %eax
    xor %edx, %edx
    xrstor64 (%rcx)
    jmp .Lvector_get
END(enclave_entry)

/*
 * void ocall_leave(void): leaves with the OCALL that the frame describes and returns when the host has
 * served it. The program's vector state is kept here and cleared for the host. XSAVE and XRSTOR take most of an exit's time,
 * so where XINUSE (SDM vol. 1, 13.6) says that no more than XMM and YMM registers are in use, these are moved one by one: what
 * is not in use is in its initial configuration, and holds nothing.
 */
FUNCTION(ocall_leave)
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    rdfsbase %rax
    push %rax
    mov %gs:TCB_SELF, %rsi
    cmpl $0, xstate_quick(%rip)
    je .Lvector_put_whole
    mov $1, %ecx
    xgetbv
    test $~ASM_XINUSE_QUICK, %eax
    jnz .Lvector_put_whole
    test $ASM_XINUSE_AVX, %eax
    jnz .Lvector_put_ymm
    movl $TCB_VECTOR_XMM, TCB_VECTOR_KIND(%rsi)
    EACH_VECTOR STORE_XMM
.Lvector_put:
    vzeroall
    stmxcsr TCB_MXCSR(%rsi)
    ldmxcsr xstate_initial + 24(%rip)
.Lvector_put_all:
    mov %rsp, %gs:TCB_OCALL_RSP
    movl $TCB_PHASE_OCALL, %gs:TCB_PHASE
.Lentry_refuse:
    mov %gs:TCB_HOST_RSP, %rsp
    mov %gs:TCB_HOST_RBP, %rbp
    mov %gs:TCB_HOST_RET, %rbx
.Leexit:
    xor %ecx, %ecx
    xor %edx, %edx
    xor %esi, %esi
    xor %edi, %edi
    xor %r8d, %r8d
    xor %r9d, %r9d
    xor %r10d, %r10d
    xor %r11d, %r11d
    xor %r12d, %r12d
    xor %r13d, %r13d
    xor %r14d, %r14d
    xor %r15d, %r15d
    mov $ASM_EEXIT, %eax
    jmp enclu_stubs + ASM_EEXIT * ASM_STUB_SIZE
.Lentry_refuse_now:
    mov %rcx, %rbx
    jmp .Leexit
.Lvector_put_ymm:
    movl $TCB_VECTOR_YMM, TCB_VECTOR_KIND(%rsi)
    EACH_VECTOR STORE_YMM
    jmp .Lvector_put
.Lvector_put_whole:
    movl $TCB_VECTOR_WHOLE, TCB_VECTOR_KIND(%rsi)
    mov $ASM_XSTATE_MASK, %eax
    xor %edx, %edx
    xsave64 TCB_XSTATE(%rsi)
    lea xstate_initial(%rip), %rcx
    xrstor64 (%rcx)
    jmp .Lvector_put_all
END(ocall_leave)

/* Never returns: this slot takes no further entry at CSSA 0 in the given phase (EDI). */
FUNCTION(enclave_leave_for_good)
    mov %edi, %ebx
    lea xstate_initial(%rip), %rcx
    mov $ASM_XSTATE_MASK, %eax
    xor %edx, %edx
    xrstor64 (%rcx)
    xor %eax, %eax
    wrfsbase %rax
    mov %ebx, %gs:TCB_PHASE
    jmp .Lentry_refuse
END(enclave_leave_for_good)

/*
 * CSSA 1: an exception or a host signal interrupted this thread. Runs on its own stack, on this
 * thread's data alone; vector registers hold the host's values and are not touched.
 */
.Lentry_exception:
    cmpq $0, %gs:TCB_EXC_STACK_TOP
    je .Lentry_refuse_now           /* interrupted in its very first instructions: just resume */
    mov %rsp, %gs:TCB_EXC_HOST_RSP
    mov %rbp, %gs:TCB_EXC_HOST_RBP
    mov %rcx, %gs:TCB_EXC_HOST_RET
    mov %gs:TCB_EXC_STACK_TOP, %rsp
    push $ASM_RFLAGS_CLEAN
    popfq
    xor %ebp, %ebp
    call exception_handle           /* (event, argument) */
    mov %gs:TCB_EXC_HOST_RSP, %rsp
    mov %gs:TCB_EXC_HOST_RBP, %rbp
    mov %gs:TCB_EXC_HOST_RET, %rbx
    jmp .Leexit

/*
 * A system call of the program: from a trampoline (RCX = return address, all else as the program had
 * it). Builds struct regs at the top of the thread's stack.
 */
FUNCTION(enclave_syscall_entry)
    mov %rsp, %gs:TCB_USER_RSP
    mov %gs:TCB_STACK_TOP, %rsp
    push $0                         /* trapped */
    push $0                         /* fs_base: live in the CPU */
    push %gs:TCB_USER_RSP
    pushfq
    push %rcx                       /* rip */
    push %rax                       /* orig_rax */
    push %rdi
    push %rsi
    push %rdx
    push %rcx
    push %rax
    push %r8
    push %r9
    push %r10
    push REGS_RFLAGS - REGS_R10(%rsp)   /* r11 = rflags, as SYSCALL leaves it */
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    testl $ASM_RFLAGS_DF_AC, REGS_RFLAGS(%rsp)
    jnz 2f
1:  mov %rsp, %rdi
    call libos_syscall
    jmp enclave_return
2:  push $ASM_RFLAGS_CLEAN
    popfq
    jmp 1b
END(enclave_syscall_entry)

/* Where the handler at CSSA 1 sends a thread whose program was stopped; RSP = struct regs. */
FUNCTION(enclave_redirect_fault)
    mov %rsp, %rdi
    call exception_program_fault
    jmp enclave_return
END(enclave_redirect_fault)

FUNCTION(enclave_redirect_interrupt)
    mov %rsp, %rdi
    call libos_interrupt
    jmp enclave_return
END(enclave_redirect_interrupt)

FUNCTION(enclave_redirect_panic)
    call exception_panic
    ud2
END(enclave_redirect_panic)

/* void regs_resume_asm(const struct regs *regs): regs is current_regs(). */
FUNCTION(regs_resume_asm)
    mov %rdi, %rsp
    jmp enclave_return
END(regs_resume_asm)

/*
 * Back to the program from struct regs at RSP. An interrupt anywhere in here starts it again from the
 * beginning (exception.c), so nothing is lost between the last look at TCB_FLAGS and the jump: until
 * the jump struct regs stays as it is.
 */
FUNCTION(enclave_return)
    testl $TCB_FLAG_INTERRUPTED, %gs:TCB_FLAGS
    jnz .Lreturn_interrupted
    mov REGS_RIP(%rsp), %rax
    mov %rax, %gs:TCB_RESUME_RIP
    testl $ASM_RFLAGS_RARE, REGS_RFLAGS(%rsp)
    jnz .Lreturn_rare_flags
    movzbl REGS_RFLAGS + 1(%rsp), %eax
    shr $3, %al
    and $1, %al
    movb REGS_RFLAGS(%rsp), %ah
    add $0x7f, %al                  /* sets OF from bit 11 */
    sahf
.Lreturn_load:
    mov REGS_R15(%rsp), %r15
    mov REGS_R14(%rsp), %r14
    mov REGS_R13(%rsp), %r13
    mov REGS_R12(%rsp), %r12
    mov REGS_RBP(%rsp), %rbp
    mov REGS_RBX(%rsp), %rbx
    mov REGS_R11(%rsp), %r11
    mov REGS_R10(%rsp), %r10
    mov REGS_R9(%rsp), %r9
    mov REGS_R8(%rsp), %r8
    mov REGS_RAX(%rsp), %rax
    mov REGS_RCX(%rsp), %rcx
    mov REGS_RDX(%rsp), %rdx
    mov REGS_RSI(%rsp), %rsi
    mov REGS_RDI(%rsp), %rdi
    mov REGS_RSP(%rsp), %rsp
    jmp *%gs:TCB_RESUME_RIP
.Lreturn_rare_flags:
    mov REGS_RFLAGS(%rsp), %rax
    and $~ASM_RFLAGS_TF, %rax       /* no single steps through the library OS */
    push %rax
    popfq
    jmp .Lreturn_load
    .globl enclave_return_end
    .hidden enclave_return_end
enclave_return_end:
.Lreturn_interrupted:
    andl $~TCB_FLAG_INTERRUPTED, %gs:TCB_FLAGS
    mov %rsp, %rdi
    call libos_interrupt
    jmp enclave_return
END(enclave_return)

/* The initial vector state: everything in its initial configuration, MXCSR masked. */
    .section .rodata.xstate_initial, "a"
    .p2align 6
    .globl xstate_initial
    .hidden xstate_initial
xstate_initial:
    .word 0x37f
    .fill 22, 1, 0
    .long ASM_MXCSR_DEFAULT
    .fill 2752 - 28, 1, 0

    .section .note.GNU-stack, "", @progbits
