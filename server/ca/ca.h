/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificate authority: root and intermediate (ECDSA P-256; keys sealed in the store), X.509 as SPIFFE's X.509-SVID profiles it, rotation in the order next, current, old; an organisation may bring its own
 * intermediate. Relying party. Thread-safe.
 */
#pragma once

#include <openssl/x509.h>

#include "server/server.h"
#include "server/store/id.h"
#include "server/store/store.h"

#define CA_LIFETIME_MIN_S 600u
#define CA_LIFETIME_MAX_S 86400u
#define CA_DNS_NAMES_MAX 16u
#define CA_SERVER_LIFETIME_S                                                                       \
    (30u * 86400) /* of the TLS certificate; made anew at each start and reload */

/* Opens the server's authorities, or makes them. trust_domain: of SPIFFE IDs. returns: 0; errno. */
MUST_CHECK int ca_open(struct server *server, struct ca **ret, struct err *err);
void ca_close(struct ca *ca); /* NULL allowed */
/* Reads the authorities anew, after a rotation (of any server). */
MUST_CHECK int ca_reload(struct ca *ca, struct err *err);

struct cert_binding;
struct cmw;
struct ca_request {
    const char *org_id;
    EVP_PKEY *public_key;
    const char *spiffe_path; /* "/org/acme/app/hotel" */
    const char *const *dns_names;
    unsigned dns_name_count;
    uint32_t lifetime_s;
};
struct ca_issued {
    char *chain_pem; /* leaf first, then intermediates; for free() */
    char serial[41]; /* hex */
    int64_t until_s;
    char authority_id[ID_SIZE]; /* who issued it */
};
/* Issues a certificate for an instance: client and server authentication. returns: 0; -EINVAL lifetime or names; -EIO. */
MUST_CHECK int ca_issue(struct ca *ca, const struct ca_request *request, struct ca_issued *ret,
                        struct err *err);
#define CA_SERVER_ATTESTED_LIFETIME_S 3600u /* when it carries evidence */
/* The server's own TLS certificate. key: made by the caller. evidence: about the key, with its binding (attest/cert.h), or NULL. */
struct ca_server_request {
    EVP_PKEY *public_key;
    const char *const *names; /* host names or addresses */
    unsigned name_count;
    const struct cmw *evidence;
    const struct cert_binding *binding;
};
MUST_CHECK int ca_issue_server(struct ca *ca, const struct ca_server_request *request,
                               struct ca_issued *ret, struct err *err);
/* Roots as PEM, current first, then next and old ones; for free(). NULL: no memory. */
char *ca_roots_pem(struct ca *ca);
/* The same, and before them the root that the organisation brought, when it did. */
char *ca_org_roots_pem(struct ca *ca, const char *org_id);
/* SHA-256 of the current root's SubjectPublicKeyInfo: what descriptors pin. */
void ca_root_pin(struct ca *ca, uint8_t ret[32]);
/* A JWS (compact, ES256) over a JSON payload by the exchange key, with x5c. typ: "cloche-answer+jwt", "ear+jwt". *ret for free(). */
MUST_CHECK int ca_sign(struct ca *ca, const char *typ, const char *payload, char **ret,
                       struct err *err);

/* ---- rotation (docs/certificates.md) ---- */

enum ca_rotation {
    CA_PREPARE, /* a next root with all below it is made, and told to everyone as one to trust */
    CA_SWITCH,  /* next becomes current and issues; current becomes old and is still trusted */
    CA_RETIRE,  /* the old root is trusted no longer */
};
/*
 * One step, in the caller's transaction, which appends audit and event and calls ca_reload after the commit. now_s: of the server.
 * returns: 0; -ENOENT there is nothing to switch to or to retire; -EEXIST a rotation is under way; -EIO.
 */
MUST_CHECK int ca_rotate(struct ca *ca, struct store_tx *tx, enum ca_rotation step, int64_t now_s,
                         struct err *err);
/* Renews what ends within a third of its life, below the present root: the intermediate and the exchange's key. returns: 1 something was renewed; 0; -EIO. */
MUST_CHECK int ca_maintain(struct ca *ca, struct err *err);

/* ---- an organisation's own intermediate ---- */

/* Makes a key; *ret_csr_pem (for free()) is what the organisation's CA signs, ret_id names it. returns: 0; -EIO. */
MUST_CHECK int ca_org_request(struct ca *ca, struct store_tx *tx, const char *org_id,
                              const char *org_name, char ret_id[ID_SIZE], char **ret_csr_pem,
                              struct err *err);
/*
 * Takes the certificate for a request: chain_pem is the intermediate first, then its issuers, the root at the end. From ca_reload on it issues the organisation's certificates.
 * returns: 0; -ENOENT no such request; -EINVAL the chain is not one, not for this key, not a CA's, or ends within 30 days.
 */
MUST_CHECK int ca_org_accept(struct ca *ca, struct store_tx *tx, const char *org_id, const char *id,
                             const char *chain_pem, int64_t now_s, struct err *err);
/* Back to the server's intermediate. returns: 0; -ENOENT. */
MUST_CHECK int ca_org_drop(struct ca *ca, struct store_tx *tx, const char *org_id, struct err *err);

/* ---- revocation ---- */

/* Writes down what was issued, so that it can be revoked. returns: 0; -EIO. */
MUST_CHECK int ca_issued_add(struct store_tx *tx, const char *org_id, const char *instance_id,
                             const struct ca_issued *issued, struct err *err);
/* All living certificates of an instance are on the next list of revoked ones. returns: 0; -EIO. */
MUST_CHECK int ca_revoke(struct store_tx *tx, const char *org_id, const char *instance_id,
                         int64_t now_ms, struct err *err);
#define CA_CRL_LIFETIME_S 3600u
#define CA_CRL_COUNT_MAX 200000u
/* The list of an authority, DER, for free(). returns: 0; -ENOENT no such authority; -EIO. */
MUST_CHECK int ca_crl(struct ca *ca, const char *authority_id, int64_t now_s, uint8_t **ret,
                      size_t *ret_size, struct err *err);
