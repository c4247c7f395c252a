/* SPDX-License-Identifier: Apache-2.0 */
/* What the library's parts share about items and entries. Relying party; within collateral/. */
#pragma once

#include "collateral/collateral.h"

/* "milan"; NULL for an unknown product. */
const char *item_product_name(uint8_t product);
/* Bytes of a chip id that name the chip: 8 for Turin, else 64. */
size_t item_chip_id_size(uint8_t product);
void item_hex(const uint8_t *bytes, size_t size, char *dst); /* 2 * size + 1 characters */
