/* SPDX-License-Identifier: Apache-2.0 */
/* Which backend this machine gets, and why. Untrusted side. */
#include "host/sgx/backend.h"

const struct sgx_backend *sgx_backend_choose(const char **ret_why)
{
    return sgx_emu_backend(ret_why);
}
