/* SPDX-License-Identifier: Apache-2.0 */
/* What verifier_collateral_new makes: parsed collateral, with the signatures that were good. Relying party; within verifier/. */
#pragma once

#include "verifier/intel/tcb.h"
#include "verifier/x509/chain.h"

/* One signed item of Intel's. Read it only if it is both readable and signed. */
struct collateral_item {
    bool is_given, is_readable, is_signed;
    struct x509_chain chain; /* of its signer */
};

struct verifier_collateral {
    bool has_intel, has_amd;
    /* Intel */
    struct collateral_item tcb, qe, pck_crl_item;
    struct tcb_info *tcb_info;       /* NULL unless readable */
    struct qe_identity *qe_identity; /* NULL unless readable */
    struct x509_crl pck_crl, root_crl;
    bool root_crl_given;
    uint8_t root_crl_signer_sha256
        [32]; /* key of the root that signed it; zero: none of the chains' roots did */
    struct verifier_bytes pck_chain; /* owned */
    /* AMD */
    struct x509_chain vek_leaf; /* the VCEK or VLEK alone, also when it is part of no chain */
    struct x509_chain vek;      /* VCEK or VLEK, its issuer, root */
    bool vek_given;
    struct x509_crl vek_crl;
    bool vek_crl_given;
    struct verifier_bytes id_block, id_auth; /* owned */
};

struct signed_json;
/* Whether Intel's TCB signing certificate at the chain's start has signed it; the chain itself is not checked. */
bool collateral_is_signed(const struct signed_json *json, const struct x509_chain *chain);
