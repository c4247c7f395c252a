/* SPDX-License-Identifier: Apache-2.0 */
/* Root keys that the makers publish, pinned by their SubjectPublicKeyInfo. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "verifier/policy/policy.h"

/* SHA-256 of the keys of: Intel's "Intel SGX Root CA" (certificates ending 2033 and 2049 have the same key), and AMD's ARK of
 * each product (key server, "cert_chain"). tests/unit/verifier checks them against the certificates. */
static const struct {
    const char *maker;
    struct policy_root root;
} g_known[] = {
    { "intel",
      { "Intel SGX Root CA", { 0xa0, 0xaf, 0x03, 0x12, 0x89, 0xf5, 0xd5, 0xd4, 0x13, 0x2f, 0x91,
                               0x86, 0x06, 0x8a, 0x7f, 0xc1, 0x36, 0x28, 0x63, 0x3b, 0xa2, 0x35,
                               0x77, 0x74, 0x72, 0xe2, 0x9b, 0x6b, 0x6c, 0x67, 0xa4, 0x9e } } },
    { "amd", { "AMD ARK-Milan", { 0x9f, 0x05, 0x6b, 0xee, 0x44, 0x37, 0x7e, 0x29, 0x30, 0x8c, 0xb5,
                                  0xff, 0xa8, 0x95, 0xbd, 0xfb, 0x62, 0xd1, 0x88, 0x81, 0xfa, 0x6b,
                                  0xed, 0x8d, 0x6f, 0x07, 0x5b, 0x02, 0x04, 0x08, 0x9c, 0xb9 } } },
    { "amd", { "AMD ARK-Genoa", { 0x42, 0x9a, 0x69, 0xc9, 0x42, 0x2a, 0xa2, 0x58, 0xee, 0x4d, 0x8d,
                                  0xb5, 0xfc, 0xda, 0x9c, 0x64, 0x70, 0xef, 0x15, 0xf8, 0xcd, 0x5a,
                                  0x9c, 0xeb, 0xd6, 0xcb, 0xc7, 0xd9, 0x0b, 0x86, 0x38, 0x31 } } },
    { "amd", { "AMD ARK-Turin", { 0x4f, 0x12, 0x54, 0x10, 0x56, 0x3a, 0x2a, 0xb9, 0xa5, 0x03, 0x56,
                                  0xf9, 0x24, 0x3f, 0x6f, 0xe0, 0xb6, 0xf7, 0x3d, 0xe9, 0x86, 0x03,
                                  0xf5, 0x3f, 0x90, 0x33, 0x9c, 0x70, 0xe9, 0xd7, 0xad, 0x08 } } },
};

int policy_root_add_known(struct verifier_policy *policy, const char *name)
{
    bool found = false;

    for (unsigned i = 0; i < ARRAY_COUNT(g_known); i++) {
        if (strcmp(g_known[i].maker, name) != 0)
            continue;
        if (policy->root_count == POLICY_ROOT_COUNT_MAX)
            return -E2BIG;
        policy->roots[policy->root_count++] = g_known[i].root;
        found = true;
    }
    return found ? 0 : -EINVAL;
}

const struct policy_root *policy_root_find(const struct verifier_policy *policy,
                                           const uint8_t key_sha256[32])
{
    for (unsigned i = 0; i < policy->root_count; i++)
        if (memcmp(policy->roots[i].key_sha256, key_sha256, 32) == 0)
            return &policy->roots[i];
    return NULL;
}

void policy_init_default(struct verifier_policy *policy)
{
    int rc;

    memset(policy, 0, sizeof *policy);
    snprintf(policy->name, sizeof policy->name, "built-in");
    rc = policy_root_add_known(policy, "intel");
    if (rc == 0)
        rc = policy_root_add_known(policy, "amd");
    for (unsigned i = VERIFIER_TEE_SGX; rc == 0 && i <= VERIFIER_TEE_SNP; i++)
        policy->tee[i] = true;
    for (unsigned i = VERIFIER_SNP_MILAN; i <= VERIFIER_SNP_TURIN; i++)
        policy->products[i] = true;
    policy->statuses[VERIFIER_TCB_UP_TO_DATE].accepted = true;
    policy->statuses[VERIFIER_TCB_SW_HARDENING_NEEDED].accepted = true;
    policy->any_advisory = true;
    policy->vlek_accepted = policy->vcek_accepted = true;
    policy->vmpl_max = 3;
}
