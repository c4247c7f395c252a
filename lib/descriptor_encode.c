/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptor: the writer of its canonical JSON (RFC 8785, docs/image.md), which also compares with a text. Shared; builds freestanding. */
#include <errno.h>
#include <string.h>

#include "lib/descriptor_part.h"

/* Writes to dst, or compares with it when compare is set. */
struct writer {
    char *dst;
    const char *compare;
    size_t size;
    size_t pos;
    bool failed; /* no room, or different */
};

static void put(struct writer *w, const char *bytes, size_t size)
{
    if (w->failed || size > w->size - w->pos) {
        w->failed = true;
        return;
    }
    if (w->compare)
        w->failed = memcmp(w->compare + w->pos, bytes, size) != 0;
    else
        memcpy(w->dst + w->pos, bytes, size);
    w->pos += size;
}

static void put_text(struct writer *w, const char *s)
{
    put(w, s, strlen(s));
}

/* RFC 8785, 3.2.2.2: two-character escapes where JSON has them, else \u00xx in lower case. */
static void put_string(struct writer *w, const char *s)
{
    static const char hex[] = "0123456789abcdef";
    static const char codes[] = "\b\t\n\f\r\"\\";
    static const char names[] = "btnfr\"\\";

    put(w, "\"", 1);
    for (; *s; s++) {
        char escape[6] = { '\\', 'u', '0', '0', hex[(uint8_t)*s >> 4], hex[*s & 15] };
        size_t size = (uint8_t)*s < 0x20 ? 6 : 0;

        for (size_t i = 0; i < sizeof codes - 1; i++)
            if (*s == codes[i]) {
                escape[1] = names[i];
                size = 2;
            }
        if (size > 0)
            put(w, escape, size);
        else
            put(w, s, 1);
    }
    put(w, "\"", 1);
}

static void put_uint(struct writer *w, uint64_t value)
{
    char digits[20];
    size_t pos = sizeof digits;

    do {
        digits[--pos] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    put(w, digits + pos, sizeof digits - pos);
}

static void put_bool(struct writer *w, bool value)
{
    put_text(w, value ? "true" : "false");
}

static void put_hex(struct writer *w, const uint8_t *bytes, size_t size)
{
    static const char hex[] = "0123456789abcdef";

    put(w, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        char pair[2] = { hex[bytes[i] >> 4], hex[bytes[i] & 15] };

        put(w, pair, 2);
    }
    put(w, "\"", 1);
}

static void put_comma(struct writer *w, uint32_t index)
{
    if (index > 0)
        put(w, ",", 1);
}

static void put_lists_front(struct writer *w, const struct descriptor *d)
{
    put_text(w, "{\"args\":[");
    for (uint32_t i = 0; i < d->args_count; i++) {
        put_comma(w, i);
        put_string(w, d->args[i]);
    }
    put_text(w, "],\"args_fixed\":");
    put_uint(w, d->args_fixed);
    put_text(w, ",\"args_from_host\":");
    put_bool(w, d->args_from_host);
    put_text(w, ",\"debug\":");
    put_bool(w, d->debug);
    put_text(w, ",\"elrange_size\":");
    put_uint(w, d->elrange_size);
    put_text(w, ",\"env\":[");
    for (uint32_t i = 0; i < d->env_count; i++) {
        put_comma(w, i);
        put_text(w, "{\"name\":");
        put_string(w, d->env[i].name);
        put_text(w, ",\"value\":");
        if (d->env[i].value)
            put_string(w, d->env[i].value);
        else
            put_text(w, "null");
        put_text(w, "}");
    }
    put_text(w, "],\"gid\":");
    put_uint(w, d->gid);
    put_text(w, ",\"groups\":[");
    for (uint32_t i = 0; i < d->groups_count; i++) {
        put_comma(w, i);
        put_uint(w, d->groups[i]);
    }
}

static void put_mount(struct writer *w, const struct descriptor_mount *m)
{
    put_text(w, m->kind == DESCRIPTOR_MOUNT_TMPFS ? "{\"kind\":\"tmpfs\",\"path\":"
                                                  : "{\"kind\":\"host\",\"path\":");
    put_string(w, m->path);
    put_text(w, ",\"read_only\":");
    put_bool(w, m->read_only);
    put_text(w, ",\"size\":");
    put_uint(w, m->size);
    put_text(w, "}");
}

static void put_server(struct writer *w, const struct descriptor_server *s)
{
    if (!s) {
        put_text(w, "null");
        return;
    }
    put_text(w, "{\"ca_key_sha256\":");
    put_hex(w, s->ca_key_sha256, sizeof s->ca_key_sha256);
    put_text(w, ",\"reload_signal\":");
    put_string(w, s->reload_signal);
    put_text(w, ",\"start_limit_s\":");
    put_uint(w, s->start_limit_s);
    put_text(w, ",\"urls\":[");
    for (uint32_t i = 0; i < s->urls_count; i++) {
        put_comma(w, i);
        put_string(w, s->urls[i]);
    }
    put_text(w, "]}");
}

static void put_descriptor(struct writer *w, const struct descriptor *d)
{
    put_lists_front(w, d);
    put_text(w, "],\"host_files\":");
    put_bool(w, d->host_files);
    put_text(w, ",\"hostname\":");
    put_string(w, d->hostname);
    put_text(w, ",\"memory_size\":");
    put_uint(w, d->memory_size);
    put_text(w, ",\"mounts\":[");
    for (uint32_t i = 0; i < d->mounts_count; i++) {
        put_comma(w, i);
        put_mount(w, &d->mounts[i]);
    }
    put_text(w, "],\"name\":");
    put_string(w, d->name);
    put_text(w, ",\"rootfs_size\":");
    put_uint(w, d->rootfs_size);
    put_text(w, ",\"server\":");
    put_server(w, d->server);
    put_text(w, ",\"stop_signal\":");
    put_string(w, d->stop_signal);
    put_text(w, ",\"threads_max\":");
    put_uint(w, d->threads_max);
    put_text(w, ",\"uid\":");
    put_uint(w, d->uid);
    put_text(w, ",\"verity_root\":");
    put_hex(w, d->verity_root, sizeof d->verity_root);
    put_text(w, ",\"verity_salt\":");
    put_hex(w, d->verity_salt, d->verity_salt_size);
    put_text(w, ",\"version\":");
    put_uint(w, d->version);
    put_text(w, ",\"workdir\":");
    put_string(w, d->workdir);
    put_text(w, "}");
}

int64_t descriptor_encode(const struct descriptor *d, char *dst, size_t dst_size)
{
    struct writer w = { .dst = dst, .size = dst_size };

    put_descriptor(&w, d);
    return w.failed ? -ENOSPC : (int64_t)w.pos;
}

bool descriptor_is_text(const struct descriptor *d, const char *text, size_t size)
{
    struct writer w = { .compare = text, .size = size };

    put_descriptor(&w, d);
    return !w.failed && w.pos == size;
}
