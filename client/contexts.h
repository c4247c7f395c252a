/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts: the servers that this user is logged in to. Relying party. ~/.config/cloche/contexts.json (mode 0600, replaced atomically; CLOCHE_CONFIG names another file;
 * XDG_CONFIG_HOME is honoured):
 *
 *     {"current": NAME, "contexts": {NAME: {"url", "ca": PEM, "organisation", "user", "token", "policy"}}}
 */
#pragma once

#include <jansson.h>

#include "lib/defs.h"
#include "lib/err.h"

#define CONTEXTS_NAME_MAX 63u
#define CONTEXTS_FILE_SIZE_MAX (1u << 20)

/* The folder of the user's own files, ~/.config/cloche; made when it is missing (0700). returns: 0; -ENOENT there is no home; errno. */
MUST_CHECK int contexts_folder(char *ret, size_t ret_size, struct err *err);
/* The whole file; without one, an empty object. *ret for json_decref. returns: 0; -EBADMSG malformed; -EACCES others may read it; errno. */
MUST_CHECK int contexts_read(json_t **ret, struct err *err);
/* name NULL: the current one. *ret for json_decref. returns: 0; -ENOENT; errors as contexts_read. */
MUST_CHECK int contexts_find(const char *name, json_t **ret, struct err *err);
/* Puts a context (NULL: removes it) under this name and makes it the current one. Takes context. */
MUST_CHECK int contexts_set(const char *name, json_t *context, struct err *err);
/* Writes a file that only the user may read, beside it first, then in its place. returns: 0; errno. */
MUST_CHECK int contexts_file_write(const char *path, const void *data, size_t size,
                                   struct err *err);
