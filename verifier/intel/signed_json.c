/* SPDX-License-Identifier: Apache-2.0 */
/* Splits Intel's signed collateral into value and signature. Relying party; input hostile. */
#include "verifier/intel/signed_json.h"

#include <errno.h>

#include "verifier/json_read.h"

/* The value's bytes, from its first to its last character. */
static int read_value(struct json_pull *j, struct verifier_bytes *ret)
{
    int rc = json_pull_peek(j);
    size_t start = j->pos;

    if (rc < 0)
        return rc;
    if (rc != JSON_PULL_OBJECT)
        return json_pull_fail(j, "the signed value is not an object");
    rc = json_pull_skip(j);
    *ret = (struct verifier_bytes){ (const uint8_t *)j->text + start, j->pos - start };
    return rc;
}

int signed_json_parse(struct verifier_bytes text, const char *name, struct signed_json *ret)
{
    struct json_pull j;
    struct json_pull_text member;
    bool has_value = false, has_signature = false;
    int rc;

    json_pull_init(&j, (const char *)text.data, text.size);
    rc = json_pull_object_begin(&j);
    while (rc >= 0 && (rc = json_pull_object_next(&j, &member)) > 0) {
        if (json_pull_text_is(&member, name)) {
            has_value = true;
            rc = read_value(&j, &ret->value);
        } else if (json_pull_text_is(&member, "signature")) {
            has_signature = true;
            rc = json_read_hex(&j, ret->signature, sizeof ret->signature);
        } else {
            rc = json_pull_skip(&j);
        }
    }
    if (rc == 0)
        rc = json_pull_end(&j);
    return rc == 0 && has_value && has_signature ? 0 : -EINVAL;
}
