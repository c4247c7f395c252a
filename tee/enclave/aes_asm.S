/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-128 (FIPS 197) one block at a time by AES-NI, for the few blocks that reports and keys take. The program's vector
 * registers are kept: XMM0 to XMM2 without VEX, so the upper halves stay as they are. Trusted.
 */
#include "tee/enclave/asm.h"

    .section .text.aes, "ax"

.macro SAVE_XMM
    sub $56, %rsp
    movups %xmm0, (%rsp)
    movups %xmm1, 16(%rsp)
    movups %xmm2, 32(%rsp)
.endm

.macro RESTORE_XMM_RET
    movups (%rsp), %xmm0
    movups 16(%rsp), %xmm1
    movups 32(%rsp), %xmm2
    add $56, %rsp
    ret
.endm

/* XMM0: round key n - 1 becomes n, and goes to 16 n (RSI). */
.macro ROUND_KEY n, rcon
    aeskeygenassist $\rcon, %xmm0, %xmm1
    pshufd $0xff, %xmm1, %xmm1
    movdqa %xmm0, %xmm2
    pslldq $4, %xmm2
    pxor %xmm2, %xmm0
    pslldq $4, %xmm2
    pxor %xmm2, %xmm0
    pslldq $4, %xmm2
    pxor %xmm2, %xmm0
    pxor %xmm1, %xmm0
    movups %xmm0, 16 * \n(%rsi)
.endm

/* void aes128_expand(const uint8_t key[16], uint8_t ret_round_keys[176]) */
FUNCTION(aes128_expand)
    SAVE_XMM
    movups (%rdi), %xmm0
    movups %xmm0, (%rsi)
    ROUND_KEY 1, 0x01
    ROUND_KEY 2, 0x02
    ROUND_KEY 3, 0x04
    ROUND_KEY 4, 0x08
    ROUND_KEY 5, 0x10
    ROUND_KEY 6, 0x20
    ROUND_KEY 7, 0x40
    ROUND_KEY 8, 0x80
    ROUND_KEY 9, 0x1b
    ROUND_KEY 10, 0x36
    RESTORE_XMM_RET
END(aes128_expand)

/* void aes128_encrypt(const uint8_t round_keys[176], uint8_t block[16]): in place */
FUNCTION(aes128_encrypt)
    SAVE_XMM
    movups (%rsi), %xmm0
    movups (%rdi), %xmm1
    pxor %xmm1, %xmm0
    .irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9
    movups 16 * \n(%rdi), %xmm1
    aesenc %xmm1, %xmm0
    .endr
    movups 160(%rdi), %xmm1
    aesenclast %xmm1, %xmm0
    movups %xmm0, (%rsi)
    RESTORE_XMM_RET
END(aes128_encrypt)

    .section .note.GNU-stack, "", @progbits
