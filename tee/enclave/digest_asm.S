/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of libipsec-mb's block functions with the program's vector registers kept: they use XMM0 to
 * XMM15 without VEX, so the upper halves stay as they are. Trusted.
 */
#include "tee/enclave/asm.h"

    .section .text.digest, "ax"

.macro SAVE_XMM_CALL function
    push %rbp
    mov %rsp, %rbp
    sub $256, %rsp
    and $-16, %rsp
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movaps %xmm\n, \n * 16(%rsp)
    .endr
    call \function
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movaps \n * 16(%rsp), %xmm\n
    .endr
    leave
    ret
.endm

/* void digest_sha256_ni(struct sha256_args *args, uint64_t blocks, uint64_t lane) */
FUNCTION(digest_sha256_ni)
    SAVE_XMM_CALL sha256_ni_x1
END(digest_sha256_ni)

/* void digest_sha256_ni_x2(struct sha256_args *args, uint64_t blocks): lanes 0 and 1 */
FUNCTION(digest_sha256_ni_x2)
    SAVE_XMM_CALL sha256_ni
END(digest_sha256_ni_x2)

/* void digest_sha256_sse(const uint8_t block[64], uint32_t state[8]) */
FUNCTION(digest_sha256_sse)
    SAVE_XMM_CALL sha256_block_sse
END(digest_sha256_sse)

/* void digest_sha512_sse(const uint8_t block[128], uint64_t state[8]) */
FUNCTION(digest_sha512_sse)
    SAVE_XMM_CALL sha512_block_sse
END(digest_sha512_sse)

/* FIPS 180-4, section 4.2.2; the SHA-NI functions take it from here. */
    .section .rodata.K256, "a"
    .p2align 6
    .globl K256
    .hidden K256
K256:
    .long 0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5
    .long 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174
    .long 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da
    .long 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967
    .long 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85
    .long 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070
    .long 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3
    .long 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2

    .section .note.GNU-stack, "", @progbits
