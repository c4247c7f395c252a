/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptor from config and cloche.yaml, with the defaults of container engines. Relying party. */
#include "builder/spec.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "abi/agent.h"
#include "abi/image.h"
#include "builder/account.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- Arguments ---- */

static int args_make(struct source *s, const struct build_file *f, struct descriptor *d,
                     struct err *err)
{
    size_t head_count = f->has_entrypoint ? f->entrypoint.count : s->config.entrypoint.count;
    const char *const *head = f->has_entrypoint ? f->entrypoint.items : s->config.entrypoint.items;
    size_t tail_count = 0;
    const char *const *tail = NULL;

    if (f->has_args) {
        tail = f->args.items;
        tail_count = f->args.count;
    } else if (!f->has_entrypoint) { /* another entry point has no use for the image's arguments */
        tail = s->config.cmd.items;
        tail_count = s->config.cmd.count;
    }
    if (head_count + tail_count > DESCRIPTOR_ARGS_MAX)
        return err_set(err, -E2BIG, "args: more than %u", DESCRIPTOR_ARGS_MAX);
    const char **args = arena_alloc(&s->tree.arena, (head_count + tail_count + 1) * sizeof *args);

    if (!args)
        return -ENOMEM;
    if (head_count)
        memcpy(args, head, head_count * sizeof *args);
    if (tail_count)
        memcpy(args + head_count, tail, tail_count * sizeof *args);
    d->args = args;
    d->args_count = (uint32_t)(head_count + tail_count);
    d->args_from_host = f->args_from_host;
    /* Nothing to run: then the host must say, unless the publisher forbids it. */
    if (d->args_count == 0 && !f->has_args_from_host)
        d->args_from_host = true;
    if (d->args_count == 0 && !d->args_from_host)
        return err_set(err, -EINVAL, "entrypoint: nothing to run, and args.from_host is false");
    d->args_fixed = d->args_from_host ? (uint32_t)head_count : d->args_count;
    return 0;
}

static bool is_program(const struct tree_inode *inode)
{
    return inode && S_ISREG(inode->mode) && (inode->mode & 0111);
}

static const char *env_value(const struct descriptor *d, const char *name)
{
    for (uint32_t i = 0; i < d->env_count; i++)
        if (strcmp(d->env[i].name, name) == 0)
            return d->env[i].value;
    return NULL;
}

/* Better now than in the enclave: the program must be in the image. */
static int program_check(struct source *s, const struct descriptor *d, struct err *err)
{
    const char *program = d->args_count ? d->args[0] : NULL;
    const char *path = env_value(d, "PATH");
    struct arena *arena = &s->tree.arena;
    bool found = false;

    if (!program || (!strchr(program, '/') && !path))
        return 0;
    if (program[0] == '/') {
        found = is_program(tree_find(&s->tree, program));
    } else if (strchr(program, '/')) {
        const char *full = arena_printf(arena, "%s/%s", d->workdir, program);

        found = full && is_program(tree_find(&s->tree, full));
    }
    while (!strchr(program, '/') && !found && path && *path) {
        size_t len = strcspn(path, ":");
        const char *full = arena_printf(arena, "%.*s/%s", (int)len, path, program);

        found = full && is_program(tree_find(&s->tree, full));
        path += len + (path[len] == ':');
    }
    return found ? 0
                 : err_set(err, -ENOENT, "entrypoint: the image has no program \"%s\"", program);
}

/* ---- Environment ---- */

struct env_list {
    struct descriptor_env *items;
    uint32_t count;
};

static int env_set(struct env_list *list, const char *name, const char *value, bool replace,
                   struct err *err)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0) {
            if (replace)
                list->items[i].value = value;
            return 0;
        }
    if (list->count == DESCRIPTOR_ENV_MAX)
        return err_set(err, -E2BIG, "env: more than %u", DESCRIPTOR_ENV_MAX);
    list->items[list->count++] = (struct descriptor_env){ name, value };
    return 0;
}

static int env_make(struct source *s, const struct build_file *f, const char *home,
                    struct descriptor *d, struct err *err)
{
    struct arena *arena = &s->tree.arena;
    struct env_list list = { arena_alloc(arena, DESCRIPTOR_ENV_MAX * sizeof *list.items), 0 };
    int rc = list.items ? 0 : -ENOMEM;

    for (size_t i = 0; i < s->config.env.count && rc == 0; i++) {
        const char *text = s->config.env.items[i], *equals = strchr(text, '=');
        const char *name = equals ? arena_copy(arena, text, (size_t)(equals - text)) : NULL;

        if (!equals || equals == text)
            continue;
        rc = name ? env_set(&list, name, equals + 1, true, err) : -ENOMEM;
    }
    for (size_t i = 0; i < f->env_count && rc == 0; i++)
        rc = env_set(&list, f->env[i].name, f->env[i].value, true, err);
    if (rc == 0)
        rc = env_set(&list, "PATH", PATH_DEFAULT, false, err);
    if (rc == 0)
        rc = env_set(&list, "HOME", home, false, err);
    d->env = list.items;
    d->env_count = list.count;
    return rc;
}

/* ---- The rest ---- */

static const struct {
    const char *name;
    int number;
} g_signals[] = {
    { "SIGHUP", SIGHUP },     { "SIGINT", SIGINT },   { "SIGQUIT", SIGQUIT },
    { "SIGABRT", SIGABRT },   { "SIGKILL", SIGKILL }, { "SIGUSR1", SIGUSR1 },
    { "SIGUSR2", SIGUSR2 },   { "SIGALRM", SIGALRM }, { "SIGTERM", SIGTERM },
    { "SIGCONT", SIGCONT },   { "SIGSTOP", SIGSTOP }, { "SIGTSTP", SIGTSTP },
    { "SIGTTIN", SIGTTIN },   { "SIGTTOU", SIGTTOU }, { "SIGURG", SIGURG },
    { "SIGWINCH", SIGWINCH }, { "SIGIO", SIGIO },     { "SIGPWR", SIGPWR },
    { "SIGSYS", SIGSYS },     { "SIGPIPE", SIGPIPE },
};

/* "SIGTERM", "TERM", "15", "SIGRTMIN+3". */
static int signal_make(struct source *s, const char *member, const char *text, const char **ret,
                       struct err *err)
{
    char *end;
    long number = strtol(text, &end, 10);
    const char *name =
        strncmp(text, "SIG", 3) == 0 ? text : arena_printf(&s->tree.arena, "SIG%s", text);

    if (!name)
        return -ENOMEM;
    if (strncmp(name, "SIGRTMIN", 8) == 0) {
        *ret = name;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_COUNT(g_signals); i++)
        if (strcmp(g_signals[i].name, name) == 0 || (!*end && g_signals[i].number == number)) {
            *ret = g_signals[i].name;
            return 0;
        }
    return err_set(err, -EINVAL, "%s: there is no signal \"%s\"", member, text);
}

/* Absolute, without ".", ".." and empty names. */
static const char *path_normalize(struct arena *arena, const char *path)
{
    size_t len = 0;
    char *dst = arena_alloc(arena, strlen(path) + 2);

    if (!dst)
        return NULL;
    while (*path) {
        size_t name_len = strcspn(path, "/");

        if (name_len == 2 && memcmp(path, "..", 2) == 0) {
            while (len > 0 && dst[--len] != '/')
                ;
        } else if (name_len > 0 && !(name_len == 1 && path[0] == '.')) {
            dst[len++] = '/';
            memcpy(dst + len, path, name_len);
            len += name_len;
        }
        path += name_len + (path[name_len] == '/');
    }
    if (len == 0)
        dst[len++] = '/';
    dst[len] = '\0';
    return dst;
}

static int mounts_make(struct source *s, const struct build_file *f, struct descriptor *d,
                       struct err *err)
{
    struct descriptor_mount *mounts = arena_alloc(&s->tree.arena, f->mounts_count * sizeof *mounts);

    if (!mounts)
        return -ENOMEM;
    for (size_t i = 0; i < f->mounts_count; i++) {
        mounts[i] = f->mounts[i];
        mounts[i].path = path_normalize(&s->tree.arena, f->mounts[i].path);
        if (!mounts[i].path)
            return -ENOMEM;
        int rc = tree_make_folder(&s->tree, mounts[i].path, err);

        if (rc < 0)
            return err_wrap(err, rc, "mounts");
    }
    d->mounts = mounts;
    d->mounts_count = (uint32_t)f->mounts_count;
    return 0;
}

/* What container engines make before they start a program. */
static int folders_make(struct source *s, const struct descriptor *d, struct err *err)
{
    static const char *const folders[] = { "/proc", "/sys", "/dev" };
    int rc = tree_make_folder(&s->tree, d->workdir, err);

    for (size_t i = 0; i < ARRAY_COUNT(folders) && rc == 0; i++)
        rc = tree_make_folder(&s->tree, folders[i], err);
    return rc;
}

/* 64 digits, with or without "sha256:" before them. */
static int pin_read(const char *text, uint8_t ret[32])
{
    static const char prefix[] = "sha256:", digits[] = "0123456789abcdef";

    if (strncmp(text, prefix, sizeof prefix - 1) == 0)
        text += sizeof prefix - 1;
    if (strlen(text) != 64)
        return -EINVAL;
    for (size_t i = 0; i < 32; i++) {
        const char *high = strchr(digits, text[2 * i]), *low = strchr(digits, text[2 * i + 1]);

        if (!high || !low)
            return -EINVAL;
        ret[i] = (uint8_t)((high - digits) << 4 | (low - digits));
    }
    return 0;
}

static int server_make(struct source *s, const struct build_file *f, struct descriptor *d,
                       struct err *err)
{
    struct descriptor_server *server = arena_alloc(&s->tree.arena, sizeof *server);
    struct env_list list = { (struct descriptor_env *)d->env, d->env_count };
    int rc = server ? 0 : -ENOMEM;

    if (rc < 0)
        return rc;
    *server = (struct descriptor_server){
        .reload_signal = "",
        .start_limit_s =
            f->server_start_limit_s ? f->server_start_limit_s : SPEC_START_LIMIT_DEFAULT_S,
        .urls = f->server_urls.items,
        .urls_count = (uint32_t)f->server_urls.count,
    };
    if (!f->server_ca_key)
        return err_set(err, -EINVAL,
                       "server.ca_key_sha256: is missing; the server's administrator knows it");
    if (pin_read(f->server_ca_key, server->ca_key_sha256) < 0)
        return err_set(err, -EINVAL,
                       "server.ca_key_sha256: 64 hexadecimal digits in lower case are expected");
    if (f->server_reload_signal)
        rc = signal_make(s, "server.reload_signal", f->server_reload_signal, &server->reload_signal,
                         err);
    if (rc == 0) /* the host says which of the server's instances this is */
        rc = env_set(&list, AGENT_INSTANCE_ENV, NULL, true, err);
    d->env_count = list.count;
    d->server = server;
    return rc;
}

static const char *choose(const char *from_file, const char *from_image, const char *otherwise)
{
    if (from_file)
        return from_file;
    return from_image && from_image[0] ? from_image : otherwise;
}

int spec_make(struct source *s, const struct build_file *f, struct descriptor *ret, struct err *err)
{
    struct descriptor d = {
        .version = DESCRIPTOR_VERSION,
        .name = choose(f->name, s->name, "image"),
        .hostname = choose(f->hostname, NULL, SPEC_HOSTNAME_DEFAULT),
        .memory_size = f->memory_size ? ALIGN_UP(f->memory_size, PAGE_SIZE) : SPEC_MEMORY_DEFAULT,
        .threads_max = f->threads_max ? f->threads_max : SPEC_THREADS_DEFAULT,
        .elrange_size = f->elrange_size ? f->elrange_size : ELRANGE_SIZE_DEFAULT,
        .host_files = f->host_files,
        .debug = f->debug,
        .rootfs_size = 2 * IMAGE_BLOCK_SIZE, /* until the image is laid out */
    };
    struct account account = { 0 };
    int rc = account_resolve(s, choose(f->user, s->config.user, ""), &account, err);

    if (rc < 0)
        return err_wrap(err, rc, "user");
    d.uid = account.uid;
    d.gid = account.gid;
    d.groups = account.groups;
    d.groups_count = account.groups_count;
    d.workdir = path_normalize(&s->tree.arena, choose(f->workdir, s->config.workdir, "/"));
    rc = d.workdir ? signal_make(s, "stop_signal",
                                 choose(f->stop_signal, s->config.stop_signal, "SIGTERM"),
                                 &d.stop_signal, err)
                   : -ENOMEM;
    if (rc == 0)
        rc = args_make(s, f, &d, err);
    if (rc == 0)
        rc = env_make(s, f, account.home, &d, err);
    if (rc == 0)
        rc = mounts_make(s, f, &d, err);
    if (rc == 0 && f->has_server)
        rc = server_make(s, f, &d, err);
    if (rc == 0)
        rc = program_check(s, &d, err);
    if (rc == 0)
        rc = folders_make(s, &d, err);
    if (rc < 0)
        return rc;
    const char *problem = descriptor_check(&d);

    if (problem)
        return err_set(err, -EINVAL, "%s", problem);
    *ret = d;
    return 0;
}
