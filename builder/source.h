/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an image comes from: reads any source into a tree, a spool of contents and the image's own
 * config. Relying party. Everything that is read may be hostile; needs no privilege; nothing is unpacked.
 */
#pragma once

#include "builder/progress.h"
#include "builder/spool.h"
#include "builder/tree.h"

#define SOURCE_LAYERS_MAX 512u
#define SOURCE_ENTRIES_MAX TREE_INODES_MAX  /* of one archive */
#define SOURCE_DOCUMENT_SIZE_MAX (4u << 20) /* bytes of an index, manifest or config */
#define SOURCE_LIST_MAX 1024u               /* arguments, environment */

/* A list of strings from an image's config. */
struct source_list {
    const char **items;
    size_t count;
};

/* The image's config as far as it counts here; empty strings where it says nothing. */
struct source_config {
    struct source_list entrypoint;
    struct source_list cmd;
    struct source_list env; /* "NAME=value" */
    const char *workdir;
    const char *user;
    const char *stop_signal;
};

struct source {
    struct tree tree;
    struct spool spool;
    struct source_config config;
    const char *name;  /* short: "hotel" from "docker://x/hotel:1" or "hotel.tar" */
    bool is_container; /* it had a config; false: a plain root file system */
};

/*
 * Reads what `reference` names: a folder (OCI layout or root file system), an archive (OCI layout,
 * docker-archive or root file system), or what skopeo takes ("docker://...", "docker-daemon:...").
 * returns: 0; -ENOENT; -EBADMSG a digest is wrong; -EINVAL malformed; -EFBIG, -E2BIG too large; -errno.
 */
MUST_CHECK int source_open(struct source *ret, const char *reference, struct progress *progress,
                           struct err *err);
void source_done(struct source *s);

/* Parts, for source_open and tests. */

/* Bytes [off, off + size) of fd. */
struct source_span {
    int fd;
    uint64_t off;
    uint64_t size;
};

/*
 * Applies one archive as layer number `layer`; whiteouts: names that start with ".wh." hide what lower
 * layers put. ret_digest: SHA-256 of the span, read to its end; may be NULL.
 */
MUST_CHECK int source_archive_read(struct source *s, const struct source_span *span, unsigned layer,
                                   bool whiteouts, uint8_t ret_digest[32],
                                   struct progress *progress, struct err *err);
/* Reads a folder as a root file system. */
MUST_CHECK int source_folder_read(struct source *s, int folder_fd, struct progress *progress,
                                  struct err *err);
/*
 * Reads an OCI layout or docker-archive that lies in a folder (folder_fd >= 0) or was itself read as an
 * archive into `outer`. The layers go into s.
 */
MUST_CHECK int source_image_read(struct source *s, int folder_fd, struct source *outer,
                                 struct progress *progress, struct err *err);
/* Whether an extended attribute belongs to a file, and not to the machine where it was read. */
bool source_xattr_is_kept(const char *name);
