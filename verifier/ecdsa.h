/* SPDX-License-Identifier: Apache-2.0 */
/* ECDSA over P-256 and P-384 with raw integers (FIPS 186-4). Relying party; signatures and keys may be hostile. */
#pragma once

#include <openssl/evp.h>

#include "verifier/verifier.h"

/* r and s as big-endian integers of size bytes each (32 or 48), digest of the same size. False also when they are out of range. */
bool ecdsa_verify(EVP_PKEY *key, const uint8_t *r, const uint8_t *s, const uint8_t *digest,
                  size_t size);
/* Key from affine coordinates, 32 bytes each. returns: 0; -EINVAL no point of the curve; -ENOMEM. *ret: EVP_PKEY_free. */
MUST_CHECK int ecdsa_p256_key_new(const uint8_t xy[64], EVP_PKEY **ret);
