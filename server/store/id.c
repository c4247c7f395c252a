/* SPDX-License-Identifier: Apache-2.0 */
/* Identifiers: time, then random bits, in base32. Relying party. */
#include "server/store/id.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ID_PREFIX_LEN 3u
#define ID_DIGITS 26u /* 5 bits each: the first has only 3 */
#define ID_BYTES 16u

static const char g_digits[] = "0123456789abcdefghjkmnpqrstvwxyz"; /* Crockford: no i, l, o, u */

static void encode(const uint8_t bytes[ID_BYTES], char *dst)
{
    unsigned __int128 value = 0;

    for (unsigned i = 0; i < ID_BYTES; i++)
        value = value << 8 | bytes[i];
    for (unsigned i = ID_DIGITS; i-- > 0; value >>= 5)
        dst[i] = g_digits[(unsigned)value & 31];
}

void id_make(const char *prefix, char ret[ID_SIZE])
{
    uint8_t bytes[ID_BYTES];
    struct timespec now;
    uint64_t time_ms;

    clock_gettime(CLOCK_REALTIME, &now);
    time_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    for (unsigned i = 0; i < 6; i++)
        bytes[i] = (uint8_t)(time_ms >> (40 - 8 * i));
    if (RAND_bytes(bytes + 6, ID_BYTES - 6) != 1)
        abort();
    memcpy(ret, prefix, ID_PREFIX_LEN);
    ret[ID_PREFIX_LEN] = '_';
    encode(bytes, ret + ID_PREFIX_LEN + 1);
    ret[ID_SIZE - 1] = 0;
}

bool id_is_valid(const char *prefix, const char *text)
{
    if (!text || strnlen(text, ID_SIZE) != ID_SIZE - 1 ||
        memcmp(text, prefix, ID_PREFIX_LEN) != 0 || text[ID_PREFIX_LEN] != '_')
        return false;
    text += ID_PREFIX_LEN + 1;
    if (*text > '7')
        return false;
    return strspn(text, g_digits) == ID_DIGITS;
}
