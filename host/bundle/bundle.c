/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locates the files of a sealed image in an OCI layout (folder or tar), a docker-archive or a folder.
 * Untrusted side. OCI image-layout and image manifest specifications, version 1.
 */
#include "host/bundle/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/image.h"
#include "lib/checked.h"
#include "lib/json_pull.h"
#include "lib/ustar.h"

#define TAR_ENTRIES_MAX 100000u
#define PAX_SIZE_MAX (64u * 1024)
#define DOCUMENT_SIZE_MAX (4u << 20) /* index, manifest */

static const struct {
    const char *name;
    uint64_t size_max;
} g_files[BUNDLE_FILE_COUNT] = {
    [BUNDLE_LOADER] = { IMAGE_FILE_LOADER, IMAGE_ENCLAVE_SIZE_MAX },
    [BUNDLE_ENCLAVE] = { IMAGE_FILE_ENCLAVE, IMAGE_ENCLAVE_SIZE_MAX },
    [BUNDLE_SIGSTRUCT] = { IMAGE_FILE_SIGSTRUCT, 1808 },
    [BUNDLE_DESCRIPTOR] = { IMAGE_FILE_DESCRIPTOR, IMAGE_DESCRIPTOR_SIZE_MAX },
    [BUNDLE_ROOTFS] = { IMAGE_FILE_ROOTFS, IMAGE_ROOTFS_SIZE_MAX },
    [BUNDLE_VERITY] = { IMAGE_FILE_VERITY, IMAGE_ROOTFS_SIZE_MAX },
};

const char *bundle_file_name(enum bundle_file_kind kind)
{
    return g_files[kind].name;
}

static void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void free_text(char **text)
{
    free(*text);
}

static int read_exactly(int fd, uint64_t off, void *dst, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, (char *)dst + done, size - done, (off_t)(off + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EINVAL;
        done += (size_t)n;
    }
    return 0;
}

static int file_dup(const struct bundle_file *f, struct bundle_file *ret)
{
    int fd = fcntl(f->fd, F_DUPFD_CLOEXEC, 3);

    if (fd < 0)
        return -errno;
    *ret = (struct bundle_file){ fd, f->off, f->size };
    return 0;
}

static int file_open_at(int folder_fd, const char *path, struct bundle_file *ret)
{
    struct stat st;
    int fd = openat(folder_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return -EINVAL;
    }
    *ret = (struct bundle_file){ fd, 0, (uint64_t)st.st_size };
    return 0;
}

/* ---- Tar archives ---- */

/* What pax records said about the next entry. */
struct pax_state {
    char path[USTAR_PATH_MAX + 2];
    bool has_path;
    bool has_size;
    uint64_t size;
};

static int decimal_parse(const char *text, size_t size, uint64_t *ret)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size; i++)
        if (text[i] < '0' || text[i] > '9' || checked_mul(value, 10u, &value) ||
            checked_add(value, (uint64_t)(text[i] - '0'), &value))
            return -EINVAL;
    *ret = value;
    return size > 0 && value <= INT64_MAX ? 0 : -EINVAL;
}

static int pax_parse(const struct bundle_file *data, struct pax_state *state)
{
    CLEANUP(free_text)
    char *text = NULL;
    struct ustar_pax record;
    size_t pos = 0;
    int rc;

    if (data->size > PAX_SIZE_MAX)
        return -EINVAL;
    text = malloc(data->size + 1);
    if (!text)
        return -ENOMEM;
    rc = read_exactly(data->fd, data->off, text, data->size);
    if (rc < 0)
        return rc;
    while ((rc = ustar_pax_next(text, data->size, &pos, &record)) > 0) {
        if (record.key_len == 4 && memcmp(record.key, "size", 4) == 0) {
            rc = decimal_parse(record.value, record.value_size, &state->size);
            state->has_size = rc == 0;
        } else if (record.key_len == 4 && memcmp(record.key, "path", 4) == 0 &&
                   record.value_size < sizeof state->path) {
            memcpy(state->path, record.value, record.value_size);
            state->path[record.value_size] = '\0';
            state->has_path = true;
        }
        if (rc < 0)
            return rc;
    }
    return rc;
}

static const char *path_plain(const char *path)
{
    while (path[0] == '/' || (path[0] == '.' && path[1] == '/'))
        path++;
    return path;
}

/* The last file of that name in the archive that lies in `tar`. returns: 0; -ENOENT; -EINVAL. */
static int tar_find(const struct bundle_file *tar, const char *path, struct bundle_file *ret)
{
    struct pax_state pax = { 0 };
    uint64_t pos = 0;
    int found = -ENOENT;

    for (unsigned i = 0; range_within(pos, USTAR_BLOCK_SIZE, tar->size); i++) {
        uint8_t block[USTAR_BLOCK_SIZE];
        struct ustar_entry e;
        int rc = i < TAR_ENTRIES_MAX ? read_exactly(tar->fd, tar->off + pos, block, sizeof block)
                                     : -EINVAL;

        if (rc == 0)
            rc = ustar_parse(block, &e);
        if (rc <= 0)
            return rc < 0 ? rc : found;
        pos += USTAR_BLOCK_SIZE;
        uint64_t size = pax.has_size && e.type != USTAR_TYPE_PAX ? pax.size : e.size;

        if (!range_within(pos, size, tar->size))
            return -EINVAL;
        struct bundle_file data = { tar->fd, tar->off + pos, size };

        if (e.type == USTAR_TYPE_PAX) {
            rc = pax_parse(&data, &pax);
            if (rc < 0)
                return rc;
        } else {
            if (e.type == USTAR_TYPE_FILE &&
                strcmp(path_plain(pax.has_path ? pax.path : e.path), path) == 0) {
                *ret = data;
                found = 0;
            }
            pax = (struct pax_state){ 0 };
        }
        pos += ALIGN_UP(size, USTAR_BLOCK_SIZE);
    }
    return found;
}

/* ---- OCI layout and docker-archive, in a folder or a tar ---- */

struct source {
    int folder_fd;          /* or -1 */
    struct bundle_file tar; /* when it is not a folder */
};

/* *ret has its own descriptor. */
static int source_find(const struct source *s, const char *path, struct bundle_file *ret)
{
    struct bundle_file f;

    if (s->folder_fd >= 0)
        return file_open_at(s->folder_fd, path, ret);
    int rc = tar_find(&s->tar, path, &f);

    return rc < 0 ? rc : file_dup(&f, ret);
}

static int document_read(const struct bundle_file *f, char **ret_text)
{
    CLEANUP(free_text)
    char *text = NULL;

    if (f->size > DOCUMENT_SIZE_MAX)
        return -EINVAL;
    text = malloc(f->size + 1);
    if (!text)
        return -ENOMEM;
    int rc = read_exactly(f->fd, f->off, text, f->size);

    if (rc < 0)
        return rc;
    *ret_text = TAKE_PTR(text);
    return 0;
}

/* An OCI content descriptor: the members that count here. */
static int reference_parse(struct json_pull *j, struct bundle_blob *ret)
{
    static const char prefix[] = "sha256:";
    struct json_pull_text name, digest = { "", 0 };
    uint64_t size = 0;
    int rc = json_pull_object_begin(j);

    while (rc == 0 && (rc = json_pull_object_next(j, &name)) > 0) {
        if (json_pull_text_is(&name, "digest"))
            rc = json_pull_string(j, &digest);
        else if (json_pull_text_is(&name, "size"))
            rc = json_pull_uint(j, INT64_MAX, &size);
        else
            rc = json_pull_skip(j);
    }
    if (rc < 0)
        return rc;
    size_t prefix_len = sizeof prefix - 1;

    if (digest.raw_size != prefix_len + 64 || memcmp(digest.raw, prefix, prefix_len) != 0)
        return json_pull_fail(j, "a SHA-256 digest is expected");
    for (size_t i = 0; i < 64; i++) {
        char c = digest.raw[prefix_len + i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return json_pull_fail(j, "a SHA-256 digest is expected");
        ret->sha256[i] = c;
    }
    ret->sha256[64] = '\0';
    ret->promised_size = size;
    return 0;
}

/* The first element of member `list` in an index; in a manifest also member "config". */
static int references_parse(const char *text, size_t size, const char *list,
                            struct bundle_blob *ret_first, struct bundle_blob *ret_config,
                            unsigned *ret_count)
{
    struct json_pull j;
    struct json_pull_text name;
    unsigned count = 0;

    json_pull_init(&j, text, size);
    int rc = json_pull_object_begin(&j);

    while (rc == 0 && (rc = json_pull_object_next(&j, &name)) > 0) {
        if (json_pull_text_is(&name, list)) {
            rc = json_pull_array_begin(&j);
            while (rc == 0 && (rc = json_pull_array_next(&j)) > 0)
                rc = count++ == 0 ? reference_parse(&j, ret_first) : json_pull_skip(&j);
        } else if (ret_config && json_pull_text_is(&name, "config")) {
            rc = reference_parse(&j, ret_config);
        } else {
            rc = json_pull_skip(&j);
        }
    }
    if (rc == 0)
        rc = json_pull_end(&j);
    *ret_count = count;
    return rc;
}

static int blob_find(const struct source *s, struct bundle_blob *blob)
{
    char path[sizeof "blobs/sha256/" + 64];

    snprintf(path, sizeof path, "blobs/sha256/%s", blob->sha256);
    return source_find(s, path, &blob->file);
}

/* Follows index.json to the one layer. */
static int layout_open(const struct source *s, const struct bundle_file *index, struct bundle *b,
                       struct bundle_file *ret_layer, struct err *err)
{
    CLEANUP(free_text)
    char *index_text = NULL;
    CLEANUP(free_text)
    char *manifest_text = NULL;
    struct bundle_blob *manifest = &b->blobs[0], *config = &b->blobs[1], *layer = &b->blobs[2];
    unsigned count = 0;
    int rc = document_read(index, &index_text);

    if (rc == 0)
        rc = references_parse(index_text, index->size, "manifests", manifest, NULL, &count);
    if (rc < 0 || count != 1)
        return err_set(err, rc < 0 ? rc : -EINVAL, "index.json is not that of a sealed image");
    rc = blob_find(s, manifest);
    b->blob_count = rc == 0 ? 1 : 0;
    if (rc == 0)
        rc = document_read(&manifest->file, &manifest_text);
    if (rc < 0)
        return err_set_errno(err, rc, "manifest sha256:%s", manifest->sha256);
    rc = references_parse(manifest_text, manifest->file.size, "layers", layer, config, &count);
    if (rc < 0 || count != 1 || !config->sha256[0])
        return err_set(err, rc < 0 ? rc : -EINVAL, "the manifest is not that of a sealed image");
    rc = blob_find(s, config);
    if (rc < 0)
        return err_set_errno(err, rc, "config sha256:%s", config->sha256);
    b->blob_count = 2;
    rc = blob_find(s, layer);
    if (rc < 0)
        return err_set_errno(err, rc, "layer sha256:%s", layer->sha256);
    b->blob_count = 3;
    *ret_layer = layer->file;
    return 0;
}

/* What `docker save` writes: manifest.json is [{"Config":...,"Layers":["id/layer.tar"]}]. */
static int docker_archive_open(const struct source *s, const struct bundle_file *manifest,
                               struct bundle_file *ret_layer, struct err *err)
{
    CLEANUP(free_text)
    char *text = NULL;
    char path[USTAR_PATH_MAX + 1] = "";
    struct json_pull j;
    struct json_pull_text name, layer = { "", 0 };
    unsigned images = 0, layers = 0;
    int rc = document_read(manifest, &text);

    if (rc < 0)
        return err_set_errno(err, rc, "manifest.json");
    json_pull_init(&j, text, manifest->size);
    rc = json_pull_array_begin(&j);
    while (rc == 0 && (rc = json_pull_array_next(&j)) > 0) {
        images++;
        rc = json_pull_object_begin(&j);
        while (rc == 0 && (rc = json_pull_object_next(&j, &name)) > 0) {
            bool is_layers = json_pull_text_is(&name, "Layers");

            rc = is_layers ? json_pull_array_begin(&j) : json_pull_skip(&j);
            while (is_layers && rc == 0 && (rc = json_pull_array_next(&j)) > 0) {
                rc = json_pull_string(&j, &layer);
                layers++;
            }
        }
    }
    if (rc < 0 || images != 1 || layers != 1 ||
        json_pull_text_decode(&layer, path, sizeof path) < 0)
        return err_set(err, -EINVAL, "manifest.json is not that of one sealed image");
    rc = source_find(s, path, ret_layer);
    return rc < 0 ? err_set_errno(err, rc, "layer %s", path) : 0;
}

static int layer_check(const struct bundle_file *layer, struct err *err)
{
    uint8_t magic[4] = { 0 };

    if (layer->size >= sizeof magic && read_exactly(layer->fd, layer->off, magic, 4) == 0 &&
        ((magic[0] == 0x1f && magic[1] == 0x8b) || memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0))
        return err_set(err, -EINVAL,
                       "the layer is compressed; unpack it first, for example with "
                       "`skopeo copy --dest-decompress`");
    return 0;
}

static int files_find(struct bundle *b, const struct bundle_file *layer, int folder_fd,
                      struct err *err)
{
    for (unsigned i = 0; i < BUNDLE_FILE_COUNT; i++) {
        struct bundle_file f = { -1, 0, 0 };
        char path[64];
        int rc;

        if (layer) {
            snprintf(path, sizeof path, "%s%s", IMAGE_FOLDER, g_files[i].name);
            rc = tar_find(layer, path, &f);
            if (rc == 0)
                rc = file_dup(&f, &b->files[i]);
        } else {
            rc = file_open_at(folder_fd, g_files[i].name, &b->files[i]);
        }
        if (rc < 0)
            return rc == -ENOENT
                       ? err_set(err, rc, "no sealed image: %s is missing", g_files[i].name)
                       : err_set_errno(err, rc, "%s", g_files[i].name);
        if (b->files[i].size > g_files[i].size_max || b->files[i].size == 0)
            return err_set(err, -EINVAL, "%s is empty or too large", g_files[i].name);
    }
    return 0;
}

static int source_open(const struct source *s, struct bundle *b, struct err *err)
{
    struct bundle_file layer = { -1, 0, 0 }, document = { -1, 0, 0 };
    bool own_layer = false;
    int rc = source_find(s, "index.json", &document);

    if (rc == 0) {
        rc = layout_open(s, &document, b, &layer, err);
    } else if (rc == -ENOENT) {
        rc = source_find(s, "manifest.json", &document);
        if (rc < 0)
            return err_set(err, rc, "no sealed image: neither an OCI layout nor a docker-archive");
        rc = docker_archive_open(s, &document, &layer, err);
        own_layer = rc == 0;
    } else {
        return err_set(err, rc, "neither an OCI layout nor a readable archive");
    }
    fd_close(&document.fd);
    if (rc == 0)
        rc = layer_check(&layer, err);
    if (rc == 0)
        rc = files_find(b, &layer, -1, err);
    if (own_layer)
        fd_close(&layer.fd);
    return rc;
}

static int folder_open(int fd, struct bundle *b, struct err *err)
{
    struct source s = { .folder_fd = fd };

    if (faccessat(fd, IMAGE_FILE_DESCRIPTOR, F_OK, 0) == 0)
        return files_find(b, NULL, fd, err);
    if (faccessat(fd, IMAGE_FOLDER IMAGE_FILE_DESCRIPTOR, F_OK, 0) < 0)
        return source_open(&s, b, err);
    CLEANUP(fd_close)
    int inner = openat(fd, IMAGE_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (inner < 0)
        return err_set_errno(err, -errno, "%s", IMAGE_FOLDER);
    return files_find(b, NULL, inner, err);
}

void bundle_close(struct bundle *b)
{
    for (unsigned i = 0; i < BUNDLE_FILE_COUNT; i++)
        fd_close(&b->files[i].fd);
    for (unsigned i = 0; i < BUNDLE_BLOB_COUNT_MAX; i++)
        fd_close(&b->blobs[i].file.fd);
}

int bundle_open(const char *path, struct bundle *ret, struct err *err)
{
    struct bundle b = { 0 };
    struct stat st;
    CLEANUP(fd_close)
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int rc;

    for (unsigned i = 0; i < BUNDLE_FILE_COUNT; i++)
        b.files[i].fd = -1;
    for (unsigned i = 0; i < BUNDLE_BLOB_COUNT_MAX; i++)
        b.blobs[i].file.fd = -1;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set_errno(err, -errno, "cannot open %s", path);
    if (S_ISDIR(st.st_mode)) {
        rc = folder_open(fd, &b, err);
    } else if (S_ISREG(st.st_mode)) {
        struct source s = { -1, { fd, 0, (uint64_t)st.st_size } };

        rc = source_open(&s, &b, err);
    } else {
        return err_set(err, -EINVAL, "%s is neither a folder nor a file", path);
    }
    if (rc < 0) {
        bundle_close(&b);
        return err_wrap(err, rc, "%s", path);
    }
    *ret = b;
    return 0;
}

int bundle_map(const struct bundle_file *f, struct bundle_map *ret)
{
    uint64_t start = ALIGN_DOWN(f->off, PAGE_SIZE);
    uint64_t base_size = f->off - start + f->size;

    if (f->size == 0) {
        *ret = (struct bundle_map){ 0 };
        return 0;
    }
    void *base = mmap(NULL, base_size, PROT_READ, MAP_PRIVATE, f->fd, (off_t)start);

    if (base == MAP_FAILED)
        return -errno;
    *ret =
        (struct bundle_map){ (const uint8_t *)base + (f->off - start), f->size, base, base_size };
    return 0;
}

void bundle_unmap(struct bundle_map *m)
{
    if (m->base)
        munmap(m->base, m->base_size);
    *m = (struct bundle_map){ 0 };
}
