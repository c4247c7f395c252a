/* SPDX-License-Identifier: Apache-2.0 */
/* lib/digest.h on OpenSSL's block functions. Hosted sides only. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "lib/digest.h"

#include <openssl/sha.h>
#include <string.h>

/* The context of lib/digest.h holds OpenSSL's state; the two convert without loss. */
static void load256(SHA256_CTX *c, const struct sha256 *ctx)
{
    SHA256_Init(c);
    memcpy(c->h, ctx->state, sizeof c->h);
    uint64_t bits = ctx->total_size * 8;
    c->Nl = (SHA_LONG)bits;
    c->Nh = (SHA_LONG)(bits >> 32);
    c->num = (unsigned)(ctx->total_size % 64);
    memcpy(c->data, ctx->block, 64);
}

static void store256(struct sha256 *ctx, const SHA256_CTX *c, size_t added_size)
{
    memcpy(ctx->state, c->h, sizeof ctx->state);
    memcpy(ctx->block, c->data, 64);
    ctx->total_size += added_size;
}

void sha256_init(struct sha256 *ctx)
{
    SHA256_CTX c;

    SHA256_Init(&c);
    memset(ctx, 0, sizeof *ctx);
    memcpy(ctx->state, c.h, sizeof ctx->state);
}

void sha256_update(struct sha256 *ctx, const void *data, size_t size)
{
    SHA256_CTX c;

    load256(&c, ctx);
    SHA256_Update(&c, data, size);
    store256(ctx, &c, size);
}

void sha256_final(struct sha256 *ctx, uint8_t ret[SHA256_SIZE])
{
    SHA256_CTX c;

    load256(&c, ctx);
    SHA256_Final(ret, &c);
}

static void load384(SHA512_CTX *c, const struct sha384 *ctx)
{
    SHA384_Init(c);
    memcpy(c->h, ctx->state, sizeof c->h);
    c->Nl = ctx->total_size * 8;
    c->Nh = ctx->total_size >> 61;
    c->num = (unsigned)(ctx->total_size % 128);
    memcpy(c->u.p, ctx->block, 128);
}

void sha384_init(struct sha384 *ctx)
{
    SHA512_CTX c;

    SHA384_Init(&c);
    memset(ctx, 0, sizeof *ctx);
    memcpy(ctx->state, c.h, sizeof ctx->state);
}

void sha384_update(struct sha384 *ctx, const void *data, size_t size)
{
    SHA512_CTX c;

    load384(&c, ctx);
    SHA384_Update(&c, data, size);
    memcpy(ctx->state, c.h, sizeof ctx->state);
    memcpy(ctx->block, c.u.p, 128);
    ctx->total_size += size;
}

void sha384_final(struct sha384 *ctx, uint8_t ret[SHA384_SIZE])
{
    SHA512_CTX c;

    load384(&c, ctx);
    SHA384_Final(ret, &c);
}

void sha256_digest(const void *data, size_t size, uint8_t ret[SHA256_SIZE])
{
    SHA256(data, size, ret);
}

void sha384_digest(const void *data, size_t size, uint8_t ret[SHA384_SIZE])
{
    SHA384(data, size, ret);
}

void sha256_digest2(const void *const data[2], size_t size, uint8_t *const ret[2])
{
    SHA256(data[0], size, ret[0]);
    SHA256(data[1], size, ret[1]);
}
