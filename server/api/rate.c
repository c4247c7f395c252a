/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets. Relying party. */
#include "server/api/rate.h"

#include <errno.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

#include "lib/digest.h"
#include <string.h>

#define SETS 4096u
#define WAYS 8u

struct bucket {
    uint64_t key; /* 0: free */
    int64_t time_ms;
    int64_t level; /* thousandths of tokens times 60 */
};
struct rate {
    pthread_mutex_t lock; /* guards sets */
    uint8_t seed[16];     /* keys may be chosen by those who are limited */
    struct bucket sets[SETS][WAYS];
};

int rate_new(struct rate **ret)
{
    struct rate *rate = calloc(1, sizeof *rate);

    if (!rate)
        return -ENOMEM;
    if (RAND_bytes(rate->seed, sizeof rate->seed) != 1) {
        free(rate);
        return -EIO;
    }
    pthread_mutex_init(&rate->lock, NULL);
    *ret = rate;
    return 0;
}

void rate_free(struct rate *rate)
{
    if (!rate)
        return;
    pthread_mutex_destroy(&rate->lock);
    free(rate);
}

static uint64_t key_hash(const struct rate *rate, const char *key)
{
    uint8_t digest[SHA256_SIZE];
    struct sha256 ctx;
    uint64_t hash;

    sha256_init(&ctx);
    sha256_update(&ctx, rate->seed, sizeof rate->seed);
    sha256_update(&ctx, key, strlen(key));
    sha256_final(&ctx, digest);
    memcpy(&hash, digest, sizeof hash);
    return hash | 1;
}

static struct bucket *bucket_find(struct bucket *set, uint64_t key, int64_t full, int64_t now_ms)
{
    struct bucket *quiet = &set[0];

    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].key == key)
            return &set[i];
        if (set[i].time_ms < quiet->time_ms)
            quiet = &set[i];
    }
    *quiet = (struct bucket){ .key = key, .time_ms = now_ms, .level = full };
    return quiet;
}

unsigned rate_take(struct rate *rate, const char *key, uint32_t per_minute, int64_t now_ms)
{
    int64_t token = 60000, full = (per_minute / 4 + 1) * token;
    uint64_t hash = key_hash(rate, key);
    unsigned wait_s = 0;
    struct bucket *b;

    pthread_mutex_lock(&rate->lock);
    b = bucket_find(rate->sets[(hash >> 8) % SETS], hash, full, now_ms);
    if (now_ms > b->time_ms) {
        b->level = MIN(full, b->level + MIN(now_ms - b->time_ms, (int64_t)60000) * per_minute);
        b->time_ms = now_ms;
    }
    if (b->level >= token)
        b->level -= token;
    else
        wait_s = (unsigned)((token - b->level) / per_minute / 1000 + 1);
    pthread_mutex_unlock(&rate->lock);
    return wait_s;
}
