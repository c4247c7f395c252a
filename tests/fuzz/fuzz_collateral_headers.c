/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of answers with collateral, line by line; names of items. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collateral/headers.h"
#include "tests/fuzz/fuzz.h"

static void assert_printable(const char *text, size_t size)
{
    assert(strnlen(text, size) < size);
    for (; *text; text++)
        assert(*text >= 0x20 && *text <= 0x7e);
}

static void check_headers(const struct headers *h)
{
    int64_t wait_ms = headers_retry_after_ms(h, 1751624191);

    assert(wait_ms == -ENOENT || (wait_ms >= 0 && wait_ms <= 86400000));
    assert_printable(h->etag, sizeof h->etag);
    assert_printable(h->last_modified, sizeof h->last_modified);
    assert_printable(h->content_type, sizeof h->content_type);
    assert_printable(h->retry_after, sizeof h->retry_after);
    assert_printable(h->location, sizeof h->location);
    assert(h->max_age_s <= HEADERS_AGE_MAX_S);
    assert(!h->chain || strlen((const char *)h->chain) == h->chain_size);
}

static void check_name(const uint8_t *line, size_t size)
{
    struct collateral_item_id id;
    char name[COLLATERAL_NAME_SIZE + 64], again[COLLATERAL_NAME_SIZE];

    if (size >= sizeof name)
        return;
    memcpy(name, line, size);
    name[size] = 0;
    if (collateral_item_parse(name, &id) == 0)
        assert(strcmp(collateral_item_name(&id, again), name) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const chains[] = { "TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain",
                                          NULL };
    struct headers h = { .chain_names = chains };
    int rc = 0;

    while (size && rc == 0) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t len = end ? (size_t)(end - data) + 1 : size;
        char *line = malloc(len); /* of its own, so that reading past it is seen */

        if (!line)
            abort();
        memcpy(line, data, len);
        rc = headers_add(&h, line, len);
        assert(rc == 0 || rc == -EBADMSG);
        assert((rc == 0) == (h.error == NULL));
        free(line);
        check_name(data, len - (end != NULL));
        data += len;
        size -= len;
    }
    check_headers(&h);
    headers_done(&h);
    return 0;
}
