/* SPDX-License-Identifier: Apache-2.0 */
/* The pin that a sealed image's descriptor holds of its server: SHA-256 of the CA root's SubjectPublicKeyInfo. Relying party side. */
#pragma once

#include "lib/defs.h"

/* Of the first certificate of a PEM text. returns: whether there is one; ret then has 64 hexadecimal digits. */
bool pin_of_pem(const char *pem, char ret[65]);
