/* SPDX-License-Identifier: Apache-2.0 */
/* Conceptual message wrappers: what could be parsed stays the same through both serialisations. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attest/cmw.h"
#include "tests/fuzz/fuzz.h"

static void assert_same(const struct cmw *a, const struct cmw *b)
{
    assert(cmw_item_count(a) == cmw_item_count(b));
    for (int i = 0; i < (int)cmw_item_count(a); i++) {
        const struct cmw_item *x = cmw_item_get(a, i), *y = cmw_item_get(b, i);

        assert(x->is_collection == y->is_collection && x->parent == y->parent);
        assert(strcmp(x->label, y->label) == 0 && strcmp(x->type, y->type) == 0);
        assert(x->content_format == y->content_format && x->indicators == y->indicators);
        assert(x->size == y->size && (x->size == 0 || memcmp(x->data, y->data, x->size) == 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cmw *cmw = NULL, *copy = NULL;
    uint8_t *bytes;
    char *text;
    size_t encoded;
    int rc = cmw_parse(data, size, &cmw, NULL);

    assert(rc == 0 || rc == -EINVAL || rc == -E2BIG);
    assert((rc == 0) == (cmw != NULL));
    if (rc < 0)
        return 0;
    rc = cmw_encode_cbor(cmw, &bytes, &encoded);
    assert(rc == 0 && cmw_parse(bytes, encoded, &copy, NULL) == 0);
    assert_same(cmw, copy);
    free(bytes);
    cmw_free(copy);
    rc = cmw_encode_json(cmw, &text, &encoded);
    assert(rc == 0 || rc == -ENOTSUP);
    if (rc == 0) {
        rc = cmw_parse((const uint8_t *)text, encoded, &copy, NULL);
        assert(rc == 0);
        assert_same(cmw, copy);
        free(text);
        cmw_free(copy);
    }
    cmw_free(cmw);
    return 0;
}
