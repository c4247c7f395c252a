/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib/digest.h in the enclave: libipsec-mb's block functions (FIPS 180-4), SHA-NI where the CPU has it.
 * They are called directly, since the library's own set-up runs CPUID, which an enclave cannot. Trusted.
 */
#include "lib/digest.h"

#include "tee/enclave/ocall.h"
#include "tee/enclave/runtime.h"
#include "tee/enclave/string.h"

/* What the multi-buffer functions take: row-major states, then data pointers. */
struct sha256_args {
    uint32_t digest[16][8];
    const uint8_t *data[16];
};
_Static_assert(offsetof(struct sha256_args, data) == 0x200, "layout of SHA256_ARGS");

void digest_sha256_ni(struct sha256_args *args, uint64_t blocks, uint64_t lane);
void digest_sha256_ni_x2(struct sha256_args *args, uint64_t blocks);
void digest_sha256_sse(const uint8_t block[64], uint32_t state[8]);
void digest_sha512_sse(const uint8_t block[128], uint64_t state[8]);

static bool g_has_sha_ni; /* set once at start; a wrong answer of the host makes the CPU fault */

void digest_init(void)
{
    uint32_t r[4];

    ocall_cpuid(7, 0, r);
    g_has_sha_ni = (r[1] & 1u << 29) != 0;
}

static void sha256_blocks(uint32_t state[8], const uint8_t *data, size_t blocks)
{
    struct sha256_args args;

    if (blocks == 0)
        return;
    if (!g_has_sha_ni) {
        for (; blocks > 0; blocks--, data += 64)
            digest_sha256_sse(data, state);
        return;
    }
    memcpy(args.digest[0], state, 32);
    args.data[0] = data;
    digest_sha256_ni(&args, blocks, 0);
    memcpy(state, args.digest[0], 32);
}

static void put_be32(uint8_t *dst, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(dst, &v, 4);
}

static void put_be64(uint8_t *dst, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(dst, &v, 8);
}

void sha256_init(struct sha256 *ctx)
{
    static const uint32_t initial[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

    memcpy(ctx->state, initial, sizeof initial);
    ctx->total_size = 0;
}

void sha256_update(struct sha256 *ctx, const void *data, size_t size)
{
    const uint8_t *from = data;
    size_t held = ctx->total_size % 64, n;

    ctx->total_size += size;
    if (held > 0) {
        n = MIN(size, 64 - held);
        memcpy(ctx->block + held, from, n);
        from += n;
        size -= n;
        if (held + n < 64)
            return;
        sha256_blocks(ctx->state, ctx->block, 1);
    }
    sha256_blocks(ctx->state, from, size / 64);
    memcpy(ctx->block, from + (size & ~63ul), size & 63);
}

/* The padded end of a message: `held` bytes, then 0x80, zeros and the length. returns: blocks. */
static size_t sha256_tail(uint8_t tail[128], const uint8_t *held_bytes, size_t held, uint64_t total)
{
    size_t blocks = held < 56 ? 1 : 2;

    memset(tail, 0, blocks * 64);
    memcpy(tail, held_bytes, held);
    tail[held] = 0x80;
    put_be64(tail + blocks * 64 - 8, total * 8);
    return blocks;
}

static void sha256_put(uint8_t ret[SHA256_SIZE], const uint32_t state[8])
{
    for (int i = 0; i < 8; i++)
        put_be32(ret + 4 * i, state[i]);
}

void sha256_final(struct sha256 *ctx, uint8_t ret[SHA256_SIZE])
{
    uint8_t tail[128];
    size_t blocks = sha256_tail(tail, ctx->block, ctx->total_size % 64, ctx->total_size);

    sha256_blocks(ctx->state, tail, blocks);
    sha256_put(ret, ctx->state);
}

void sha256_digest(const void *data, size_t size, uint8_t ret[SHA256_SIZE])
{
    struct sha256 ctx;

    sha256_init(&ctx);
    sha256_update(&ctx, data, size);
    sha256_final(&ctx, ret);
}

void sha256_digest2(const void *const data[2], size_t size, uint8_t *const ret[2])
{
    struct sha256 initial;
    struct sha256_args args;
    uint8_t tail[2][128];
    size_t whole = size & ~63ul, blocks = 0;

    if (!g_has_sha_ni) {
        sha256_digest(data[0], size, ret[0]);
        sha256_digest(data[1], size, ret[1]);
        return;
    }
    sha256_init(&initial);
    for (int i = 0; i < 2; i++) {
        memcpy(args.digest[i], initial.state, 32);
        args.data[i] = data[i];
        blocks = sha256_tail(tail[i], (const uint8_t *)data[i] + whole, size & 63, size);
    }
    if (whole > 0)
        digest_sha256_ni_x2(&args, whole / 64);
    args.data[0] = tail[0];
    args.data[1] = tail[1];
    digest_sha256_ni_x2(&args, blocks);
    sha256_put(ret[0], args.digest[0]);
    sha256_put(ret[1], args.digest[1]);
}

void sha384_init(struct sha384 *ctx)
{
    static const uint64_t initial[8] = {
        0xcbbb9d5dc1059ed8, 0x629a292a367cd507, 0x9159015a3070dd17, 0x152fecd8f70e5939,
        0x67332667ffc00b31, 0x8eb44a8768581511, 0xdb0c2e0d64f98fa7, 0x47b5481dbefa4fa4,
    };

    memcpy(ctx->state, initial, sizeof initial);
    ctx->total_size = 0;
}

void sha384_update(struct sha384 *ctx, const void *data, size_t size)
{
    const uint8_t *from = data;
    size_t held = ctx->total_size % 128, n;

    ctx->total_size += size;
    while (size > 0) {
        n = MIN(size, 128 - held);
        memcpy(ctx->block + held, from, n);
        from += n;
        size -= n;
        held += n;
        if (held == 128) {
            digest_sha512_sse(ctx->block, ctx->state);
            held = 0;
        }
    }
}

void sha384_final(struct sha384 *ctx, uint8_t ret[SHA384_SIZE])
{
    uint8_t tail[256] = { 0 };
    size_t held = ctx->total_size % 128, blocks = held < 112 ? 1 : 2;

    memcpy(tail, ctx->block, held);
    tail[held] = 0x80;
    put_be64(tail + blocks * 128 - 8, ctx->total_size * 8);
    for (size_t i = 0; i < blocks; i++)
        digest_sha512_sse(tail + i * 128, ctx->state);
    for (int i = 0; i < 6; i++)
        put_be64(ret + 8 * i, ctx->state[i]);
}

void sha384_digest(const void *data, size_t size, uint8_t ret[SHA384_SIZE])
{
    struct sha384 ctx;

    sha384_init(&ctx);
    sha384_update(&ctx, data, size);
    sha384_final(&ctx, ret);
}
