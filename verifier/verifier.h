/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifies evidence of Intel SGX (quote v3, v4, v5), Intel TDX (quote v4, v5) and AMD SEV-SNP (report
 * v2, v3, v5), and appraises it under a policy. Relying party; the one public header of the library.
 *
 * No network, no files, no clock, no globals: what is not given is not used. Evidence and collateral may
 * be hostile; policy, roots and time are the caller's own. What *_new makes is immutable afterwards and
 * may be used by many threads at once; struct verifier_cache locks itself.
 *
 *     rc = verifier_collateral_new(&items, &collateral, &err);
 *     rc = verifier_policy_new(json, json_size, &policy, &err);
 *     request.evidence = (struct verifier_bytes){ data, size };
 *     ...
 *     rc = verifier_verify(&request, &result);                  0: it could judge
 *     if (rc == 0 && result.verdict == VERIFIER_AFFIRMING) ...
 *
 * Sources: Intel SGX ECDSA and TDX DCAP Quoting Library API (quotes), Intel PCS API v4 (TCB info,
 * identities), Intel SGX PCK Certificate and CRL Profile; AMD 56860 (SEV-SNP ABI), AMD 57230 (VCEK, KDS);
 * RFC 5280; RFC 9334 (roles); draft-ietf-rats-ar4si (verdicts); draft-ietf-rats-ear (result as JSON).
 */
#pragma once

#include "lib/defs.h"
#include "lib/err.h"

#define VERIFIER_EVIDENCE_SIZE_MAX (64u << 10)
#define VERIFIER_COLLATERAL_ITEM_SIZE_MAX (1u << 20) /* one TCB info, CRL or chain */
#define VERIFIER_POLICY_SIZE_MAX (256u << 10)
#define VERIFIER_MEMORY_MAX (256u << 10) /* heap and stack of one verifier_verify */
#define VERIFIER_CHAIN_COUNT_MAX 5u      /* certificates in one chain */
#define VERIFIER_ADVISORY_COUNT_MAX 64u  /* of one level, duplicates removed */
#define VERIFIER_ADVISORY_SIZE 24u       /* with NUL, as "INTEL-SA-00289" */
#define VERIFIER_SVN_COUNT 16u           /* components of a CPU's or TDX module's SVN */

struct verifier_bytes {
    const uint8_t *data; /* borrowed; may be NULL when size is 0 */
    size_t size;
};

/* ---- checks ---- */

/* VERIFIER_CHECK_FORMAT and so on: verifier/checks.def. */
enum verifier_check_code {
#define CHECK(symbol, name, what, fix) VERIFIER_CHECK_##symbol,
#include "verifier/checks.def"
#undef CHECK
    VERIFIER_CHECK_COUNT
};

/* Texts of a check; static, never NULL. Code below VERIFIER_CHECK_COUNT. */
const char *verifier_check_name(enum verifier_check_code code); /* "QUOTE_SIGNATURE" */
const char *verifier_check_what(enum verifier_check_code code); /* what is checked */
const char *verifier_check_fix(enum verifier_check_code code);  /* what to do when it failed */

enum verifier_check_state {
    VERIFIER_CHECK_SKIPPED, /* not applicable, or its input was not given or not readable */
    VERIFIER_CHECK_PASSED,
    VERIFIER_CHECK_FAILED,
};

/* Expected and actual values of a check, for people and for JSON. */
enum verifier_value_kind {
    VERIFIER_VALUE_NONE,
    VERIFIER_VALUE_BYTES, /* shown as hex */
    VERIFIER_VALUE_UINT,
    VERIFIER_VALUE_TIME,   /* seconds since 1970, UTC; shown as RFC 3339 */
    VERIFIER_VALUE_TEXT,   /* static text */
    VERIFIER_VALUE_STRING, /* size characters of bytes */
};
struct verifier_value {
    uint8_t kind;      /* enum verifier_value_kind */
    uint8_t size;      /* of bytes */
    uint8_t bytes[64]; /* VERIFIER_VALUE_BYTES, VERIFIER_VALUE_STRING */
    union {
        uint64_t number;
        int64_t time_s;
        const char *text;
    };
};
/* Writes the value as text, cut to size with NUL. returns: dst. */
char *verifier_value_print(const struct verifier_value *value, char *dst, size_t size);

struct verifier_check {
    uint8_t state;    /* enum verifier_check_state */
    const char *item; /* what it is about ("qeIdentity.nextUpdate"); static or NULL */
    struct verifier_value expected, actual;
};

/* ---- claims: what the evidence says; true only as far as the checks passed ---- */

enum verifier_tee {
    VERIFIER_TEE_NONE, /* the evidence could not be read */
    VERIFIER_TEE_SGX,
    VERIFIER_TEE_TDX,
    VERIFIER_TEE_SNP,
};

/* Intel's, in the words of the PCS. AMD platforms have VERIFIER_TCB_NONE: their TCB is judged by minimum versions. */
enum verifier_tcb_status {
    VERIFIER_TCB_NONE,
    VERIFIER_TCB_UP_TO_DATE,
    VERIFIER_TCB_SW_HARDENING_NEEDED,
    VERIFIER_TCB_CONFIGURATION_NEEDED,
    VERIFIER_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED,
    VERIFIER_TCB_OUT_OF_DATE,
    VERIFIER_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED,
    VERIFIER_TCB_TD_RELAUNCH_ADVISED,
    VERIFIER_TCB_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED,
    VERIFIER_TCB_REVOKED,
    VERIFIER_TCB_NOT_SUPPORTED, /* no level fits */
    VERIFIER_TCB_STATUS_COUNT
};
const char *verifier_tcb_status_name(enum verifier_tcb_status status); /* "UpToDate" */

/* An SGX report body (SDM vol. 3D, REPORT), of an application or of the quoting enclave. */
struct verifier_sgx_report {
    uint8_t cpu_svn[16];
    uint32_t misc_select;
    uint8_t isv_ext_prod_id[16]; /* KSS */
    uint8_t attributes[16];      /* flags, then XFRM */
    uint8_t mrenclave[32], mrsigner[32];
    uint8_t config_id[64]; /* KSS */
    uint16_t isv_prod_id, isv_svn, config_svn;
    uint8_t isv_family_id[16]; /* KSS */
    uint8_t report_data[64];
};

/* A TD report body, 1.0 and 1.5. */
struct verifier_tdx_report {
    uint8_t tee_tcb_svn[16];
    uint8_t mrseam[48], mrsignerseam[48];
    uint8_t seam_attributes[8], td_attributes[8], xfam[8];
    uint8_t mrtd[48], mrconfigid[48], mrowner[48], mrownerconfig[48];
    uint8_t rtmr[4][48];
    uint8_t report_data[64];
    bool is_1_5; /* the two below are there */
    uint8_t tee_tcb_svn2[16], mrservicetd[48];
};

/* Security advisories that are open at a TCB level, in rising order. */
struct verifier_advisories {
    uint32_t count;
    char names[VERIFIER_ADVISORY_COUNT_MAX][VERIFIER_ADVISORY_SIZE];
};

/* What quotes of both kinds have, and what the PCK certificate and the collateral say. */
struct verifier_intel {
    uint16_t quote_version, attestation_key_type, body_type; /* body_type: v5, else 0 */
    uint32_t tee_type;                                       /* 0 SGX, 0x81 TDX */
    uint16_t qe_svn, pce_svn;                                /* of the header, v3 */
    uint8_t qe_vendor_id[16], user_data[20];
    uint32_t signature_data_size, trailing_size; /* bytes; trailing: after the quote, ignored */
    uint16_t qe_auth_data_size;
    uint8_t qe_auth_data[64]; /* its first 64 bytes */
    uint16_t certification_data_type;
    uint32_t certification_data_size;
    struct verifier_sgx_report qe_report;
    bool has_pck;
    uint8_t ppid[16], pck_cpu_svn[16], fmspc[6], pce_id[2];
    uint8_t pck_svn[VERIFIER_SVN_COUNT]; /* component SVNs */
    uint16_t pck_pce_svn;
    uint8_t sgx_type; /* 0 standard, 1 scalable, 2 scalable with integrity */
    bool is_platform_ca, has_platform_instance_id;
    uint8_t platform_instance_id[16];
    bool dynamic_platform, cached_keys, smt_enabled; /* configuration flags, Platform CA only */
    /* From TCB info and identities; NONE without collateral. */
    uint8_t tcb_status; /* enum verifier_tcb_status: all below converged */
    uint8_t platform_tcb_status, sgx_tcb_status, qe_tcb_status, module_tcb_status;
    int64_t tcb_date_s; /* of the selected platform level */
    int64_t
        tcb_newest_date_s; /* of the newest level of platform, module and quoting enclave: when the update was there */
    uint32_t tcb_evaluation_data_number;
    struct verifier_advisories platform_advisories, module_advisories, qe_advisories;
    int64_t collateral_until_s; /* earliest nextUpdate and notAfter of all that was used */
};

enum verifier_snp_product {
    VERIFIER_SNP_UNKNOWN,
    VERIFIER_SNP_MILAN,
    VERIFIER_SNP_GENOA,
    VERIFIER_SNP_TURIN
};

/* TCB_VERSION, whichever layout the product has. */
struct verifier_snp_tcb {
    uint8_t fmc; /* Turin */
    uint8_t bootloader, tee, snp, microcode;
};

struct verifier_snp {
    uint8_t product; /* enum verifier_snp_product */
    uint32_t version, guest_svn, vmpl, signature_algorithm;
    uint8_t signing_key; /* 0 VCEK, 1 VLEK, 7 none */
    uint64_t policy, platform_info, launch_mit_vector, current_mit_vector;
    bool author_key_en, mask_chip_key, is_vlek, has_cpuid, is_debug;
    uint8_t cpuid_family, cpuid_model, cpuid_stepping;
    uint8_t family_id[16], image_id[16];
    uint8_t report_data[64], measurement[48], host_data[32];
    uint8_t id_key_digest[48], author_key_digest[48];
    uint8_t report_id[32], report_id_ma[32];
    uint8_t chip_id[64];
    struct verifier_snp_tcb current_tcb, reported_tcb, committed_tcb, launch_tcb;
    uint8_t current_version[3], committed_version[3]; /* major, minor, build */
    char csp_id[64];                                  /* VLEK; with NUL */
};

/* ---- collateral ---- */

/* Bytes as their sources serve them; PEM or DER chains, DER or PEM CRLs. Any may be empty. All may be hostile. */
struct verifier_collateral_items {
    /* Intel PCS v4 */
    struct verifier_bytes tcb_info, tcb_info_chain;       /* {"tcbInfo":{...},"signature":"..."} */
    struct verifier_bytes qe_identity, qe_identity_chain; /* {"enclaveIdentity":...} */
    struct verifier_bytes pck_crl, pck_crl_chain, root_crl;
    struct verifier_bytes
        pck_chain; /* when the quote has none (certification data types 1 to 3 stay refused) */
    /* AMD KDS */
    struct verifier_bytes vek;               /* VCEK or VLEK certificate */
    struct verifier_bytes vek_chain;         /* ASK or ASVK, and ARK */
    struct verifier_bytes vek_crl;           /* of the ARK; optional */
    struct verifier_bytes id_block, id_auth; /* as given at launch; optional */
};

struct verifier_collateral;
/*
 * Parses it, copies what it needs, and verifies every signature that does not depend on a policy or a time, once. Items that are
 * malformed or badly signed do not fail here: each verification that needs them reports its check as failed.
 * returns: 0; -E2BIG an item is longer than VERIFIER_COLLATERAL_ITEM_SIZE_MAX; -ENOMEM.
 */
MUST_CHECK int verifier_collateral_new(const struct verifier_collateral_items *items,
                                       struct verifier_collateral **ret, struct err *err);
void verifier_collateral_free(struct verifier_collateral *collateral); /* NULL allowed */

/* ---- policy: docs/policy.md and verifier/policy/schema.json describe the JSON ---- */

struct verifier_policy;
/* returns: 0; -EINVAL with line, column and the name of the member in err; -E2BIG; -ENOMEM. */
MUST_CHECK int verifier_policy_new(const char *json, size_t size, struct verifier_policy **ret,
                                   struct err *err);
void verifier_policy_free(struct verifier_policy *policy); /* NULL allowed */

/* What a change of policy does to evidence that it touches. */
enum verifier_change_effect {
    VERIFIER_CHANGE_ACCEPTS_MORE,
    VERIFIER_CHANGE_ACCEPTS_LESS,
    VERIFIER_CHANGE_ACCEPTS_OTHER, /* some of both */
};
struct verifier_change {
    const char *member; /* "intel.tcb_status"; as long as the call */
    uint8_t effect;     /* enum verifier_change_effect */
    char text[256];     /* what is accepted or refused from now on, in words; may be cut */
};
typedef void verifier_change_fn(void *context, const struct verifier_change *change);
/* Calls report for each difference, in the order of the policy's members; never when both accept the same. */
void verifier_policy_diff(const struct verifier_policy *was, const struct verifier_policy *is,
                          verifier_change_fn *report, void *context);

/* ---- cache of what came inside evidence; optional ---- */

struct verifier_cache;
/*
 * Holds the last `count` (1 to 4096) different certificate chains, and as many attestation keys with the report of the quoting enclave that vouches for each: parsed, and with the result of the checks
 * that depend on nothing but these bytes (signatures). What depends on policy, roots, collateral or time is judged for each piece of evidence. -EINVAL, -ENOMEM.
 */
MUST_CHECK int verifier_cache_new(unsigned count, struct verifier_cache **ret);
void verifier_cache_free(struct verifier_cache *cache); /* NULL allowed; no call may be using it */

/* ---- verification ---- */

/* As AR4SI orders them. */
enum verifier_verdict {
    VERIFIER_NONE = 0,      /* nothing was judged */
    VERIFIER_AFFIRMING = 2, /* every check passed */
    VERIFIER_WARNING = 32,  /* accepted by the policy, with a status that it accepts for a time */
    VERIFIER_CONTRAINDICATED = 96, /* some check failed */
};

struct verifier_request {
    struct verifier_bytes
        evidence; /* a quote or report, hostile; its kind is told from its bytes */
    const struct verifier_collateral *collateral; /* NULL: signatures of the evidence alone */
    const struct verifier_policy
        *policy; /* NULL: the built-in one: the makers' roots, no debug, nothing else asked */
    struct verifier_cache *cache; /* or NULL */
    int64_t now_s;                /* when the checks of dates take place, seconds since 1970 */
    const uint8_t *report_data;   /* 64 bytes that the evidence must carry, or NULL */
    int64_t evidence_time_s;      /* when the evidence was asked for; 0: unknown */
};

struct verifier_result {
    uint8_t verdict; /* enum verifier_verdict */
    uint8_t tee;     /* enum verifier_tee */
    bool is_debug;
    uint8_t
        root_key_sha256[32]; /* of the SubjectPublicKeyInfo that the chain ends at; zero: none */
    char
        root_name[64]; /* "Intel SGX Root CA", "AMD ARK-Milan", the policy's name; empty: unknown */
    struct verifier_check checks[VERIFIER_CHECK_COUNT]; /* by enum verifier_check_code */
    /* The check to show first: the earliest failed one in the order of trust; VERIFIER_CHECK_COUNT: none. */
    unsigned primary;
    const char *identity_name; /* the entry of the policy that fitted, or NULL */
    bool is_in_grace;          /* the TCB status is accepted for a time only */
    int64_t
        valid_until_s; /* when time alone would change the verdict (dates, grace periods); 0: unknown */
    struct verifier_intel intel; /* SGX and TDX */
    union {
        struct verifier_sgx_report sgx;
        struct verifier_tdx_report tdx;
        struct verifier_snp snp;
    };
};

/*
 * Judges the evidence. All checks whose input is readable are made, also after one has failed.
 * returns: 0 *ret says what was found, whatever the verdict; -EINVAL the request itself is wrong (no evidence, no time);
 * -ENOMEM. Nothing of the request is kept; identity_name lives as long as the policy.
 */
MUST_CHECK int verifier_verify(const struct verifier_request *request, struct verifier_result *ret);

/* The result as EAR (draft-ietf-rats-ear) JSON, with claims and checks, NUL-ended, for free(). returns: 0; -ENOMEM. */
MUST_CHECK int verifier_result_json(const struct verifier_result *result, int64_t now_s,
                                    char **ret_json);
/* The result for people: verdict, what was found, each failed check with expected, actual and what to do; `all`: each passed
 * one as well. For free(). returns: 0; -ENOMEM. */
MUST_CHECK int verifier_result_text(const struct verifier_result *result, bool all,
                                    char **ret_text);
