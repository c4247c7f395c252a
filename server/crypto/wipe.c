/* SPDX-License-Identifier: Apache-2.0 */
/* What is secret, freed. Relying party. */
#include <stdlib.h>

#include "lib/ct.h"
#include "server/crypto/keys.h"

void secret_free(void *data, size_t size)
{
    if (data)
        ct_wipe(data, size);
    free(data);
}
