/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of API objects. Relying party side. */
#include "cli/table.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/client.h"

#define CELL_SIZE 256u
#define COLUMNS_MAX 12u

const json_t *table_member(const json_t *object, const char *path)
{
    char name[64];

    while (object && *path) {
        size_t len = strcspn(path, "/");

        if (len >= sizeof name)
            return NULL;
        memcpy(name, path, len);
        name[len] = 0;
        object = json_object_get(object, name);
        path += len + (path[len] == '/');
    }
    return object;
}

/* "a, b" */
static void join_texts(const json_t *list, char *ret, size_t ret_size)
{
    size_t len = 0, i;
    json_t *item;

    ret[0] = 0;
    json_array_foreach((json_t *)list, i, item)
    {
        const char *text = json_string_value(item);
        int more = snprintf(ret + len, ret_size - len, "%s%s", i ? ", " : "", text ? text : "?");

        len = MIN(len + (size_t)MAX(more, 0), ret_size - 1);
    }
}

/* Whether an object's members are all texts, numbers and truth values. */
static bool is_flat(const json_t *object)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)object, name, value)
    {
        if (json_is_object(value) || json_is_array(value))
            return false;
    }
    return json_object_size(object) > 0;
}

/* "env DB, mode 0400" */
static void join_members(const json_t *object, char *ret, size_t ret_size)
{
    const char *name;
    json_t *value;
    size_t len = 0;

    ret[0] = 0;
    json_object_foreach((json_t *)object, name, value)
    {
        char text[256];
        int more = snprintf(ret + len, ret_size - len, "%s%s %s", len ? ", " : "", name,
                            table_text(value, text, sizeof text));

        len = MIN(len + (size_t)MAX(more, 0), ret_size - 1);
    }
}

const char *table_text(const json_t *value, char *ret, size_t ret_size)
{
    char *dumped = NULL;

    if (!value || json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0))
        snprintf(ret, ret_size, "-");
    else if (json_is_string(value))
        snprintf(ret, ret_size, "%s", json_string_value(value));
    else if (json_is_boolean(value))
        snprintf(ret, ret_size, "%s", json_is_true(value) ? "yes" : "no");
    else if (json_array_size(value) > 0 && json_is_string(json_array_get(value, 0)))
        join_texts(value, ret, ret_size);
    else if (is_flat(value))
        join_members(value, ret, ret_size);
    else if ((dumped = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT)))
        snprintf(ret, ret_size, "%s", dumped);
    free(dumped);
    client_text_clean(ret);
    return ret;
}

const char *table_age(const char *then, char *ret, size_t ret_size)
{
    struct tm tm = { 0 };
    const char *end = strptime(then, "%Y-%m-%dT%H:%M:%S", &tm);
    int64_t seconds, size;
    bool is_to_come;

    if (!end || (*end != '.' && *end != 'Z')) {
        snprintf(ret, ret_size, "%s", then);
        return ret;
    }
    seconds = (int64_t)time(NULL) - (int64_t)timegm(&tm);
    is_to_come = seconds < 0;
    size = llabs(seconds);
    if (size < 120)
        snprintf(ret, ret_size, "%s%lld s", is_to_come ? "in " : "", (long long)size);
    else if (size < 7200)
        snprintf(ret, ret_size, "%s%lld min", is_to_come ? "in " : "", (long long)size / 60);
    else if (size < 172800)
        snprintf(ret, ret_size, "%s%lld h", is_to_come ? "in " : "", (long long)size / 3600);
    else
        snprintf(ret, ret_size, "%s%lld days", is_to_come ? "in " : "", (long long)size / 86400);
    return ret;
}

static void cell_text(const json_t *item, const struct table_column *column, char ret[CELL_SIZE])
{
    const json_t *value = table_member(item, column->path);
    char text[CELL_SIZE];

    if (column->kind == TABLE_COUNT) {
        snprintf(ret, CELL_SIZE, "%zu", json_array_size(value));
        return;
    }
    table_text(value, ret, CELL_SIZE);
    if (column->kind == TABLE_SHORT && strlen(ret) > 12)
        ret[12] = 0;
    if (column->kind == TABLE_AGE && json_is_string(value)) {
        memcpy(text, ret, CELL_SIZE);
        table_age(text, ret, CELL_SIZE);
    }
}

/* Characters, not bytes: continuation bytes of UTF-8 take no column. */
static unsigned text_width(const char *text)
{
    unsigned width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_cell(const char *text, unsigned width, bool is_last, FILE *out)
{
    fputs(text, out);
    if (is_last)
        fputc('\n', out);
    else
        fprintf(out, "%*s", (int)(width - text_width(text) + 2), "");
}

void table_print(const json_t *items, const struct table_column *columns, unsigned count,
                 const char *what, FILE *out)
{
    unsigned widths[COLUMNS_MAX];
    char cell[CELL_SIZE];
    const json_t *item;
    size_t i;

    count = MIN(count, COLUMNS_MAX);
    if (json_array_size(items) == 0) {
        fprintf(out, "no %s\n", what);
        return;
    }
    for (unsigned c = 0; c < count; c++)
        widths[c] = text_width(columns[c].title);
    json_array_foreach((json_t *)items, i, item) for (unsigned c = 0; c < count; c++)
    {
        cell_text(item, &columns[c], cell);
        widths[c] = MAX(widths[c], text_width(cell));
    }
    for (unsigned c = 0; c < count; c++)
        print_cell(columns[c].title, widths[c], c + 1 == count, out);
    json_array_foreach((json_t *)items, i, item) for (unsigned c = 0; c < count; c++)
    {
        cell_text(item, &columns[c], cell);
        print_cell(cell, widths[c], c + 1 == count, out);
    }
}

static void print_members(const json_t *object, unsigned indent, FILE *out);

/* Each object of a list in lines of its own, an empty line between them. returns: false it is no list of objects. */
static bool print_objects(const char *name, const json_t *list, unsigned indent, FILE *out)
{
    const json_t *item;
    size_t i;

    if (indent >= 16 || !json_is_object(json_array_get(list, 0)))
        return false;
    fprintf(out, "%*s%s\n", (int)indent, "", name);
    json_array_foreach((json_t *)list, i, item)
    {
        if (i > 0)
            fputc('\n', out);
        print_members(item, indent + 2, out);
    }
    return true;
}

static void print_members(const json_t *object, unsigned indent, FILE *out)
{
    const char *name;
    json_t *value;
    int width = 12;

    json_object_foreach((json_t *)object, name, value) width =
        MAX(width, MIN((int)strlen(name), 28));
    json_object_foreach((json_t *)object, name, value)
    {
        char text[4096], clean[64];

        snprintf(clean, sizeof clean, "%.60s", name);
        client_text_clean(clean);
        if (json_is_null(value))
            continue;
        if (json_is_object(value) && json_object_size(value) > 0 && indent < 16) {
            fprintf(out, "%*s%s\n", (int)indent, "", clean);
            print_members(value, indent + 2, out);
            continue;
        }
        if (print_objects(clean, value, indent, out))
            continue;
        fprintf(out, "%*s%-*s  %s\n", (int)indent, "", width, clean,
                table_text(value, text, sizeof text));
    }
}

void table_object_print(const json_t *object, FILE *out)
{
    print_members(object, 0, out);
}

void table_json_print(const json_t *value, FILE *out)
{
    /* What a terminal would obey is escaped there; programs get the text. */
    json_dumpf(value, out,
               JSON_INDENT(2) | JSON_ENCODE_ANY | (isatty(fileno(out)) ? JSON_ENSURE_ASCII : 0));
    fputc('\n', out);
}
