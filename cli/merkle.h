/* SPDX-License-Identifier: Apache-2.0 */
/* The Merkle tree hash of RFC 6962, section 2.1, over leaves that come one by one. Relying party side; shares no code with the server, whose log it checks. */
#pragma once

#include "lib/defs.h"

#define MERKLE_SIZE 32u

/* nodes[i] is the root of a complete subtree of 2^i leaves when bit i of count is set. Zeroed to begin. */
struct merkle {
    uint64_t count;
    uint8_t nodes[64][MERKLE_SIZE];
};
/* The hash of a leaf with this content. returns: 0; -EIO. */
MUST_CHECK int merkle_leaf(const void *data, size_t size, uint8_t ret[MERKLE_SIZE]);
MUST_CHECK int merkle_add(struct merkle *tree, const uint8_t leaf[MERKLE_SIZE]);
MUST_CHECK int merkle_root(const struct merkle *tree, uint8_t ret[MERKLE_SIZE]);
