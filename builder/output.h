/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a sealed image as an OCI image: a layout folder, or a tar (when the path ends in ".tar") that
 * is an OCI layout and a docker-archive at once. One layer, an uncompressed tar, with each file's data
 * on a 4 KiB boundary so that it can be mapped where it lies. It appears under its name only when it is
 * complete. No time, owner or order of the machine gets into it. Relying party.
 */
#pragma once

#include "lib/err.h"

struct output;

/* What the image's config and index say; texts are the caller's. */
struct output_info {
    const char *tag; /* "hotel-sealed:latest", for docker-archive and index */
    const char *stop_signal;
    const char *title;
    const struct output_label {
        const char *name;
        const char *value;
    } * labels;
    size_t label_count;
};

/*
 * returns: 0; -EEXIST something is there that is not an image layout; -errno.
 * output_free removes what was not finished.
 */
MUST_CHECK int output_new(const char *path, struct output **ret, struct err *err);
void output_free(struct output *o);
void output_freep(struct output **o);

/* A file of the layer, under IMAGE_FOLDER; exactly size bytes must follow through output_data. */
MUST_CHECK int output_file(struct output *o, const char *name, uint32_t mode, uint64_t size,
                           struct err *err);
MUST_CHECK int output_data(struct output *o, const void *data, size_t size, struct err *err);

/* Config, manifest, index; then the image takes its name. ret_digest: of the manifest, hexadecimal. */
MUST_CHECK int output_finish(struct output *o, const struct output_info *info, char ret_digest[65],
                             struct err *err);
/* Bytes written so far. */
uint64_t output_size(const struct output *o);
