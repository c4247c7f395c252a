/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What went wrong, for people: code that faces them takes a last parameter `struct err *err`, sets it
 * where the failure is found and wraps it once per layer with what was being done and to what. Hosted
 * sides only; nothing under tee/ uses it.
 *
 *     if (fd < 0)
 *         return err_set_errno(err, -errno, "cannot open %s", path);
 *     ...
 *     if (rc < 0)
 *         return err_wrap(err, rc, "layer %u", i);      ->  "layer 3: cannot open x: No such file..."
 */
#pragma once

#include "lib/defs.h"

#define ERR_TEXT_SIZE 1024

struct err {
    char text[ERR_TEXT_SIZE]; /* NUL-ended, one line; empty: nothing was said */
};

/* Sets the text. err may be NULL. returns: rc, a negative errno, so that callers can return it. */
int err_set(struct err *err, int rc, const char *format, ...) PRINTF_LIKE(3, 4);
/* The same, followed by what the errno rc means. */
int err_set_errno(struct err *err, int rc, const char *format, ...) PRINTF_LIKE(3, 4);
/* Puts "context: " in front of the text; of the errno's meaning, when there is no text yet. */
int err_wrap(struct err *err, int rc, const char *format, ...) PRINTF_LIKE(3, 4);
