/* SPDX-License-Identifier: Apache-2.0 */
/* Instruction lengths. Trusted; the bytes may be anything. */
#include "tee/libos/rewrite/insn.h"

#define INSN_SIZE_MAX 15u

/* What follows an opcode. */
#define M 0x01u /* ModRM */
#define B 0x02u /* 1 byte */
#define W 0x04u /* 2 bytes */
#define Z 0x08u /* 4 bytes, 2 with 66 */
#define D 0x10u /* 4 bytes always: near branches */
#define V 0x20u /* as Z, 8 with REX.W: mov r64, imm64 */
#define X 0x80u /* none, or not used by compilers */

/* Opcodes of one byte; prefixes, escapes and 8f, a0-a3, c4, c5, f6, f7 are handled before. */
static const uint8_t g_one[256] = {
    M, M, M, M, B, Z, X, X, M,     M,     M, M, B, Z,     X,     X,     M,     M, M, M, B, Z, X,
    X, M, M, M, M, B, Z, X, X,     M,     M, M, M, B,     Z,     X,     X,     M, M, M, M, B, Z,
    X, X, M, M, M, M, B, Z, X,     X,     M, M, M, M,     B,     Z,     X,     X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X,     X,     X, 0, 0, 0,     0,     0,     0,     0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, X, X, X, M, X,     X,     X, X, Z, M | Z, B,     M | B, X,     X, X, X, B, B, B,
    B, B, B, B, B, B, B, B, B,     B,     B, B, B, M | B, M | Z, X,     M | B, M, M, M, M, M, M,
    M, M, M, M, M, X, 0, 0, 0,     0,     0, 0, 0, 0,     0,     0,     X,     0, 0, 0, 0, 0, X,
    X, X, X, 0, 0, 0, 0, B, Z,     0,     0, 0, 0, 0,     0,     B,     B,     B, B, B, B, B, B,
    V, V, V, V, V, V, V, V, M | B, M | B, W, 0, X, X,     M | B, M | Z, W | B, 0, X, X, 0, B, X,
    X, M, M, M, M, X, X, X, 0,     M,     M, M, M, M,     M,     M,     M,     B, B, B, B, X, X,
    X, X, D, D, X, B, X, X, X,     X,     X, X, X, X,     0,     0,     X,     X, 0, 0, X, X, 0,
    0, M, M,
};

/* Opcodes after 0f; 38 and 3a are handled before. */
static const uint8_t g_two[256] = {
    X, M, X, X, X,     0, X,     X, X, X, X, 0, X,     M,     X,     X,     M,     M,     M,     M,
    M, M, M, M, M,     M, M,     M, M, M, M, M, X,     X,     X,     X,     X,     X,     X,     X,
    M, M, M, M, M,     M, M,     M, X, 0, X, X, X,     X,     X,     X,     X,     X,     X,     X,
    X, X, X, X, M,     M, M,     M, M, M, M, M, M,     M,     M,     M,     M,     M,     M,     M,
    M, M, M, M, M,     M, M,     M, M, M, M, M, M,     M,     M,     M,     M,     M,     M,     M,
    M, M, M, M, M,     M, M,     M, M, M, M, M, M | B, M | B, M | B, M | B, M,     M,     M,     0,
    X, X, X, X, M,     M, M,     M, D, D, D, D, D,     D,     D,     D,     D,     D,     D,     D,
    D, D, D, D, M,     M, M,     M, M, M, M, M, M,     M,     M,     M,     M,     M,     M,     M,
    0, 0, 0, M, M | B, M, X,     X, 0, 0, X, M, M | B, M,     M,     M,     M,     M,     M,     M,
    M, M, M, M, M,     M, M | B, M, M, M, M, M, M,     M,     M | B, M,     M | B, M | B, M | B, M,
    0, 0, 0, 0, 0,     0, 0,     0, M, M, M, M, M,     M,     M,     M,     M,     M,     M,     M,
    M, M, M, M, M,     M, M,     M, M, M, M, M, M,     M,     M,     M,     M,     M,     M,     M,
    M, M, M, M, M,     M, M,     M, M, M, M, M, M,     M,     M,     X,
};

/* Bytes of ModRM, SIB and displacement; 0: cut off. */
static size_t modrm_size(const uint8_t *code, size_t left)
{
    unsigned mod, rm;
    size_t size = 1;

    if (left < 1)
        return 0;
    mod = code[0] >> 6;
    rm = code[0] & 7;
    if (mod == 3)
        return 1;
    if (rm == 4) {
        if (left < 2)
            return 0;
        size = 2;
        if (mod == 0 && (code[1] & 7) == 5)
            size += 4;
    } else if (mod == 0 && rm == 5) {
        size += 4;
    }
    return size + (mod == 1 ? 1 : mod == 2 ? 4 : 0);
}

struct prefixes {
    bool size16; /* 66 */
    bool wide;   /* REX.W */
};

/* The instruction from its opcode on, by what follows the opcode. */
static size_t tail_size(const uint8_t *code, size_t left, unsigned follows, struct prefixes p)
{
    size_t size = 0;

    if (follows & X)
        return 0;
    if (follows & M) {
        size = modrm_size(code, left);
        if (size == 0)
            return 0;
    }
    size += (follows & B ? 1 : 0) + (follows & W ? 2 : 0) + (follows & D ? 4 : 0);
    if (follows & Z)
        size += p.size16 && !p.wide ? 2 : 4;
    if (follows & V)
        size += p.wide ? 8 : p.size16 ? 2 : 4;
    return size <= left ? size + 1 : 0; /* never 0: the caller takes 1 off */
}

/* After a VEX or EVEX prefix: opcode and all. map: 1 0f, 2 0f38, 3 0f3a. */
static size_t vector_size(const uint8_t *code, size_t left, unsigned map)
{
    const struct prefixes none = { 0 };
    unsigned follows = map == 3 ? M | B : M;
    size_t size;

    if (left < 1 || map < 1 || map > 3)
        return 0;
    if (map == 1)
        follows = code[0] == 0x77 ? 0 : M | (g_two[code[0]] & B);
    size = tail_size(code + 1, left - 1, follows, none);
    return size ? size : 0; /* opcode in place of the 1 too much */
}

/* f6 and f7: an immediate only with test. */
static unsigned test_follows(uint8_t opcode, const uint8_t *code, size_t left)
{
    if (left < 1 || (code[0] & 0x30) != 0)
        return M;
    return opcode == 0xf6 ? M | B : M | Z;
}

static size_t opcode_size(const uint8_t *code, size_t left, struct prefixes p)
{
    unsigned follows;
    size_t skip = 1;

    if (left < 2)
        return left == 1 && g_one[code[0]] == 0 ? 1 : 0;
    switch (code[0]) {
    case 0x0f:
        skip = code[1] == 0x38 || code[1] == 0x3a ? 3 : 2;
        if (left < skip)
            return 0;
        follows = code[1] == 0x38 ? M : code[1] == 0x3a ? M | B : g_two[code[1]];
        break;
    case 0xc5:
        skip = vector_size(code + 2, left - 2, 1);
        return skip ? skip + 2 : 0;
    case 0xc4:
        skip = left < 3 ? 0 : vector_size(code + 3, left - 3, code[1] & 0x1f);
        return skip ? skip + 3 : 0;
    case 0x62:
        skip = left < 4 ? 0 : vector_size(code + 4, left - 4, code[1] & 7);
        return skip ? skip + 4 : 0;
    case 0xf6:
    case 0xf7:
        follows = test_follows(code[0], code + 1, left - 1);
        break;
    default:
        follows = g_one[code[0]];
        if ((follows & D) && p.size16 && !p.wide)
            return 0; /* makers of CPUs do not agree on this one */
    }
    left = tail_size(code + skip, left - skip, follows, p);
    return left ? skip + left - 1 : 0;
}

size_t insn_length(const uint8_t *code, size_t left)
{
    struct prefixes p = { 0 };
    size_t i = 0, size;

    left = MIN(left, INSN_SIZE_MAX);
    for (; i < left; i++) {
        if (code[i] == 0x66)
            p.size16 = true;
        else if (code[i] != 0x2e && code[i] != 0x3e && code[i] != 0x64 && code[i] != 0x65 &&
                 code[i] != 0x67 && code[i] != 0xf0 && code[i] != 0xf2 && code[i] != 0xf3)
            break;
    }
    if (i < left && (code[i] & 0xf0) == 0x40)
        p.wide = (code[i++] & 8) != 0;
    size = i < left ? opcode_size(code + i, left - i, p) : 0;
    return size ? i + size : 0;
}
