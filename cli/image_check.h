/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks a sealed image whole, as its receiver: digests, descriptor, hash tree against every block,
 * measurement, signature. Relying party; the image may be hostile.
 */
#pragma once

#include "host/bundle/bundle.h"
#include "lib/descriptor.h"

struct image_check {
    struct bundle bundle;
    struct descriptor descriptor;
    void *arena; /* of the descriptor's strings */
    uint8_t app_digest[48];
    uint8_t mrenclave[32];
    uint8_t mrsigner[32];
    uint16_t isv_prod_id, isv_svn;
    uint32_t date;       /* of the SIGSTRUCT, BCD */
    uint64_t image_size; /* bytes of all files */
};

/*
 * returns: 0; -ENOENT no such path; -EBADMSG: it was changed, or is no sealed image, err says where.
 * Give back with image_check_done.
 */
MUST_CHECK int image_check(const char *path, struct image_check *ret, struct err *err);
void image_check_done(struct image_check *c);
