/* SPDX-License-Identifier: Apache-2.0 */
/* Verification of a sealed image, without running it. Relying party. */
#include "cli/image_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/image.h"
#include "builder/erofs.h"
#include "builder/sigstruct.h"
#include "builder/verity_tree.h"
#include "lib/enclave_plan.h"

static int blobs_check(const struct bundle *b, struct err *err)
{
    for (unsigned i = 0; i < b->blob_count; i++) {
        CLEANUP(bundle_unmap)
        struct bundle_map map = { 0 };
        const struct bundle_blob *blob = &b->blobs[i];
        uint8_t digest[SHA256_SIZE];
        char text[65];
        int rc = bundle_map(&blob->file, &map);

        if (rc < 0)
            return err_set_errno(err, rc, "blob sha256:%s", blob->sha256);
        sha256_digest(map.data, map.size, digest);
        for (size_t k = 0; k < sizeof digest; k++)
            snprintf(text + 2 * k, 3, "%02x", digest[k]);
        if (map.size != blob->promised_size || strcmp(text, blob->sha256) != 0)
            return err_set(err, -EBADMSG, "blob sha256:%s was changed (it has sha256:%s)",
                           blob->sha256, text);
    }
    return 0;
}

static int descriptor_read(struct image_check *c, struct err *err)
{
    CLEANUP(bundle_unmap)
    struct bundle_map map = { 0 };
    const char *problem;
    int rc = bundle_map(&c->bundle.files[BUNDLE_DESCRIPTOR], &map);

    if (rc < 0)
        return err_set_errno(err, rc, IMAGE_FILE_DESCRIPTOR);
    size_t arena_size = 4 * map.size + 4096;

    c->arena = malloc(arena_size);
    if (!c->arena)
        return err_set_errno(err, -ENOMEM, IMAGE_FILE_DESCRIPTOR);
    rc = descriptor_parse((const char *)map.data, map.size, c->arena, arena_size, &c->descriptor,
                          &problem);
    if (rc < 0)
        return err_set(err, -EBADMSG, IMAGE_FILE_DESCRIPTOR ": %s", problem);
    sha384_digest(map.data, map.size, c->app_digest);
    return 0;
}

static int enclave_check(struct image_check *c, struct err *err)
{
    CLEANUP(bundle_unmap)
    struct bundle_map elf = { 0 };
    CLEANUP(bundle_unmap)
    struct bundle_map sig = { 0 };
    struct sgx_sigstruct s;
    int rc = bundle_map(&c->bundle.files[BUNDLE_ENCLAVE], &elf);

    if (rc == 0)
        rc = bundle_map(&c->bundle.files[BUNDLE_SIGSTRUCT], &sig);
    if (rc < 0)
        return err_set_errno(err, rc, "enclave");
    if (sig.size != sizeof s)
        return err_set(err, -EBADMSG, IMAGE_FILE_SIGSTRUCT " has a wrong size");
    memcpy(&s, sig.data, sizeof s);
    rc = sigstruct_verify(&s, err);
    if (rc < 0)
        return rc;
    struct enclave_plan plan = {
        .elf = elf.data,
        .elf_size = elf.size,
        .elrange_size = c->descriptor.elrange_size,
        .static_slots = ENCLAVE_PLAN_STATIC_SLOTS,
    };

    memcpy(plan.app_digest, c->app_digest, sizeof plan.app_digest);
    if (enclave_plan_measure(&plan, c->mrenclave) < 0)
        return err_set(err, -EBADMSG, IMAGE_FILE_ENCLAVE " is not a library OS");
    if (memcmp(c->mrenclave, s.enclave_hash, sizeof c->mrenclave) != 0)
        return err_set(err, -EBADMSG, "the signature is for another enclave or descriptor");
    if (!!(s.attributes.flags & SGX_ATTR_DEBUG) != c->descriptor.debug)
        return err_set(err, -EBADMSG, "signature and descriptor differ about debug");
    sigstruct_mrsigner(&s, c->mrsigner);
    c->date = s.date;
    c->isv_prod_id = s.isv_prod_id;
    c->isv_svn = s.isv_svn;
    return 0;
}

static int rootfs_check(const struct image_check *c, struct err *err)
{
    CLEANUP(bundle_unmap)
    struct bundle_map data = { 0 };
    CLEANUP(bundle_unmap)
    struct bundle_map tree = { 0 };
    CLEANUP(verity_tree_done)
    struct verity_tree t = { 0 };
    const struct descriptor *d = &c->descriptor;
    uint8_t root[32];
    int rc = bundle_map(&c->bundle.files[BUNDLE_ROOTFS], &data);

    if (rc == 0)
        rc = bundle_map(&c->bundle.files[BUNDLE_VERITY], &tree);
    if (rc < 0)
        return err_set_errno(err, rc, IMAGE_FILE_ROOTFS);
    if (data.size != d->rootfs_size)
        return err_set(err, -EBADMSG,
                       IMAGE_FILE_ROOTFS " has another size than the descriptor says");
    rc = verity_tree_init(&t, data.size / VERITY_BLOCK_SIZE, data.data + EROFS_UUID_OFF,
                          d->verity_salt, d->verity_salt_size);
    if (rc < 0)
        return err_set_errno(err, rc, "hash tree");
    verity_tree_add(&t, data.data, data.size / VERITY_BLOCK_SIZE);
    verity_tree_finish(&t, root);
    if (memcmp(root, d->verity_root, sizeof root) != 0)
        return err_set(err, -EBADMSG, IMAGE_FILE_ROOTFS " was changed: its root hash is another");
    if (tree.size != t.layout.tree_blocks * VERITY_BLOCK_SIZE ||
        memcmp(tree.data, t.bytes, tree.size) != 0)
        return err_set(err, -EBADMSG, IMAGE_FILE_VERITY " was changed");
    return 0;
}

int image_check(const char *path, struct image_check *ret, struct err *err)
{
    struct image_check c = { 0 };

    if (access(path, F_OK) < 0)
        return err_set_errno(err, -errno, "%s", path);
    int rc = bundle_open(path, &c.bundle, err);

    if (rc < 0)
        return rc == -EACCES || rc == -ENOMEM || rc == -EMFILE ? rc : -EBADMSG;
    rc = blobs_check(&c.bundle, err);
    if (rc == 0)
        rc = descriptor_read(&c, err);
    if (rc == 0)
        rc = enclave_check(&c, err);
    if (rc == 0)
        rc = rootfs_check(&c, err);
    for (unsigned i = 0; i < BUNDLE_FILE_COUNT; i++)
        c.image_size += c.bundle.files[i].size;
    if (rc < 0) {
        image_check_done(&c);
        return err_wrap(err, rc, "%s", path);
    }
    *ret = c;
    return 0;
}

void image_check_done(struct image_check *c)
{
    bundle_close(&c->bundle);
    free(c->arena);
    c->arena = NULL;
}
