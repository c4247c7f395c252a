/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An appraisal policy, parsed. Relying party; within verifier/. docs/policy.md describes the JSON and what each member means.
 * A member that the policy does not have asks for nothing, except: debug is refused, and only UpToDate and
 * SWHardeningNeeded platforms are accepted.
 */
#pragma once

#include "verifier/verifier.h"

#define POLICY_NAME_SIZE 64u
#define POLICY_ROOT_COUNT_MAX 16u
#define POLICY_IDENTITY_COUNT_MAX 256u
#define POLICY_PLATFORM_COUNT_MAX 4096u
#define POLICY_CSP_COUNT_MAX 16u
#define POLICY_MRSEAM_COUNT_MAX 16u
#define POLICY_GRACE_DAYS_MAX 3660u

/* A key that chains may end at. */
struct policy_root {
    char name[POLICY_NAME_SIZE];
    uint8_t key_sha256[32]; /* of the SubjectPublicKeyInfo */
};

/* Bytes that an identity may ask for; size 0: it does not. */
struct policy_bytes {
    uint8_t size;
    uint8_t bytes[64];
};

/* Bits that must have these values; mask 0: any may. Little-endian, as in the evidence. */
struct policy_bits {
    uint64_t mask, value;
};

/* One entry of "identities": everything that it names must fit. */
struct policy_identity {
    char name[POLICY_NAME_SIZE];
    uint8_t tee; /* enum verifier_tee; NONE: TDX and SNP by app_digest alone */
    struct policy_bytes app_digest;
    /* SGX */
    struct policy_bytes mrenclave, mrsigner, config_id, isv_family_id, isv_ext_prod_id;
    bool has_isv_prod_id;
    uint16_t isv_prod_id, isv_svn_min, config_svn_min;
    /* TDX */
    struct policy_bytes mrtd, rtmr[4], mrconfigid, mrowner, mrownerconfig, mrservicetd;
    /* SNP */
    struct policy_bytes measurement, host_data, id_key_digest, author_key_digest, family_id,
        image_id;
    uint32_t guest_svn_min;
};

/* What to do with a TCB status. */
struct policy_status {
    bool accepted;
    uint16_t
        grace_days; /* accepted for so long after the level's TCB date was superseded; 0: without end */
};

struct verifier_policy {
    char name[POLICY_NAME_SIZE];
    unsigned root_count;
    struct policy_root roots[POLICY_ROOT_COUNT_MAX];
    bool tee[VERIFIER_TEE_SNP + 1]; /* accepted kinds */
    bool debug;
    unsigned identity_count;
    struct policy_identity *identities;
    /* Intel */
    struct policy_status statuses[VERIFIER_TCB_STATUS_COUNT];
    bool any_advisory; /* else only those listed */
    unsigned advisory_count;
    char advisories[VERIFIER_ADVISORY_COUNT_MAX][VERIFIER_ADVISORY_SIZE];
    uint32_t tcb_evaluation_min;
    uint16_t pce_svn_min, qe_isv_svn_min;
    int64_t tcb_date_min_s; /* 0: any */
    bool smt_refused;
    struct policy_bits sgx_attributes[2], sgx_misc_select; /* flags, XFRM */
    struct policy_bits td_attributes, xfam;
    unsigned mrseam_count; /* 0: any module that Intel names */
    uint8_t mrseams[POLICY_MRSEAM_COUNT_MAX][48];
    /* AMD */
    bool products[VERIFIER_SNP_TURIN + 1];
    struct verifier_snp_tcb tcb_min[VERIFIER_SNP_TURIN + 1]; /* of the reported TCB */
    struct verifier_snp_tcb committed_tcb_min[VERIFIER_SNP_TURIN + 1];
    struct verifier_snp_tcb launch_tcb_min[VERIFIER_SNP_TURIN + 1];
    struct policy_bits guest_policy, platform_info;
    uint64_t mitigations; /* bits that the current mitigation vector must have */
    bool vlek_accepted, vcek_accepted, smt_guest_refused, migration_refused, single_socket_required;
    uint32_t vmpl_max;
    unsigned csp_count;
    char csp_ids[POLICY_CSP_COUNT_MAX][POLICY_NAME_SIZE];
    /* all */
    unsigned platform_count;
    struct policy_bytes *platforms; /* PPID, platform instance id or chip id */
    uint32_t age_max_s;             /* of the evidence; 0: any */
    bool nonce_required;            /* the caller must state the report data that it expects */
};

/* Allowed without a policy of one's own; static storage of the caller. */
void policy_init_default(struct verifier_policy *policy);
/* NULL: not trusted. */
const struct policy_root *policy_root_find(const struct verifier_policy *policy,
                                           const uint8_t key_sha256[32]);
/* Adds the makers' own: "intel" or "amd". returns: 0; -EINVAL another name; -E2BIG. */
MUST_CHECK int policy_root_add_known(struct verifier_policy *policy, const char *name);

/* Makes the POLICY_* checks of a result whose evidence has been read. until: see struct verifier_result. */
void policy_appraise(const struct verifier_policy *policy, const struct verifier_request *request,
                     struct verifier_result *result);
