/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identifiers of objects: "app_" and 26 characters of Crockford's base32 (lower case) over 48 bits of milliseconds and 80 random bits: they sort by the
 * time of their making, so lists page by them. Relying party.
 *
 * Prefixes: org usr tok ses app bld nod ins sec pol apr key evt rol cas
 */
#pragma once

#include "lib/defs.h"

#define ID_SIZE 31u /* with NUL */

/* prefix: three letters. Aborts when there are no random bytes. */
void id_make(const char *prefix, char ret[ID_SIZE]);
/* Whether text has the form of an id with this prefix. */
bool id_is_valid(const char *prefix, const char *text);
