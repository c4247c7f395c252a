/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the files of a sealed image (abi/image.h, docs/image.md) where they lie, so that they can be
 * mapped and nothing needs to be unpacked. Untrusted side; `cloche run`, `cloche inspect` and the loader use
 * it. It locates and bounds; it does not verify: the enclave does, and `cloche inspect`. Links statically:
 * C library and lib/ only.
 *
 * A sealed image is one of
 *   - an OCI image layout folder, or a tar archive of one (what `cloche build` writes);
 *   - an archive that `docker save` made of one;
 *   - the unpacked folder `cloche` itself, or one that holds it (a container's root file system).
 */
#pragma once

#ifdef TEE_BUILD
#error "host header in measured code"
#endif

#include "lib/err.h"

enum bundle_file_kind {
    BUNDLE_LOADER,
    BUNDLE_ENCLAVE,
    BUNDLE_SIGSTRUCT,
    BUNDLE_DESCRIPTOR,
    BUNDLE_ROOTFS,
    BUNDLE_VERITY,
    BUNDLE_FILE_COUNT,
};

/* Bytes [off, off + size) of fd; they were there when the bundle was opened. */
struct bundle_file {
    int fd;       /* owned by the bundle */
    uint64_t off; /* a multiple of 4096 in what `cloche build` writes */
    uint64_t size;
};

/* A blob of the OCI image that the files came through, with the digest that its reference promises. */
struct bundle_blob {
    struct bundle_file file;
    char sha256[65]; /* hexadecimal, lower case */
    uint64_t promised_size;
};

#define BUNDLE_BLOB_COUNT_MAX 3u /* manifest, config, layer */

struct bundle {
    struct bundle_file files[BUNDLE_FILE_COUNT];
    struct bundle_blob blobs[BUNDLE_BLOB_COUNT_MAX];
    unsigned blob_count; /* 0: the image was not in an OCI layout */
};

/*
 * returns: 0; -ENOENT no such path, or no sealed image in it; -EINVAL malformed; another errno of the
 * file system. err says which file and why. The bundle is then closed.
 */
MUST_CHECK int bundle_open(const char *path, struct bundle *ret, struct err *err);
/* For a bundle that bundle_open filled; safe to call twice. */
void bundle_close(struct bundle *b);

/* Name under IMAGE_FOLDER: "loader", "rootfs.erofs", ... */
const char *bundle_file_name(enum bundle_file_kind kind);

/*
 * Maps a file for reading, privately. *ret_data is page-aligned when off is.
 * returns: 0; -errno. Unmap with bundle_unmap. An empty file maps to size 0.
 */
struct bundle_map {
    const uint8_t *data;
    size_t size;
    void *base; /* what mmap gave */
    size_t base_size;
};
MUST_CHECK int bundle_map(const struct bundle_file *f, struct bundle_map *ret);
void bundle_unmap(struct bundle_map *m);
