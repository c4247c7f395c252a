/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's evidence of its platform (docs/exchange.md, purpose "node"): a small enclave of known measurement is started, asked for evidence over the server's nonce and the node's key, and what it answers is sent on. Relying
 * party side: the node is not trusted, nor is what its enclave wrote.
 *
 * Files: FOLDER/key.pem, the node's key (P-256, 0600); FOLDER/attest: the enclave's image, sealed here at the first use, its signing key, the last run's log.
 */
#pragma once

#include <jansson.h>

#include "cli/node_instance.h"

#define NODE_KEY_TEXT_SIZE 256u

/* The node's key, made when there is none. ret: base64url of its SubjectPublicKeyInfo. returns: 0; -EBADMSG the file holds no such key; errno. */
MUST_CHECK int node_key_read(const char *folder, char ret[NODE_KEY_TEXT_SIZE], struct err *err);

/* Seals the enclave, unless that was done for this version. ret_path: of the image; ret_mrenclave: 64 hexadecimal digits. returns: 0; -EIO; errno. */
MUST_CHECK int node_attest_image(const struct node_options *options, char *ret_path,
                                 size_t ret_path_size, char ret_mrenclave[65], struct err *err);

struct node_attest;
/* Its thread; context: as client_new, with "node", borrowed until the process ends; options too. */
MUST_CHECK int node_attest_open(const struct node_options *options, const json_t *context,
                                struct node_attest **ret, struct err *err);
/* Whether the server wants evidence now. Evidence that could not be had is tried again, later and later, while it does. */
void node_attest_want(struct node_attest *attest, bool is_wanted);
