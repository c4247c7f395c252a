/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificate authority: root and intermediate (ECDSA P-256; keys sealed in the store), X.509 as SPIFFE's X.509-SVID profiles it, rotation in the order next, current, old; an organisation may bring its own
 * intermediate. Relying party. Thread-safe.
 */
#pragma once

#include <openssl/x509.h>

#include "server/server.h"
#include "server/store/store.h"

#define CA_LIFETIME_MIN_S 600u
#define CA_LIFETIME_MAX_S 86400u
#define CA_DNS_NAMES_MAX 16u

/* Opens the server's authorities, or makes them. trust_domain: of SPIFFE IDs. returns: 0; errno. */
MUST_CHECK int ca_open(struct server *server, struct ca **ret, struct err *err);
void ca_close(struct ca *ca); /* NULL allowed */
/* Reads the authorities anew, after a rotation (of any server). */
MUST_CHECK int ca_reload(struct ca *ca, struct err *err);

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
};
/* Issues a certificate for an instance: client and server authentication. returns: 0; -EINVAL lifetime or names; -EIO. */
MUST_CHECK int ca_issue(struct ca *ca, const struct ca_request *request, struct ca_issued *ret,
                        struct err *err);
/* The server's own TLS certificate for these host names or addresses. key: made by the caller. */
MUST_CHECK int ca_issue_server(struct ca *ca, EVP_PKEY *public_key, const char *const *names,
                               unsigned name_count, struct ca_issued *ret, struct err *err);
/* Roots as PEM, current first; for free(). NULL: no memory. */
char *ca_roots_pem(struct ca *ca);
/* SHA-256 of the current root's SubjectPublicKeyInfo: what descriptors pin. */
void ca_root_pin(struct ca *ca, uint8_t ret[32]);
/* A JWS (compact, ES256) over a JSON payload by the exchange key, with x5c. typ: "cloche-answer+jwt", "ear+jwt". *ret for free(). */
MUST_CHECK int ca_sign(struct ca *ca, const char *typ, const char *payload, char **ret,
                       struct err *err);
