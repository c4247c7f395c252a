/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long verifications take, on vectors: with the collateral parsed and the chain in the cache, and cold (collateral, policy and chain
 * each time). Prints "<name> <microseconds of CPU>" a line, the median of several batches.
 *
 *     verifierbench VECTORS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/unit/verifier/vectors.h"

#define BATCH_COUNT 9
#define BATCH_US 60000.0

struct work {
    const char *name, *id;
    bool is_cold;
};

static const struct work g_works[] = {
    { "sgx_v3_cached", "sgx-phala", false },        { "tdx_v4_cached", "tdx-phala-v4", false },
    { "snp_cached", "snp-milan-v3-dstack", false }, { "sgx_v3_cold", "sgx-phala", true },
    { "tdx_v4_cold", "tdx-phala-v4", true },        { "snp_cold", "snp-milan-v3-dstack", true },
};

static double cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "verifierbench: %s\n", what);
    exit(1);
}

static struct verifier_collateral *new_collateral(const struct vector *v)
{
    struct verifier_collateral *collateral = NULL;
    struct err err = { 0 };

    need(verifier_collateral_new(&v->items, &collateral, &err) == 0, err.text);
    return collateral;
}

static struct verifier_policy *new_policy(void)
{
    static const char json[] = "{\"version\":1,\"intel\":{\"tcb_status\":[\"UpToDate\","
                               "\"SWHardeningNeeded\",\"ConfigurationAndSWHardeningNeeded\"]}}";
    struct verifier_policy *policy = NULL;
    struct err err = { 0 };

    need(verifier_policy_new(json, strlen(json), &policy, &err) == 0, err.text);
    return policy;
}

/* One verification; cold: with what goes before. It must be accepted. */
static void verify(const struct vector *v, bool is_cold, struct verifier_request *request)
{
    static struct verifier_result result;
    struct verifier_collateral *collateral = is_cold ? new_collateral(v) : NULL;
    struct verifier_policy *policy = is_cold ? new_policy() : NULL;

    if (is_cold) {
        request->collateral = collateral;
        request->policy = policy;
    }
    need(verifier_verify(request, &result) == 0 && result.primary == VERIFIER_CHECK_COUNT,
         "the evidence is not accepted");
    verifier_collateral_free(collateral);
    verifier_policy_free(policy);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void measure(const char *folder, const struct work *w)
{
    const struct vector *v = vectors_find(folder, w->id);
    struct verifier_collateral *collateral = new_collateral(v);
    struct verifier_policy *policy = new_policy();
    struct verifier_cache *cache = NULL;
    double us[BATCH_COUNT];

    need(w->is_cold || verifier_cache_new(64, &cache) == 0, "cache");
    for (unsigned i = 0; i < BATCH_COUNT; i++) {
        unsigned count = 0;
        double start = cpu_us(), now;

        do {
            struct verifier_request request = { .evidence = v->evidence,
                                                .collateral = collateral,
                                                .policy = policy,
                                                .cache = cache,
                                                .now_s = v->at_s };

            verify(v, w->is_cold, &request);
            count++;
            now = cpu_us();
        } while (now - start < BATCH_US);
        us[i] = (now - start) / count;
    }
    qsort(us, BATCH_COUNT, sizeof us[0], compare);
    printf("%s %.2f\n", w->name, us[BATCH_COUNT / 2]);
    verifier_cache_free(cache);
    verifier_collateral_free(collateral);
    verifier_policy_free(policy);
}

int main(int argc, char **argv)
{
    need(argc == 2, "usage: verifierbench VECTORS");
    for (unsigned i = 0; i < sizeof g_works / sizeof g_works[0]; i++)
        measure(argv[1], &g_works[i]);
    return 0;
}
