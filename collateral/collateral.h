/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collateral: what the makers of TEEs publish about their platforms, fetched, checked and kept in a folder. Relying party; the
 * one public header of the library. Servers, proxies, bundles and the cache's files may be hostile: what is handed out was
 * checked with the verifier's parsers, up to a root that the policy names, each time that it was read.
 *
 *     rc = collateral_open(&options, &store, &err);
 *     rc = collateral_needs_find(evidence, &wishes, &needs, &err);      which items a quote or report needs
 *     for (i = 0; i < needs.count; i++)
 *         rc = collateral_get(store, &needs.items[i], COLLATERAL_FETCH, &got, &err);
 *     rc = collateral_set_make(store, &needs, ..., &set, &err);         all of them, as the verifier takes them
 *
 * A store is used by one thread at a time; several stores, also of several processes, may share a folder.
 *
 * Sources: Intel SGX and TDX Provisioning Certification Service API v4; Intel SGX PCCS API; AMD 57230 (VCEK and KDS), section 4; RFC 9110, 9111.
 */
#pragma once

#include "verifier/verifier.h"

#define COLLATERAL_NAME_SIZE 192u /* with NUL */
#define COLLATERAL_NEED_COUNT_MAX 6u
#define COLLATERAL_ENTRY_COUNT_MAX 2048u      /* in one cache, and in one bundle */
#define COLLATERAL_CACHE_SIZE_MAX (64u << 20) /* bytes of one cache's files */
#define COLLATERAL_BUNDLE_SIZE_MAX (16u << 20)
#define COLLATERAL_SOURCE_SIZE 1024u /* of a URL, with NUL */
#define COLLATERAL_TAG_SIZE 256u     /* of an ETag or an HTTP date, with NUL */

/* ---- items ---- */

enum collateral_kind {
    COLLATERAL_SGX_TCB,
    COLLATERAL_TDX_TCB,
    COLLATERAL_SGX_QE_IDENTITY,
    COLLATERAL_TDX_QE_IDENTITY,
    COLLATERAL_SGX_EVALUATIONS, /* which editions of TCB info there are; no evidence needs it */
    COLLATERAL_TDX_EVALUATIONS,
    COLLATERAL_PCK_CRL,
    COLLATERAL_INTEL_ROOT_CRL,
    COLLATERAL_AMD_CHAIN, /* ASK or ASVK, and ARK */
    COLLATERAL_AMD_CRL,   /* of the ARK */
    COLLATERAL_VCEK,
    COLLATERAL_KIND_COUNT
};

/* One thing that is published. Members that the kind does not use are zero. */
struct collateral_item_id {
    uint8_t kind; /* enum collateral_kind */
    bool
        is_early; /* Intel's TCB and identities: published before the standard date of a TCB recovery */
    uint8_t fmspc[6];            /* *_TCB */
    bool is_platform_ca;         /* PCK_CRL: of the Platform CA, else of the Processor CA */
    uint8_t product;             /* AMD: enum verifier_snp_product */
    bool is_vlek;                /* AMD_CHAIN, AMD_CRL: of VLEKs, else of VCEKs */
    uint8_t chip_id[64];         /* VCEK; Turin: 8 bytes, then zeros */
    struct verifier_snp_tcb tcb; /* VCEK */
};

/* "sgx-tcb-00606a000000", "pck-crl-platform", "amd-milan-vcek-chain": unique, and a file name. returns: dst. */
char *collateral_item_name(const struct collateral_item_id *id, char dst[COLLATERAL_NAME_SIZE]);
/* returns: 0; -EINVAL it names nothing. */
MUST_CHECK int collateral_item_parse(const char *name, struct collateral_item_id *ret);
/* "TCB info for SGX": what it is, for people; static. */
const char *collateral_item_what(const struct collateral_item_id *id);

struct collateral_needs {
    uint8_t tee; /* enum verifier_tee */
    unsigned count;
    struct collateral_item_id items[COLLATERAL_NEED_COUNT_MAX];
    bool is_vlek; /* the VLEK must come from the evidence's host: no server gives it out */
    bool
        product_guessed; /* an old report does not name its product, Milan is assumed: Genoa is the other one */
};
struct collateral_wishes {
    bool is_early;
    uint8_t
        product; /* of a report that does not name it; VERIFIER_SNP_UNKNOWN: told from the evidence */
    bool has_vek; /* the VCEK or VLEK certificate is there already: it is left out */
};
/*
 * What verifying this evidence needs, told from the evidence. It is not verified here: forged evidence costs a few requests.
 * returns: 0; -EINVAL not evidence, or it does not tell (no PCK certificate, a masked chip id); err says what to do; -ENOMEM.
 */
MUST_CHECK int collateral_needs_find(struct verifier_bytes evidence,
                                     const struct collateral_wishes *wishes,
                                     struct collateral_needs *ret, struct err *err);

/* ---- store ---- */

/* Time and waiting, so that tests need neither. All members are set. */
struct collateral_clock {
    int64_t (*now_s)(void *context);         /* since 1970 */
    uint64_t (*monotonic_ms)(void *context); /* for waits and deadlines */
    void (*sleep_ms)(void *context, uint64_t ms);
    uint32_t (*random)(void *context); /* for jitter; any quality */
    void *context;
};

const struct collateral_clock *collateral_clock_system(void);

struct collateral_transport; /* collateral/http.h; tests bring their own */

struct collateral_options {
    const char *folder; /* of the cache; made when it is missing */
    /* URLs without the part that the API names; NULL: the makers' own. */
    const char *pcs_url, *kds_url;
    bool pcs_is_pccs;         /* a PCCS: it also has the root's revocation list */
    const char *root_crl_url; /* NULL: Intel's, or that of the PCCS */
    const char *ca_file;      /* PEM: trusted for TLS instead of the system's; NULL */
    const char *proxy_url;    /* NULL: as the environment says (https_proxy, no_proxy) */
    bool http_allowed;        /* URLs without TLS; signatures are checked all the same */
    bool redirects_allowed;   /* to other hosts */
    const struct verifier_policy
        *policy; /* its roots are trusted; NULL: the makers'. Outlives the store. */
    /* 0: the default that stands behind. */
    uint32_t deadline_ms;   /* 120000: for all requests since collateral_begin, waits included */
    uint32_t request_ms;    /* 30000: for one request */
    uint32_t attempt_count; /* 5 */
    uint32_t
        retry_wait_ms; /* 1000: the first wait; each next one is twice as long, up to a minute */
    uint32_t rate_limit_wait_ms; /* 10000: at least so long after 429 without Retry-After */
    const struct collateral_clock *clock;   /* NULL: the system's */
    struct collateral_transport *transport; /* NULL: libcurl */
    /* Called before each request and each wait with a text for people; may be NULL. */
    void (*progress)(void *context, const char *text);
    void *progress_context;
};

struct collateral; /* a store */
/* returns: 0; -EINVAL a URL is malformed, or without TLS; errno of the folder; -ENOMEM. */
MUST_CHECK int collateral_open(const struct collateral_options *options, struct collateral **ret,
                               struct err *err);
void collateral_close(struct collateral *store); /* NULL allowed */
/* Starts the deadline anew; collateral_open has started the first one. */
void collateral_begin(struct collateral *store);

/* An item with what is known about it. */
struct collateral_entry {
    struct collateral_item_id id;
    uint8_t *body; /* as it was served; owned */
    size_t body_size;
    uint8_t *chain; /* PEM: certificates from the signer up to the root; owned, may be empty */
    size_t chain_size;
    char source[COLLATERAL_SOURCE_SIZE];                                /* URL, or "import" */
    char etag[COLLATERAL_TAG_SIZE], last_modified[COLLATERAL_TAG_SIZE]; /* as served; empty: none */
    int64_t fetched_s; /* last time that the source confirmed it */
    int64_t due_s;     /* when to ask again */
    /* Of the signed content; set by the check. */
    int64_t issued_s, expires_s;
    uint32_t evaluation_number; /* Intel's TCB evaluation data number; 0: none */
};
void collateral_entry_done(struct collateral_entry *entry);
/* Of an entry of *_EVALUATIONS: when the TCB recovery with this number was made public. returns: 0; -ENOENT it is not there. */
MUST_CHECK int collateral_recovery_find(const struct collateral_entry *entry, uint32_t number,
                                        int64_t *ret_s);

enum collateral_mode {
    COLLATERAL_OFFLINE, /* only what is held */
    COLLATERAL_FETCH,   /* ask when it is due, expired or missing */
    COLLATERAL_REFRESH, /* ask always */
};
enum collateral_outcome {
    COLLATERAL_HELD,      /* not due: the source was not asked */
    COLLATERAL_UNCHANGED, /* the source says that it has not changed */
    COLLATERAL_NEW,       /* fetched, checked, kept */
    COLLATERAL_KEPT,      /* fetching failed, `why` says how; what is held has not expired */
    COLLATERAL_OUTCOME_COUNT
};
const char *collateral_outcome_name(enum collateral_outcome outcome); /* "held" */

struct collateral_got {
    uint8_t outcome; /* enum collateral_outcome */
    struct collateral_entry entry;
    int why_rc; /* COLLATERAL_KEPT: as collateral_get would have returned */
    struct err why;
};
void collateral_got_done(struct collateral_got *got);

/*
 * Gets one item, which is valid now, and whatever checking it needs (an AMD chain for a VCEK).
 * returns: 0; -EBADMSG what the source or the cache has does not verify, is older than what is held, or has expired: nothing was
 * replaced; -ENOENT not held (OFFLINE), or the source does not have it; -ETIMEDOUT the deadline; -EIO the source failed;
 * -EACCES the source refuses or is not who it must be (TLS); others of the folder. err names the URL and what to do.
 */
MUST_CHECK int collateral_get(struct collateral *store, const struct collateral_item_id *id,
                              enum collateral_mode mode, struct collateral_got *ret,
                              struct err *err);

/*
 * Settles the guess of a report that does not name its product: the key server knows its chip under one only. Makes no request when
 * there is nothing to settle.
 */
void collateral_needs_settle(struct collateral *store, struct collateral_needs *needs,
                             enum collateral_mode mode);

/* ---- looking after the cache ---- */

enum collateral_state {
    COLLATERAL_FRESH,
    COLLATERAL_DUE, /* valid, and the source should be asked again */
    COLLATERAL_EXPIRED,
    COLLATERAL_DAMAGED, /* it does not verify (any more); entry has no body */
    COLLATERAL_STATE_COUNT
};
const char *collateral_state_name(enum collateral_state state); /* "fresh" */
enum collateral_state collateral_entry_state(const struct collateral_entry *entry, int64_t now_s);

/* What collateral_list tells about an entry. The entry belongs to the caller of the function. */
typedef int collateral_list_fn(void *context, const struct collateral_entry *entry,
                               enum collateral_state state, const struct err *why);
/* Calls fn for each entry, by name. returns: 0; the first negative result of fn; errno of the folder; -ENOMEM. */
MUST_CHECK int collateral_list(struct collateral *store, collateral_list_fn *fn, void *context,
                               struct err *err);
/* Removes an entry. returns: 0; -ENOENT; errno of the folder. */
MUST_CHECK int collateral_remove(struct collateral *store, const struct collateral_item_id *id,
                                 struct err *err);

/* ---- bundles, for machines without network ---- */

/* A bundle of these items, or with count 0 of all that is valid, as JSON for free(). returns: 0 and how many; -ENOENT one is not
 * held, or there is none at all; -EBADMSG one does not verify; -E2BIG; -ENOMEM. */
MUST_CHECK int collateral_export(struct collateral *store, const struct collateral_item_id *ids,
                                 unsigned count, char **ret_json, size_t *ret_size,
                                 unsigned *ret_count, struct err *err);

struct collateral_imported {
    unsigned new_count, held_count; /* taken; passed over because the same or newer is held */
    unsigned expired_count;         /* passed over */
};
/*
 * Takes the entries of a bundle, all or, when one of them does not verify, none.
 * returns: 0; -EBADMSG malformed, or an entry does not verify, err names it; -E2BIG; errno of the folder; -ENOMEM.
 */
MUST_CHECK int collateral_import(struct collateral *store, const char *json, size_t size,
                                 struct collateral_imported *ret, struct err *err);

/* ---- for the verifier ---- */

/* Entries of all needs, for one verification. items points into it; what the caller puts there before (a VLEK, an ID block) stays. */
struct collateral_set {
    unsigned count;
    struct collateral_entry entries[COLLATERAL_NEED_COUNT_MAX];
    struct verifier_collateral_items items;
};
void collateral_set_done(struct collateral_set *set);
/* Takes the entry over, and adds it to items. returns: 0; -E2BIG. */
MUST_CHECK int collateral_set_add(struct collateral_set *set, struct collateral_entry *entry);
/* Whether items has it already. */
bool collateral_set_has(const struct collateral_set *set, const struct collateral_item_id *id);
/*
 * Writes the set as the files that `cloche verify --collateral` reads. The folder is made when it is missing; files of another fetch are
 * removed from it, files of other names stay. returns: 0; errno of the folder.
 */
MUST_CHECK int collateral_folder_write(const char *folder, const struct collateral_set *set,
                                       struct err *err);
