/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the exchange share. Relying party; within server/exchange/ and server/fleet/. */
#pragma once

#include <openssl/evp.h>
#include <pthread.h>

#include "abi/exchange.h"
#include "attest/cmw.h"
#include "server/api/api.h"
#include "server/exchange/exchange.h"
#include "server/model/build.h"
#include "server/model/policy.h"
#include "server/store/id.h"
#include "verifier/verifier.h"

#define EXCHANGE_NONCE_LIFE_S 120
#define EXCHANGE_NONCE_TEXT_SIZE 44u /* base64url with NUL */
#define EXCHANGE_SPKI_SIZE_MAX EXCHANGE_KEY_SIZE_MAX
#define EXCHANGE_EVIDENCE_BODY_MAX (512u << 10)
#define EXCHANGE_BUILDS_MAX 8u /* with one app digest */
#define EXCHANGE_TEXT_SIZE 256u
#define EXCHANGE_TOKEN_SIZE_MAX 2048u
#define EXCHANGE_TOKEN_LIFE_S 60
#define EXCHANGE_ORDERS_MAX 64u /* of one answer */

struct collaterals;
struct seen;

struct exchange {
    struct server *server;
    struct verifier_cache *chains;
    struct collaterals *collaterals;
    struct seen *seen;              /* ids of tokens */
    struct verifier_policy *makers; /* whose roots are the makers' own */
    uint64_t epoch;                 /* atomic: exchange_epoch_begin adds, each admission compares */
    bool has_emulator;
    uint8_t emulator_root[32]; /* SHA-256 of its SubjectPublicKeyInfo */
};

/* ---- nonce.c: nothing is kept until a nonce is used ---- */

/* returns: 0; -EIO. */
MUST_CHECK int nonce_make(struct server *server, int64_t now_s, char ret[EXCHANGE_NONCE_TEXT_SIZE],
                          struct err *err);
/* returns: 0; -EACCES not ours, or too old: err says which; -EIO. */
MUST_CHECK int nonce_check(struct server *server, const uint8_t nonce[EXCHANGE_NONCE_SIZE],
                           int64_t now_s, struct err *err);
/* Marks it used. returns: 0; -EEXIST it was used before; -EIO. */
MUST_CHECK int nonce_use(struct store_tx *tx, const uint8_t nonce[EXCHANGE_NONCE_SIZE],
                         int64_t expires_ms, struct err *err);

/* ---- request.c ---- */

enum exchange_purpose { PURPOSE_START, PURPOSE_RENEW, PURPOSE_NODE };

/* What an agent sends, checked for form. Hostile in content. */
struct evidence_request {
    enum exchange_purpose purpose;
    uint8_t nonce[EXCHANGE_NONCE_SIZE];
    char nonce_text[EXCHANGE_NONCE_TEXT_SIZE];
    uint8_t spki[EXCHANGE_SPKI_SIZE_MAX];
    size_t spki_size;
    EVP_PKEY *key; /* P-256 */
    struct cmw *cmw;
    struct verifier_bytes evidence; /* of cmw */
    char evidence_type[CMW_TYPE_SIZE];
    int collateral; /* item of cmw; -ENOENT: none stapled */
    uint8_t evidence_sha256[32];
    uint8_t app_digest[48];
    char instance_id[ID_SIZE], node_id[ID_SIZE]; /* "" none */
    char have_secrets[72];
    bool is_running;
};
/* Fails with -EINVAL and a text for the client; -ENOMEM. *ret is for evidence_request_done in any case. */
MUST_CHECK int evidence_request_decode(const json_t *body, struct evidence_request *ret,
                                       struct err *err);
void evidence_request_done(struct evidence_request *request);
/* SHA-512 over what the evidence must be about. */
void evidence_request_binding(const struct evidence_request *request, uint8_t ret[64]);
/* A P-256 key from its exact DER. returns: 0; -EINVAL. */
MUST_CHECK int spki_read(const uint8_t *der, size_t size, EVP_PKEY **ret);
/* Record or collection with "evidence" and maybe "collateral". returns: 0; -EINVAL. Borrows from cmw. */
MUST_CHECK int evidence_find(const struct cmw *cmw, struct verifier_bytes *ret,
                             char ret_type[CMW_TYPE_SIZE], int *ret_collateral, struct err *err);

/* ---- collateral: held.c, stapled.c ---- */

struct collateral_ref {                           /* shared; collateral_unref */
    const struct verifier_collateral *collateral; /* NULL: none is to be had */
    const char *why; /* collateral NULL: why not, for people; lives as long; or NULL */
    void *entry;
};
struct collateral_wish {
    struct verifier_bytes evidence,
        stapled; /* stapled: a CMW in JSON with "collateral", or empty */
    /* 64 bytes that the evidence must be about: the makers may be asked when it is, and is signed. NULL: they are not asked. */
    const uint8_t *report_data;
};
void collateral_unref(struct collateral_ref *ref);
/*
 * What the server holds for the evidence; else what came with it; else nothing.
 * returns: 0; -EAGAIN the makers should be asked, and cannot be now: try again; -ENOMEM.
 */
MUST_CHECK int collateral_find(struct exchange *exchange, const struct collateral_wish *wish,
                               struct collateral_ref *ret, struct err *err);
struct held_recovery;
/* For the caller to free. returns: 0; -ENODATA no TCB recovery is on its way for this platform, or the server holds nothing for it; -ENOENT; -ENOMEM. */
MUST_CHECK int collateral_find_early(struct exchange *exchange, struct verifier_bytes evidence,
                                     struct verifier_collateral **ret,
                                     struct held_recovery *ret_recovery, struct err *err);
/* Asks the makers for what evidence brought along so far. returns: for how many platforms all is held now. */
int collateral_fetch_wanted(struct exchange *exchange, struct err *err);
MUST_CHECK int collaterals_new(struct server *server, struct collaterals **ret, struct err *err);
void collaterals_free(struct collaterals *collaterals);
/* What the server holds changed: it is read anew. */
void collaterals_forget(struct collaterals *collaterals);
/* Parses the stapled collection. returns: 0; -EINVAL; -ENOMEM. */
MUST_CHECK int stapled_parse(struct verifier_bytes stapled, struct verifier_collateral **ret,
                             struct err *err);
/* The collection of a request as a CMW of its own, JSON, for free(). returns: 0; -ENOENT none; -ENOMEM. */
MUST_CHECK int stapled_encode(const struct cmw *cmw, int collection, char **ret, size_t *ret_size);

/* Keeps what stapled_encode made, once for all who staple the same. sha256: of it. returns: 0; -EIO. */
MUST_CHECK int stapled_keep(struct store_tx *tx, const char *stapled, size_t size,
                            const uint8_t sha256[32], int64_t now_ms, struct err *err);
/* The record alone, as a CMW in JSON, for free(). returns: 0; -ENOMEM; errors of cmw_add_record. */
MUST_CHECK int evidence_encode(const struct evidence_request *request, char **ret,
                               size_t *ret_size);

/* ---- appraise.c ---- */

/* Why something is refused; texts are for the client. */
struct refusal {
    const char *code; /* static: of docs/api.md */
    char step[64], expected[EXCHANGE_TEXT_SIZE], actual[EXCHANGE_TEXT_SIZE],
        fix[EXCHANGE_TEXT_SIZE], detail[ERR_TEXT_SIZE];
    bool is_final;
};
void refusal_set(struct refusal *refusal, const char *code, const char *step, const char *format,
                 ...) PRINTF_LIKE(4, 5);

struct appraisal {
    struct verifier_result result;
    bool is_emulated;
    char platform_id[80]; /* hex; "" unknown */
    char tcb_status[48];  /* "" none */
    char tcb_key[33];     /* hex: who has the same is judged alike by Intel's TCB info; "" none */
    const char *tee;      /* "sgx" */
    int64_t valid_until_ms;
    struct refusal refusal; /* code NULL: accepted */
};
struct appraise_input {
    struct verifier_bytes evidence;
    const struct verifier_collateral *collateral;
    const struct verifier_policy *policy;
    const struct build_row *build; /* NULL: none is asked */
    const uint8_t *report_data;    /* NULL: not asked */
    const char *collateral_why;    /* collateral NULL: why there is none; or NULL */
    int64_t now_s, evidence_time_s;
};
/*
 * Judges evidence: by the verifier under the policy, then against the build.
 * returns: 0, and ret->refusal says whether; -EIO, -ENOMEM.
 */
MUST_CHECK int appraise(struct exchange *exchange, const struct appraise_input *input,
                        struct appraisal *ret, struct err *err);
/* Whether each signature of the evidence is right, up to a root that is known, though it be refused for something else. */
bool result_is_authentic(const struct verifier_result *result);
/* The same, and that it is about what was asked: nobody shows evidence of others. */
bool appraisal_is_authentic(const struct appraisal *appraisal);
/* Whether it is authentic, and about the nonce and the key that were asked: what it says is about whoever sent it, though it be refused. */
bool appraisal_is_bound(const struct appraisal *appraisal);
/* The revocation that meets instance, build, app, node or platform. returns: 1 and the refusal; 0; -EBADMSG the rows were changed; -EIO. */
MUST_CHECK int revocation_find(struct server *server, struct store_tx *tx, const char *org_id,
                               const char *instance_id, const char *app_id, const char *build_id,
                               const char *node_id, const char *platform_id, struct refusal *ret,
                               struct err *err);

/* ---- instance.c ---- */

struct instance_row {
    char id[ID_SIZE], org_id[ID_SIZE], app_id[ID_SIZE], build_id[ID_SIZE], node_id[ID_SIZE];
    char state[16], wanted[8];
    uint8_t public_key[EXCHANGE_SPKI_SIZE_MAX];
    size_t public_key_size; /* 0: none yet */
    int64_t fence, lease_until_ms, version;
};
/* returns: 0; -ENOENT; -EIO. */
MUST_CHECK int instance_read(struct store_tx *tx, const char *instance_id, struct instance_row *ret,
                             struct err *err);
/* A line of its history. returns: 0; -EIO. */
MUST_CHECK int instance_history_add(struct store_tx *tx, const char *instance_id, int64_t now_ms,
                                    const char *state, const char *reason,
                                    const uint8_t *evidence_sha256, struct err *err);
/* State and reason, with history and event. returns: 0; -ENOENT; -EIO. */
MUST_CHECK int instance_state_set(struct store_tx *tx, const char *org_id, const char *instance_id,
                                  int64_t now_ms, const char *state, const char *reason,
                                  struct err *err);

/* ---- answer.c ---- */

/* A JWE to the key (ECDH-ES, A256GCM), for free(). returns: 0; -EIO. */
MUST_CHECK int jwe_make(EVP_PKEY *key, const char *plain, size_t size, char **ret, struct err *err);
/* The problem of a refusal, with its signed form. nonce_text: or "". returns: -EPROTO. */
int refusal_answer(struct api_request *rq, const char *nonce_text, const struct refusal *refusal);

/* ---- admit.c ---- */

struct admission; /* all of one exchange */
/* Evidence that was decoded and whose nonce is ours. returns: as a handler. */
MUST_CHECK int exchange_admit(struct api_request *rq, struct evidence_request *request,
                              struct api_response *ret);
MUST_CHECK int exchange_admit_node(struct api_request *rq, struct evidence_request *request,
                                   struct api_response *ret);

/* ---- token.c, seen.c ---- */

struct instance_token {
    char instance_id[ID_SIZE], audience[32], id[72];
    int64_t issued_s;
    int64_t exit_status; /* of an end's token: what the body must say */
    char reason[16];     /* "": another token */
};
/* What a token claims, not verified. returns: 0; -EINVAL. */
MUST_CHECK int token_parse(const char *text, size_t size, struct instance_token *ret,
                           struct err *err);
/* returns: 0; -EACCES the signature is not the key's. */
MUST_CHECK int token_verify(const char *text, size_t size, const uint8_t *spki, size_t spki_size,
                            struct err *err);
MUST_CHECK int seen_new(struct seen **ret);
void seen_free(struct seen *seen);
/* Whether the id of the token is new, and keeps it while it could be used. returns: 0; -EEXIST. */
MUST_CHECK int seen_add(struct seen *seen, const char *instance_id, const char *id, int64_t now_s);

/* ---- orders.c ---- */

/* returns: 0; -ENOMEM. */
MUST_CHECK int orders_listen(struct exchange *exchange);
int orders_authenticate(struct api_request *rq, const char *credential, struct api_principal *ret,
                        struct err *err);
