/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptor: reader and writer of its canonical JSON (RFC 8785), docs/image.md. Shared; builds
 * freestanding. The reader wants each member, in order, and then encodes what it read and compares
 * that with the text: so there is exactly one text for one descriptor.
 */
#include "lib/descriptor.h"

#include <errno.h>
#include <string.h>

#include "abi/agent.h"
#include "abi/image.h"
#include "lib/checked.h"
#include "lib/json_pull.h"

/* ---- Rules for values: the same for reader and writer ---- */

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Letters, digits and the characters of extra; 1 to len_max of them. */
static bool is_word(const char *s, const char *extra, size_t len_max)
{
    size_t len = 0;

    for (; s[len]; len++) {
        bool allowed = is_alnum(s[len]);

        for (const char *e = extra; *e; e++)
            allowed = allowed || *e == s[len];
        if (!allowed || len == len_max)
            return false;
    }
    return len > 0;
}

/* Absolute, no empty, "." or ".." component, no slash at the end (but "/" itself). */
static bool is_path(const char *s)
{
    if (s[0] != '/')
        return false;
    if (s[1] == '\0')
        return true;
    for (size_t i = 0; s[i] == '/';) {
        size_t start = ++i;

        while (s[i] && s[i] != '/')
            i++;
        size_t len = i - start;

        if (len == 0 || (len <= 2 && s[start] == '.' && (len == 1 || s[start + 1] == '.')))
            return false;
    }
    return true;
}

static bool is_env_name(const char *s)
{
    size_t len = 0;

    for (; s[len]; len++)
        if (s[len] == '=')
            return false;
    return len > 0;
}

static const char *check_env(const struct descriptor *d)
{
    if (d->env_count > DESCRIPTOR_ENV_MAX)
        return "env: too many";
    for (uint32_t i = 0; i < d->env_count; i++) {
        if (!is_env_name(d->env[i].name))
            return "env: a name is empty or holds '='";
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(d->env[i].name, d->env[k].name) == 0)
                return "env: a name occurs twice";
    }
    return NULL;
}

static const char *check_mounts(const struct descriptor *d)
{
    if (d->mounts_count > DESCRIPTOR_MOUNTS_MAX)
        return "mounts: too many";
    for (uint32_t i = 0; i < d->mounts_count; i++) {
        const struct descriptor_mount *m = &d->mounts[i];

        if (m->kind != DESCRIPTOR_MOUNT_TMPFS && m->kind != DESCRIPTOR_MOUNT_HOST)
            return "mounts: unknown kind";
        if (!is_path(m->path) || m->path[1] == '\0')
            return "mounts: path must be absolute, plain, and not the root";
        if (m->size > DESCRIPTOR_NUMBER_MAX || (m->kind == DESCRIPTOR_MOUNT_HOST && m->size != 0))
            return "mounts: size out of range";
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(m->path, d->mounts[k].path) == 0)
                return "mounts: a path occurs twice";
    }
    return NULL;
}

/* "" or ":" and digits. */
static bool is_port(const char *s)
{
    uint32_t value = 0;

    if (s[0] == '\0')
        return true;
    if (s[0] != ':' || s[1] < '1' || s[1] > '9')
        return false;
    for (s++; *s >= '0' && *s <= '9' && value <= 65535; s++)
        value = value * 10 + (uint32_t)(*s - '0');
    return *s == '\0' && value <= 65535;
}

bool descriptor_url_is_valid(const char *url)
{
    static const char scheme[] = "https://";
    size_t len = strlen(url), start;
    const char *s = url + sizeof scheme - 1;
    bool is_v6;

    if (len > DESCRIPTOR_URL_LEN_MAX || strncmp(url, scheme, sizeof scheme - 1) != 0)
        return false;
    is_v6 = *s == '[';
    s += is_v6;
    start = (size_t)(s - url);
    while (is_alnum(*s) || *s == '.' || (!is_v6 && *s == '-') || (is_v6 && *s == ':'))
        s++;
    if ((size_t)(s - url) == start || (is_v6 && *s != ']'))
        return false;
    return is_port(s + is_v6);
}

/* What the agent delivers lies in these folders, which are enclave memory (abi/agent.h). */
static bool mount_disturbs(const struct descriptor_mount *m)
{
    static const char *const folders[] = { AGENT_RUN_FOLDER, AGENT_SECRETS_FOLDER };

    for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
        size_t len = strlen(m->path), folder_len = strlen(folders[i]);
        size_t common = len < folder_len ? len : folder_len;

        if (strncmp(m->path, folders[i], common) != 0)
            continue;
        if (len >= folder_len && (m->path[folder_len] == '/' || m->path[folder_len] == '\0'))
            return true;
        if (len < folder_len && folders[i][len] == '/' && m->kind == DESCRIPTOR_MOUNT_HOST)
            return true;
    }
    return false;
}

static const char *check_server(const struct descriptor *d)
{
    const struct descriptor_server *s = d->server;

    if (!s)
        return NULL;
    if (s->urls_count < 1 || s->urls_count > DESCRIPTOR_URLS_MAX)
        return "server.urls: 1 to 8 are expected";
    for (uint32_t i = 0; i < s->urls_count; i++)
        if (!descriptor_url_is_valid(s->urls[i]))
            return "server.urls: https://host or https://host:port is expected";
    if (s->reload_signal[0] &&
        (!is_word(s->reload_signal, "+-", 16) || strncmp(s->reload_signal, "SIG", 3) != 0))
        return "server.reload_signal: a name like SIGHUP is expected";
    if (s->start_limit_s < 1 || s->start_limit_s > DESCRIPTOR_START_LIMIT_MAX)
        return "server.start_limit_s: 1 to 86400 seconds";
    for (uint32_t i = 0; i < d->mounts_count; i++)
        if (mount_disturbs(&d->mounts[i]))
            return "mounts: " AGENT_RUN_FOLDER " and " AGENT_SECRETS_FOLDER
                   " are the agent's, where there is a server";
    return NULL;
}

static const char *check_sizes(const struct descriptor *d)
{
    uint64_t size = d->elrange_size;

    if (size < ELRANGE_SIZE_MIN || size > ELRANGE_SIZE_MAX || (size & (size - 1)) != 0)
        return "elrange_size: a power of two from 2^36 to 2^46 is expected";
    if (d->memory_size < DESCRIPTOR_MEMORY_MIN || d->memory_size > size ||
        !IS_ALIGNED(d->memory_size, PAGE_SIZE))
        return "memory_size: whole pages, 32 MiB or more, at most elrange_size";
    if (d->threads_max < 1 || d->threads_max > LIBOS_SLOT_COUNT_MAX)
        return "threads_max: 1 to 4096";
    if (d->rootfs_size < 2 * IMAGE_BLOCK_SIZE || d->rootfs_size > IMAGE_ROOTFS_SIZE_MAX ||
        !IS_ALIGNED(d->rootfs_size, IMAGE_BLOCK_SIZE))
        return "rootfs_size: whole blocks, two or more";
    if (d->verity_salt_size > sizeof d->verity_salt)
        return "verity_salt: longer than 32 bytes";
    return NULL;
}

static const char *check_texts(const struct descriptor *d)
{
    if (!json_pull_is_utf8(d->name) || !json_pull_is_utf8(d->workdir))
        return "name, workdir: not UTF-8";
    for (uint32_t i = 0; i < d->args_count; i++)
        if (!json_pull_is_utf8(d->args[i]))
            return "args: not UTF-8";
    for (uint32_t i = 0; i < d->env_count; i++)
        if (!json_pull_is_utf8(d->env[i].name) ||
            (d->env[i].value && !json_pull_is_utf8(d->env[i].value)))
            return "env: not UTF-8";
    for (uint32_t i = 0; i < d->mounts_count; i++)
        if (!json_pull_is_utf8(d->mounts[i].path))
            return "mounts: not UTF-8";
    return NULL;
}

const char *descriptor_check(const struct descriptor *d)
{
    const char *error;

    if (d->version != DESCRIPTOR_VERSION)
        return "version: not supported";
    if (d->args_count > DESCRIPTOR_ARGS_MAX)
        return "args: too many";
    if (d->args_fixed > d->args_count)
        return "args_fixed: more than there are args";
    if (d->args_count == 0 && !d->args_from_host)
        return "args: nothing to run, and the host may not say";
    if (d->args_count > 0 && d->args[0][0] == '\0')
        return "args: the program's name is empty";
    if (d->groups_count > DESCRIPTOR_GROUPS_MAX)
        return "groups: too many";
    if (!is_word(d->hostname, "-.", 64))
        return "hostname: 1 to 64 letters, digits, '-' and '.'";
    if (!is_word(d->stop_signal, "+-", 16) || strncmp(d->stop_signal, "SIG", 3) != 0)
        return "stop_signal: a name like SIGTERM is expected";
    if (!is_path(d->workdir))
        return "workdir: an absolute, plain path is expected";
    error = check_sizes(d);
    if (!error)
        error = check_env(d);
    if (!error)
        error = check_mounts(d);
    if (!error)
        error = check_server(d);
    return error ? error : check_texts(d);
}

/* ---- Writer ---- */

/* Writes to dst, or compares with it when compare is set. */
struct writer {
    char *dst;
    const char *compare;
    size_t size;
    size_t pos;
    bool failed; /* no room, or different */
};

static void put(struct writer *w, const char *bytes, size_t size)
{
    if (w->failed || size > w->size - w->pos) {
        w->failed = true;
        return;
    }
    if (w->compare)
        w->failed = memcmp(w->compare + w->pos, bytes, size) != 0;
    else
        memcpy(w->dst + w->pos, bytes, size);
    w->pos += size;
}

static void put_text(struct writer *w, const char *s)
{
    put(w, s, strlen(s));
}

/* RFC 8785, 3.2.2.2: two-character escapes where JSON has them, else \u00xx in lower case. */
static void put_string(struct writer *w, const char *s)
{
    static const char hex[] = "0123456789abcdef";
    static const char codes[] = "\b\t\n\f\r\"\\";
    static const char names[] = "btnfr\"\\";

    put(w, "\"", 1);
    for (; *s; s++) {
        char escape[6] = { '\\', 'u', '0', '0', hex[(uint8_t)*s >> 4], hex[*s & 15] };
        size_t size = (uint8_t)*s < 0x20 ? 6 : 0;

        for (size_t i = 0; i < sizeof codes - 1; i++)
            if (*s == codes[i]) {
                escape[1] = names[i];
                size = 2;
            }
        if (size > 0)
            put(w, escape, size);
        else
            put(w, s, 1);
    }
    put(w, "\"", 1);
}

static void put_uint(struct writer *w, uint64_t value)
{
    char digits[20];
    size_t pos = sizeof digits;

    do {
        digits[--pos] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    put(w, digits + pos, sizeof digits - pos);
}

static void put_bool(struct writer *w, bool value)
{
    put_text(w, value ? "true" : "false");
}

static void put_hex(struct writer *w, const uint8_t *bytes, size_t size)
{
    static const char hex[] = "0123456789abcdef";

    put(w, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        char pair[2] = { hex[bytes[i] >> 4], hex[bytes[i] & 15] };

        put(w, pair, 2);
    }
    put(w, "\"", 1);
}

static void put_comma(struct writer *w, uint32_t index)
{
    if (index > 0)
        put(w, ",", 1);
}

static void put_lists_front(struct writer *w, const struct descriptor *d)
{
    put_text(w, "{\"args\":[");
    for (uint32_t i = 0; i < d->args_count; i++) {
        put_comma(w, i);
        put_string(w, d->args[i]);
    }
    put_text(w, "],\"args_fixed\":");
    put_uint(w, d->args_fixed);
    put_text(w, ",\"args_from_host\":");
    put_bool(w, d->args_from_host);
    put_text(w, ",\"debug\":");
    put_bool(w, d->debug);
    put_text(w, ",\"elrange_size\":");
    put_uint(w, d->elrange_size);
    put_text(w, ",\"env\":[");
    for (uint32_t i = 0; i < d->env_count; i++) {
        put_comma(w, i);
        put_text(w, "{\"name\":");
        put_string(w, d->env[i].name);
        put_text(w, ",\"value\":");
        if (d->env[i].value)
            put_string(w, d->env[i].value);
        else
            put_text(w, "null");
        put_text(w, "}");
    }
    put_text(w, "],\"gid\":");
    put_uint(w, d->gid);
    put_text(w, ",\"groups\":[");
    for (uint32_t i = 0; i < d->groups_count; i++) {
        put_comma(w, i);
        put_uint(w, d->groups[i]);
    }
}

static void put_mount(struct writer *w, const struct descriptor_mount *m)
{
    put_text(w, m->kind == DESCRIPTOR_MOUNT_TMPFS ? "{\"kind\":\"tmpfs\",\"path\":"
                                                  : "{\"kind\":\"host\",\"path\":");
    put_string(w, m->path);
    put_text(w, ",\"read_only\":");
    put_bool(w, m->read_only);
    put_text(w, ",\"size\":");
    put_uint(w, m->size);
    put_text(w, "}");
}

static void put_server(struct writer *w, const struct descriptor_server *s)
{
    if (!s) {
        put_text(w, "null");
        return;
    }
    put_text(w, "{\"ca_key_sha256\":");
    put_hex(w, s->ca_key_sha256, sizeof s->ca_key_sha256);
    put_text(w, ",\"reload_signal\":");
    put_string(w, s->reload_signal);
    put_text(w, ",\"start_limit_s\":");
    put_uint(w, s->start_limit_s);
    put_text(w, ",\"urls\":[");
    for (uint32_t i = 0; i < s->urls_count; i++) {
        put_comma(w, i);
        put_string(w, s->urls[i]);
    }
    put_text(w, "]}");
}

static void put_descriptor(struct writer *w, const struct descriptor *d)
{
    put_lists_front(w, d);
    put_text(w, "],\"host_files\":");
    put_bool(w, d->host_files);
    put_text(w, ",\"hostname\":");
    put_string(w, d->hostname);
    put_text(w, ",\"memory_size\":");
    put_uint(w, d->memory_size);
    put_text(w, ",\"mounts\":[");
    for (uint32_t i = 0; i < d->mounts_count; i++) {
        put_comma(w, i);
        put_mount(w, &d->mounts[i]);
    }
    put_text(w, "],\"name\":");
    put_string(w, d->name);
    put_text(w, ",\"rootfs_size\":");
    put_uint(w, d->rootfs_size);
    put_text(w, ",\"server\":");
    put_server(w, d->server);
    put_text(w, ",\"stop_signal\":");
    put_string(w, d->stop_signal);
    put_text(w, ",\"threads_max\":");
    put_uint(w, d->threads_max);
    put_text(w, ",\"uid\":");
    put_uint(w, d->uid);
    put_text(w, ",\"verity_root\":");
    put_hex(w, d->verity_root, sizeof d->verity_root);
    put_text(w, ",\"verity_salt\":");
    put_hex(w, d->verity_salt, d->verity_salt_size);
    put_text(w, ",\"version\":");
    put_uint(w, d->version);
    put_text(w, ",\"workdir\":");
    put_string(w, d->workdir);
    put_text(w, "}");
}

int64_t descriptor_encode(const struct descriptor *d, char *dst, size_t dst_size)
{
    struct writer w = { .dst = dst, .size = dst_size };

    put_descriptor(&w, d);
    return w.failed ? -ENOSPC : (int64_t)w.pos;
}

/* ---- Reader ---- */

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
    struct writer w = { .compare = json, .size = json_size };

    put_descriptor(&w, &d);
    if (w.failed || w.pos != json_size) {
        *ret_error = "not in canonical form";
        return -EINVAL;
    }
    *ret = d;
    return 0;
}
