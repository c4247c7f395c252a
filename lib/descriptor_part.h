/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the descriptor share. Shared; builds freestanding. */
#pragma once

#include "lib/descriptor.h"

/* Whether the text is exactly what descriptor_encode writes. */
bool descriptor_is_text(const struct descriptor *d, const char *text, size_t size);
