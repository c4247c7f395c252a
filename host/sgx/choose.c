/* SPDX-License-Identifier: Apache-2.0 */
/* Which backend this machine gets, and why. Untrusted side. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/sgx/backend.h"

const struct sgx_backend *sgx_backend_choose(const char **ret_why)
{
    const char *wanted = getenv("CLOCHE_SGX");

    if (wanted && strcmp(wanted, "emulated") == 0)
        return sgx_emu_backend(ret_why);
    if (wanted && strcmp(wanted, "device") == 0)
        return sgx_device_backend(ret_why);
    if (wanted && wanted[0]) {
        *ret_why = "CLOCHE_SGX is neither \"device\" nor \"emulated\"";
        return NULL;
    }
    static char why[512]; /* texts of both; equal at every call on one machine */
    const char *device_why, *emu_why;
    const struct sgx_backend *backend = sgx_device_backend(&device_why);

    if (backend) {
        *ret_why = device_why;
        return backend;
    }
    backend = sgx_emu_backend(&emu_why);
    snprintf(why, sizeof why, "%s; %s", emu_why, device_why);
    *ret_why = why;
    return backend;
}
