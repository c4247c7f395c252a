/* SPDX-License-Identifier: Apache-2.0 */
/* The formats of log.h. Trusted; no floating point, no locale, no positional arguments. */
#include "tee/enclave/log.h"
#include "tee/enclave/string.h"

struct out {
    char *dst;
    size_t size, len;
};

struct spec {
    bool zero, left, alternate, plus;
    int width, precision; /* -1: none */
    unsigned longs;       /* how many of l, z, j */
    unsigned halves;      /* how many h */
};

static void put(struct out *o, char c)
{
    if (o->len + 1 < o->size)
        o->dst[o->len] = c;
    o->len++;
}

static void put_field(struct out *o, const struct spec *s, const char *text, size_t len, bool zero)
{
    size_t pad = s->width > 0 && (size_t)s->width > len ? (size_t)s->width - len : 0;

    if (!s->left && !zero)
        for (; pad > 0; pad--)
            put(o, ' ');
    if (zero && len > 0 && text[0] == '-') {
        put(o, '-');
        text++;
        len--;
    }
    for (; zero && pad > 0; pad--)
        put(o, '0');
    for (size_t i = 0; i < len; i++)
        put(o, text[i]);
    for (; s->left && pad > 0; pad--)
        put(o, ' ');
}

static void put_number(struct out *o, const struct spec *s, uint64_t value, bool negative,
                       unsigned base, bool upper)
{
    char text[72];
    size_t at = sizeof text;
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    int count = 0;

    for (; value > 0 || count == 0; count++) {
        text[--at] = digits[value % base];
        value /= base;
    }
    for (; count < s->precision && at > 4; count++)
        text[--at] = '0';
    if (s->alternate && base == 16) {
        text[--at] = 'x';
        text[--at] = '0';
    }
    if (negative)
        text[--at] = '-';
    else if (s->plus)
        text[--at] = '+';
    put_field(o, s, text + at, sizeof text - at, s->zero && !s->left && s->precision < 0);
}

static int read_count(const char **fmt, va_list *args)
{
    int n = 0;

    if (**fmt == '*') {
        (*fmt)++;
        return va_arg(*args, int);
    }
    for (; **fmt >= '0' && **fmt <= '9' && n < 10000; (*fmt)++)
        n = n * 10 + (**fmt - '0');
    return n;
}

static const char *read_spec(const char *fmt, struct spec *s, va_list *args)
{
    *s = (struct spec){ .precision = -1 };
    for (;; fmt++) {
        if (*fmt == '0')
            s->zero = true;
        else if (*fmt == '-')
            s->left = true;
        else if (*fmt == '#')
            s->alternate = true;
        else if (*fmt == '+')
            s->plus = true;
        else
            break;
    }
    s->width = read_count(&fmt, args);
    if (s->width < 0) {
        s->left = true;
        s->width = -s->width;
    }
    if (*fmt == '.') {
        fmt++;
        s->precision = read_count(&fmt, args);
    }
    for (;; fmt++) {
        if (*fmt == 'l' || *fmt == 'z' || *fmt == 'j' || *fmt == 't')
            s->longs++;
        else if (*fmt == 'h')
            s->halves++;
        else
            return fmt;
    }
}

static void put_signed(struct out *o, const struct spec *s, va_list *args)
{
    int64_t v = s->longs ? va_arg(*args, int64_t) : va_arg(*args, int);

    put_number(o, s, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0, 10, false);
}

static void put_unsigned(struct out *o, const struct spec *s, va_list *args, unsigned base,
                         bool upper)
{
    uint64_t v = s->longs ? va_arg(*args, uint64_t) : va_arg(*args, unsigned);

    put_number(o, s, v, false, base, upper);
}

static void put_string(struct out *o, const struct spec *s, const char *text)
{
    if (!text)
        text = "(null)";
    put_field(o, s, text, s->precision >= 0 ? strnlen(text, (size_t)s->precision) : strlen(text),
              false);
}

int format_v(char *dst, size_t size, const char *fmt, va_list args_in)
{
    struct out o = { dst, size, 0 };
    struct spec s;
    va_list args;
    char c;

    va_copy(args, args_in);
    for (; *fmt; fmt++) {
        if (*fmt != '%') {
            put(&o, *fmt);
            continue;
        }
        fmt = read_spec(fmt + 1, &s, &args);
        switch (*fmt) {
        case 'd':
        case 'i':
            put_signed(&o, &s, &args);
            break;
        case 'u':
            put_unsigned(&o, &s, &args, 10, false);
            break;
        case 'o':
            put_unsigned(&o, &s, &args, 8, false);
            break;
        case 'x':
        case 'X':
            put_unsigned(&o, &s, &args, 16, *fmt == 'X');
            break;
        case 'p':
            s.alternate = true;
            put_number(&o, &s, (uintptr_t)va_arg(args, void *), false, 16, false);
            break;
        case 's':
            put_string(&o, &s, va_arg(args, const char *));
            break;
        case 'c':
            c = (char)va_arg(args, int);
            put_field(&o, &s, &c, 1, false);
            break;
        case '%':
            put(&o, '%');
            break;
        default:
            /* An unknown conversion is printed as it stands; a lone % at the end ends the text. */
            put(&o, '%');
            if (!*fmt)
                fmt--;
            else
                put(&o, *fmt);
        }
    }
    va_end(args);
    if (size > 0)
        dst[MIN(o.len, size - 1)] = 0;
    return (int)o.len;
}

int format(char *dst, size_t size, const char *fmt, ...)
{
    va_list args;
    int len;

    va_start(args, fmt);
    len = format_v(dst, size, fmt, args);
    va_end(args);
    return len;
}
