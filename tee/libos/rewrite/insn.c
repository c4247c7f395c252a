/* SPDX-License-Identifier: Apache-2.0 */
/* Lengths of instructions, and where they lead. Trusted; the bytes may be anything. */
#include "tee/libos/rewrite/insn.h"

#include "tee/enclave/string.h"

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

/* f6 and f7: an immediate only with test. */
static unsigned test_follows(uint8_t opcode, const uint8_t *code, size_t left)
{
    if (left < 1 || (code[0] & 0x30) != 0)
        return M;
    return opcode == 0xf6 ? M | B : M | Z;
}

/* After a VEX or EVEX prefix. map: 1 0f, 2 0f38, 3 0f3a. */
static unsigned vector_follows(uint8_t opcode, unsigned map)
{
    if (map < 1 || map > 3)
        return X;
    if (map == 1)
        return opcode == 0x77 ? 0 : M | (g_two[opcode] & B);
    return map == 3 ? M | B : M;
}

/* What follows the opcode, and in *ret_skip where that begins. */
static unsigned opcode_follows(const uint8_t *code, size_t left, struct prefixes p,
                               size_t *ret_skip)
{
    unsigned follows;

    *ret_skip = 1;
    if (left < 2)
        return left == 1 && g_one[code[0]] == 0 ? 0 : X;
    switch (code[0]) {
    case 0x0f:
        *ret_skip = code[1] == 0x38 || code[1] == 0x3a ? 3 : 2;
        return code[1] == 0x38 ? M : code[1] == 0x3a ? M | B : g_two[code[1]];
    case 0xc5:
        *ret_skip = 3;
        return left < 3 ? X : vector_follows(code[2], 1);
    case 0xc4:
        *ret_skip = 4;
        return left < 4 ? X : vector_follows(code[3], code[1] & 0x1f);
    case 0x62:
        *ret_skip = 5;
        return left < 5 ? X : vector_follows(code[4], code[1] & 7);
    case 0xf6:
    case 0xf7:
        return test_follows(code[0], code + 1, left - 1);
    default:
        follows = g_one[code[0]];
        /* Makers of CPUs do not agree on the size of these. */
        return (follows & D) && p.size16 && !p.wide ? X : follows;
    }
}

/* Opcodes after 0f. */
static enum insn_flow flow_of_two(uint8_t opcode)
{
    switch (opcode) {
    case 0x80 ... 0x8f:
        return INSN_BRANCH;
    case 0x0b:
        return INSN_FINAL;
    case 0x05: /* syscall, sysret, sysenter, sysexit */
    case 0x07:
    case 0x34:
    case 0x35:
        return INSN_OTHER;
    default:
        return INSN_PLAIN;
    }
}

/* Opcode ff. */
static enum insn_flow flow_of_group5(uint8_t modrm)
{
    unsigned reg = modrm >> 3 & 7;

    return reg == 4 || reg == 5 ? INSN_FINAL : reg == 2 || reg == 3 ? INSN_OTHER : INSN_PLAIN;
}

/* code: from the opcode on, two bytes where it has a second one. */
static enum insn_flow flow_of(const uint8_t *code)
{
    switch (code[0]) {
    case 0x70 ... 0x7f:
    case 0xe0 ... 0xe3:
        return INSN_BRANCH;
    case 0xe8:
        return INSN_CALL;
    case 0xe9:
    case 0xeb:
        return INSN_JUMP;
    case 0xc2:
    case 0xc3:
    case 0xf4:
        return INSN_FINAL;
    case 0xcc:
    case 0xcd:
    case 0xf1:
        return INSN_OTHER;
    case 0xc7: /* xbegin */
        return code[1] == 0xf8 ? INSN_OTHER : INSN_PLAIN;
    case 0xff:
        return flow_of_group5(code[1]);
    case 0x0f:
        return flow_of_two(code[1]);
    default:
        return INSN_PLAIN;
    }
}

/* Where a branch leads, from the end of it. */
static int32_t branch_distance(const uint8_t *end, unsigned follows)
{
    int32_t distance;

    if (follows & B)
        return (int8_t)end[-1];
    memcpy(&distance, end - 4, sizeof distance);
    return distance;
}

bool insn_decode(const uint8_t *code, size_t left, struct insn *ret)
{
    struct prefixes p = { 0 };
    size_t i = 0, skip, size;
    unsigned follows;
    bool has_lock = false, has_size32 = false;

    left = MIN(left, INSN_SIZE_MAX);
    for (; i < left; i++) {
        if (code[i] == 0x66)
            p.size16 = true;
        else if (code[i] == 0xf0 || code[i] == 0xf2 || code[i] == 0xf3)
            has_lock = true;
        else if (code[i] == 0x67)
            has_size32 = true;
        else if (code[i] != 0x2e && code[i] != 0x3e && code[i] != 0x64 && code[i] != 0x65)
            break;
    }
    if (i < left && (code[i] & 0xf0) == 0x40)
        p.wide = (code[i++] & 8) != 0;
    if (i == left)
        return false;
    follows = opcode_follows(code + i, left - i, p, &skip);
    if ((follows & X) || skip > left - i)
        return false;
    skip += i;
    size = tail_size(code + skip, left - skip, follows, p);
    if (size == 0)
        return false;
    *ret = (struct insn){
        .size = (uint8_t)(skip + size - 1),
        .has_lock = has_lock,
        .flow = flow_of(code + i),
    };
    if ((follows & M) && (code[skip] & 0xc7) == 5) {
        ret->rip_off = (uint8_t)(skip + 1);
        if (has_size32)
            ret->flow = INSN_OTHER; /* relative to EIP */
    }
    if (ret->flow == INSN_BRANCH || ret->flow == INSN_CALL || ret->flow == INSN_JUMP)
        ret->distance = branch_distance(code + ret->size, follows);
    return true;
}

size_t insn_length(const uint8_t *code, size_t left)
{
    struct insn in;

    return insn_decode(code, left, &in) ? in.size : 0;
}
