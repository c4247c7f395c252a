/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys that approvals are signed with: Ed25519, PEM (PKCS#8, encrypted under a passphrase when there is one) in ~/.config/cloche/keys/NAME.pem, mode 0600.
 * Relying party side. They never leave this machine.
 */
#pragma once

#include <openssl/evp.h>

#include "lib/defs.h"
#include "lib/err.h"

#define KEYRING_NAME_MAX 63u
#define KEYRING_PUBLIC_SIZE 32u
#define KEYRING_SIGNATURE_SIZE 64u

struct keyring_key {
    EVP_PKEY *key;
    uint8_t public_key[KEYRING_PUBLIC_SIZE];
    char public_text[44]; /* base64url */
};
/* passphrase NULL: none. returns: 0; -EEXIST there is one of this name; -EINVAL name; errno. */
MUST_CHECK int keyring_create(const char *name, const char *passphrase, struct keyring_key *ret,
                              struct err *err);
/* Asks for the passphrase, or reads it from passphrase_file, when the key has one. returns: 0; -ENOENT; -EACCES wrong passphrase, or others may read the file; errno. */
MUST_CHECK int keyring_open(const char *name, const char *passphrase_file, struct keyring_key *ret,
                            struct err *err);
void keyring_done(struct keyring_key *key);
/* Calls fn for each key's name, sorted. returns: 0; what fn returned when it was not 0; errno. */
MUST_CHECK int keyring_each(int (*fn)(void *arg, const char *name), void *arg, struct err *err);
/* Public key of a key without its passphrase (from NAME.pub beside it). returns: 0; -ENOENT; -EBADMSG. */
MUST_CHECK int keyring_public(const char *name, char ret[44], struct err *err);
/* *ret: base64url of the signature, for free(). */
MUST_CHECK int keyring_sign(const struct keyring_key *key, const void *data, size_t size,
                            char **ret, struct err *err);
