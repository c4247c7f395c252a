/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OCI image layouts and docker-archives. Relying party; all of it may be hostile. OCI image-spec 1.0
 * (image-layout, image-index, manifest, config); docker-archive: manifest.json of `docker save`.
 */
#include "builder/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/digest.h"
#include "lib/json_pull.h"

#define INDEX_DEPTH_MAX 4u
#define DIGEST_PREFIX "sha256:"
#define DIGEST_PREFIX_LEN 7u

/* Where an image's files are found by path: a folder, or an archive that was read into a source. */
struct store {
    struct source *s; /* what is being built; its arena keeps strings */
    int folder_fd;    /* or -1 */
    struct source *outer;
    struct progress *progress;
    struct err *err;
};

/* An OCI content descriptor, as far as it counts here. */
struct reference {
    const char *media_type;
    const char *digest;  /* "sha256:..." checked, or "" */
    bool other_platform; /* it names one, and that is not linux/amd64 */
    bool this_platform;
};

struct manifest {
    struct reference config;
    struct reference *layers; /* in a docker-archive: digest is a path */
    size_t layer_count;
};

struct config {
    struct source_config image;
    struct source_list diff_ids;
    const char *architecture;
    const char *os;
};

static void span_close(struct source_span *span)
{
    if (span->fd >= 0)
        close(span->fd);
    span->fd = -1;
}

/* *ret has its own descriptor. */
static int span_open(struct store *st, const char *path, struct source_span *ret)
{
    struct stat stat;
    int fd;

    if (st->folder_fd < 0) {
        const struct tree_inode *inode = tree_find(&st->outer->tree, path);

        if (!inode || !S_ISREG(inode->mode))
            return err_set(st->err, -ENOENT, "%s is missing", path);
        fd = fcntl(st->outer->spool.fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
            return -errno;
        *ret = (struct source_span){ fd, inode->spool_off, inode->size };
        return 0;
    }
    fd = openat(st->folder_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set_errno(st->err, -errno, "cannot open %s", path);
    if (fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode)) {
        close(fd);
        return err_set(st->err, -EINVAL, "%s is not a file", path);
    }
    *ret = (struct source_span){ fd, 0, (uint64_t)stat.st_size };
    return 0;
}

static void digest_text(const uint8_t digest[SHA256_SIZE], char ret[65])
{
    for (size_t i = 0; i < SHA256_SIZE; i++)
        snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}

/* A whole small file, NUL-ended, in the arena. digest: "sha256:..." that it must have, or NULL. */
static int document_read(struct store *st, const char *path, const char *digest, char **ret_text,
                         size_t *ret_size)
{
    CLEANUP(span_close)
    struct source_span span = { -1, 0, 0 };
    uint8_t actual[SHA256_SIZE];
    char actual_text[65];
    int rc = span_open(st, path, &span);

    if (rc < 0)
        return rc;
    if (span.size > SOURCE_DOCUMENT_SIZE_MAX)
        return err_set(st->err, -EFBIG, "%s is too large", path);
    char *text = arena_alloc(&st->s->tree.arena, span.size + 1);

    if (!text)
        return -ENOMEM;
    const struct spool view = { .fd = span.fd, .size = span.size };

    rc = spool_read(&view, span.off, text, span.size, st->err);
    if (rc < 0)
        return err_wrap(st->err, rc, "%s", path);
    sha256_digest(text, span.size, actual);
    digest_text(actual, actual_text);
    if (digest && strcmp(actual_text, digest + DIGEST_PREFIX_LEN) != 0)
        return err_set(st->err, -EBADMSG, "%s does not match its digest (it has %s)", path,
                       actual_text);
    *ret_text = text;
    *ret_size = span.size;
    return 0;
}

static int json_failed(struct store *st, const struct json_pull *j, const char *what)
{
    unsigned line, column;

    json_pull_place(j->text, j->size, j->pos, &line, &column);
    return err_set(st->err, -EINVAL, "%s, line %u, column %u: %s", what, line, column,
                   j->error ? j->error : "malformed");
}

/* A string into the arena; null counts as empty. */
static int string_read(struct store *st, struct json_pull *j, const char **ret)
{
    struct json_pull_text text;

    if (json_pull_peek(j) == JSON_PULL_NULL) {
        *ret = "";
        return json_pull_null(j);
    }
    int rc = json_pull_string(j, &text);

    if (rc < 0)
        return rc;
    char *copy = arena_alloc(&st->s->tree.arena, text.raw_size + 1);

    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return json_pull_text_decode(&text, copy, text.raw_size + 1) < 0 ? -EINVAL : 0;
}

static int list_read(struct store *st, struct json_pull *j, size_t count_max,
                     struct source_list *ret)
{
    struct source_list list = { 0 };

    *ret = list;
    if (json_pull_peek(j) == JSON_PULL_NULL)
        return json_pull_null(j);
    list.items = arena_alloc(&st->s->tree.arena, count_max * sizeof *list.items);
    if (!list.items)
        return -ENOMEM;
    int rc = json_pull_array_begin(j);

    while (rc == 0 && (rc = json_pull_array_next(j)) > 0) {
        if (list.count == count_max)
            return json_pull_fail(j, "the list is too long");
        rc = string_read(st, j, &list.items[list.count++]);
    }
    if (rc == 0)
        *ret = list;
    return rc;
}

static bool is_digest(const char *s)
{
    return strncmp(s, DIGEST_PREFIX, DIGEST_PREFIX_LEN) == 0 &&
           strspn(s + DIGEST_PREFIX_LEN, "0123456789abcdef") == 64 &&
           s[DIGEST_PREFIX_LEN + 64] == '\0';
}

static int platform_read(struct store *st, struct json_pull *j, struct reference *ret)
{
    struct json_pull_text name;
    const char *os = "", *architecture = "";
    int rc = json_pull_object_begin(j);

    while (rc == 0 && (rc = json_pull_object_next(j, &name)) > 0) {
        if (json_pull_text_is(&name, "os"))
            rc = string_read(st, j, &os);
        else if (json_pull_text_is(&name, "architecture"))
            rc = string_read(st, j, &architecture);
        else
            rc = json_pull_skip(j);
    }
    ret->this_platform = strcmp(os, "linux") == 0 && strcmp(architecture, "amd64") == 0;
    ret->other_platform = !ret->this_platform;
    return rc;
}

static int reference_read(struct store *st, struct json_pull *j, struct reference *ret)
{
    struct reference r = { .media_type = "", .digest = "" };
    struct json_pull_text name;
    int rc = json_pull_object_begin(j);

    while (rc == 0 && (rc = json_pull_object_next(j, &name)) > 0) {
        if (json_pull_text_is(&name, "mediaType"))
            rc = string_read(st, j, &r.media_type);
        else if (json_pull_text_is(&name, "digest"))
            rc = string_read(st, j, &r.digest);
        else if (json_pull_text_is(&name, "platform") && json_pull_peek(j) == JSON_PULL_OBJECT)
            rc = platform_read(st, j, &r);
        else
            rc = json_pull_skip(j);
    }
    if (rc == 0 && !is_digest(r.digest))
        rc = json_pull_fail(j, "a SHA-256 digest is expected");
    if (rc == 0)
        *ret = r;
    return rc;
}

static int blob_read(struct store *st, const struct reference *r, char **ret_text, size_t *ret_size)
{
    char path[128];

    snprintf(path, sizeof path, "blobs/sha256/%s", r->digest + DIGEST_PREFIX_LEN);
    return document_read(st, path, r->digest, ret_text, ret_size);
}

static bool is_index(const struct reference *r)
{
    return strstr(r->media_type, "image.index") || strstr(r->media_type, "manifest.list");
}

/* Picks linux/amd64 from an index. */
static int index_parse(struct store *st, const char *text, size_t size, struct reference *ret)
{
    struct json_pull j;
    struct json_pull_text name;
    struct reference r, unnamed = { 0 };
    unsigned matches = 0, without = 0, all = 0;

    json_pull_init(&j, text, size);
    int rc = json_pull_object_begin(&j);

    while (rc == 0 && (rc = json_pull_object_next(&j, &name)) > 0) {
        bool is_list = json_pull_text_is(&name, "manifests");

        rc = is_list ? json_pull_array_begin(&j) : json_pull_skip(&j);
        while (is_list && rc == 0 && (rc = json_pull_array_next(&j)) > 0) {
            rc = reference_read(st, &j, &r);
            all++;
            if (rc == 0 && r.this_platform && matches++ == 0)
                *ret = r;
            if (rc == 0 && !r.this_platform && !r.other_platform && without++ == 0)
                unnamed = r;
        }
    }
    if (rc < 0 || json_pull_end(&j) < 0)
        return json_failed(st, &j, "image index");
    if (matches == 0 && without == 1) {
        *ret = unnamed;
        matches = 1;
    }
    if (matches == 1)
        return 0;
    if (matches == 0 && without == 0)
        return err_set(st->err, -ENOENT, "none of its %u images is for linux/amd64", all);
    return err_set(st->err, -EINVAL, "it holds several images; name one with oci:PATH:REFERENCE");
}

static int manifest_parse(struct store *st, const char *text, size_t size, struct manifest *ret)
{
    struct manifest m = { 0 };
    struct json_pull j;
    struct json_pull_text name;
    bool has_config = false;

    m.layers = arena_alloc(&st->s->tree.arena, SOURCE_LAYERS_MAX * sizeof *m.layers);
    if (!m.layers)
        return -ENOMEM;
    json_pull_init(&j, text, size);
    int rc = json_pull_object_begin(&j);

    while (rc == 0 && (rc = json_pull_object_next(&j, &name)) > 0) {
        if (json_pull_text_is(&name, "config")) {
            rc = reference_read(st, &j, &m.config);
            has_config = true;
        } else if (json_pull_text_is(&name, "layers")) {
            rc = json_pull_array_begin(&j);
            while (rc == 0 && (rc = json_pull_array_next(&j)) > 0)
                rc = m.layer_count == SOURCE_LAYERS_MAX
                         ? json_pull_fail(&j, "too many layers")
                         : reference_read(st, &j, &m.layers[m.layer_count++]);
        } else {
            rc = json_pull_skip(&j);
        }
    }
    if (rc < 0 || json_pull_end(&j) < 0)
        return json_failed(st, &j, "image manifest");
    if (!has_config)
        return err_set(st->err, -EINVAL, "image manifest: it has no config");
    *ret = m;
    return 0;
}

/* "config" of an image config: names are those of the Docker engine. */
static int run_config_read(struct store *st, struct json_pull *j, struct source_config *ret)
{
    struct json_pull_text name;

    if (json_pull_peek(j) == JSON_PULL_NULL)
        return json_pull_null(j);
    int rc = json_pull_object_begin(j);

    while (rc == 0 && (rc = json_pull_object_next(j, &name)) > 0) {
        if (json_pull_text_is(&name, "Entrypoint"))
            rc = list_read(st, j, SOURCE_LIST_MAX, &ret->entrypoint);
        else if (json_pull_text_is(&name, "Cmd"))
            rc = list_read(st, j, SOURCE_LIST_MAX, &ret->cmd);
        else if (json_pull_text_is(&name, "Env"))
            rc = list_read(st, j, SOURCE_LIST_MAX, &ret->env);
        else if (json_pull_text_is(&name, "WorkingDir"))
            rc = string_read(st, j, &ret->workdir);
        else if (json_pull_text_is(&name, "User"))
            rc = string_read(st, j, &ret->user);
        else if (json_pull_text_is(&name, "StopSignal"))
            rc = string_read(st, j, &ret->stop_signal);
        else
            rc = json_pull_skip(j);
    }
    return rc;
}

static int rootfs_read(struct store *st, struct json_pull *j, struct config *c)
{
    struct json_pull_text name;
    int rc = json_pull_object_begin(j);

    while (rc == 0 && (rc = json_pull_object_next(j, &name)) > 0)
        rc = json_pull_text_is(&name, "diff_ids")
                 ? list_read(st, j, SOURCE_LAYERS_MAX, &c->diff_ids)
                 : json_pull_skip(j);
    return rc;
}

static int config_parse(struct store *st, const char *text, size_t size, struct config *ret)
{
    struct config c = { .image = { .workdir = "", .user = "", .stop_signal = "" },
                        .architecture = "",
                        .os = "" };
    struct json_pull j;
    struct json_pull_text name;

    json_pull_init(&j, text, size);
    int rc = json_pull_object_begin(&j);

    while (rc == 0 && (rc = json_pull_object_next(&j, &name)) > 0) {
        if (json_pull_text_is(&name, "architecture"))
            rc = string_read(st, &j, &c.architecture);
        else if (json_pull_text_is(&name, "os"))
            rc = string_read(st, &j, &c.os);
        else if (json_pull_text_is(&name, "config"))
            rc = run_config_read(st, &j, &c.image);
        else if (json_pull_text_is(&name, "rootfs"))
            rc = rootfs_read(st, &j, &c);
        else
            rc = json_pull_skip(&j);
    }
    if (rc < 0 || json_pull_end(&j) < 0)
        return json_failed(st, &j, "image config");
    if (strcmp(c.os, "linux") != 0 || strcmp(c.architecture, "amd64") != 0)
        return err_set(st->err, -EINVAL, "the image is for %s/%s, not for linux/amd64",
                       c.os[0] ? c.os : "?", c.architecture[0] ? c.architecture : "?");
    *ret = c;
    return 0;
}

/* digest: what the bytes of the file must have. */
static int layer_apply(struct store *st, const char *path, const char *digest, unsigned layer)
{
    CLEANUP(span_close)
    struct source_span span = { -1, 0, 0 };
    uint8_t actual[SHA256_SIZE];
    char actual_text[65];
    int rc = span_open(st, path, &span);

    if (rc < 0)
        return rc;
    progress_step(st->progress, "reading layers", span.size);
    rc = source_archive_read(st->s, &span, layer, true, actual, st->progress, st->err);
    if (rc < 0)
        return err_wrap(st->err, rc, "layer %s", digest);
    digest_text(actual, actual_text);
    if (strcmp(actual_text, digest + DIGEST_PREFIX_LEN) != 0)
        return err_set(st->err, -EBADMSG, "layer %s does not match its digest (it has %s)", digest,
                       actual_text);
    return 0;
}

static int layout_read(struct store *st)
{
    struct reference r = { 0 };
    struct manifest manifest = { 0 };
    struct config config = { 0 };
    char *text;
    size_t size;
    int rc = document_read(st, "index.json", NULL, &text, &size);

    if (rc == 0)
        rc = index_parse(st, text, size, &r);
    for (unsigned depth = 0; rc == 0; depth++) {
        rc = blob_read(st, &r, &text, &size);
        if (rc < 0 || !is_index(&r))
            break;
        if (depth == INDEX_DEPTH_MAX)
            return err_set(st->err, -EINVAL, "image indexes are nested too deep");
        rc = index_parse(st, text, size, &r);
    }
    if (rc == 0)
        rc = manifest_parse(st, text, size, &manifest);
    if (rc == 0)
        rc = blob_read(st, &manifest.config, &text, &size);
    if (rc == 0)
        rc = config_parse(st, text, size, &config);
    for (size_t i = 0; rc == 0 && i < manifest.layer_count; i++) {
        char path[128];

        if (strstr(manifest.layers[i].media_type, "encrypted"))
            return err_set(st->err, -EINVAL, "layer %s is encrypted; decrypt the image first",
                           manifest.layers[i].digest);
        snprintf(path, sizeof path, "blobs/sha256/%s",
                 manifest.layers[i].digest + DIGEST_PREFIX_LEN);
        rc = layer_apply(st, path, manifest.layers[i].digest, (unsigned)i + 1);
    }
    if (rc == 0)
        st->s->config = config.image;
    return rc;
}

/* [{"Config":"HEX.json","RepoTags":[...],"Layers":["ID/layer.tar",...]}] */
static int docker_manifest_parse(struct store *st, const char *text, size_t size,
                                 const char **ret_config, struct source_list *ret_layers)
{
    struct json_pull j;
    struct json_pull_text name;
    unsigned images = 0;

    *ret_config = "";
    *ret_layers = (struct source_list){ 0 };
    json_pull_init(&j, text, size);
    int rc = json_pull_array_begin(&j);

    while (rc == 0 && (rc = json_pull_array_next(&j)) > 0) {
        if (++images > 1)
            return err_set(st->err, -EINVAL, "it holds several images; save one alone");
        rc = json_pull_object_begin(&j);
        while (rc == 0 && (rc = json_pull_object_next(&j, &name)) > 0) {
            if (json_pull_text_is(&name, "Config"))
                rc = string_read(st, &j, ret_config);
            else if (json_pull_text_is(&name, "Layers"))
                rc = list_read(st, &j, SOURCE_LAYERS_MAX, ret_layers);
            else
                rc = json_pull_skip(&j);
        }
    }
    if (rc < 0 || json_pull_end(&j) < 0)
        return json_failed(st, &j, "manifest.json");
    if (images == 0)
        return err_set(st->err, -EINVAL, "manifest.json names no image");
    return 0;
}

static int docker_archive_read(struct store *st)
{
    struct source_list layers = { 0 };
    struct config config = { 0 };
    const char *config_path = "";
    char *text;
    size_t size;
    int rc = document_read(st, "manifest.json", NULL, &text, &size);

    if (rc == 0)
        rc = docker_manifest_parse(st, text, size, &config_path, &layers);
    if (rc == 0)
        rc = document_read(st, config_path, NULL, &text, &size);
    if (rc == 0)
        rc = config_parse(st, text, size, &config);
    if (rc < 0)
        return rc;
    if (config.diff_ids.count != layers.count)
        return err_set(st->err, -EINVAL, "the config names %zu layers, manifest.json %zu",
                       config.diff_ids.count, layers.count);
    for (size_t i = 0; rc == 0 && i < layers.count; i++) {
        if (!is_digest(config.diff_ids.items[i]))
            return err_set(st->err, -EINVAL, "image config: a layer has no SHA-256 digest");
        rc = layer_apply(st, layers.items[i], config.diff_ids.items[i], (unsigned)i + 1);
    }
    if (rc == 0)
        st->s->config = config.image;
    return rc;
}

int source_image_read(struct source *s, int folder_fd, struct source *outer,
                      struct progress *progress, struct err *err)
{
    struct store st = { s, folder_fd, outer, progress, err };
    bool layout = folder_fd >= 0 ? faccessat(folder_fd, "index.json", F_OK, 0) == 0
                                 : tree_find(&outer->tree, "index.json") != NULL;

    s->is_container = true;
    return layout ? layout_read(&st) : docker_archive_read(&st);
}
