/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the emulated PKI's folder. Untrusted side; within host/sgx/emu/pki. */
#pragma once

#include <jansson.h>

#include "host/sgx/emu/pki/issue.h"

#define FOLDER_PATH_MAX 4096u

struct emu_pki {
    char folder[FOLDER_PATH_MAX - 64];
    int lock; /* descriptor of DIR/.lock, held exclusively; -1 none */
    json_t *state;
    EVP_PKEY *pck_key; /* read on first use */
};

/* Whole file, NUL-ended, for free(). returns: 0; -E2BIG; -errno. */
MUST_CHECK int folder_read(const char *folder, const char *name, char **ret, size_t *ret_size,
                           struct err *err);
/* Replaces it in one step. secret: for its owner alone. */
MUST_CHECK int folder_write(const char *folder, const char *name, const void *data, size_t size,
                            bool secret, struct err *err);

/* keys/NAME.key and certs/NAME.pem. */
MUST_CHECK int folder_key_read(const char *folder, const char *name, EVP_PKEY **ret,
                               struct err *err);
MUST_CHECK int folder_key_write(const char *folder, const char *name, EVP_PKEY *key,
                                struct err *err);
MUST_CHECK int folder_cert_read(const char *folder, const char *name, X509 **ret, struct err *err);
MUST_CHECK int folder_cert_write(const char *folder, const char *name, X509 *cert, struct err *err);

/* ---- times as Intel writes them: 2025-06-19T10:56:11Z ---- */
#define FOLDER_TIME_SIZE 32u
void folder_time_print(int64_t time_s, char ret[FOLDER_TIME_SIZE]);
MUST_CHECK int folder_time_parse(const char *text, int64_t *ret_s);
