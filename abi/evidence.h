/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evidence: limits of what passes between enclave and host, and the ioctls of /dev/cloche, through which a program
 * in the enclave has reports and sealing keys (docs/evidence.md). Shared; programs may copy this header.
 */
#pragma once

#include <linux/ioctl.h>

#include "abi/sgx_arch.h"

#define EVIDENCE_REPORT_DATA_SIZE 64u
#define EVIDENCE_QUOTE_SIZE_MAX (16u * 1024)
#define EVIDENCE_COLLATERAL_SIZE_MAX (1024u * 1024)
#define EVIDENCE_ATT_KEY_ID_SIZE_MAX 256u

/*
 * Which attestation key the quoting service is to use: bytes of its own, which the enclave gets with the service's
 * TARGETINFO and hands back with the REPORT. Opaque and untrusted.
 */
struct evidence_att_key_id {
    uint32_t size; /* at most EVIDENCE_ATT_KEY_ID_SIZE_MAX */
    uint32_t reserved;
    uint8_t bytes[EVIDENCE_ATT_KEY_ID_SIZE_MAX];
};
_Static_assert(sizeof(struct evidence_att_key_id) == 264, "evidence_att_key_id");

/* Answer of OCALL quote_target. */
struct evidence_target {
    struct sgx_targetinfo targetinfo;
    struct evidence_att_key_id att_key_id;
};
_Static_assert(sizeof(struct evidence_target) == 776, "evidence_target");

/* Request of OCALL quote. */
struct evidence_quote_request {
    struct sgx_report report; /* for the quoting enclave */
    struct evidence_att_key_id att_key_id;
};
_Static_assert(sizeof(struct evidence_quote_request) == 696, "evidence_quote_request");

/* ---- /dev/cloche; all reserved bytes are zero, else EINVAL ---- */

#define EVIDENCE_IOC 0xce

/* CLOCHE_IOC_REPORT: EREPORT. In: targetinfo, report_data. Out: report. */
struct evidence_report_request {
    struct sgx_targetinfo targetinfo;
    uint8_t report_data[EVIDENCE_REPORT_DATA_SIZE];
    struct sgx_report report;
};
_Static_assert(sizeof(struct evidence_report_request) == 1008, "evidence_report_request");

/* evidence_key_request.policy: who can have the same key. */
#define EVIDENCE_KEY_MRENCLAVE 1u /* only this very enclave */
#define EVIDENCE_KEY_MRSIGNER 2u  /* the signer's enclaves of the same ISVPRODID, from isv_svn up */
/* evidence_key_request.flags */
#define EVIDENCE_KEY_ISV_SVN 0x1u /* isv_svn is given; else the enclave's own */
#define EVIDENCE_KEY_CPU_SVN 0x2u /* cpu_svn is given; else the CPU's own */
#define EVIDENCE_KEY_LABEL_SIZE_MAX 64u

/*
 * CLOCHE_IOC_KEY: a sealing key of this CPU. The same request gives the same key, on this CPU only. Out: key, and the
 * isv_svn and cpu_svn that it was made with: they are kept beside what was sealed, to ask for that key again
 * after an upgrade.
 */
struct evidence_key_request {
    uint32_t policy;     /* EVIDENCE_KEY_MRENCLAVE or EVIDENCE_KEY_MRSIGNER */
    uint32_t flags;      /* EVIDENCE_KEY_ISV_SVN, EVIDENCE_KEY_CPU_SVN */
    uint16_t isv_svn;    /* in with the flag, and out */
    uint16_t label_size; /* 1 to EVIDENCE_KEY_LABEL_SIZE_MAX */
    uint32_t reserved;
    uint8_t cpu_svn[16]; /* in with the flag, and out */
    uint8_t key_id[32];  /* the caller's own; zero, or random to have many keys */
    uint8_t label[EVIDENCE_KEY_LABEL_SIZE_MAX]; /* what the key is for; zero behind label_size */
    uint8_t key[32];                            /* out */
};
_Static_assert(sizeof(struct evidence_key_request) == 160, "evidence_key_request");

/* Own TARGETINFO, for others' EREPORT. */
#define CLOCHE_IOC_TARGETINFO _IOR(EVIDENCE_IOC, 1, struct sgx_targetinfo)
/* EINVAL: reserved bytes of the TARGETINFO are not zero. */
#define CLOCHE_IOC_REPORT _IOWR(EVIDENCE_IOC, 2, struct evidence_report_request)
/* 0: made on this CPU, for this enclave, by the enclave that it names. EBADMSG: it was not. */
#define CLOCHE_IOC_REPORT_VERIFY _IOW(EVIDENCE_IOC, 3, struct sgx_report)
/* EINVAL: the request is malformed, or an SVN is newer than the enclave's or the CPU's. */
#define CLOCHE_IOC_KEY _IOWR(EVIDENCE_IOC, 4, struct evidence_key_request)

/*
 * CLOCHE_IOC_TIME: bounds the enclave's wall clock: when CLOCK_MONOTONIC showed monotonic_ns, it was between earliest_ns and latest_ns since 1970. Only
 * process 1 may, the agent, which has it from the server's signed time (docs/agent.md). From then on the host's wall clock counts for nothing. Out: step_ns.
 */
struct evidence_time_bound {
    uint64_t monotonic_ns;
    uint64_t earliest_ns;
    uint64_t latest_ns;
    int64_t step_ns; /* out: by how much the clock was set; 0: it kept within the bound. In: 0 */
};
_Static_assert(sizeof(struct evidence_time_bound) == 32, "evidence_time_bound");
/* EPERM: not process 1. EINVAL: the bound is in the future, or malformed. ESTALE: it is older than one that was accepted before. */
#define CLOCHE_IOC_TIME _IOWR(EVIDENCE_IOC, 5, struct evidence_time_bound)
