/* SPDX-License-Identifier: Apache-2.0 */
/* Templates of secrets: whatever is given, the form alone and filled in agree, and the output is bounded and ends with a 0. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/crypto/keys.h"
#include "server/secret/template.h"
#include "tests/fuzz/fuzz.h"

static int find(void *arg, const struct template_element *element, uint8_t **ret, size_t *ret_size,
                struct err *err)
{
    size_t size = strlen(element->name) * 7 + strlen(element->field);
    uint8_t *value;

    assert(strlen(element->name) <= TEMPLATE_NAME_MAX &&
           strlen(element->field) <= TEMPLATE_NAME_MAX);
    assert(element->kind == TEMPLATE_SECRET || !element->name[0]);
    value = malloc(size + 1);
    assert(value);
    memset(value, ' ' + (int)(size % 200), size + 1);
    *ret = value;
    *ret_size = size;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err;
    uint8_t *text = NULL;
    size_t text_size = 0;
    int form = template_fill((const char *)data, size, NULL, NULL, NULL, NULL, &err);
    int rc = template_fill((const char *)data, size, find, NULL, &text, &text_size, &err);

    assert(rc == form || (form == 0 && rc == -E2BIG));
    if (rc == 0) {
        assert(text_size <= TEMPLATE_OUTPUT_SIZE_MAX && text[text_size] == 0);
        secret_free(text, text_size);
    }
    return 0;
}
