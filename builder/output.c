/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OCI layout and docker-archive writer. Relying party. OCI image-spec 1.0; the archive also has the
 * manifest.json that `docker load` of every age reads.
 */
#include "builder/output.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "abi/image.h"
#include "lib/digest.h"
#include "lib/ustar.h"

#define ALIGNMENT 4096u
#define TIME_ZERO "1970-01-01T00:00:00Z"
#define TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define TYPE_CONFIG "application/vnd.oci.image.config.v1+json"
#define TYPE_LAYER "application/vnd.oci.image.layer.v1.tar"
#define LAYOUT_TEXT "{\"imageLayoutVersion\":\"1.0.0\"}"

struct output {
    char *path;
    char *temporary; /* file or folder beside path; NULL when it has been renamed */
    bool tar;
    bool unnamed;      /* the archive has no name yet: nothing stays if the build dies */
    int fd;            /* the archive, or the layer's blob */
    uint64_t pos;      /* in fd */
    struct sha256 sha; /* of the layer */
    bool in_layer;
    uint64_t layer_start;
    uint64_t file_left; /* bytes that output_data still must bring */
    uint64_t file_padding;
    uint64_t total;
};

struct blob {
    char digest[65];
    uint64_t size;
};

static void json_free(json_t **j)
{
    json_decref(*j);
}

static void text_free(char **t)
{
    free(*t);
}

/* ---- Bytes ---- */

static int put(struct output *o, const void *data, size_t size, struct err *err)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(o->fd, (const char *)data + done, size - done, (off_t)(o->pos + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(err, -errno, "cannot write %s", o->path);
        done += (size_t)n;
    }
    if (o->in_layer)
        sha256_update(&o->sha, data, size);
    o->pos += size;
    o->total += size;
    return 0;
}

static int put_zeros(struct output *o, size_t size, struct err *err)
{
    static const uint8_t zeros[ALIGNMENT];

    return put(o, zeros, size, err);
}

static int put_header(struct output *o, const char *path, char type, uint32_t mode, uint64_t size,
                      struct err *err)
{
    struct ustar_entry e = { .type = type, .mode = mode, .size = size };
    uint8_t block[USTAR_BLOCK_SIZE];

    if (snprintf(e.path, sizeof e.path, "%s", path) >= (int)sizeof e.path ||
        ustar_encode(&e, block) < 0)
        return err_set(err, -ENAMETOOLONG, "%s", path);
    return put(o, block, sizeof block, err);
}

/* A comment of such a size that the data of the entry after it starts on a boundary. */
static int put_alignment(struct output *o, uint64_t start, struct err *err)
{
    uint64_t behind = o->pos - start + 3 * USTAR_BLOCK_SIZE;
    size_t size = USTAR_BLOCK_SIZE + (ALIGN_UP(behind, (uint64_t)ALIGNMENT) - behind);
    char text[ALIGNMENT + USTAR_BLOCK_SIZE];

    memset(text, ' ', size);
    int len = snprintf(text, sizeof text, "%zu comment=", size);

    text[len] = ' ';
    text[size - 1] = '\n';
    int rc = put_header(o, "alignment", USTAR_TYPE_PAX, 0644, size, err);

    return rc < 0 ? rc : put(o, text, size, err);
}

/* ---- Layer ---- */

static int layer_begin(struct output *o, struct err *err)
{
    int rc = 0;

    if (o->tar) {
        rc = put_alignment(o, 0, err);
        /* Name and size are known, and written, at the end. */
        if (rc == 0)
            rc = put_zeros(o, USTAR_BLOCK_SIZE, err);
    }
    o->layer_start = o->pos;
    o->in_layer = true;
    sha256_init(&o->sha);
    return rc < 0 ? rc : put_header(o, IMAGE_FOLDER, USTAR_TYPE_FOLDER, 0755, 0, err);
}

int output_file(struct output *o, const char *name, uint32_t mode, uint64_t size, struct err *err)
{
    char path[USTAR_PATH_MAX];

    snprintf(path, sizeof path, "%s%s", IMAGE_FOLDER, name);
    int rc = put_alignment(o, o->layer_start, err);

    if (rc == 0)
        rc = put_header(o, path, USTAR_TYPE_FILE, mode, size, err);
    o->file_left = size;
    o->file_padding = ALIGN_UP(size, (uint64_t)USTAR_BLOCK_SIZE) - size;
    return rc;
}

int output_data(struct output *o, const void *data, size_t size, struct err *err)
{
    if (size > o->file_left)
        return err_set(err, -EINVAL, "more data than was announced");
    int rc = put(o, data, size, err);

    o->file_left -= size;
    if (rc == 0 && o->file_left == 0 && o->file_padding > 0) {
        rc = put_zeros(o, o->file_padding, err);
        o->file_padding = 0;
    }
    return rc;
}

static void hex(const uint8_t digest[SHA256_SIZE], char ret[65])
{
    for (size_t i = 0; i < SHA256_SIZE; i++)
        snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}

static int layer_end(struct output *o, struct blob *ret, struct err *err)
{
    uint8_t digest[SHA256_SIZE];
    char path[128];
    int rc = put_zeros(o, 2 * USTAR_BLOCK_SIZE, err);

    if (rc < 0)
        return rc;
    o->in_layer = false;
    sha256_final(&o->sha, digest);
    hex(digest, ret->digest);
    ret->size = o->pos - o->layer_start;
    snprintf(path, sizeof path, "blobs/sha256/%s", ret->digest);
    if (o->tar) {
        uint64_t end = o->pos;

        o->pos = o->layer_start - USTAR_BLOCK_SIZE;
        rc = put_header(o, path, USTAR_TYPE_FILE, 0644, ret->size, err);
        o->pos = end;
        o->total -= USTAR_BLOCK_SIZE;
        return rc;
    }
    CLEANUP(text_free)
    char *from = NULL;
    CLEANUP(text_free)
    char *to = NULL;

    if (asprintf(&from, "%s/layer", o->temporary) < 0 ||
        asprintf(&to, "%s/%s", o->temporary, path) < 0)
        return -ENOMEM;
    if (fchmod(o->fd, 0644) < 0 || rename(from, to) < 0)
        return err_set_errno(err, -errno, "%s", to);
    return 0;
}

/* ---- Documents ---- */

static int put_document(struct output *o, const char *path, const char *text, struct err *err)
{
    size_t size = strlen(text);

    if (o->tar) {
        int rc = put_header(o, path, USTAR_TYPE_FILE, 0644, size, err);

        if (rc == 0)
            rc = put(o, text, size, err);
        return rc < 0 ? rc : put_zeros(o, ALIGN_UP(size, (size_t)USTAR_BLOCK_SIZE) - size, err);
    }
    CLEANUP(text_free)
    char *full = NULL;

    if (asprintf(&full, "%s/%s", o->temporary, path) < 0)
        return -ENOMEM;
    close(o->fd);
    o->fd = open(full, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    o->pos = 0;
    if (o->fd < 0 || fchmod(o->fd, 0644) < 0)
        return err_set_errno(err, -errno, "cannot make %s", full);
    return put(o, text, size, err);
}

/* Takes over the JSON value. digest NULL: a plain file called name; else a blob. */
static int put_json(struct output *o, const char *name, json_t *value, struct blob *ret_blob,
                    struct err *err)
{
    CLEANUP(json_free)
    json_t *owned = value;
    CLEANUP(text_free)
    char *text = owned ? json_dumps(owned, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    uint8_t digest[SHA256_SIZE];
    char path[128];

    if (!text)
        return err_set_errno(err, -ENOMEM, "%s", name);
    if (!ret_blob)
        return put_document(o, name, text, err);
    sha256_digest(text, strlen(text), digest);
    hex(digest, ret_blob->digest);
    ret_blob->size = strlen(text);
    snprintf(path, sizeof path, "blobs/sha256/%s", ret_blob->digest);
    return put_document(o, path, text, err);
}

static json_t *reference_json(const char *type, const struct blob *b)
{
    return json_pack("{s:s,s:s+,s:I}", "mediaType", type, "digest", "sha256:", b->digest, "size",
                     (json_int_t)b->size);
}

static json_t *config_json(const struct output_info *info, const struct blob *layer)
{
    json_t *labels = json_object();

    for (size_t i = 0; i < info->label_count; i++)
        json_object_set_new(labels, info->labels[i].name, json_string(info->labels[i].value));
    return json_pack("{s:s,s:s,s:s,s:{s:[s],s:s,s:s,s:o},s:{s:s,s:[s+]},s:[{s:s,s:s}]}",
                     "architecture", "amd64", "os", "linux", "created", TIME_ZERO, "config",
                     "Entrypoint", "/" IMAGE_FOLDER IMAGE_FILE_LOADER, "WorkingDir", "/",
                     "StopSignal", info->stop_signal, "Labels", labels, "rootfs", "type", "layers",
                     "diff_ids", "sha256:", layer->digest, "history", "created", TIME_ZERO,
                     "created_by", "cloche build");
}

static int documents_put(struct output *o, const struct output_info *info, const struct blob *layer,
                         struct blob *manifest, struct err *err)
{
    struct blob config;
    int rc = put_json(o, "config", config_json(info, layer), &config, err);

    if (rc == 0)
        rc = put_json(o, "manifest",
                      json_pack("{s:i,s:s,s:o,s:[o],s:{s:s}}", "schemaVersion", 2, "mediaType",
                                TYPE_MANIFEST, "config", reference_json(TYPE_CONFIG, &config),
                                "layers", reference_json(TYPE_LAYER, layer), "annotations",
                                "org.opencontainers.image.title", info->title),
                      manifest, err);
    if (rc == 0)
        rc = put_json(o, "index.json",
                      json_pack("{s:i,s:s,s:[{s:s,s:s+,s:I,s:{s:s,s:s},s:{s:s}}]}", "schemaVersion",
                                2, "mediaType", "application/vnd.oci.image.index.v1+json",
                                "manifests", "mediaType", TYPE_MANIFEST, "digest",
                                "sha256:", manifest->digest, "size", (json_int_t)manifest->size,
                                "platform", "architecture", "amd64", "os", "linux", "annotations",
                                "org.opencontainers.image.ref.name", info->tag),
                      NULL, err);
    if (rc == 0)
        rc = put_document(o, "oci-layout", LAYOUT_TEXT, err);
    if (rc == 0 && o->tar)
        rc = put_json(o, "manifest.json",
                      json_pack("[{s:s+,s:[s],s:[s+]}]", "Config", "blobs/sha256/", config.digest,
                                "RepoTags", info->tag, "Layers", "blobs/sha256/", layer->digest),
                      NULL, err);
    return rc;
}

/* ---- Names ---- */

static int entry_remove(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

static void remove_all(const char *path)
{
    nftw(path, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* An image layout, and so nobody's folder of other things. */
static bool is_layout(const char *path)
{
    CLEANUP(text_free)
    char *index = NULL;
    CLEANUP(text_free)
    char *layout = NULL;

    return asprintf(&index, "%s/index.json", path) > 0 &&
           asprintf(&layout, "%s/oci-layout", path) > 0 && access(index, F_OK) == 0 &&
           access(layout, F_OK) == 0;
}

static int folder_take_name(struct output *o, struct err *err)
{
    CLEANUP(text_free)
    char *old = NULL;

    if (rename(o->temporary, o->path) == 0)
        return 0;
    if ((errno != ENOTEMPTY && errno != EEXIST) || !is_layout(o->path))
        return err_set_errno(err, -errno, "cannot write %s", o->path);
    if (asprintf(&old, "%s.old", o->temporary) < 0)
        return -ENOMEM;
    if (rename(o->path, old) < 0 || rename(o->temporary, o->path) < 0)
        return err_set_errno(err, -errno, "cannot replace %s", o->path);
    remove_all(old);
    return 0;
}

/* A file without a name, if there is one, gets the temporary name first: a link replaces nothing. */
static int tar_take_name(struct output *o, struct err *err)
{
    char unnamed[64];

    snprintf(unnamed, sizeof unnamed, "/proc/self/fd/%d", o->fd);
    if (o->unnamed) {
        o->unnamed = linkat(AT_FDCWD, unnamed, AT_FDCWD, o->temporary, AT_SYMLINK_FOLLOW) < 0;
        if (o->unnamed)
            return err_set_errno(err, -errno, "cannot write %s", o->path);
    }
    if (fchmod(o->fd, 0644) < 0 || rename(o->temporary, o->path) < 0)
        return err_set_errno(err, -errno, "cannot write %s", o->path);
    return 0;
}

int output_finish(struct output *o, const struct output_info *info, char ret_digest[65],
                  struct err *err)
{
    struct blob layer, manifest;

    if (o->file_left > 0)
        return err_set(err, -EINVAL, "less data than was announced");
    int rc = layer_end(o, &layer, err);

    if (rc == 0)
        rc = documents_put(o, info, &layer, &manifest, err);
    if (rc == 0 && o->tar)
        rc = put_zeros(o, 2 * USTAR_BLOCK_SIZE, err);
    if (rc < 0)
        return rc;
    rc = o->tar ? tar_take_name(o, err) : folder_take_name(o, err);
    if (rc < 0)
        return rc;
    free(TAKE_PTR(o->temporary));
    memcpy(ret_digest, manifest.digest, sizeof manifest.digest);
    return 0;
}

uint64_t output_size(const struct output *o)
{
    return o->total;
}

void output_free(struct output *o)
{
    if (!o)
        return;
    if (o->fd >= 0)
        close(o->fd);
    if (o->temporary && !o->unnamed)
        remove_all(o->temporary);
    free(o->temporary);
    free(o->path);
    free(o);
}

void output_freep(struct output **o)
{
    output_free(*o);
}

static int folder_open(struct output *o, struct err *err)
{
    static const char *const folders[] = { "blobs", "blobs/sha256" };
    struct stat st;
    char *path;

    if (stat(o->path, &st) == 0 && !(S_ISDIR(st.st_mode) && is_layout(o->path)) &&
        (!S_ISDIR(st.st_mode) || rmdir(o->path) < 0))
        return err_set(err, -EEXIST, "%s is there already, and is not an image layout", o->path);
    char *made = mkdtemp(o->temporary);

    if (!made || chmod(made, 0755) < 0)
        return err_set_errno(err, -errno, "cannot make a folder beside %s", o->path);
    for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
        CLEANUP(text_free)
        char *folder = NULL;

        if (asprintf(&folder, "%s/%s", made, folders[i]) < 0)
            return -ENOMEM;
        if (mkdir(folder, 0755) < 0 || chmod(folder, 0755) < 0)
            return err_set_errno(err, -errno, "%s", folder);
    }
    if (asprintf(&path, "%s/layer", made) < 0)
        return -ENOMEM;
    o->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    free(path);
    return o->fd < 0 ? err_set_errno(err, -errno, "cannot write beside %s", o->path) : 0;
}

static int tar_open(struct output *o, struct err *err)
{
    const char *slash = strrchr(o->path, '/');
    CLEANUP(text_free)
    char *folder = slash ? strndup(o->path, (size_t)(slash - o->path) + 1) : strdup(".");

    if (!folder)
        return -ENOMEM;
    o->fd = mkostemp(o->temporary, O_CLOEXEC);
    if (o->fd < 0)
        return err_set_errno(err, -errno, "cannot write beside %s", o->path);
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    /* The name was found to be free; where files can be without one, it waits until the end. */
    if (fd >= 0) {
        close(o->fd);
        o->fd = fd;
        unlink(o->temporary);
        o->unnamed = true;
    }
    return 0;
}

int output_new(const char *path, struct output **ret, struct err *err)
{
    CLEANUP(output_freep)
    struct output *o = calloc(1, sizeof *o);
    size_t len = strlen(path);
    int rc;

    if (!o)
        return -ENOMEM;
    o->fd = -1;
    o->tar = len > 4 && strcmp(path + len - 4, ".tar") == 0;
    while (len > 1 && path[len - 1] == '/')
        len--;
    o->path = strndup(path, len);
    if (!o->path || asprintf(&o->temporary, "%s.XXXXXX", o->path) < 0) {
        o->temporary = NULL;
        return -ENOMEM;
    }
    rc = o->tar ? tar_open(o, err) : folder_open(o, err);
    if (rc == 0)
        rc = layer_begin(o, err);
    if (rc == 0)
        *ret = TAKE_PTR(o);
    return rc;
}
