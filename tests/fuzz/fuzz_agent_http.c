/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's reader of HTTP responses: however the bytes are cut, the same comes of them, and never more than the limits. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tee/agent/server/http_read.h"
#include "tests/fuzz/fuzz.h"

/* Feeds pieces of step bytes. returns: http_read_add's last word, or http_read_end's. */
static int feed(struct http_read *r, const char *data, size_t size, size_t step)
{
    int rc = 0;

    http_read_init(r);
    for (size_t i = 0; i < size && rc >= 0; i += step) {
        size_t left = size - i;

        if (rc == 1)
            return -EPROTO;
        rc = http_read_add(r, data + i, left < step ? left : step);
    }
    return rc == 0 ? http_read_end(r) : rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_read whole, cut;
    int a, b;

    if (size < 1)
        return 0;
    a = feed(&whole, (const char *)data + 1, size - 1, size);
    b = feed(&cut, (const char *)data + 1, size - 1, 1u + data[0] % 16);
    assert(a == 1 || a == -EPROTO || a == -EMSGSIZE);
    assert(a == b);
    if (a == 1) {
        assert(whole.status == cut.status && whole.status >= 200 && whole.status <= 999);
        assert(whole.body_size == cut.body_size && whole.body_size <= HTTP_BODY_SIZE_MAX);
        assert(whole.body_size == 0 || memcmp(whole.body, cut.body, whole.body_size) == 0);
        assert(whole.is_problem == cut.is_problem);
    }
    http_read_done(&whole);
    http_read_done(&cut);
    return 0;
}
