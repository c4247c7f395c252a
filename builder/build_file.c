/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cloche.yaml through libyaml's documents. Relying party. Each mapping has a table of its keys; unknown,
 * repeated and ill-typed ones are errors with their line.
 */
#include "builder/build_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "abi/image.h"

struct reader {
    yaml_document_t document;
    const char *name;
    struct arena *arena;
    struct build_file *file;
    struct err *err;
};

struct key {
    const char *name;
    int (*read)(struct reader *r, yaml_node_t *node, const char *path, void *arg);
};

static int fail(struct reader *r, const yaml_node_t *node, const char *path, const char *problem)
{
    return err_set(r->err, -EINVAL, "%s:%zu: %s: %s", r->name, node->start_mark.line + 1, path,
                   problem);
}

static yaml_node_t *node_at(struct reader *r, int index)
{
    return yaml_document_get_node(&r->document, index);
}

/* ---- Values ---- */

static bool is_null(const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;

    return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!text[0] || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

static int text_read(struct reader *r, yaml_node_t *node, const char *path, const char **ret)
{
    if (node->type != YAML_SCALAR_NODE || is_null(node))
        return fail(r, node, path, "a text is expected");
    size_t len = node->data.scalar.length;

    if (memchr(node->data.scalar.value, '\0', len))
        return fail(r, node, path, "a text without NUL characters is expected");
    *ret = arena_copy(r->arena, node->data.scalar.value, len);
    return *ret ? 0 : -ENOMEM;
}

static int bool_read(struct reader *r, yaml_node_t *node, const char *path, bool *ret)
{
    const char *text = (const char *)node->data.scalar.value;

    if (node->type != YAML_SCALAR_NODE || (strcmp(text, "true") != 0 && strcmp(text, "false") != 0))
        return fail(r, node, path, "true or false is expected");
    *ret = text[0] == 't';
    return 0;
}

/* Digits and, for sizes, one of K, M, G, T, with or without "iB". */
static int number_read(struct reader *r, yaml_node_t *node, const char *path, bool size,
                       uint64_t *ret)
{
    static const char units[] = "KMGT";
    const char *expected = size ? "a size like 512M or 2G is expected" : "a number is expected";
    const char *text;
    uint64_t value = 0;

    if (node->type != YAML_SCALAR_NODE)
        return fail(r, node, path, expected);
    text = (const char *)node->data.scalar.value;
    if (text[0] < '0' || text[0] > '9')
        return fail(r, node, path, expected);
    for (; *text >= '0' && *text <= '9'; text++) {
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > DESCRIPTOR_NUMBER_MAX)
            return fail(r, node, path, "the number is too large");
    }
    const char *unit = size && *text ? strchr(units, *text) : NULL;

    if (unit) {
        unsigned shift = 10 * (unsigned)(unit - units + 1);

        if (value > DESCRIPTOR_NUMBER_MAX >> shift)
            return fail(r, node, path, "the size is too large");
        value <<= shift;
        text += strncmp(text + 1, "iB", 2) == 0 ? 3 : 1;
    }
    if (*text)
        return fail(r, node, path, expected);
    *ret = value;
    return 0;
}

static int list_read(struct reader *r, yaml_node_t *node, const char *path, size_t count_max,
                     struct build_file_list *ret)
{
    struct build_file_list list = { 0 };

    if (node->type != YAML_SEQUENCE_NODE)
        return fail(r, node, path, "a list is expected, like [a, b]");
    size_t count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);

    if (count > count_max)
        return fail(r, node, path, "the list is too long");
    list.items = arena_alloc(r->arena, count * sizeof *list.items);
    if (!list.items)
        return -ENOMEM;
    for (; list.count < count; list.count++) {
        int rc = text_read(r, node_at(r, node->data.sequence.items.start[list.count]), path,
                           &list.items[list.count]);

        if (rc < 0)
            return rc;
    }
    *ret = list;
    return 0;
}

static const struct key *key_find(const struct key *keys, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

/* Reads a mapping by its table. prefix: path of the mapping, "" or "limits.". */
static int mapping_read(struct reader *r, yaml_node_t *node, const char *prefix,
                        const struct key *keys, size_t count, void *arg)
{
    if (node->type != YAML_MAPPING_NODE)
        return fail(r, node, prefix[0] ? prefix : "the file",
                    "a mapping is expected, like key: value");
    yaml_node_pair_t *pairs = node->data.mapping.pairs.start, *end = node->data.mapping.pairs.top;

    for (yaml_node_pair_t *p = pairs; p < end; p++) {
        yaml_node_t *name = node_at(r, p->key);
        const char *text = name->type == YAML_SCALAR_NODE ? (char *)name->data.scalar.value : "?";
        const char *path = arena_printf(r->arena, "%s%s", prefix, text);
        const struct key *key = key_find(keys, count, text);

        if (!path)
            return -ENOMEM;
        if (!key)
            return fail(r, name, path, "unknown key");
        for (yaml_node_pair_t *q = pairs; q < p; q++)
            if (strcmp((char *)node_at(r, q->key)->data.scalar.value, text) == 0)
                return fail(r, name, path, "the key occurs twice");
        int rc = key->read(r, node_at(r, p->value), path, arg);

        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- Keys ---- */

#define TEXT_KEY(member)                                                                           \
    static int member##_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)      \
    {                                                                                              \
        return text_read(r, node, path, &r->file->member);                                         \
    }
TEXT_KEY(name)
TEXT_KEY(workdir)
TEXT_KEY(user)
TEXT_KEY(hostname)
TEXT_KEY(stop_signal)

static int host_files_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    return bool_read(r, node, path, &r->file->host_files);
}

static int debug_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    return bool_read(r, node, path, &r->file->debug);
}

static int entrypoint_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    r->file->has_entrypoint = true;
    return list_read(r, node, path, DESCRIPTOR_ARGS_MAX, &r->file->entrypoint);
}

static int args_default_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    r->file->has_args = true;
    return list_read(r, node, path, DESCRIPTOR_ARGS_MAX, &r->file->args);
}

static int args_from_host_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    r->file->has_args_from_host = true;
    return bool_read(r, node, path, &r->file->args_from_host);
}

static int args_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    static const struct key keys[] = { { "default", args_default_key },
                                       { "from_host", args_from_host_key } };

    if (node->type == YAML_SEQUENCE_NODE)
        return args_default_key(r, node, path, arg);
    if (node->type != YAML_MAPPING_NODE)
        return fail(r, node, path, "a list is expected, or default: and from_host:");
    return mapping_read(r, node, "args.", keys, ARRAY_COUNT(keys), NULL);
}

static int env_add(struct reader *r, const yaml_node_t *node, const char *path, const char *name,
                   const char *value)
{
    struct build_file *f = r->file;

    if (!name[0] || strchr(name, '='))
        return fail(r, node, path, "a name without '=' is expected");
    for (size_t i = 0; i < f->env_count; i++)
        if (strcmp(f->env[i].name, name) == 0)
            return fail(r, node, path, "the name occurs twice");
    if (f->env_count == DESCRIPTOR_ENV_MAX)
        return fail(r, node, path, "too many names");
    if (!f->env)
        f->env = arena_alloc(r->arena, DESCRIPTOR_ENV_MAX * sizeof *f->env);
    if (!f->env)
        return -ENOMEM;
    ((struct descriptor_env *)f->env)[f->env_count++] = (struct descriptor_env){ name, value };
    return 0;
}

static int env_set_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    if (node->type != YAML_MAPPING_NODE)
        return fail(r, node, path, "a mapping is expected, like NAME: value");
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
         p++) {
        const char *name, *value;
        int rc = text_read(r, node_at(r, p->key), path, &name);

        if (rc < 0)
            return rc;
        const char *full = arena_printf(r->arena, "%s.%s", path, name);
        yaml_node_t *node_value = node_at(r, p->value);

        if (!full)
            return -ENOMEM;
        value = "";
        rc = is_null(node_value) ? 0 : text_read(r, node_value, full, &value);
        if (rc == 0)
            rc = env_add(r, node_value, full, name, value);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int env_from_host_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    struct build_file_list list = { 0 };
    int rc = list_read(r, node, path, DESCRIPTOR_ENV_MAX, &list);

    for (size_t i = 0; i < list.count && rc == 0; i++)
        rc = env_add(r, node_at(r, node->data.sequence.items.start[i]), path, list.items[i], NULL);
    return rc;
}

static int env_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    static const struct key keys[] = { { "set", env_set_key }, { "from_host", env_from_host_key } };

    return mapping_read(r, node, "env.", keys, ARRAY_COUNT(keys), NULL);
}

static int mount_type_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    struct descriptor_mount *m = arg;
    const char *kind = "";
    int rc = text_read(r, node, path, &kind);

    if (rc < 0)
        return rc;
    if (strcmp(kind, "tmpfs") != 0 && strcmp(kind, "host") != 0)
        return fail(r, node, path, "tmpfs or host is expected");
    m->kind = kind[0] == 't' ? DESCRIPTOR_MOUNT_TMPFS : DESCRIPTOR_MOUNT_HOST;
    return 0;
}

static int mount_path_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    return text_read(r, node, path, &((struct descriptor_mount *)arg)->path);
}

static int mount_size_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    return number_read(r, node, path, true, &((struct descriptor_mount *)arg)->size);
}

static int mount_read_only_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    return bool_read(r, node, path, &((struct descriptor_mount *)arg)->read_only);
}

static int mount_read(struct reader *r, yaml_node_t *node, struct descriptor_mount *m)
{
    static const struct key keys[] = { { "type", mount_type_key },
                                       { "path", mount_path_key },
                                       { "size", mount_size_key },
                                       { "read_only", mount_read_only_key } };
    int rc;

    m->kind = (enum descriptor_mount_kind) - 1;
    rc = mapping_read(r, node, "mounts.", keys, ARRAY_COUNT(keys), m);
    if (rc < 0)
        return rc;
    if (m->kind == (enum descriptor_mount_kind) - 1)
        return fail(r, node, "mounts.type", "is missing");
    if (!m->path)
        return fail(r, node, "mounts.path", "is missing");
    if (m->path[0] != '/' || !m->path[1])
        return fail(r, node, "mounts.path", "an absolute path, not the root, is expected");
    if (m->kind == DESCRIPTOR_MOUNT_HOST && m->size > 0)
        return fail(r, node, "mounts.size", "a host folder has no size");
    return 0;
}

static int mounts_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    if (node->type != YAML_SEQUENCE_NODE)
        return fail(r, node, path, "a list is expected");
    size_t count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    struct descriptor_mount *mounts = arena_alloc(r->arena, count * sizeof *mounts);

    if (!mounts)
        return -ENOMEM;
    if (count > DESCRIPTOR_MOUNTS_MAX)
        return fail(r, node, path, "too many mounts");
    for (size_t i = 0; i < count; i++) {
        int rc = mount_read(r, node_at(r, node->data.sequence.items.start[i]), &mounts[i]);

        if (rc < 0)
            return rc;
    }
    r->file->mounts = mounts;
    r->file->mounts_count = count;
    return 0;
}

static int memory_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    int rc = number_read(r, node, path, true, &r->file->memory_size);

    if (rc == 0 && r->file->memory_size < DESCRIPTOR_MEMORY_MIN)
        return fail(r, node, path, "at least 32M is expected");
    return rc;
}

static int threads_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    uint64_t count = 0;
    int rc = number_read(r, node, path, false, &count);

    if (rc == 0 && (count < 1 || count > LIBOS_SLOT_COUNT_MAX))
        return fail(r, node, path, "1 to 4096 is expected");
    if (rc == 0)
        r->file->threads_max = (uint32_t)count;
    return rc;
}

static int number_16_read(struct reader *r, yaml_node_t *node, const char *path, uint16_t *ret)
{
    uint64_t value = 0;
    int rc = number_read(r, node, path, false, &value);

    if (rc == 0 && value > UINT16_MAX)
        return fail(r, node, path, "0 to 65535 is expected");
    if (rc == 0)
        *ret = (uint16_t)value;
    return rc;
}

static int isv_prod_id_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    return number_16_read(r, node, path, &r->file->isv_prod_id);
}

static int isv_svn_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    return number_16_read(r, node, path, &r->file->isv_svn);
}

static int address_space_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    uint64_t size = 0;
    int rc = number_read(r, node, path, true, &size);

    if (rc == 0 && (size < ELRANGE_SIZE_MIN || size > ELRANGE_SIZE_MAX || (size & (size - 1)) != 0))
        return fail(r, node, path, "a power of two from 64G to 64T is expected");
    if (rc == 0)
        r->file->elrange_size = size;
    return rc;
}

static int limits_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    static const struct key keys[] = { { "memory", memory_key },
                                       { "threads", threads_key },
                                       { "address_space", address_space_key } };

    return mapping_read(r, node, "limits.", keys, ARRAY_COUNT(keys), NULL);
}

static int server_urls_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    return list_read(r, node, path, DESCRIPTOR_URLS_MAX, &r->file->server_urls);
}

static int server_ca_key_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    return text_read(r, node, path, &r->file->server_ca_key);
}

static int server_reload_signal_key(struct reader *r, yaml_node_t *node, const char *path,
                                    void *arg)
{
    return text_read(r, node, path, &r->file->server_reload_signal);
}

static int server_start_limit_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    uint64_t value = 0;
    int rc = number_read(r, node, path, false, &value);

    if (rc == 0 && (value < 1 || value > DESCRIPTOR_START_LIMIT_MAX))
        return fail(r, node, path, "1 to 86400 seconds is expected");
    if (rc == 0)
        r->file->server_start_limit_s = (uint32_t)value;
    return rc;
}

static int server_key(struct reader *r, yaml_node_t *node, const char *path, void *arg)
{
    static const struct key keys[] = { { "urls", server_urls_key },
                                       { "ca_key_sha256", server_ca_key_key },
                                       { "reload_signal", server_reload_signal_key },
                                       { "start_limit_s", server_start_limit_key } };

    r->file->has_server = true;
    return mapping_read(r, node, "server.", keys, ARRAY_COUNT(keys), NULL);
}

static const struct key g_keys[] = {
    { "name", name_key },         { "entrypoint", entrypoint_key },   { "args", args_key },
    { "env", env_key },           { "workdir", workdir_key },         { "user", user_key },
    { "hostname", hostname_key }, { "stop_signal", stop_signal_key }, { "mounts", mounts_key },
    { "limits", limits_key },     { "host_files", host_files_key },   { "debug", debug_key },
    { "isv_svn", isv_svn_key },   { "isv_prod_id", isv_prod_id_key }, { "server", server_key },
};

/* ---- Interface ---- */

static void parser_delete(yaml_parser_t *parser)
{
    yaml_parser_delete(parser);
}

static int document_read(struct reader *r, yaml_parser_t *parser)
{
    yaml_document_t second;

    if (!yaml_parser_load(parser, &r->document))
        return err_set(r->err, -EINVAL, "%s:%zu: %s", r->name, parser->problem_mark.line + 1,
                       parser->problem ? parser->problem : "malformed");
    yaml_node_t *root = yaml_document_get_root_node(&r->document);
    int rc =
        root && !is_null(root) ? mapping_read(r, root, "", g_keys, ARRAY_COUNT(g_keys), NULL) : 0;

    yaml_document_delete(&r->document);
    if (rc < 0 || !root)
        return rc;
    if (!yaml_parser_load(parser, &second))
        return err_set(r->err, -EINVAL, "%s:%zu: %s", r->name, parser->problem_mark.line + 1,
                       parser->problem ? parser->problem : "malformed");
    bool more = yaml_document_get_root_node(&second) != NULL;

    yaml_document_delete(&second);
    return more ? err_set(r->err, -EINVAL, "%s: one document is expected", r->name) : 0;
}

int build_file_parse(const char *text, size_t size, const char *name, struct arena *arena,
                     struct build_file *ret, struct err *err)
{
    CLEANUP(parser_delete)
    yaml_parser_t parser = { 0 };
    struct build_file file = { 0 };
    struct reader r = { .name = name, .arena = arena, .file = &file, .err = err };

    if (size > BUILD_FILE_SIZE_MAX)
        return err_set(err, -EFBIG, "%s is too large", name);
    if (!yaml_parser_initialize(&parser))
        return -ENOMEM;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    int rc = document_read(&r, &parser);

    if (rc == 0)
        *ret = file;
    return rc;
}

int build_file_read(const char *path, struct arena *arena, struct build_file *ret, struct err *err)
{
    char *text = arena_alloc(arena, BUILD_FILE_SIZE_MAX + 1);
    int fd = text ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    size_t size = 0;
    ssize_t n = -1;

    if (fd < 0)
        return err_set_errno(err, text ? -errno : -ENOMEM, "cannot open %s", path);
    while (size <= BUILD_FILE_SIZE_MAX &&
           (n = read(fd, text + size, BUILD_FILE_SIZE_MAX + 1 - size)) > 0)
        size += (size_t)n;
    int rc = n < 0 ? err_set_errno(err, -errno, "cannot read %s", path) : 0;

    close(fd);
    return rc < 0 ? rc : build_file_parse(text, size, path, arena, ret, err);
}
