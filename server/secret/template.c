/* SPDX-License-Identifier: Apache-2.0 */
/* Templates of secrets. Relying party. */
#include "server/secret/template.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "lib/ct.h"
#include "server/crypto/keys.h"

/* Output that is wiped whenever it moves: it holds secrets. */
struct output {
    uint8_t *data;
    size_t size, capacity;
};

static int append(struct output *out, const void *data, size_t size)
{
    size_t capacity = out->capacity;
    uint8_t *bigger;

    if (size > TEMPLATE_OUTPUT_SIZE_MAX - out->size)
        return -E2BIG;
    if (out->size + size + 1 > capacity) {
        capacity = MAX(2 * capacity, out->size + size + 256);
        bigger = malloc(capacity);
        if (!bigger)
            return -ENOMEM;
        if (out->size > 0)
            memcpy(bigger, out->data, out->size);
        secret_free(out->data, out->size);
        out->data = bigger;
        out->capacity = capacity;
    }
    if (size > 0)
        memcpy(out->data + out->size, data, size);
    out->size += size;
    out->data[out->size] = 0;
    return 0;
}

static void output_done(struct output *out)
{
    secret_free(out->data, out->size);
}

/* ---- filters: each makes a new output of the old one ---- */

typedef int filter_fn(const struct output *in, struct output *out);

static int filter_url(const struct output *in, struct output *out)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    static const char digits[] = "0123456789ABCDEF";
    int rc = 0;

    for (size_t i = 0; i < in->size && rc == 0; i++) {
        uint8_t c = in->data[i];
        char text[3] = { '%', digits[c >> 4], digits[c & 15] };

        rc = c && strchr(plain, c) ? append(out, &c, 1) : append(out, text, 3);
    }
    return rc;
}

static int filter_base64(const struct output *in, struct output *out)
{
    uint8_t text[5];
    int rc = 0;

    for (size_t i = 0; i < in->size && rc == 0; i += 3) {
        EVP_EncodeBlock(text, in->data + i, (int)MIN(in->size - i, (size_t)3));
        rc = append(out, text, 4);
    }
    ct_wipe(text, sizeof text);
    return rc;
}

/* The inside of a JSON string. */
static int filter_json(const struct output *in, struct output *out)
{
    static const char digits[] = "0123456789abcdef";
    int rc = 0;

    for (size_t i = 0; i < in->size && rc == 0; i++) {
        uint8_t c = in->data[i];
        char text[6] = { '\\', 'u', '0', '0', digits[c >> 4], digits[c & 15] };

        if (c < 0x20 || c == '"' || c == '\\')
            rc = append(out, text, sizeof text);
        else
            rc = append(out, &c, 1);
    }
    return rc;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int filter_trim(const struct output *in, struct output *out)
{
    size_t begin = 0, end = in->size;

    while (begin < end && is_space(in->data[begin]))
        begin++;
    while (end > begin && is_space(in->data[end - 1]))
        end--;
    return append(out, in->data ? in->data + begin : (const void *)"", end - begin);
}

static const struct {
    const char *name;
    filter_fn *apply;
} g_filters[] = {
    { "url", filter_url },
    { "base64", filter_base64 },
    { "json", filter_json },
    { "trim", filter_trim },
};

/* ---- parsing ---- */

struct piece { /* of the text: not ended by NUL */
    const char *text;
    size_t len;
};
struct parsed {
    struct template_element element;
    bool is_open; /* {{open}} */
    filter_fn *filters[TEMPLATE_FILTERS_MAX];
    unsigned filter_count;
};

static bool piece_is(struct piece p, const char *text)
{
    return p.len == strlen(text) && memcmp(p.text, text, p.len) == 0;
}

/* Takes what is before the first `mark`, or all. returns: whether the mark was there. */
static bool take(struct piece *rest, char mark, struct piece *ret)
{
    const char *end = memchr(rest->text, mark, rest->len);
    size_t len = end ? (size_t)(end - rest->text) : rest->len;

    *ret = (struct piece){ rest->text, len };
    rest->text += end ? len + 1 : len;
    rest->len -= end ? len + 1 : len;
    return end;
}

static struct piece strip(struct piece p)
{
    for (; p.len > 0 && p.text[0] == ' '; p.text++)
        p.len--;
    while (p.len > 0 && p.text[p.len - 1] == ' ')
        p.len--;
    return p;
}

static int parse_word(struct piece p, char ret[TEMPLATE_NAME_MAX + 1])
{
    if (p.len == 0 || p.len > TEMPLATE_NAME_MAX)
        return -EINVAL;
    for (size_t i = 0; i < p.len; i++)
        if (!((p.text[i] >= 'a' && p.text[i] <= 'z') || (p.text[i] >= 'A' && p.text[i] <= 'Z') ||
              (p.text[i] >= '0' && p.text[i] <= '9') || p.text[i] == '-' || p.text[i] == '_'))
            return -EINVAL;
    memcpy(ret, p.text, p.len);
    ret[p.len] = 0;
    return 0;
}

static int parse_element(struct piece p, struct parsed *ret)
{
    static const struct {
        const char *text;
        enum template_kind kind;
    } plain[] = {
        { "certificate", TEMPLATE_CERTIFICATE },
        { "app.id", TEMPLATE_APP_ID },
        { "build.id", TEMPLATE_BUILD_ID },
        { "instance.id", TEMPLATE_INSTANCE_ID },
    };
    struct piece word;

    ret->is_open = piece_is(p, "open");
    if (ret->is_open)
        return 0;
    for (unsigned i = 0; i < ARRAY_COUNT(plain); i++)
        if (piece_is(p, plain[i].text)) {
            ret->element.kind = plain[i].kind;
            return 0;
        }
    if (!take(&p, '.', &word) || !piece_is(word, "secret"))
        return -EINVAL;
    ret->element.kind = TEMPLATE_SECRET;
    if (!take(&p, '.', &word))
        return parse_word(word, ret->element.name);
    if (parse_word(word, ret->element.name) < 0)
        return -EINVAL;
    return parse_word(p, ret->element.field);
}

static int parse_filter(struct piece p, struct parsed *ret)
{
    if (ret->filter_count == TEMPLATE_FILTERS_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < ARRAY_COUNT(g_filters); i++)
        if (piece_is(p, g_filters[i].name)) {
            ret->filters[ret->filter_count++] = g_filters[i].apply;
            return 0;
        }
    return -EINVAL;
}

/* inside: between the braces. */
static int parse(struct piece inside, struct parsed *ret)
{
    struct piece part;
    bool has_more = take(&inside, '|', &part);
    int rc;

    memset(ret, 0, sizeof *ret);
    rc = parse_element(strip(part), ret);
    while (rc == 0 && has_more) {
        has_more = take(&inside, '|', &part);
        rc = parse_filter(strip(part), ret);
    }
    return rc;
}

/* ---- filling in ---- */

static int fill_one(const struct parsed *p, template_find_fn *find, void *arg, struct output *out,
                    struct err *err)
{
    struct output value = { NULL };
    int rc;

    if (p->is_open)
        return append(out, "{{", 2);
    rc = find(arg, &p->element, &value.data, &value.size, err);
    for (unsigned i = 0; i < p->filter_count && rc == 0; i++) {
        struct output next = { NULL };

        rc = p->filters[i](&value, &next);
        output_done(&value);
        value = next;
    }
    if (rc == 0)
        rc = append(out, value.data, value.size);
    output_done(&value);
    return rc;
}

static unsigned line_of(const char *begin, const char *at)
{
    unsigned line = 1;

    for (; begin < at; begin++)
        line += *begin == '\n';
    return line;
}

/* Everything up to the template's end, into `out`, which the caller frees. */
static int fill(const char *text, size_t size, template_find_fn *find, void *arg,
                struct output *out, struct err *err)
{
    const char *at = text, *end = text + size;
    unsigned count = 0;
    struct parsed parsed;
    int rc = 0;

    while (rc == 0) {
        const char *open = memmem(at, (size_t)(end - at), "{{", 2), *close;

        rc = append(out, at, (size_t)((open ? open : end) - at));
        if (rc < 0 || !open)
            break;
        close = memmem(open + 2, (size_t)(end - open - 2), "}}", 2);
        if (!close || ++count > TEMPLATE_ELEMENTS_MAX ||
            parse((struct piece){ open + 2, (size_t)(close - open - 2) }, &parsed) < 0)
            return err_set(err, -EINVAL, "template, line %u: %s", line_of(text, open),
                           !close                          ? "{{ without }}"
                           : count > TEMPLATE_ELEMENTS_MAX ? "more than 64 elements"
                                                           : "no such element or filter");
        if (find)
            rc = fill_one(&parsed, find, arg, out, err);
        at = close + 2;
    }
    return rc;
}

int template_fill(const char *text, size_t size, template_find_fn *find, void *arg, uint8_t **ret,
                  size_t *ret_size, struct err *err)
{
    struct output out = { NULL };
    int rc;

    if (size > TEMPLATE_SIZE_MAX || memchr(text, 0, size))
        return err_set(err, -EINVAL, "template: more than %u bytes, or a NUL", TEMPLATE_SIZE_MAX);
    rc = fill(text, size, find, arg, &out, err);
    if (rc == -E2BIG)
        err_set(err, rc, "template: the result is over %u bytes", TEMPLATE_OUTPUT_SIZE_MAX);
    if (rc < 0 || !find) {
        output_done(&out);
        return rc;
    }
    *ret = out.data;
    *ret_size = out.size;
    return 0;
}
