/* SPDX-License-Identifier: Apache-2.0 */
/* See http_read.h. Trusted; hosted. */
#include "tee/agent/server/http_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tee/agent/server/wipe.h"

#define CHUNK_LINE_MAX 1024u
#define BODY_STEP 65536u

void http_read_init(struct http_read *r)
{
    r->state = HTTP_READ_HEAD;
    r->status = 0;
    r->is_problem = false;
    r->interim_count = 0;
    r->left = 0;
    r->line_size = r->trailer_size = 0;
    r->body = NULL;
    r->body_size = r->body_capacity = 0;
}

void http_read_done(struct http_read *r)
{
    wipe_free(r->body);
    http_read_init(r);
}

/* ---- the head ---- */

struct head {
    bool has_length, is_chunked, has_coding;
    uint64_t length;
};

static bool is_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* "HTTP/1.1 200 OK"; the reason may be empty. */
static int status_parse(const char *line, size_t size, unsigned *ret)
{
    if (size < 12 || memcmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') ||
        line[8] != ' ' || line[9] < '1' || line[9] > '9' || line[10] < '0' || line[10] > '9' ||
        line[11] < '0' || line[11] > '9' || (size > 12 && line[12] != ' '))
        return -EPROTO;
    *ret = (unsigned)(line[9] - '0') * 100 + (unsigned)(line[10] - '0') * 10 +
           (unsigned)(line[11] - '0');
    return 0;
}

static int length_parse(const char *value, size_t size, struct head *h)
{
    uint64_t length = 0;

    if (size == 0 || size > 18 || h->has_length)
        return -EPROTO;
    for (size_t i = 0; i < size; i++) {
        if (value[i] < '0' || value[i] > '9')
            return -EPROTO;
        length = length * 10 + (uint64_t)(value[i] - '0');
    }
    h->has_length = true;
    h->length = length;
    return 0;
}

static bool name_is(const char *line, size_t size, const char *name)
{
    return size == strlen(name) && strncasecmp(line, name, size) == 0;
}

static int field_parse(struct http_read *r, struct head *h, const char *line, size_t size)
{
    static const char problem[] = "application/problem+json";
    size_t name_size = 0;
    const char *value;

    while (name_size < size && is_token(line[name_size]))
        name_size++;
    if (name_size == 0 || name_size == size || line[name_size] != ':')
        return -EPROTO;
    value = line + name_size + 1;
    size -= name_size + 1;
    for (; size > 0 && (*value == ' ' || *value == '\t'); size--)
        value++;
    while (size > 0 && (value[size - 1] == ' ' || value[size - 1] == '\t'))
        size--;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)value[i] < ' ' && value[i] != '\t')
            return -EPROTO;
    if (name_is(line, name_size, "Content-Length"))
        return length_parse(value, size, h);
    if (name_is(line, name_size, "Transfer-Encoding")) {
        if (h->has_coding || !name_is(value, size, "chunked"))
            return -EPROTO;
        h->has_coding = h->is_chunked = true;
    }
    if (name_is(line, name_size, "Content-Encoding") && !name_is(value, size, "identity"))
        return -EPROTO; /* none was asked for */
    if (name_is(line, name_size, "Content-Type") && size >= sizeof problem - 1 &&
        strncasecmp(value, problem, sizeof problem - 1) == 0)
        r->is_problem = size == sizeof problem - 1 || value[sizeof problem - 1] == ';' ||
                        value[sizeof problem - 1] == ' ';
    return 0;
}

static int lines_parse(struct http_read *r, struct head *h)
{
    const char *at = r->line, *end = r->line + r->line_size - 2; /* before the empty line */
    bool is_first = true;
    int rc = 0;

    while (at < end && rc == 0) {
        const char *stop = memmem(at, (size_t)(end - at), "\r\n", 2);
        size_t size = stop ? (size_t)(stop - at) : 0;

        if (!stop || memchr(at, '\n', size) || memchr(at, '\r', size) || memchr(at, 0, size))
            return -EPROTO;
        rc = is_first ? status_parse(at, size, &r->status) : field_parse(r, h, at, size);
        is_first = false;
        at = stop + 2;
    }
    return is_first ? -EPROTO : rc;
}

static int head_parse(struct http_read *r)
{
    struct head h = { 0 };
    int rc;

    r->is_problem = false;
    rc = lines_parse(r, &h);
    r->line_size = 0;
    if (rc < 0)
        return rc;
    if (r->status < 200) /* interim; 101 was not asked for */
        return r->status == 101 || ++r->interim_count > HTTP_INTERIM_MAX ? -EPROTO : 0;
    if (h.has_length && h.is_chunked)
        return -EPROTO;
    if (h.length > HTTP_BODY_SIZE_MAX)
        return -EMSGSIZE;
    r->left = h.length;
    if (r->status == 204 || r->status == 304 || (h.has_length && h.length == 0))
        r->state = HTTP_READ_DONE;
    else if (h.is_chunked)
        r->state = HTTP_READ_CHUNK_SIZE;
    else
        r->state = h.has_length ? HTTP_READ_LENGTH : HTTP_READ_CLOSE;
    return 0;
}

/* ---- the body ---- */

static int body_add(struct http_read *r, const char *data, size_t size)
{
    size_t needed = r->body_size + size + 1;

    if (size > HTTP_BODY_SIZE_MAX - r->body_size)
        return -EMSGSIZE;
    if (needed > r->body_capacity) {
        size_t capacity = MAX(needed, MAX((size_t)BODY_STEP, 2 * r->body_capacity));
        char *grown = malloc(capacity);

        if (!grown)
            return -ENOMEM;
        if (r->body_size)
            memcpy(grown, r->body, r->body_size);
        wipe_free(r->body);
        r->body = grown;
        r->body_capacity = capacity;
    }
    memcpy(r->body + r->body_size, data, size);
    r->body_size += size;
    r->body[r->body_size] = 0;
    return 0;
}

/* "1a2b" or "1a2b;extension". */
static int chunk_size_parse(struct http_read *r)
{
    static const char digits[] = "0123456789abcdef";
    size_t size = r->line_size - 2, i = 0;
    uint64_t value = 0;

    for (; i < size && i < 9; i++) {
        char c = r->line[i] >= 'A' && r->line[i] <= 'F' ? (char)(r->line[i] + 32) : r->line[i];
        const char *digit = c ? strchr(digits, c) : NULL;

        if (!digit)
            break;
        value = value << 4 | (uint64_t)(digit - digits);
    }
    if (i == 0 || i > 8 || (i < size && r->line[i] != ';' && r->line[i] != ' '))
        return -EPROTO;
    if (value > HTTP_BODY_SIZE_MAX)
        return -EMSGSIZE;
    r->left = value;
    r->line_size = 0;
    r->state = value ? HTTP_READ_CHUNK : HTTP_READ_TRAILER;
    return 0;
}

/* A whole line of chunked coding. */
static int line_take(struct http_read *r)
{
    if (r->line_size < 2 || r->line[r->line_size - 2] != '\r')
        return -EPROTO;
    switch (r->state) {
    case HTTP_READ_CHUNK_SIZE:
        return chunk_size_parse(r);
    case HTTP_READ_CHUNK_END:
        if (r->line_size != 2)
            return -EPROTO;
        r->state = HTTP_READ_CHUNK_SIZE;
        break;
    default: /* trailers are of no account */
        if (r->line_size == 2)
            r->state = HTTP_READ_DONE;
        break;
    }
    r->line_size = 0;
    return 0;
}

static int line_add(struct http_read *r, char c)
{
    if (r->state == HTTP_READ_HEAD) {
        if (r->line_size == sizeof r->line)
            return -EMSGSIZE;
        r->line[r->line_size++] = c;
        return r->line_size >= 4 && memcmp(r->line + r->line_size - 4, "\r\n\r\n", 4) == 0
                   ? head_parse(r)
                   : 0;
    }
    if (r->line_size == CHUNK_LINE_MAX || ++r->trailer_size > HTTP_BODY_SIZE_MAX)
        return -EMSGSIZE;
    r->line[r->line_size++] = c;
    return c == '\n' ? line_take(r) : 0;
}

static int bytes_add(struct http_read *r, const char *data, size_t size, size_t *ret_used)
{
    size_t part = r->state == HTTP_READ_CLOSE ? size : (size_t)MIN((uint64_t)size, r->left);
    int rc = body_add(r, data, part);

    *ret_used = part;
    if (rc < 0 || r->state == HTTP_READ_CLOSE)
        return rc;
    r->left -= part;
    if (r->left == 0)
        r->state = r->state == HTTP_READ_CHUNK ? HTTP_READ_CHUNK_END : HTTP_READ_DONE;
    return 0;
}

int http_read_add(struct http_read *r, const char *data, size_t size)
{
    int rc = 0;

    while (size > 0 && rc == 0) {
        size_t used = 1;

        switch (r->state) {
        case HTTP_READ_LENGTH:
        case HTTP_READ_CHUNK:
        case HTTP_READ_CLOSE:
            rc = bytes_add(r, data, size, &used);
            break;
        case HTTP_READ_DONE:
            return -EPROTO;
        default:
            rc = line_add(r, *data);
            break;
        }
        data += used;
        size -= used;
    }
    return rc < 0 ? rc : r->state == HTTP_READ_DONE;
}

int http_read_end(struct http_read *r)
{
    return r->state == HTTP_READ_DONE || r->state == HTTP_READ_CLOSE ? 1 : -EPROTO;
}
