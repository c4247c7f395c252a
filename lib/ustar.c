/* SPDX-License-Identifier: Apache-2.0 */
/* Tar headers, POSIX.1-2017 pax "ustar Interchange Format"; sizes over 8 GiB in base 256. Shared. */
#include "lib/ustar.h"

#include <errno.h>
#include <string.h>

#include "lib/checked.h"

struct header {
    char name[100];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char mtime[12];
    char checksum[8];
    char type;
    char link[100];
    char magic[6];
    char version[2];
    char user[32];
    char group[32];
    char device[16];
    char prefix[155];
    char padding[12];
};
_Static_assert(sizeof(struct header) == USTAR_BLOCK_SIZE, "tar header");

#define SIZE_MAX_OCTAL 077777777777ull

/* Octal digits, ended by a space or NUL; or base 256 when the first bit is set. */
static int number_parse(const char *field, size_t field_size, uint64_t *ret)
{
    uint64_t value = 0;
    size_t i = 0;

    if ((uint8_t)field[0] == 0x80) {
        for (i = 1; i < field_size; i++)
            if (checked_mul(value, 256u, &value) || checked_add(value, (uint8_t)field[i], &value))
                return -EINVAL;
        *ret = value;
        return 0;
    }
    while (i < field_size && field[i] == ' ')
        i++;
    for (; i < field_size && field[i] != ' ' && field[i] != '\0'; i++) {
        if (field[i] < '0' || field[i] > '7')
            return -EINVAL;
        value = value * 8 + (uint64_t)(field[i] - '0');
    }
    *ret = value;
    return 0;
}

static void octal_encode(char *field, size_t field_size, uint64_t value)
{
    for (size_t i = field_size - 1; i-- > 0; value /= 8)
        field[i] = (char)('0' + value % 8);
}

static uint32_t checksum(const struct header *h)
{
    const uint8_t *bytes = (const uint8_t *)h;
    uint32_t sum = 0;

    for (size_t i = 0; i < sizeof *h; i++) {
        bool field = i >= offsetof(struct header, checksum) && i < offsetof(struct header, type);

        sum += field ? ' ' : bytes[i];
    }
    return sum;
}

static size_t field_copy(char *dst, const char *field, size_t field_size)
{
    size_t len = 0;

    while (len < field_size && field[len])
        len++;
    memcpy(dst, field, len);
    dst[len] = '\0';
    return len;
}

int ustar_parse(const uint8_t block[USTAR_BLOCK_SIZE], struct ustar_entry *ret)
{
    struct header h;
    struct ustar_entry e = { .path = "" };
    uint64_t sum, mode;
    size_t len = 0, i = 0;

    while (i < USTAR_BLOCK_SIZE && block[i] == 0)
        i++;
    if (i == USTAR_BLOCK_SIZE)
        return 0;
    memcpy(&h, block, sizeof h);
    if (number_parse(h.checksum, sizeof h.checksum, &sum) < 0 || sum != checksum(&h) ||
        number_parse(h.size, sizeof h.size, &e.size) < 0 ||
        number_parse(h.mode, sizeof h.mode, &mode) < 0 || e.size > INT64_MAX)
        return -EINVAL;
    e.mode = (uint32_t)mode;
    e.type = h.type ? h.type : USTAR_TYPE_FILE;
    if (memcmp(h.magic, "ustar\0", 6) == 0 && h.prefix[0]) {
        len = field_copy(e.path, h.prefix, sizeof h.prefix);
        e.path[len++] = '/';
    }
    field_copy(e.path + len, h.name, sizeof h.name);
    *ret = e;
    return 1;
}

int ustar_encode(const struct ustar_entry *e, uint8_t ret[USTAR_BLOCK_SIZE])
{
    struct header h = { .magic = "ustar", .version = { '0', '0' }, .type = e->type };
    size_t len = strlen(e->path);

    if (len == 0 || len > sizeof h.name)
        return -EINVAL;
    memcpy(h.name, e->path, len);
    octal_encode(h.mode, sizeof h.mode, e->mode);
    octal_encode(h.uid, sizeof h.uid, 0);
    octal_encode(h.gid, sizeof h.gid, 0);
    octal_encode(h.mtime, sizeof h.mtime, 0);
    if (e->size <= SIZE_MAX_OCTAL) {
        octal_encode(h.size, sizeof h.size, e->size);
    } else {
        h.size[0] = (char)0x80;
        for (unsigned i = 0; i < 8; i++)
            h.size[11 - i] = (char)(e->size >> 8 * i);
    }
    octal_encode(h.checksum, 7, checksum(&h));
    h.checksum[7] = ' ';
    memcpy(ret, &h, sizeof h);
    return 0;
}

int ustar_pax_next(const char *text, size_t size, size_t *pos, struct ustar_pax *ret)
{
    size_t start = *pos, at = start, record_size = 0;

    if (start >= size)
        return 0;
    while (at < size && text[at] >= '0' && text[at] <= '9') {
        record_size = record_size * 10 + (size_t)(text[at++] - '0');
        if (record_size > size)
            return -EINVAL;
    }
    if (at == start || at >= size || text[at] != ' ' || !range_within(start, record_size, size) ||
        start + record_size < at + 3 || text[start + record_size - 1] != '\n')
        return -EINVAL;
    const char *key = text + at + 1;
    size_t rest = start + record_size - 1 - (at + 1);
    const char *equals = memchr(key, '=', rest);

    if (!equals || equals == key)
        return -EINVAL;
    *ret = (struct ustar_pax){ key, (size_t)(equals - key), equals + 1,
                               rest - (size_t)(equals - key) - 1 };
    *pos = start + record_size;
    return 1;
}
