/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The emulator's entry and exit: sgx_emu_enter with the vDSO's signature, the AEP, the loading of an
 * enclave's state, and what patched ENCLU stubs jump to. Untrusted side. SDM vol. 3D, EENTER,
 * ERESUME, EEXIT, EACCEPT, EMODPE.
 *
 * Signals may arrive at any instruction. emu_signal.c knows the ranges between the labels and rolls
 * an unfinished leaf back to its ENCLU, or a committed one forward to its end.
 */
#include "host/sgx/emu/emu_layout.h"

#define SGX_EENTER 2
#define SGX_ERESUME 3
#define SGX_EEXIT 4
#define SGX_EACCEPT 5
#define SGX_EMODPE 6

#define RUN_FUNCTION 8
#define RUN_VECTOR 12
#define RUN_CODE 14
#define RUN_ADDR 16
#define RUN_HANDLER 24
#define RUN_RESERVED 40
#define RUN_SIZE 256
#define RUN_ON_STACK 16

#define RFLAGS_DF_AC 0x40400
#define RFLAGS_FIXED 0x202

    .text
    .globl sgx_emu_text_start
    .hidden sgx_emu_text_start
sgx_emu_text_start:

/*
 * int sgx_emu_enter(rdi, rsi, rdx, ecx = function, r8, r9, run on the stack)
 * Frame: rbp, then rbx r12 r13 r14 r15 and 8 bytes of padding: RSP is aligned at the AEP.
 */
    .globl sgx_emu_enter
    .hidden sgx_emu_enter
    .type sgx_emu_enter, @function
sgx_emu_enter:
    .cfi_startproc
    push %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset rbp, -16
    mov %rsp, %rbp
    .cfi_def_cfa_register rbp
    push %rbx
    .cfi_offset rbx, -24
    push %r12
    .cfi_offset r12, -32
    push %r13
    .cfi_offset r13, -40
    push %r14
    .cfi_offset r14, -48
    push %r15
    .cfi_offset r15, -56
    sub $8, %rsp
    mov RUN_ON_STACK(%rbp), %r11
    xor %eax, %eax
    .set off, RUN_RESERVED
    .rept (RUN_SIZE - RUN_RESERVED) / 8
    or off(%r11), %rax
    .set off, off + 8
    .endr
    test %rax, %rax
    jnz .Linvalid
.Lagain:
    cmp $SGX_EENTER, %ecx
    jb .Linvalid
    cmp $SGX_ERESUME, %ecx
    ja .Linvalid
    mov RUN_ON_STACK(%rbp), %rbx
    mov (%rbx), %rbx
    mov %ecx, %eax
    lea sgx_emu_aep(%rip), %rcx

/* ENCLU with EAX = EENTER or ERESUME, RBX = TCS, RCX = AEP; the host's FS base. */
    .globl sgx_emu_aep
    .hidden sgx_emu_aep
sgx_emu_aep:
    mov sgx_emu_self@gottpoff(%rip), %r11
    mov %fs:(%r11), %r11
    test %r11, %r11
    jz .Lunready
    mov %rsp, T_HOST_RSP(%r11)
    mov %rbp, T_HOST_RBP(%r11)
    mov %rbx, T_TCS_ADDR(%r11)
    mov %rcx, T_AEP(%r11)
    mov %eax, T_ENTERING(%r11)
    /* From here on T_ENTERING tells a signal handler what is going on; before, RIP does. */
    .globl sgx_emu_aep_marked
    .hidden sgx_emu_aep_marked
sgx_emu_aep_marked:
    /* The enclave gets the host's flags as they are; C must not see these two. */
    pushfq
    pop %r10
    mov %r10, T_FLAGS(%r11)
    test $RFLAGS_DF_AC, %r10d
    jnz .Lflags_clean
.Lflags_are_clean:
    push %rdi
    push %rsi
    push %rdx
    push %r8
    push %r9
    push %rax
    mov %eax, %edi
    mov %r11, %rsi
    call sgx_emu_prepare
    mov %eax, %r10d
    mov %rdx, %r11
    pop %rax
    pop %r9
    pop %r8
    pop %rdx
    pop %rsi
    pop %rdi
    cmp $SGX_EENTER, %r10d
    je .Leenter
    cmp $SGX_ERESUME, %r10d
    je .Leresume
    mov T_FAULT_VECTOR(%r11), %edi
    mov T_FAULT_CODE(%r11), %esi
    mov T_FAULT_ADDR(%r11), %rdx
    /* EAX = leaf, RDI = vector, RSI = error code, RDX = address, RBP = frame */
    .globl sgx_emu_fault
    .hidden sgx_emu_fault
sgx_emu_fault:
    mov RUN_ON_STACK(%rbp), %rbx
    mov %eax, RUN_FUNCTION(%rbx)
    mov %di, RUN_VECTOR(%rbx)
    mov %si, RUN_CODE(%rbx)
    mov %rdx, RUN_ADDR(%rbx)
    jmp .Lleft

    /* The instruction after ENCLU: EEXIT comes back here. */
    .globl sgx_emu_next
    .hidden sgx_emu_next
sgx_emu_next:
    mov RUN_ON_STACK(%rbp), %rbx
    movl $SGX_EEXIT, RUN_FUNCTION(%rbx)
.Lleft:
    cld
    mov RUN_HANDLER(%rbx), %rax
    test %rax, %rax
    jnz .Lhandler
    xor %eax, %eax
.Lout:
    lea -40(%rbp), %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    .cfi_remember_state
    .cfi_def_cfa rsp, 8
    ret
    .cfi_restore_state
.Linvalid:
    mov $-22, %eax
    jmp .Lout
.Lunready:
    mov $-14, %eax
    jmp .Lout
.Lflags_clean:
    push $RFLAGS_FIXED
    popfq
    jmp .Lflags_are_clean
.Lhandler:
    /* int handler(rdi, rsi, rdx, rsp at exit, r8, r9, run) on the stack as the enclave left it */
    mov %rsp, %rcx
    mov %rsp, %r12
    and $-16, %rsp
    sub $8, %rsp
    push %rbx
    call *%rax
    mov %r12, %rsp
    test %eax, %eax
    jle .Lout
    lea -48(%rbp), %rsp
    mov %eax, %ecx
    jmp .Lagain
    .cfi_endproc

/* R11 = thread. From here to the jump FS and GS change hands: sgx_emu_load_start to _end. */
    .globl sgx_emu_load_start
    .hidden sgx_emu_load_start
sgx_emu_load_start:
.Leenter:
    cmpq $0, T_TRACE(%r11)
    jne .Leenter_trace
.Leenter_load:
    mov T_LOAD_GS(%r11), %r10
    wrgsbase %r10
    mov T_LOAD_FS(%r11), %r10
    wrfsbase %r10
    testl $RFLAGS_DF_AC, T_FLAGS(%r11)
    jnz .Lflags_load
.Lflags_are_loaded:
    mov T_LOAD_RAX(%r11), %rax
    lea sgx_emu_next(%rip), %rcx
    movl $0, T_ENTERING(%r11)
    movl $1, T_INSIDE(%r11)
    mov T_LOAD_RIP(%r11), %r11
    xor %r10d, %r10d
    jmp *%r11

.Leresume:
    cmpq $0, T_TRACE(%r11)
    jne .Leresume_trace
.Leresume_load:
    mov T_XFRM(%r11), %eax
    mov T_XFRM+4(%r11), %edx
    xrstor64 T_XSAVE(%r11)
    mov T_LOAD_GS(%r11), %r10
    wrgsbase %r10
    mov T_LOAD_FS(%r11), %r10
    wrfsbase %r10
    movl $0, T_ENTERING(%r11)
    movl $1, T_INSIDE(%r11)
    lea T_IRET(%r11), %rsp
    mov T_GPR+0(%r11), %rax
    mov T_GPR+8(%r11), %rcx
    mov T_GPR+16(%r11), %rdx
    mov T_GPR+24(%r11), %rbx
    mov T_GPR+40(%r11), %rbp
    mov T_GPR+48(%r11), %rsi
    mov T_GPR+56(%r11), %rdi
    mov T_GPR+64(%r11), %r8
    mov T_GPR+72(%r11), %r9
    mov T_GPR+80(%r11), %r10
    mov T_GPR+96(%r11), %r12
    mov T_GPR+104(%r11), %r13
    mov T_GPR+112(%r11), %r14
    mov T_GPR+120(%r11), %r15
    mov T_GPR+88(%r11), %r11
    iretq
.Lflags_load:
    push T_FLAGS(%r11)
    popfq
    jmp .Lflags_are_loaded

    /* Single steps begin (emu_step.c); the stack is still the host's. */
.Leenter_trace:
    pushfq
    orq $0x100, (%rsp)
    popfq
    jmp .Leenter_load
.Leresume_trace:
    pushfq
    orq $0x100, (%rsp)
    popfq
    jmp .Leresume_load
    .globl sgx_emu_load_end
    .hidden sgx_emu_load_end
sgx_emu_load_end:

/*
 * Stubs. Entered by a jump from the patched stub, with the enclave's registers, stack, FS and GS.
 * RAX is free: it held the leaf. Anything out of the ordinary goes to `ud2`: the SIGILL handler
 * rolls back and does the leaf in full. Four registers are saved in the thread before any is used.
 */
    .macro LABEL name
    .globl \name
    .hidden \name
\name:
    .endm

    /*
     * RAX = the thread whose GS base this is. RCX waits below the stack pointer for a moment (the
     * stub was called, so these bytes are free), between the labels _check and _checked.
     */
    .macro FIND_THREAD name bail
    rdgsbase %rax
    shr $(EMU_GS_TABLE_SHIFT - 3), %rax
    and $((EMU_GS_TABLE_COUNT - 1) * 8), %eax
    add sgx_emu_gs_table_addr(%rip), %rax
    mov (%rax), %rax
    test %rax, %rax
    jz \bail
    mov %rcx, -8(%rsp)
LABEL \name\()_check
    rdgsbase %rcx
    cmp T_STUB_GS(%rax), %rcx
    mov -8(%rsp), %rcx
LABEL \name\()_checked
    jne \bail
    mov %rcx, T_SAVE_RCX(%rax)
    mov %rdx, T_SAVE_RDX(%rax)
    mov %rsi, T_SAVE_RSI(%rax)
    mov %rdi, T_SAVE_RDI(%rax)
LABEL \name\()_saved
    .endm

    /* RBX = SECINFO, RCX = page, RAX = thread. Leaves RDX = flags, RSI = &EPCM entry. */
    .macro READ_SECINFO bail
    test $63, %bl
    jnz \bail
    mov %rbx, %rdx
    sub T_EL_BASE(%rax), %rdx
    cmp T_EL_SIZE(%rax), %rdx
    jae \bail
    test $4095, %ecx
    jnz \bail
    mov %rcx, %rsi
    sub T_EL_BASE(%rax), %rsi
    cmp T_EL_SIZE(%rax), %rsi
    jae \bail
    shr $11, %rsi
    add T_EPCM(%rax), %rsi
    mov 8(%rbx), %rdx
    or 16(%rbx), %rdx
    or 24(%rbx), %rdx
    or 32(%rbx), %rdx
    or 40(%rbx), %rdx
    or 48(%rbx), %rdx
    or 56(%rbx), %rdx
    jnz \bail
    mov (%rbx), %rdx
    .endm

LABEL sgx_emu_stub_eaccept
    FIND_THREAD sgx_emu_stub_eaccept, .Leaccept_early
    READ_SECINFO .Leaccept_bail
    mov %rax, %rdi
    movzwl (%rsi), %eax
    test %eax, %eax
    jz .Leaccept_eaug
    mov %eax, %ecx
    and $(EPCM_HOLE | EPCM_VALID), %ecx
    cmp $EPCM_VALID, %ecx
    jne .Leaccept_bail
    /* what the enclave expects must be what is there */
    mov %eax, %ecx
    and $(EPCM_TYPE | EPCM_PR | EPCM_MODIFIED | EPCM_PENDING | EPCM_PERM), %ecx
    cmp %rdx, %rcx
    jne .Leaccept_bail
    cmp $0x410, %edx            /* PT_TRIM, MODIFIED */
    je .Leaccept_clear
    mov %edx, %ecx
    and $(EPCM_TYPE | EPCM_MODIFIED), %ecx
    cmp $0x200, %ecx            /* PT_REG */
    jne .Leaccept_bail
    test $(EPCM_PENDING | EPCM_PR), %edx
    jz .Leaccept_bail
.Leaccept_clear:
    mov %eax, %edx
    and $~(EPCM_PENDING | EPCM_MODIFIED | EPCM_PR), %edx
    jmp .Leaccept_commit
.Leaccept_eaug:
    cmp $0x20b, %rdx            /* PT_REG, PENDING, R W: what EAUG makes */
    jne .Leaccept_bail
    mov $0x243, %edx
.Leaccept_commit:
    lock cmpxchg %dx, (%rsi)
LABEL sgx_emu_stub_eaccept_done     /* ZF: committed */
    jne .Leaccept_bail
LABEL sgx_emu_stub_eaccept_sure
    mov T_SAVE_RCX(%rdi), %rcx
    mov T_SAVE_RDX(%rdi), %rdx
    mov T_SAVE_RSI(%rdi), %rsi
    mov T_SAVE_RDI(%rdi), %rdi
    mov $0, %eax
    test %rsp, %rsp             /* ZF = CF = OF = 0 */
    ret
LABEL sgx_emu_stub_eaccept_end
.Leaccept_bail:
    ud2
LABEL sgx_emu_stub_eaccept_early
.Leaccept_early:
    ud2
LABEL sgx_emu_stub_eaccept_over

LABEL sgx_emu_stub_emodpe
    FIND_THREAD sgx_emu_stub_emodpe, .Lemodpe_early
    READ_SECINFO .Lemodpe_bail
    mov %rax, %rdi
    movzwl (%rsi), %eax
    mov %eax, %ecx
    and $(EPCM_HOLE | EPCM_VALID | EPCM_TYPE | EPCM_PENDING | EPCM_MODIFIED), %ecx
    cmp $(0x200 | EPCM_VALID), %ecx
    jne .Lemodpe_bail
    cmp $7, %rdx                /* only permission bits */
    ja .Lemodpe_full
.Lemodpe_perm:
    mov %edx, %ecx
    and $3, %ecx
    cmp $2, %ecx                /* W without R */
    je .Lemodpe_bail
    or %eax, %edx
    cmp %eax, %edx
    je sgx_emu_stub_emodpe_sure
    lock cmpxchg %dx, (%rsi)
LABEL sgx_emu_stub_emodpe_done
    jne .Lemodpe_bail
LABEL sgx_emu_stub_emodpe_sure
    mov T_SAVE_RCX(%rdi), %rcx
    mov T_SAVE_RDX(%rdi), %rdx
    mov T_SAVE_RSI(%rdi), %rsi
    mov T_SAVE_RDI(%rdi), %rdi
    mov $SGX_EMODPE, %eax
    ret
LABEL sgx_emu_stub_emodpe_end
.Lemodpe_full:
    mov %rdx, %rcx
    and $~7, %rcx
    cmp $0x200, %rcx            /* PT_REG besides them */
    jne .Lemodpe_bail
    and $7, %edx
    jmp .Lemodpe_perm
.Lemodpe_bail:
    ud2
LABEL sgx_emu_stub_emodpe_early
.Lemodpe_early:
    ud2
LABEL sgx_emu_stub_emodpe_over

LABEL sgx_emu_stub_eexit
    FIND_THREAD sgx_emu_stub_eexit, .Leexit_early
    mov %rbx, %rcx
    shr $47, %rcx
    jnz .Leexit_bail
    mov %rbx, %rcx
    sub T_EL_BASE(%rax), %rcx
    cmp T_EL_SIZE(%rax), %rcx
    jb .Leexit_bail
    mov T_SPIN(%rax), %rsi
    test %rsi, %rsi
    jnz .Leexit_spin
.Leexit_go:
    mov T_SAVE_RSI(%rax), %rsi
LABEL sgx_emu_stub_eexit_done
    movl $0, T_INSIDE(%rax)     /* commits */
LABEL sgx_emu_stub_eexit_sure
    movabs $EMU_STUB_GS_NONE, %rcx
    mov %rcx, T_STUB_GS(%rax)
    mov T_HOST_GS(%rax), %rcx
    wrgsbase %rcx
    mov T_HOST_FS(%rax), %rcx
    wrfsbase %rcx
    mov T_OWNER(%rax), %rcx
    movq $0, (%rcx)
LABEL sgx_emu_stub_eexit_released
    mov T_AEP(%rax), %rcx
    mov $SGX_EEXIT, %eax
    jmp *%rbx
LABEL sgx_emu_stub_eexit_end
.Leexit_spin:
    /* RSI = ticks to wait */
    mov %rax, %rdi
    rdtsc
    shl $32, %rdx
    or %rdx, %rax
    mov %rax, %rcx
1:  pause
    rdtsc
    shl $32, %rdx
    or %rdx, %rax
    sub %rcx, %rax
    cmp %rsi, %rax
    jb 1b
    mov %rdi, %rax
    mov T_SAVE_RDX(%rax), %rdx
    mov T_SAVE_RDI(%rax), %rdi
    jmp .Leexit_go
.Leexit_bail:
    ud2
LABEL sgx_emu_stub_eexit_early
.Leexit_early:
    ud2
LABEL sgx_emu_stub_eexit_over

/*
 * int sgx_emu_copy(void *dst, const void *src, size_t size): 0, or -1 when a byte cannot be reached.
 * The SIGSEGV handler moves a fault in here to sgx_emu_copy_fault.
 */
LABEL sgx_emu_copy
    mov %rdx, %rcx
LABEL sgx_emu_copy_insn
    rep movsb
    xor %eax, %eax
    ret
LABEL sgx_emu_copy_fault
    mov $-1, %eax
    ret

LABEL sgx_emu_text_end
    .section .note.GNU-stack, "", @progbits
