/* SPDX-License-Identifier: Apache-2.0 */
/* Proposes a sealed image as a build of an app. Relying party side. */
#pragma once

#include "cli/remote.h"

struct push {
    const char *app;     /* name or id */
    const char *image;   /* path of the sealed image */
    const char *version; /* NULL: the first twelve characters of the app digest */
    const char *where;   /* where nodes get it; NULL: the image's absolute path */
};
/* Checks the image whole, then proposes it; *ret_build for json_decref. errors as image_check and client_call. */
MUST_CHECK int push_build(struct remote *r, const struct push *push, json_t **ret_build);
/* Bytes as hex. ret: 2 * size + 1 bytes. returns: ret. */
char *push_hex(const uint8_t *bytes, size_t size, char *ret);
