/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of the API for people: tables, and one object's members line by line. Relying party side; values may be hostile: control characters are not printed. */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "lib/defs.h"

struct table_column {
    const char *title; /* "LAST SEEN" */
    const char *path;  /* member, "lease/until" of an object in it */
    enum table_kind {
        TABLE_TEXT,
        TABLE_AGE,   /* RFC 3339: "3 min" ago, or "in 3 min" */
        TABLE_SHORT, /* the first 12 characters */
        TABLE_COUNT, /* of an array */
    } kind;
};

/* Prints a row for each object of items; a line that there are none when there are none. `what`: "apps". */
void table_print(const json_t *items, const struct table_column *columns, unsigned count,
                 const char *what, FILE *out);
/* "name     value" for each member, in the object's order; objects in it are indented. */
void table_object_print(const json_t *object, FILE *out);
/* A member by a path of names with '/'; NULL when it is not there. Borrowed. */
const json_t *table_member(const json_t *object, const char *path);
/* A value as text that is safe on a terminal. returns: ret. */
const char *table_text(const json_t *value, char *ret, size_t ret_size);
/* "3 min", "2 h", "5 days" between then (RFC 3339) and now; "in ..." when it is to come. returns: ret; the text itself when it is no time. */
const char *table_age(const char *then, char *ret, size_t ret_size);
/* JSON for programs, with a line break. */
void table_json_print(const json_t *value, FILE *out);
