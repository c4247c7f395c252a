/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory accesses that may fault: program memory (entry.h, user_raw_*) and the host's (uptr.c). A fault
 * goes on at the fixup that .ex_table names. Trusted.
 */
#include "tee/enclave/asm.h"

    .section .text.raw_copy, "ax"

/* size_t user_raw_copy(void *dst, const void *src, size_t size): bytes not done */
FUNCTION(user_raw_copy)
    mov %rdx, %rcx
    cmp $256, %rcx
    ja 5f
    sub $8, %rcx
    jb 4f
1:  mov (%rsi), %rax
2:  mov %rax, (%rdi)
    add $8, %rsi
    add $8, %rdi
    sub $8, %rcx
    jae 1b
    EX_TABLE(1b, 1b + 1, .Lcopy_words)
    EX_TABLE(2b, 2b + 1, .Lcopy_words)
4:  add $8, %rcx
    jz 6f
7:  movzbl (%rsi), %eax     /* a string instruction takes longer to start than these to run */
8:  mov %al, (%rdi)
    EX_TABLE(7b, 7b + 1, 6f)
    EX_TABLE(8b, 8b + 1, 6f)
    inc %rsi
    inc %rdi
    dec %rcx
    jnz 7b
    jmp 6f
5:  rep movsb
    EX_TABLE(5b, 5b + 1, 6f)
6:  mov %rcx, %rax
    ret
    /* A word may reach into the page that is not there: its bytes before that are still moved, so that the
     * caller learns where the fault is. */
.Lcopy_words:
    add $8, %rcx
    jmp 7b
END(user_raw_copy)

/* size_t user_raw_zero(void *dst, size_t size) */
FUNCTION(user_raw_zero)
    mov %rsi, %rcx
    xor %eax, %eax
1:  rep stosb
    EX_TABLE(1b, 1b + 1, 2f)
2:  mov %rcx, %rax
    ret
END(user_raw_zero)

/* size_t user_raw_copy_str(char *dst, const char *src, size_t size, bool *ret_faulted) */
FUNCTION(user_raw_copy_str)
    movb $0, (%rcx)
    test %rdx, %rdx
    jz 3f
1:  movzbl (%rsi), %eax
    EX_TABLE(1b, 1b + 1, .Lstr_fault)
    mov %al, (%rdi)
    test %al, %al
    jz 4f
    inc %rsi
    inc %rdi
    dec %rdx
    jnz 1b
3:  mov $1, %eax
    ret
4:  xor %eax, %eax
    ret
.Lstr_fault:
    movb $1, (%rcx)
    mov %rdx, %rax
    ret
END(user_raw_copy_str)

/* int user_raw_load32(uint32_t *ret, const uint32_t *src) */
FUNCTION(user_raw_load32)
1:  mov (%rsi), %eax
    EX_TABLE(1b, 1b + 1, .Lraw_efault)
    mov %eax, (%rdi)
    xor %eax, %eax
    ret
END(user_raw_load32)

/* int user_raw_cmpxchg32(uint32_t *word, uint32_t *expected_and_ret, uint32_t desired) */
FUNCTION(user_raw_cmpxchg32)
    mov (%rsi), %eax
1:  lock cmpxchg %edx, (%rdi)
    EX_TABLE(1b, 1b + 1, .Lraw_efault)
    mov %eax, (%rsi)
    xor %eax, %eax
    ret
END(user_raw_cmpxchg32)

.Lraw_efault:
    mov $-14, %eax
    ret

/*
 * size_t raw_copy_words(void *dst, const void *src, size_t count): words not done. 8-byte moves only; the side that is the
 * host's is aligned to 8, the other may be any memory of the enclave, also the program's.
 */
FUNCTION(raw_copy_words)
    xor %ecx, %ecx
    sub $4, %rdx
    jb 2f
    .p2align 4
1:  mov (%rsi,%rcx,8), %r8
    mov 8(%rsi,%rcx,8), %r9
    mov 16(%rsi,%rcx,8), %r10
    mov 24(%rsi,%rcx,8), %r11
    mov %r8, (%rdi,%rcx,8)
    mov %r9, 8(%rdi,%rcx,8)
    mov %r10, 16(%rdi,%rcx,8)
    mov %r11, 24(%rdi,%rcx,8)
    add $4, %rcx
    sub $4, %rdx
    jae 1b
2:  add $4, %rdx
    jz 4f
3:  mov (%rsi,%rcx,8), %r8
    mov %r8, (%rdi,%rcx,8)
    inc %rcx
    dec %rdx
    jnz 3b
4:  mov %rdx, %rax
    ret
    /* Of the group that stopped, the words before the fault are moved one at a time. */
5:  add $4, %rdx
    jmp 3b
    EX_TABLE(1b, 2b, 5b)
    EX_TABLE(3b, 4b, 4b)
END(raw_copy_words)

/* int uptr_store_byte(void *dst, uint8_t byte): a store that is not 8 bytes wide (INTEL-SA-00615). */
FUNCTION(uptr_store_byte)
    sub $8, %rsp
    movw %ds, (%rsp)
    verw (%rsp)
    add $8, %rsp
1:  mov %sil, (%rdi)
    EX_TABLE(1b, 1b + 1, .Lraw_efault)
    mfence
    lfence
    xor %eax, %eax
    ret
END(uptr_store_byte)

/* bool tsc_read(uint64_t *ret): false where RDTSC faults (SGX1). Fenced: the seqlock of clock.c is read around it. */
FUNCTION(tsc_read)
    lfence
1:  rdtsc
    EX_TABLE(1b, 1b + 1, 2f)
    lfence
    shl $32, %rdx
    or %rdx, %rax
    mov %rax, (%rdi)
    mov $1, %eax
    ret
2:  xor %eax, %eax
    ret
END(tsc_read)

    .section .note.GNU-stack, "", @progbits
