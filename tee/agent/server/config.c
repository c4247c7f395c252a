/* SPDX-License-Identifier: Apache-2.0 */
/* See config.h. Trusted; hosted. */
#include "tee/agent/server/config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/agent.h"
#include "lib/descriptor.h"

#define WORD_SIZE 256u

int config_signal(const char *name)
{
    char *end;
    long off;

    if (strncmp(name, "SIG", 3) != 0)
        return -EINVAL;
    name += 3;
    if (strncmp(name, "RTMIN", 5) == 0) {
        off = strtol(name + 5, &end, 10);
        return *end || off < 0 || off > SIGRTMAX - SIGRTMIN ? -EINVAL : (int)(SIGRTMIN + off);
    }
    for (int signo = 1; signo < 32; signo++) {
        const char *known = sigabbrev_np(signo);

        if (known && strcmp(known, name) == 0)
            return signo;
    }
    return strcmp(name, "IO") == 0 ? SIGIO : -EINVAL;
}

static int hex_parse(const char *text, uint8_t *dst, size_t size)
{
    static const char digits[] = "0123456789abcdef";

    if (strlen(text) != 2 * size)
        return -EINVAL;
    for (size_t i = 0; i < size; i++) {
        const char *high = strchr(digits, text[2 * i]), *low = strchr(digits, text[2 * i + 1]);

        if (!high || !low)
            return -EINVAL;
        dst[i] = (uint8_t)((high - digits) << 4 | (low - digits));
    }
    return 0;
}

static int number_parse(const char *text, unsigned max, unsigned *ret)
{
    char *end;
    unsigned long value = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : ULONG_MAX;

    if (value > max || value == 0 || *end)
        return -EINVAL;
    *ret = (unsigned)value;
    return 0;
}

static int url_add(struct config *c, const char *url)
{
    struct exchange_config *x = &c->exchange;

    if (x->server_count == ARRAY_COUNT(x->servers) || !descriptor_url_is_valid(url))
        return -EINVAL;
    snprintf(x->servers[x->server_count++], ANSWER_SERVER_SIZE, "%s", url);
    return 0;
}

static int word_take(struct config *c, unsigned index, const char *word)
{
    uint8_t digest[48];
    int signo;

    switch (index) {
    case AGENT_SERVER_CA_KEY:
        return hex_parse(word, c->exchange.ca_key_sha256, sizeof c->exchange.ca_key_sha256);
    case AGENT_SERVER_APP_DIGEST:
        if (hex_parse(word, digest, sizeof digest) < 0)
            return -EINVAL;
        memcpy(c->exchange.app_digest, word, sizeof c->exchange.app_digest);
        return 0;
    case AGENT_SERVER_START_LIMIT:
        return number_parse(word, DESCRIPTOR_START_LIMIT_MAX, &c->start_limit_s);
    case AGENT_SERVER_STOP_SIGNAL:
        signo = config_signal(word);
        c->stop_signal = signo;
        return MIN(signo, 0);
    case AGENT_SERVER_RELOAD_SIGNAL:
        signo = strcmp(word, "-") == 0 ? 0 : config_signal(word);
        c->reload_signal = signo;
        return MIN(signo, 0);
    default:
        return url_add(c, word);
    }
}

int config_parse(const char *words, struct config *ret)
{
    struct config c = { 0 };
    unsigned count = 0;

    for (const char *at = words;; count++) {
        size_t len = strcspn(at, " ");
        char word[WORD_SIZE];

        if (len == 0 || len >= sizeof word)
            return -EINVAL;
        memcpy(word, at, len);
        word[len] = 0;
        if (word_take(&c, count, word) < 0)
            return -EINVAL;
        if (!at[len]) {
            *ret = c;
            return c.exchange.server_count > 0 ? 0 : -EINVAL;
        }
        at += len + 1;
    }
}
