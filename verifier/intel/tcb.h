/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCB info (v2, v3) and enclave identity (v2): parsing, and which TCB level a platform has. Relying party; input hostile until its
 * signature is verified. Sources: Intel PCS API v4; Intel TDX DCAP Quoting Library API, "TCB evaluation".
 */
#pragma once

#include "verifier/verifier.h"

#define TCB_ID_SIZE 8u                 /* with NUL */
#define TCB_LEVEL_COUNT_MAX 128u       /* of the platform */
#define TCB_MODULE_COUNT_MAX 16u       /* TDX module identities */
#define TCB_MODULE_LEVEL_COUNT_MAX 32u /* of one module, or of a quoting enclave */
#define TCB_ADVISORY_COUNT_MAX 2048u   /* in one text */

/* Advisories of a level: `count` entries of the text's list from `first`. */
struct tcb_advisories {
    uint16_t first, count;
};

struct tcb_level {
    uint8_t sgx_svn[VERIFIER_SVN_COUNT], tdx_svn[VERIFIER_SVN_COUNT];
    uint16_t pce_svn;
    uint8_t status; /* enum verifier_tcb_status */
    int64_t date_s;
    struct tcb_advisories advisories;
};

/* Of a TDX module or a quoting enclave. */
struct tcb_isv_level {
    uint16_t isv_svn;
    uint8_t status;
    int64_t date_s;
    struct tcb_advisories advisories;
};

struct tcb_isv_levels {
    unsigned count;
    struct tcb_isv_level levels[TCB_MODULE_LEVEL_COUNT_MAX];
};

struct tcb_module {
    uint8_t mrsigner[48], attributes[8], attributes_mask[8];
    uint8_t version; /* the id is "TDX_" and this in hex */
    struct tcb_isv_levels tcb;
};

struct tcb_advisory_list {
    unsigned count;
    char names[TCB_ADVISORY_COUNT_MAX][VERIFIER_ADVISORY_SIZE];
};

struct tcb_info {
    uint32_t version, tcb_type, evaluation_data_number;
    bool is_tdx;
    int64_t issue_date_s, next_update_s;
    uint8_t fmspc[6], pce_id[2];
    bool has_module;
    struct tcb_module module; /* "tdxModule": signer and attributes only */
    unsigned module_count;
    struct tcb_module modules[TCB_MODULE_COUNT_MAX];
    unsigned level_count;
    struct tcb_level levels[TCB_LEVEL_COUNT_MAX];
    struct tcb_advisory_list advisories;
};

struct qe_identity {
    char id[TCB_ID_SIZE]; /* "QE", "QVE", "TD_QE" */
    uint32_t version, evaluation_data_number;
    int64_t issue_date_s, next_update_s;
    uint8_t misc_select[4], misc_select_mask[4];
    uint8_t attributes[16], attributes_mask[16];
    uint8_t mrsigner[32];
    uint16_t isv_prod_id;
    struct tcb_isv_levels tcb;
    struct tcb_advisory_list advisories;
};

/* text: the value of "tcbInfo" or "enclaveIdentity". returns: 0; -EINVAL. The structs are large: keep them on the heap. */
MUST_CHECK int tcb_info_parse(struct verifier_bytes text, struct tcb_info *ret);
MUST_CHECK int qe_identity_parse(struct verifier_bytes text, struct qe_identity *ret);

/* ---- evaluation: pure ---- */

/* The first level that the platform reaches; tdx_svn NULL: by the SGX part alone. NULL: none. */
const struct tcb_level *tcb_level_find(const struct tcb_info *info,
                                       const uint8_t sgx_svn[VERIFIER_SVN_COUNT], uint16_t pce_svn,
                                       const uint8_t *tdx_svn);
const struct tcb_isv_level *tcb_isv_level_find(const struct tcb_isv_levels *tcb, uint16_t isv_svn);
/* The identity of the TDX module with this version (tee_tcb_svn[1]); 0: "tdxModule". NULL: not listed. */
const struct tcb_module *tcb_module_find(const struct tcb_info *info, uint8_t version);
/* What the platform's status becomes with that of its TDX module or quoting enclave. */
enum verifier_tcb_status tcb_status_converge(enum verifier_tcb_status platform,
                                             enum verifier_tcb_status part);
/* returns: status; VERIFIER_TCB_NONE unknown name. */
enum verifier_tcb_status tcb_status_of_name(const char *name);
