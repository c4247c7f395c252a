/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random bytes: a ChaCha20 generator with fast key erasure (the first 32 bytes of every batch become
 * the next key), seeded and reseeded from RDSEED and RDRAND (SDM vol. 1, section 7.3.17). Trusted.
 */
#include "tee/enclave/random.h"

#include "tee/enclave/lock.h"
#include "tee/enclave/runtime.h"
#include "tee/enclave/string.h"

#define RESEED_BYTES (1u << 20)
#define BATCH_BLOCKS 8u
#define RDRAND_TRIES 128
#define RDSEED_TRIES 32

static struct spin g_lock; /* guards all below */
static uint32_t g_key[8];
static uint8_t g_batch[BATCH_BLOCKS * 64];
static size_t g_batch_used = sizeof g_batch;
static size_t g_until_reseed;

static bool rdseed(uint64_t *ret)
{
    uint8_t ok;

    __asm__ volatile("rdseed %0; setc %1" : "=r"(*ret), "=qm"(ok) : : "cc");
    return ok;
}

uint64_t random_hardware(void)
{
    for (int i = 0; i < RDRAND_TRIES; i++) {
        uint64_t value;
        uint8_t ok;

        __asm__ volatile("rdrand %0; setc %1" : "=r"(value), "=qm"(ok) : : "cc");
        /* All ones and zero are what broken generators answer. */
        if (ok && value != UINT64_MAX && value != 0)
            return value;
    }
    enclave_panic("the CPU's random generator fails");
}

/* RDSEED where it has something; it may run dry when all cores ask. */
static uint64_t seed_word(void)
{
    for (int i = 0; i < RDSEED_TRIES; i++) {
        uint64_t value;

        if (rdseed(&value))
            return value ^ random_hardware();
        __builtin_ia32_pause();
    }
    return random_hardware() ^ (random_hardware() << 1);
}

static inline uint32_t rotate(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

#define QUARTER(a, b, c, d)                                                                        \
    a += b, d = rotate(d ^ a, 16), c += d, b = rotate(b ^ c, 12), a += b, d = rotate(d ^ a, 8),    \
            c += d, b = rotate(b ^ c, 7)

/* RFC 8439, section 2.3; nonce zero: a key makes one batch only. */
static void chacha20_block(const uint32_t key[8], uint32_t counter, uint8_t out[64])
{
    uint32_t in[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, key[0], key[1], key[2],
                        key[3],     key[4],     key[5],     key[6],     key[7], counter };
    uint32_t x[16];

    memcpy(x, in, sizeof x);
    for (int i = 0; i < 10; i++) {
        QUARTER(x[0], x[4], x[8], x[12]);
        QUARTER(x[1], x[5], x[9], x[13]);
        QUARTER(x[2], x[6], x[10], x[14]);
        QUARTER(x[3], x[7], x[11], x[15]);
        QUARTER(x[0], x[5], x[10], x[15]);
        QUARTER(x[1], x[6], x[11], x[12]);
        QUARTER(x[2], x[7], x[8], x[13]);
        QUARTER(x[3], x[4], x[9], x[14]);
    }
    for (int i = 0; i < 16; i++)
        x[i] += in[i];
    memcpy(out, x, 64);
}

static void refill(void)
{
    if (g_until_reseed == 0) {
        for (int i = 0; i < 8; i += 2) {
            uint64_t word = seed_word();

            g_key[i] ^= (uint32_t)word;
            g_key[i + 1] ^= (uint32_t)(word >> 32);
        }
        g_until_reseed = RESEED_BYTES;
    }
    for (unsigned i = 0; i < BATCH_BLOCKS; i++)
        chacha20_block(g_key, i, g_batch + i * 64);
    memcpy(g_key, g_batch, sizeof g_key);
    memset(g_batch, 0, sizeof g_key);
    g_batch_used = sizeof g_key;
    g_until_reseed -= MIN(g_until_reseed, sizeof g_batch);
}

void random_bytes(void *dst, size_t size)
{
    uint8_t *to = dst;

    while (size > 0) {
        size_t n;

        spin_lock(&g_lock);
        if (g_batch_used == sizeof g_batch)
            refill();
        n = MIN(size, sizeof g_batch - g_batch_used);
        memcpy(to, g_batch + g_batch_used, n);
        memset(g_batch + g_batch_used, 0, n);
        g_batch_used += n;
        spin_unlock(&g_lock);
        to += n;
        size -= n;
    }
}

uint64_t random_u64(void)
{
    uint64_t value;

    random_bytes(&value, sizeof value);
    return value;
}
