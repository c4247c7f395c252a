/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: one YAML mapping of texts, numbers, truth values and lists of texts, by a table (docs/server.md). Relying party. */
#include "server/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define FILE_SIZE_MAX (256u << 10)
#define TEXTS_MAX 96u
#define REFRESH_DEFAULT_S 3600u
#define NODE_EVIDENCE_DEFAULT_S 7200u
#define NODE_EVIDENCE_MIN_S 120u

/* What config_free frees, behind what others see. */
struct owned {
    struct server_config config;
    char *texts[TEXTS_MAX];
    unsigned text_count;
};

enum member_kind { MEMBER_TEXT, MEMBER_NUMBER, MEMBER_BOOL, MEMBER_LIST, MEMBER_ROOT_KEY };
static const struct member {
    const char *name;
    enum member_kind kind;
    size_t off,
        count_off; /* in struct server_config; of a list's count; of MEMBER_ROOT_KEY the kind of source */
    uint32_t max;
} members[] = {
#define AT(field) offsetof(struct server_config, field)
    { "collateral_ca_file", MEMBER_TEXT, AT(collateral_ca_file) },
    { "collateral_folder", MEMBER_TEXT, AT(collateral_folder) },
    { "collateral_kds_url", MEMBER_TEXT, AT(collateral_kds_url) },
    { "collateral_pccs", MEMBER_BOOL, AT(collateral_pccs) },
    { "collateral_pcs_url", MEMBER_TEXT, AT(collateral_pcs_url) },
    { "collateral_refresh_s", MEMBER_NUMBER, AT(collateral_refresh_s), 0, 7 * 86400 },
    { "collateral_root_crl_url", MEMBER_TEXT, AT(collateral_root_crl_url) },
    { "commands", MEMBER_LIST, AT(commands), AT(command_count) },
    { "connections_max", MEMBER_NUMBER, AT(connections_max), 0, 1000000 },
    { "connections_per_address", MEMBER_NUMBER, AT(connections_per_address), 0, 1000000 },
    { "emulator_root", MEMBER_TEXT, AT(emulator_root) },
    { "listen", MEMBER_TEXT, AT(listen) },
    { "names", MEMBER_LIST, AT(names), AT(name_count) },
    { "node_evidence", MEMBER_TEXT, AT(node_evidence) },
    { "node_evidence_s", MEMBER_NUMBER, AT(node_evidence_s), 0, 30 * 86400 },
    { "node_mrenclaves", MEMBER_LIST, AT(node_mrenclaves), AT(node_mrenclave_count) },
    { "oidc_issuers", MEMBER_TEXT, AT(oidc_issuers_file) },
    { "plain_http", MEMBER_BOOL, AT(plain_http) },
    { "rate_per_minute", MEMBER_NUMBER, AT(rate_per_minute), 0, 10000000 },
    { "reappraise_threads", MEMBER_NUMBER, AT(reappraise_threads), 0, 64 },
    { "request_timeout_s", MEMBER_NUMBER, AT(request_timeout_s), 0, 3600 },
    { "root_key_passphrase_file", MEMBER_ROOT_KEY, 0, KEYS_PASSPHRASE_FILE },
    { "root_key_pkcs11", MEMBER_ROOT_KEY, 0, KEYS_PKCS11 },
    { "root_key_sealed", MEMBER_ROOT_KEY, 0, KEYS_SEALED },
    { "secret_sources", MEMBER_TEXT, AT(secret_sources_file) },
    { "store", MEMBER_TEXT, AT(store_url) },
    { "thread_count", MEMBER_NUMBER, AT(thread_count), 0, 64 },
    { "tls_certificate", MEMBER_TEXT, AT(tls_certificate) },
    { "tls_key", MEMBER_TEXT, AT(tls_key) },
    { "trust_domain", MEMBER_TEXT, AT(trust_domain) },
    { "urls", MEMBER_LIST, AT(urls), AT(url_count) },
#undef AT
};

struct reader {
    const char *path;
    yaml_document_t document;
    struct owned *owned;
    bool has_root_key;
    struct err *err;
};

static int fail(struct reader *r, const yaml_node_t *node, const char *name, const char *problem)
{
    return err_set(r->err, -EINVAL, "%s:%zu: %s: %s", r->path, node->start_mark.line + 1, name,
                   problem);
}

static int text_read(struct reader *r, const yaml_node_t *node, const char *name, const char **ret)
{
    const char *value = (const char *)node->data.scalar.value;
    char *text;

    if (node->type != YAML_SCALAR_NODE || strlen(value) != node->data.scalar.length)
        return fail(r, node, name, "a text is expected");
    if (r->owned->text_count == TEXTS_MAX)
        return fail(r, node, name, "there are too many texts");
    text = strdup(value);
    if (!text)
        return -ENOMEM;
    r->owned->texts[r->owned->text_count++] = text;
    *ret = text;
    return 0;
}

static int number_read(struct reader *r, const yaml_node_t *node, const struct member *m,
                       uint32_t *ret)
{
    const char *text = (const char *)node->data.scalar.value;
    size_t len = node->type == YAML_SCALAR_NODE ? strlen(text) : 0;
    unsigned long value =
        len > 0 && len < 10 && strspn(text, "0123456789") == len ? strtoul(text, NULL, 10) : 0;
    char problem[64];

    snprintf(problem, sizeof problem, "a number from 1 to %u is expected", m->max);
    if (value < 1 || value > m->max)
        return fail(r, node, m->name, problem);
    *ret = (uint32_t)value;
    return 0;
}

static int list_read(struct reader *r, const yaml_node_t *node, const struct member *m)
{
    const char **list = (const char **)((char *)&r->owned->config + m->off);
    unsigned *count = (unsigned *)((char *)&r->owned->config + m->count_off);
    int rc = 0;

    if (node->type != YAML_SEQUENCE_NODE)
        return fail(r, node, m->name, "a list is expected, like [a, b]");
    for (yaml_node_item_t *i = node->data.sequence.items.start;
         rc == 0 && i < node->data.sequence.items.top; i++) {
        if (*count == CONFIG_NAMES_MAX)
            return fail(r, node, m->name, "the list has more than 16 elements");
        rc = text_read(r, yaml_document_get_node(&r->document, *i), m->name, &list[(*count)++]);
    }
    return rc;
}

static int member_read(struct reader *r, const struct member *m, const yaml_node_t *node)
{
    void *at = (char *)&r->owned->config + m->off;
    const char *text = NULL;
    int rc;

    switch (m->kind) {
    case MEMBER_NUMBER:
        return number_read(r, node, m, at);
    case MEMBER_LIST:
        return list_read(r, node, m);
    default:
        rc = text_read(r, node, m->name, &text);
        if (rc < 0)
            return rc;
    }
    if (m->kind == MEMBER_TEXT) {
        *(const char **)at = text;
    } else if (m->kind == MEMBER_BOOL) {
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return fail(r, node, m->name, "true or false is expected");
        *(bool *)at = text[0] == 't';
    } else {
        if (r->has_root_key)
            return fail(r, node, m->name, "there is one source of the root key");
        if (m->count_off == KEYS_SEALED && strcmp(text, "true") != 0)
            return fail(r, node, m->name, "true is expected");
        r->has_root_key = true;
        r->owned->config.root_key = (struct keys_source){
            .kind = (enum keys_source_kind)m->count_off,
            .location = m->count_off == KEYS_SEALED ? NULL : text,
        };
    }
    return 0;
}

static int mapping_read(struct reader *r, const yaml_node_t *root)
{
    bool seen[ARRAY_COUNT(members)] = { false };
    int rc = 0;

    if (root->type != YAML_MAPPING_NODE)
        return fail(r, root, "the file", "a mapping is expected");
    for (yaml_node_pair_t *p = root->data.mapping.pairs.start;
         rc == 0 && p < root->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(&r->document, p->key);
        const char *name =
            key->type == YAML_SCALAR_NODE ? (const char *)key->data.scalar.value : "?";
        unsigned i = 0;

        while (i < ARRAY_COUNT(members) && strcmp(members[i].name, name) != 0)
            i++;
        if (i == ARRAY_COUNT(members))
            return fail(r, key, name, "there is no such member");
        if (seen[i])
            return fail(r, key, name, "it is there twice");
        seen[i] = true;
        rc = member_read(r, &members[i], yaml_document_get_node(&r->document, p->value));
    }
    return rc;
}

static int file_load(struct reader *r, FILE *f)
{
    yaml_parser_t parser;
    yaml_node_t *root;
    int rc;

    if (!yaml_parser_initialize(&parser))
        return -ENOMEM;
    yaml_parser_set_input_file(&parser, f);
    if (!yaml_parser_load(&parser, &r->document)) {
        rc = err_set(r->err, -EINVAL, "%s:%zu: %s", r->path, parser.problem_mark.line + 1,
                     parser.problem ? parser.problem : "malformed");
    } else {
        root = yaml_document_get_root_node(&r->document);
        rc = root ? mapping_read(r, root) : err_set(r->err, -EINVAL, "%s is empty", r->path);
        yaml_document_delete(&r->document);
    }
    yaml_parser_delete(&parser);
    return rc;
}

/* Whether only this host can connect. */
static bool is_local(const char *listen)
{
    return strncmp(listen, "unix:", 5) == 0 || strncmp(listen, "127.", 4) == 0 ||
           strncmp(listen, "[::1]:", 6) == 0;
}

static int nodes_complete(struct reader *r)
{
    struct server_config *c = &r->owned->config;

    if (!c->node_evidence)
        c->node_evidence = "required";
    if (strcmp(c->node_evidence, "required") != 0 && strcmp(c->node_evidence, "optional") != 0)
        return err_set(r->err, -EINVAL, "%s: node_evidence: required or optional is expected",
                       r->path);
    if (!c->node_evidence_s)
        c->node_evidence_s = NODE_EVIDENCE_DEFAULT_S;
    if (c->node_evidence_s < NODE_EVIDENCE_MIN_S)
        return err_set(r->err, -EINVAL, "%s: node_evidence_s: at least %u is expected", r->path,
                       NODE_EVIDENCE_MIN_S);
    for (unsigned i = 0; i < c->node_mrenclave_count; i++)
        if (strlen(c->node_mrenclaves[i]) != 64 ||
            strspn(c->node_mrenclaves[i], "0123456789abcdef") != 64)
            return err_set(r->err, -EINVAL,
                           "%s: node_mrenclaves: 64 lower-case hexadecimal digits are expected",
                           r->path);
    return 0;
}

static int complete(struct reader *r)
{
    struct server_config *c = &r->owned->config;

    if (!c->store_url)
        return err_set(r->err, -EINVAL, "%s: store: it is missing", r->path);
    if (!r->has_root_key)
        return err_set(r->err, -EINVAL,
                       "%s: one of root_key_passphrase_file, root_key_pkcs11 and root_key_sealed "
                       "is missing",
                       r->path);
    if (!c->tls_certificate != !c->tls_key)
        return err_set(r->err, -EINVAL, "%s: tls_certificate and tls_key go together", r->path);
    if (!c->listen)
        c->listen = "127.0.0.1:8443";
    if (c->plain_http && !is_local(c->listen))
        return err_set(r->err, -EINVAL,
                       "%s: plain_http: listen is neither a loopback address nor a UNIX socket",
                       r->path);
    if (c->name_count == 0) {
        c->names[c->name_count++] = "localhost";
        c->names[c->name_count++] = "127.0.0.1";
    }
    if (!c->trust_domain)
        c->trust_domain = "cloche.local";
    if (!c->collateral_refresh_s)
        c->collateral_refresh_s = REFRESH_DEFAULT_S;
    return nodes_complete(r);
}

int config_read(const char *path, struct server_config **ret, struct err *err)
{
    struct owned *owned = calloc(1, sizeof *owned);
    struct reader r = { .path = path, .owned = owned, .err = err };
    FILE *f = owned ? fopen(path, "re") : NULL;
    int rc = !owned ? -ENOMEM : f ? 0 : err_set_errno(err, -errno, "cannot open %s", path);

    if (rc == 0 &&
        (fseek(f, 0, SEEK_END) < 0 || ftell(f) > (long)FILE_SIZE_MAX || fseek(f, 0, SEEK_SET) < 0))
        rc = err_set(err, -EFBIG, "%s is no file, or too large", path);
    if (rc == 0)
        rc = file_load(&r, f);
    if (rc == 0)
        rc = complete(&r);
    if (f)
        fclose(f);
    if (rc < 0) {
        config_free(owned ? &owned->config : NULL);
        return rc;
    }
    *ret = &owned->config;
    return 0;
}

void config_free(struct server_config *config)
{
    struct owned *owned;

    if (!config)
        return;
    owned = CONTAINER_OF(config, struct owned, config);
    for (unsigned i = 0; i < owned->text_count; i++)
        free(owned->texts[i]);
    free(owned);
}
