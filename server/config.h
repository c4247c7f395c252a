/* SPDX-License-Identifier: Apache-2.0 */
/* What cloched is told: a YAML file (docs/server.md), overridden by options. Relying party. Immutable once read; reload makes a new one for what may change. */
#pragma once

#include "lib/defs.h"
#include "lib/err.h"
#include "server/crypto/keys.h"

#define CONFIG_NAMES_MAX 16u

struct server_config {
    const char *store_url; /* "sqlite:/var/lib/cloche/cloche.db" */
    struct keys_source root_key;
    const char *listen; /* "127.0.0.1:8443"; "[::]:8443"; "unix:/run/cloched.sock"; port 0: any */
    const char *tls_certificate,
        *tls_key; /* PEM files; NULL: the server's CA issues its own, for `names` */
    const char *names[CONFIG_NAMES_MAX]; /* DNS names and addresses that clients use */
    unsigned name_count;
    const char *urls[CONFIG_NAMES_MAX]; /* of all servers of this control plane, told to agents */
    unsigned url_count;
    const char *commands
        [CONFIG_NAMES_MAX]; /* of cloched that this configuration may be used with, besides serving: how their words begin */
    unsigned command_count;                              /* 0: all */
    const char *trust_domain;                            /* of SPIFFE IDs */
    const char *collateral_folder;                       /* cache (collateral/collateral.h) */
    const char *collateral_pcs_url, *collateral_kds_url; /* NULL: the makers' own; "" never fetch */
    const char *collateral_root_crl_url; /* of Intel's root; NULL: Intel's own, or the PCCS's */
    const char
        *collateral_ca_file; /* PEM: trusted for TLS to these instead of the system's; NULL */
    bool collateral_pccs;    /* collateral_pcs_url is a PCCS */
    uint32_t collateral_refresh_s;
    const char *node_mrenclaves
        [CONFIG_NAMES_MAX]; /* hex; enclaves from which nodes' evidence is taken; none: any */
    unsigned node_mrenclave_count;
    const char *
        node_evidence; /* "required"; "optional": a node that never showed any gets instances too */
    uint32_t node_evidence_s; /* how long a node's evidence is good */
    const char *
        emulator_root; /* PEM of an emulator root that policies may name; NULL: emulated platforms are refused */
    const char
        *oidc_issuers_file; /* JSON: issuer, audience, JWKS file or URL, claims to roles; or NULL */
    const char *
        secret_sources_file; /* JSON: where secrets may be imported from (docs/secrets.md); or NULL */
    bool
        plain_http; /* on loopback addresses and UNIX sockets only: behind a proxy on the same host, and in tests */
    uint32_t reappraise_threads; /* 0: as many as there are CPUs */
    uint32_t thread_count, connections_max,
        rate_per_minute;              /* rate: requests per token; 0: default */
    uint32_t connections_per_address; /* 0: no limit of its own */
    uint32_t request_timeout_s; /* for a request's head, its body, and each answer; 0: default */
};
/* *ret is for config_free. returns: 0; -EINVAL file, line and member in err; errno. */
MUST_CHECK int config_read(const char *path, struct server_config **ret, struct err *err);
void config_free(struct server_config *config); /* NULL allowed */
