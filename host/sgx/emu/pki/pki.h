/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An emulated Intel PKI in a folder: root CA, PCK CA, TCB signer, the PCK of one emulated platform, and the collateral for it in the files
 * that `cloche verify --collateral` reads. Untrusted side; protects nothing.
 *
 *     DIR/state.json      what is claimed about the platform: levels, identities, revoked serial numbers, dates
 *     DIR/keys/NAME.key   private keys: root, ca, tcb, pck
 *     DIR/certs/NAME.pem  their certificates
 *     DIR/collateral/     as published after the last change
 *     DIR/policy.json     an appraisal policy whose only root is this one
 *
 * Sources: Intel SGX PCK Certificate and CRL Profile; Intel PCS API v4 (TCB info v3, QE identity v2).
 */
#pragma once

#ifdef TEE_BUILD
#error "host header in measured code"
#endif

#include "lib/err.h"

#define EMU_PKI_SVN_COUNT 16u
#define EMU_PKI_ADVISORY_COUNT_MAX 16u
#define EMU_PKI_LEVEL_COUNT_MAX 32u
#define EMU_PKI_REVOKED_COUNT_MAX 256u
#define EMU_PKI_SIGNATURE_SIZE 64u         /* r, s; big-endian */
#define EMU_PKI_FILE_SIZE_MAX (256u << 10) /* one file of the folder */

struct emu_pki; /* an open folder; one thread at a time, one process at a time */

/* What a PCK certificate says about its platform. */
struct emu_pki_platform {
    bool is_processor_ca; /* issued by the Processor CA instead of the Platform CA */
    bool has_ppid, has_fmspc;
    uint8_t ppid[16], fmspc[6]; /* else: random; one that no platform has */
};

/* Makes the folder and everything in it. returns: 0; -EEXIST there is one; another errno. */
MUST_CHECK int emu_pki_init(const char *folder, const struct emu_pki_platform *platform,
                            struct err *err);

/* Opens a folder and locks it against other processes until emu_pki_free. returns: 0; -ENOENT; -EINVAL not a folder of ours; -errno. */
MUST_CHECK int emu_pki_open(const char *folder, struct emu_pki **ret, struct err *err);
void emu_pki_free(struct emu_pki *pki); /* NULL allowed */
/* CLEANUP form. */
void emu_pki_freep(struct emu_pki **pki);

/*
 * A new PCK certificate, with a new key, for the platform's SVNs, or with latest for those of the newest TCB level: the platform
 * got its update. returns: 0; -errno.
 */
MUST_CHECK int emu_pki_pck_issue(struct emu_pki *pki, bool latest, struct err *err);

struct emu_pki_tcb_change {
    const char *status;   /* in Intel's words, of the level that the platform has; NULL: as it is */
    bool sets_advisories; /* replace the level's advisories */
    unsigned advisory_count;
    const char *advisories[EMU_PKI_ADVISORY_COUNT_MAX];
    bool has_evaluation; /* tcbEvaluationDataNumber, of TCB info and QE identity */
    uint32_t evaluation;
};
/*
 * Changes the platform's TCB level. OutOfDate and Revoked bring a newer level, UpToDate, above it, if there is none, and then raise
 * the evaluation number unless one is given. returns: 0; -EINVAL an unknown status, or advisory ids that are none.
 */
MUST_CHECK int emu_pki_tcb_set(struct emu_pki *pki, const struct emu_pki_tcb_change *change,
                               struct err *err);

/*
 * The same change as an early edition: TCB info before the standard date of a TCB recovery that was made public at recovery_s. The standard one stays; `emu_pki_early_end` makes the early one the
 * standard. returns: as emu_pki_tcb_set.
 */
MUST_CHECK int emu_pki_early_set(struct emu_pki *pki, const struct emu_pki_tcb_change *change,
                                 int64_t recovery_s, struct err *err);
/* The early edition becomes the standard. returns: 0; -ENOENT there is none. */
MUST_CHECK int emu_pki_early_end(struct emu_pki *pki, struct err *err);

/* How the quoting enclave must look; masked attributes: INIT and MODE64BIT, never DEBUG. */
struct emu_pki_qe {
    uint8_t mrsigner[32];
    uint16_t isv_prod_id, isv_svn;
};
MUST_CHECK int emu_pki_qe_set(struct emu_pki *pki, const struct emu_pki_qe *qe, struct err *err);
/* Whether it is described so already. */
bool emu_pki_qe_is(const struct emu_pki *pki, const struct emu_pki_qe *qe);
/* Status of the quoting enclave's level, as emu_pki_tcb_set. */
MUST_CHECK int emu_pki_qe_status_set(struct emu_pki *pki, const struct emu_pki_tcb_change *change,
                                     struct err *err);

/* Takes a certificate into the list of its issuer. what: "pck", "ca", "tcb". returns: 0; -EINVAL; -E2BIG. */
MUST_CHECK int emu_pki_revoke(struct emu_pki *pki, const char *what, struct err *err);

/* what: "tcb-info", "qe-identity", "pck-crl", "root-crl", "all". The item's next update becomes yesterday. returns: 0; -EINVAL. */
MUST_CHECK int emu_pki_expire(struct emu_pki *pki, const char *what, struct err *err);
/* The same items, issued now and good for thirty days. */
MUST_CHECK int emu_pki_renew(struct emu_pki *pki, const char *what, struct err *err);

/* Writes state and collateral. Until then nothing of a change is on disk but new keys and certificates. returns: 0; -errno. */
MUST_CHECK int emu_pki_publish(struct emu_pki *pki, struct err *err);

/* The state as JSON text for people and programs, for free(). returns: 0; -ENOMEM. */
MUST_CHECK int emu_pki_state_text(const struct emu_pki *pki, char **ret);

/* What the provisioning certification enclave does on a real platform: signs with the PCK (SHA-256, ECDSA P-256). */
MUST_CHECK int emu_pki_pck_sign(struct emu_pki *pki, const void *data, size_t size,
                                uint8_t ret[EMU_PKI_SIGNATURE_SIZE], struct err *err);
uint16_t emu_pki_pce_svn(const struct emu_pki *pki);
/* The file DIR/collateral/name, NUL-ended, for free(). returns: 0; -errno. */
MUST_CHECK int emu_pki_collateral_read(const struct emu_pki *pki, const char *name, char **ret,
                                       size_t *ret_size, struct err *err);
