/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 6962 hashing. Relying party side. */
#include "cli/merkle.h"

#include <errno.h>
#include <string.h>

#include <openssl/evp.h>

static int hash(uint8_t prefix, const void *a, size_t a_size, const void *b, size_t b_size,
                uint8_t ret[MERKLE_SIZE])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_done = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
                   EVP_DigestUpdate(context, &prefix, 1) == 1 &&
                   EVP_DigestUpdate(context, a, a_size) == 1 &&
                   (!b || EVP_DigestUpdate(context, b, b_size) == 1) &&
                   EVP_DigestFinal_ex(context, ret, NULL) == 1;

    EVP_MD_CTX_free(context);
    return is_done ? 0 : -EIO;
}

int merkle_leaf(const void *data, size_t size, uint8_t ret[MERKLE_SIZE])
{
    return hash(0, data, size, NULL, 0, ret);
}

int merkle_add(struct merkle *tree, const uint8_t leaf[MERKLE_SIZE])
{
    uint8_t node[MERKLE_SIZE];
    unsigned level = 0;

    memcpy(node, leaf, sizeof node);
    for (; tree->count >> level & 1; level++) {
        int rc = hash(1, tree->nodes[level], MERKLE_SIZE, node, MERKLE_SIZE, node);

        if (rc < 0)
            return rc;
    }
    memcpy(tree->nodes[level], node, sizeof node);
    tree->count++;
    return 0;
}

int merkle_root(const struct merkle *tree, uint8_t ret[MERKLE_SIZE])
{
    bool is_first = true;

    if (tree->count == 0)
        return EVP_Digest("", 0, ret, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
    for (unsigned level = 0; level < 64; level++) {
        if (!(tree->count >> level & 1))
            continue;
        if (is_first) {
            memcpy(ret, tree->nodes[level], MERKLE_SIZE);
        } else {
            int rc = hash(1, tree->nodes[level], MERKLE_SIZE, ret, MERKLE_SIZE, ret);

            if (rc < 0)
                return rc;
        }
        is_first = false;
    }
    return 0;
}
