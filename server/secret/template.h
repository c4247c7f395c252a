/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates of secrets (docs/secrets.md): text with {{...}}, filled in when a secret is released. Relying party. No loops, no conditions, no calls; every output is
 * bounded; a template cannot name another template. Pure.
 *
 *     postgresql://hotel:{{secret.db-password|url}}@{{secret.db.host}}:5432/hotel
 *
 * {{certificate}} {{app.id}} {{build.id}} {{instance.id}} {{secret.NAME}} {{secret.NAME.FIELD}} {{open}} ("{{"), then any of |url |base64 |json |trim.
 */
#pragma once

#include "lib/defs.h"
#include "lib/err.h"

#define TEMPLATE_SIZE_MAX (256u << 10)
#define TEMPLATE_OUTPUT_SIZE_MAX (1u << 20)
#define TEMPLATE_ELEMENTS_MAX 64u
#define TEMPLATE_NAME_MAX 128u /* characters of one element's name or field */
#define TEMPLATE_FILTERS_MAX 4u

enum template_kind {
    TEMPLATE_CERTIFICATE,
    TEMPLATE_APP_ID,
    TEMPLATE_BUILD_ID,
    TEMPLATE_INSTANCE_ID,
    TEMPLATE_SECRET,
};
struct template_element {
    enum template_kind kind;
    char name[TEMPLATE_NAME_MAX + 1]; /* TEMPLATE_SECRET: the secret's */
    char field[TEMPLATE_NAME_MAX +
               1]; /* TEMPLATE_SECRET: a member of its value, a JSON object; "" the value itself */
};
/* Finds an element's value. *ret is for secret_free(). returns: 0; -ENOENT, why in err; errno. */
typedef int template_find_fn(void *arg, const struct template_element *element, uint8_t **ret,
                             size_t *ret_size, struct err *err);

/*
 * Fills in the template. text: hostile. *ret is for secret_free(); a 0 is behind it. find NULL: nothing is filled in, the form alone is checked, and *ret is not set.
 * returns: 0; -EINVAL the template, with the line in err; -E2BIG the output; -ENOMEM; what find returned.
 */
MUST_CHECK int template_fill(const char *text, size_t size, template_find_fn *find, void *arg,
                             uint8_t **ret, size_t *ret_size, struct err *err);
