/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptor: the reader of its canonical JSON (RFC 8785), docs/image.md. Shared; builds freestanding. It wants each member, in order, and
 * then compares the text with what the writer makes of what it read: so there is exactly one text for one descriptor.
 */
#include "lib/descriptor.h"

#include <errno.h>
#include <string.h>

#include "abi/image.h"
#include "lib/checked.h"
#include "lib/descriptor_part.h"
#include "lib/json_pull.h"

struct reader {
    struct json_pull json;
    uint8_t *arena;
    size_t arena_size;
    size_t arena_used;
    int rc; /* first failure; later reads do nothing */
};

static void *arena_get(struct reader *r, size_t size, size_t alignment)
{
    uintptr_t start = (uintptr_t)r->arena + r->arena_used;
    size_t skip = (size_t)(-start & (alignment - 1));

    if (r->rc < 0)
        return NULL;
    if (!range_within(r->arena_used, skip, r->arena_size) ||
        !range_within(r->arena_used + skip, size, r->arena_size)) {
        r->rc = -ENOSPC;
        r->json.error = "the descriptor is too large";
        return NULL;
    }
    r->arena_used += skip + size;
    return (uint8_t *)start + skip;
}

static void fail(struct reader *r, const char *error)
{
    if (r->rc == 0)
        r->rc = json_pull_fail(&r->json, error);
}

/* The next member must be this one. error names it for people. */
static void expect(struct reader *r, const char *name, const char *error)
{
    struct json_pull_text text;

    if (r->rc < 0)
        return;
    int rc = json_pull_object_next(&r->json, &text);

    if (rc < 0)
        r->rc = rc;
    else if (rc == 0 || !json_pull_text_is(&text, name))
        fail(r, error);
}
#define EXPECT(r, name) expect(r, name, "member \"" name "\" is missing or not in its place")

static const char *read_string(struct reader *r)
{
    struct json_pull_text text;

    if (r->rc == 0)
        r->rc = json_pull_string(&r->json, &text);
    if (r->rc < 0)
        return "";
    char *dst = arena_get(r, text.raw_size + 1, 1);

    if (!dst || json_pull_text_decode(&text, dst, text.raw_size + 1) < 0)
        return "";
    return dst;
}

static uint64_t read_uint(struct reader *r, uint64_t max)
{
    uint64_t value = 0;

    if (r->rc == 0)
        r->rc = json_pull_uint(&r->json, max, &value);
    return value;
}

static bool read_bool(struct reader *r)
{
    bool value = false;

    if (r->rc == 0)
        r->rc = json_pull_bool(&r->json, &value);
    return value;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Hexadecimal bytes. returns: how many. */
static uint32_t read_hex(struct reader *r, uint8_t *dst, size_t size_max)
{
    struct json_pull_text text = { "", 0 };

    if (r->rc == 0)
        r->rc = json_pull_string(&r->json, &text);
    if (r->rc == 0 && (text.raw_size % 2 != 0 || text.raw_size / 2 > size_max))
        fail(r, "hexadecimal bytes of another length are expected");
    for (size_t i = 0; r->rc == 0 && i < text.raw_size; i += 2) {
        int high = hex_digit(text.raw[i]), low = hex_digit(text.raw[i + 1]);

        if (high < 0 || low < 0)
            fail(r, "hexadecimal digits in lower case are expected");
        else
            dst[i / 2] = (uint8_t)(high << 4 | low);
    }
    return r->rc == 0 ? (uint32_t)(text.raw_size / 2) : 0;
}

/* Opens the array that is next and counts its values. */
static uint32_t read_array(struct reader *r, uint32_t count_max, const char *error)
{
    uint32_t count = 0;
    int rc = r->rc;

    if (rc == 0)
        rc = json_pull_array_begin(&r->json);
    struct json_pull ahead = r->json;

    while (rc == 0 && (rc = json_pull_array_next(&ahead)) > 0) {
        rc = json_pull_skip(&ahead);
        if (++count > count_max)
            fail(r, error);
        if (r->rc < 0)
            return 0;
    }
    if (rc < 0 && !r->json.error) {
        r->json.error = ahead.error;
        r->json.pos = ahead.pos;
    }
    r->rc = rc;
    return rc == 0 ? count : 0;
}

/* Moves on to the next value, which is known to be there, or to the end of the array. */
static void next_value(struct reader *r)
{
    if (r->rc == 0) {
        int rc = json_pull_array_next(&r->json);

        r->rc = rc < 0 ? rc : 0;
    }
}

static void expect_end(struct reader *r)
{
    struct json_pull_text text;

    if (r->rc == 0) {
        int rc = json_pull_object_next(&r->json, &text);

        if (rc > 0)
            fail(r, "unknown member");
        else
            r->rc = rc;
    }
}

static void read_args(struct reader *r, struct descriptor *d)
{
    uint32_t count = read_array(r, DESCRIPTOR_ARGS_MAX, "args: too many");
    const char **args = arena_get(r, count * sizeof *args, sizeof(void *));

    for (uint32_t i = 0; i < count && r->rc == 0; i++) {
        next_value(r);
        args[i] = read_string(r);
    }
    next_value(r);
    d->args = args;
    d->args_count = count;
}

static void read_env(struct reader *r, struct descriptor *d)
{
    uint32_t count = read_array(r, DESCRIPTOR_ENV_MAX, "env: too many");
    struct descriptor_env *env = arena_get(r, count * sizeof *env, sizeof(void *));

    for (uint32_t i = 0; i < count && r->rc == 0; i++) {
        next_value(r);
        r->rc = r->rc < 0 ? r->rc : json_pull_object_begin(&r->json);
        EXPECT(r, "name");
        env[i].name = read_string(r);
        EXPECT(r, "value");
        env[i].value = NULL;
        if (r->rc == 0 && json_pull_peek(&r->json) == JSON_PULL_NULL)
            r->rc = json_pull_null(&r->json);
        else
            env[i].value = read_string(r);
        expect_end(r);
    }
    next_value(r);
    d->env = env;
    d->env_count = count;
}

static void read_groups(struct reader *r, struct descriptor *d)
{
    uint32_t count = read_array(r, DESCRIPTOR_GROUPS_MAX, "groups: too many");
    uint32_t *groups = arena_get(r, count * sizeof *groups, sizeof *groups);

    for (uint32_t i = 0; i < count && r->rc == 0; i++) {
        next_value(r);
        groups[i] = (uint32_t)read_uint(r, UINT32_MAX);
    }
    next_value(r);
    d->groups = groups;
    d->groups_count = count;
}

static void read_mounts(struct reader *r, struct descriptor *d)
{
    uint32_t count = read_array(r, DESCRIPTOR_MOUNTS_MAX, "mounts: too many");
    struct descriptor_mount *mounts = arena_get(r, count * sizeof *mounts, sizeof(void *));

    for (uint32_t i = 0; i < count && r->rc == 0; i++) {
        struct json_pull_text kind = { "", 0 };

        next_value(r);
        r->rc = r->rc < 0 ? r->rc : json_pull_object_begin(&r->json);
        EXPECT(r, "kind");
        if (r->rc == 0)
            r->rc = json_pull_string(&r->json, &kind);
        bool host = json_pull_text_is(&kind, "host");

        if (!host && !json_pull_text_is(&kind, "tmpfs"))
            fail(r, "mounts: unknown kind");
        mounts[i].kind = host ? DESCRIPTOR_MOUNT_HOST : DESCRIPTOR_MOUNT_TMPFS;
        EXPECT(r, "path");
        mounts[i].path = read_string(r);
        EXPECT(r, "read_only");
        mounts[i].read_only = read_bool(r);
        EXPECT(r, "size");
        mounts[i].size = read_uint(r, DESCRIPTOR_NUMBER_MAX);
        expect_end(r);
    }
    next_value(r);
    d->mounts = mounts;
    d->mounts_count = count;
}

static void read_server(struct reader *r, struct descriptor *d)
{
    struct descriptor_server *server;
    const char **urls;

    if (r->rc == 0 && json_pull_peek(&r->json) == JSON_PULL_NULL) {
        r->rc = json_pull_null(&r->json);
        return;
    }
    server = arena_get(r, sizeof *server, sizeof(void *));
    r->rc = r->rc < 0 ? r->rc : json_pull_object_begin(&r->json);
    if (r->rc < 0)
        return;
    EXPECT(r, "ca_key_sha256");
    if (read_hex(r, server->ca_key_sha256, sizeof server->ca_key_sha256) !=
        sizeof server->ca_key_sha256)
        fail(r, "server.ca_key_sha256: 32 bytes are expected");
    EXPECT(r, "reload_signal");
    server->reload_signal = read_string(r);
    EXPECT(r, "start_limit_s");
    server->start_limit_s = (uint32_t)read_uint(r, DESCRIPTOR_START_LIMIT_MAX);
    EXPECT(r, "urls");
    server->urls_count = read_array(r, DESCRIPTOR_URLS_MAX, "server.urls: too many");
    urls = arena_get(r, server->urls_count * sizeof *urls, sizeof(void *));
    for (uint32_t i = 0; i < server->urls_count && r->rc == 0; i++) {
        next_value(r);
        urls[i] = read_string(r);
    }
    next_value(r);
    expect_end(r);
    server->urls = urls;
    d->server = server;
}

static void read_members(struct reader *r, struct descriptor *d)
{
    EXPECT(r, "args");
    read_args(r, d);
    EXPECT(r, "args_fixed");
    d->args_fixed = (uint32_t)read_uint(r, DESCRIPTOR_ARGS_MAX);
    EXPECT(r, "args_from_host");
    d->args_from_host = read_bool(r);
    EXPECT(r, "debug");
    d->debug = read_bool(r);
    EXPECT(r, "elrange_size");
    d->elrange_size = read_uint(r, DESCRIPTOR_NUMBER_MAX);
    EXPECT(r, "env");
    read_env(r, d);
    EXPECT(r, "gid");
    d->gid = (uint32_t)read_uint(r, UINT32_MAX);
    EXPECT(r, "groups");
    read_groups(r, d);
    EXPECT(r, "host_files");
    d->host_files = read_bool(r);
    EXPECT(r, "hostname");
    d->hostname = read_string(r);
    EXPECT(r, "memory_size");
    d->memory_size = read_uint(r, DESCRIPTOR_NUMBER_MAX);
    EXPECT(r, "mounts");
    read_mounts(r, d);
    EXPECT(r, "name");
    d->name = read_string(r);
    EXPECT(r, "rootfs_size");
    d->rootfs_size = read_uint(r, DESCRIPTOR_NUMBER_MAX);
    EXPECT(r, "server");
    read_server(r, d);
    EXPECT(r, "stop_signal");
    d->stop_signal = read_string(r);
    EXPECT(r, "threads_max");
    d->threads_max = (uint32_t)read_uint(r, UINT32_MAX);
    EXPECT(r, "uid");
    d->uid = (uint32_t)read_uint(r, UINT32_MAX);
    EXPECT(r, "verity_root");
    if (read_hex(r, d->verity_root, sizeof d->verity_root) != sizeof d->verity_root)
        fail(r, "verity_root: 32 bytes are expected");
    EXPECT(r, "verity_salt");
    d->verity_salt_size = read_hex(r, d->verity_salt, sizeof d->verity_salt);
    EXPECT(r, "version");
    d->version = (uint32_t)read_uint(r, UINT32_MAX);
    EXPECT(r, "workdir");
    d->workdir = read_string(r);
    expect_end(r);
}

int descriptor_parse(const char *json, size_t json_size, void *arena, size_t arena_size,
                     struct descriptor *ret, const char **ret_error)
{
    struct reader r = { .arena = arena, .arena_size = arena_size };
    struct descriptor d = { 0 };

    json_pull_init(&r.json, json, json_size);
    if (json_size > IMAGE_DESCRIPTOR_SIZE_MAX)
        fail(&r, "the descriptor is too large");
    if (r.rc == 0)
        r.rc = json_pull_object_begin(&r.json);
    read_members(&r, &d);
    if (r.rc == 0)
        r.rc = json_pull_end(&r.json);
    if (r.rc < 0) {
        *ret_error = r.json.error ? r.json.error : "malformed";
        return r.rc;
    }
    *ret_error = descriptor_check(&d);
    if (*ret_error)
        return -EINVAL;
    if (!descriptor_is_text(&d, json, json_size)) {
        *ret_error = "not in canonical form";
        return -EINVAL;
    }
    *ret = d;
    return 0;
}
