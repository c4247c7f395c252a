/* SPDX-License-Identifier: Apache-2.0 */
/* AES-128-CMAC (NIST SP 800-38B, RFC 4493) and key derivation with it (NIST SP 800-108, counter mode). Trusted. */
#pragma once

#include "lib/defs.h"

#define CMAC_SIZE 16u
#define CMAC_LABEL_SIZE_MAX 64u

void cmac_compute(const uint8_t key[16], const void *data, size_t size, uint8_t ret[CMAC_SIZE]);
/*
 * 32 bytes from a 128-bit key: CMAC(key, i || label || 0x00 || 256), i = 1 and 2; numbers of four bytes, most significant
 * first; no context. label_size: at most CMAC_LABEL_SIZE_MAX.
 */
void cmac_derive_256(const uint8_t key[16], const void *label, size_t label_size, uint8_t ret[32]);
