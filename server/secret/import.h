/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of secrets from where they are kept now: a folder, a PKCS#11 token, a key-value store with HashiCorp Vault's HTTP API (KV version 2). Relying party. Where from is
 * the server's administrator's to say, in a file of named sources (docs/secrets.md); clients name a source and a path in it, never an address.
 */
#pragma once

#include <jansson.h>

#include "server/server.h"

/*
 * import: {"source": name, "path": ..., "field": ...}, from a client. *ret is for secret_free(). ret_origin: text for the record, "vault-eu:hotel/db#password".
 * returns: 0; -EINVAL the request; -ENOENT no such source or value; -EACCES not for this organisation, or the source refuses; -E2BIG; -EIO the source fails.
 */
MUST_CHECK int secret_import(struct server *server, const char *org_id, const json_t *import,
                             uint8_t **ret, size_t *ret_size, char *ret_origin, size_t origin_size,
                             struct err *err);

/* ---- kinds of sources; internal. source: its object in the file, trusted; path, field: checked words of the client; field "": none ---- */
typedef int import_fn(const json_t *source, const char *path, const char *field, uint8_t **ret,
                      size_t *ret_size, struct err *err);
import_fn import_file, import_pkcs11, import_vault;
/* Of an answer of the engine, which may be hostile: the field's text, or with "" all of data.data as JSON. returns: 0, *ret for secret_free(); -ENOENT; -EIO; -ENOMEM. */
MUST_CHECK int import_vault_pick(const char *answer, size_t size, const char *field, uint8_t **ret,
                                 size_t *ret_size, struct err *err);
