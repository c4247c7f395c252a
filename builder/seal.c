/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing: source, descriptor, EROFS with hash tree, measurement, signature, OCI image. Relying party. The
 * image is written in one pass: what depends on the root hash comes last.
 */
#include "builder/seal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "abi/agent.h"
#include "abi/image.h"
#include "builder/erofs.h"
#include "builder/output.h"
#include "builder/sigstruct.h"
#include "builder/spec.h"
#include "builder/verity_tree.h"
#include "lib/enclave_plan.h"

/* All that a build holds; seal_done gives back what there is. */
struct seal {
    struct source source;
    bool has_source;
    struct arena arena;
    struct build_file file;
    struct descriptor descriptor;
    struct erofs *erofs;
    struct verity_tree verity;
    EVP_PKEY *key;
    uint8_t *enclave, *loader, *agent;
    size_t enclave_size, loader_size, agent_size;
    struct output *output;
};

static void seal_done(struct seal *s)
{
    output_free(s->output);
    verity_tree_done(&s->verity);
    erofs_free(s->erofs);
    if (s->has_source)
        source_done(&s->source);
    EVP_PKEY_free(s->key);
    free(s->enclave);
    free(s->loader);
    free(s->agent);
    arena_done(&s->arena);
}

static void hex(const uint8_t *bytes, size_t size, char *ret)
{
    for (size_t i = 0; i < size; i++)
        snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}

static int program_load(const char *path, uint8_t **ret, size_t *ret_size, struct err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = 0;

    if (fd < 0 || fstat(fd, &st) < 0) {
        rc = err_set_errno(err, -errno, "cannot open %s", path);
    } else if (!S_ISREG(st.st_mode) || st.st_size == 0 || st.st_size > IMAGE_ENCLAVE_SIZE_MAX) {
        rc = err_set(err, -EINVAL, "%s is not a program", path);
    } else {
        const struct spool view = { .fd = fd, .size = (uint64_t)st.st_size };
        uint8_t *data = malloc(view.size);

        rc = data ? spool_read(&view, 0, data, view.size, err) : -ENOMEM;
        if (rc == 0) {
            *ret = data;
            *ret_size = view.size;
        } else {
            free(data);
        }
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

static uint32_t bcd(int value)
{
    uint32_t digits = 0;

    for (unsigned shift = 0; value > 0; value /= 10, shift += 4)
        digits |= (uint32_t)(value % 10) << shift;
    return digits;
}

/* SOURCE_DATE_EPOCH as yyyymmdd in BCD (reproducible-builds.org), else a constant. */
static uint32_t signature_date(void)
{
    const char *text = getenv("SOURCE_DATE_EPOCH");
    char *end;
    long long seconds = text ? strtoll(text, &end, 10) : 0;
    time_t time = (time_t)seconds;
    struct tm tm;

    if (!text || !text[0] || *end || seconds < 0 || !gmtime_r(&time, &tm) || tm.tm_year > 8099)
        return SIGSTRUCT_DATE_DEFAULT;
    return bcd(tm.tm_year + 1900) << 16 | bcd(tm.tm_mon + 1) << 8 | bcd(tm.tm_mday);
}

static int data_sink(void *arg, const void *data, size_t size, struct err *err)
{
    struct seal *s = arg;

    verity_tree_add(&s->verity, data, size / VERITY_BLOCK_SIZE);
    return output_data(s->output, data, size, err);
}

static int file_put(struct seal *s, const char *name, uint32_t mode, const void *data, size_t size,
                    struct err *err)
{
    int rc = output_file(s->output, name, mode, size, err);

    return rc < 0 ? rc : output_data(s->output, data, size, err);
}

static int rootfs_put(struct seal *s, struct progress *progress, struct err *err)
{
    struct descriptor *d = &s->descriptor;
    uint64_t size = erofs_size(s->erofs);
    /* No salt: it guards against collisions computed before, and a reproducible one would not. */
    int rc = verity_tree_init(&s->verity, size / VERITY_BLOCK_SIZE, erofs_uuid(s->erofs),
                              d->verity_salt, d->verity_salt_size);

    if (rc < 0)
        return err_set_errno(err, rc, "hash tree");
    rc = output_file(s->output, IMAGE_FILE_ROOTFS, 0644, size, err);
    progress_step(progress, "writing image", size);
    if (rc == 0)
        rc = erofs_write(s->erofs, data_sink, s, progress, err);
    if (rc < 0)
        return rc;
    verity_tree_finish(&s->verity, d->verity_root);
    d->rootfs_size = size;
    return file_put(s, IMAGE_FILE_VERITY, 0644, s->verity.bytes,
                    s->verity.layout.tree_blocks * VERITY_BLOCK_SIZE, err);
}

/* Descriptor, its digest, the enclave's measurement and signature. */
static int identity_put(struct seal *s, struct seal_result *r, struct err *err)
{
    uint8_t app_digest[SHA384_SIZE], mrenclave[32], mrsigner[32];
    char *json = arena_alloc(&s->arena, IMAGE_DESCRIPTOR_SIZE_MAX);
    struct sgx_sigstruct sigstruct;
    const char *problem = descriptor_check(&s->descriptor);
    const struct sigstruct_terms terms = { .date = signature_date(),
                                           .isv_prod_id = s->file.isv_prod_id,
                                           .isv_svn = s->file.isv_svn,
                                           .debug = s->descriptor.debug };

    if (problem)
        return err_set(err, -EINVAL, "%s", problem);
    int64_t size =
        json ? descriptor_encode(&s->descriptor, json, IMAGE_DESCRIPTOR_SIZE_MAX) : -ENOMEM;

    if (size < 0)
        return err_set(err, (int)size, "the descriptor is too large: shorten args or env");
    sha384_digest(json, (size_t)size, app_digest);
    struct enclave_plan plan = {
        .elf = s->enclave,
        .elf_size = s->enclave_size,
        .elrange_size = s->descriptor.elrange_size,
        .static_slots = ENCLAVE_PLAN_STATIC_SLOTS,
    };

    memcpy(plan.app_digest, app_digest, sizeof plan.app_digest);
    int rc = enclave_plan_measure(&plan, mrenclave);

    if (rc < 0)
        return err_set(err, rc, "the enclave file is not a library OS");
    rc = sigstruct_sign(s->key, mrenclave, &terms, &sigstruct, err);
    if (rc == 0)
        rc = file_put(s, IMAGE_FILE_DESCRIPTOR, 0644, json, (size_t)size, err);
    if (rc == 0)
        rc = file_put(s, IMAGE_FILE_SIGSTRUCT, 0644, &sigstruct, sizeof sigstruct, err);
    sigstruct_mrsigner(&sigstruct, mrsigner);
    hex(app_digest, sizeof app_digest, r->app_digest);
    hex(mrenclave, sizeof mrenclave, r->mrenclave);
    hex(mrsigner, sizeof mrsigner, r->mrsigner);
    hex(s->descriptor.verity_root, 32, r->verity_root);
    return rc;
}

/* A name that registries take: lower case, digits, single separators. */
static void tag_make(const char *name, char *ret, size_t ret_size)
{
    size_t len = 0;

    for (; *name && len + sizeof "-sealed:latest" < ret_size && len < 200; name++) {
        bool plain = isalnum((unsigned char)*name);

        if (plain)
            ret[len++] = (char)tolower((unsigned char)*name);
        else if (len > 0 && ret[len - 1] != '-')
            ret[len++] = '-';
    }
    while (len > 0 && ret[len - 1] == '-')
        len--;
    snprintf(ret + len, ret_size - len, "%s-sealed:latest", len ? "" : "image");
}

static int finish(struct seal *s, const struct seal_options *o, struct seal_result *r,
                  struct err *err)
{
    const struct output_label labels[] = {
        { "org.cloche.app-digest", r->app_digest },
        { "org.cloche.mrenclave", r->mrenclave },
        { "org.cloche.mrsigner", r->mrsigner },
        { "org.cloche.verity-root", r->verity_root },
        { "org.cloche.version", "1" },
    };
    const struct output_info info = {
        .tag = r->tag,
        .stop_signal = s->descriptor.stop_signal,
        .title = s->descriptor.name,
        .labels = labels,
        .label_count = ARRAY_COUNT(labels),
    };

    if (o->tag)
        snprintf(r->tag, sizeof r->tag, "%s", o->tag);
    else
        tag_make(s->descriptor.name, r->tag, sizeof r->tag);
    int rc = output_finish(s->output, &info, r->manifest_digest, err);

    r->debug = s->descriptor.debug;
    r->rootfs_size = s->descriptor.rootfs_size;
    r->image_size = output_size(s->output);
    r->file_count = erofs_inode_count(s->erofs);
    return rc;
}

/* Options go before the build file. */
static int server_choose(struct seal *s, const struct seal_options *o, struct err *err)
{
    struct build_file *f = &s->file;

    if (o->is_server_default && (f->server_urls.count > 0 || f->server_ca_key))
        return 0;
    if (o->server_url_count > DESCRIPTOR_URLS_MAX)
        return err_set(err, -E2BIG, "more than %u servers", DESCRIPTOR_URLS_MAX);
    if (o->server_url_count > 0) {
        f->server_urls.items = arena_alloc(&s->arena, o->server_url_count * sizeof(const char *));
        if (!f->server_urls.items)
            return -ENOMEM;
        memcpy(f->server_urls.items, o->server_urls, o->server_url_count * sizeof(const char *));
        f->server_urls.count = o->server_url_count;
    }
    if (o->server_ca)
        f->server_ca_key = o->server_ca;
    f->has_server = f->has_server || o->server_url_count > 0 || o->server_ca;
    return 0;
}

static int inputs_load(struct seal *s, const struct seal_options *o, struct seal_result *r,
                       struct err *err)
{
    const char *key_path = "";
    int rc = program_load(o->enclave, &s->enclave, &s->enclave_size, err);

    if (rc == 0)
        rc = program_load(o->loader, &s->loader, &s->loader_size, err);
    if (rc == 0 && o->build_file)
        rc = build_file_read(o->build_file, &s->arena, &s->file, err);
    if (rc == 0)
        rc = server_choose(s, o, err);
    if (rc == 0)
        rc = program_load(s->file.has_server && o->server_agent ? o->server_agent : o->agent,
                          &s->agent, &s->agent_size, err);
    if (rc == 0)
        rc = sigstruct_key_load(o->sign_key, &s->key, &r->key_made, &key_path, err);
    snprintf(r->key_path, sizeof r->key_path, "%s", key_path);
    if (rc == 0)
        rc = source_open(&s->source, o->source, o->progress, err);
    s->has_source = rc == 0;
    if (rc == 0 && tree_find(&s->source.tree, IMAGE_FOLDER IMAGE_FILE_SIGSTRUCT) &&
        tree_find(&s->source.tree, IMAGE_FOLDER IMAGE_FILE_DESCRIPTOR))
        return err_set(err, -EINVAL, "%s is a sealed image already", o->source);
    return rc;
}

/* Process 1 of the image goes into its root file system, where the verity root covers it. */
static int agent_put(struct seal *s, struct err *err)
{
    struct source *source = &s->source;
    const struct tree_inode attrs = { .mode = S_IFREG | 0755,
                                      .size = s->agent_size,
                                      .spool_off = source->spool.size };
    struct tree_inode *inode;
    int rc;

    if (tree_find(&source->tree, AGENT_FOLDER))
        return err_set(err, -EINVAL,
                       "the image has a file or folder " AGENT_FOLDER
                       ", a name that is reserved for process 1 of the enclave: remove it");
    rc = spool_append(&source->spool, s->agent, s->agent_size, err);
    return rc < 0 ? rc : tree_put(&source->tree, AGENT_PATH, UINT_MAX, &attrs, &inode, err);
}

static int seal(struct seal *s, const struct seal_options *o, struct seal_result *r,
                struct err *err)
{
    int rc = inputs_load(s, o, r, err);

    if (rc == 0)
        rc = spec_make(&s->source, &s->file, &s->descriptor, err);
    if (rc == 0)
        rc = agent_put(s, err);
    if (rc == 0)
        rc = erofs_new(&s->source.tree, &s->source.spool, &s->erofs, err);
    if (rc == 0)
        rc = output_new(o->output, &s->output, err);
    if (rc == 0)
        rc = file_put(s, IMAGE_FILE_LOADER, 0755, s->loader, s->loader_size, err);
    if (rc == 0)
        rc = file_put(s, IMAGE_FILE_ENCLAVE, 0644, s->enclave, s->enclave_size, err);
    if (rc == 0)
        rc = rootfs_put(s, o->progress, err);
    if (rc == 0)
        rc = identity_put(s, r, err);
    return rc < 0 ? rc : finish(s, o, r, err);
}

int seal_image(const struct seal_options *options, struct seal_result *ret, struct err *err)
{
    CLEANUP(seal_done)
    struct seal s = { 0 };
    struct seal_result r = { 0 };
    int rc = seal(&s, options, &r, err);

    progress_done(options->progress);
    if (rc == 0)
        *ret = r;
    return rc == -ENOMEM ? err_set_errno(err, rc, "cannot build") : rc;
}
