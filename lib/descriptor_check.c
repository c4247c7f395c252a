/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptor: rules for its values, the same for reader and writer (docs/image.md). Shared; builds freestanding. */
#include <string.h>

#include "abi/agent.h"
#include "abi/image.h"
#include "lib/descriptor.h"
#include "lib/json_pull.h"

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
