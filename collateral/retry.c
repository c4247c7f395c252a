/* SPDX-License-Identifier: Apache-2.0 */
/* Backoff. Relying party. */
#include "collateral/retry.h"

#include <errno.h>

uint64_t retry_left_ms(const struct retry_rules *rules)
{
    uint64_t now_ms = rules->clock->monotonic_ms(rules->clock->context);

    return now_ms < rules->end_ms ? rules->end_ms - now_ms : 0;
}

bool retry_is_worth(int status)
{
    return status == 408 || status == 429 || status == 500 || (status >= 502 && status <= 504);
}

int64_t retry_wait_find(const struct retry_rules *rules, unsigned attempt, int status,
                        const struct headers *headers)
{
    const struct collateral_clock *clock = rules->clock;
    uint64_t wait = MIN((uint64_t)rules->wait_ms << MIN(attempt - 1, 16u), RETRY_WAIT_MAX_MS);
    int64_t after = status ? headers_retry_after_ms(headers, clock->now_s(clock->context)) : -1;

    if (attempt >= rules->attempt_count)
        return -EIO;
    /* Half of it is chance, so that many clients do not come back at once. */
    wait = wait / 2 + clock->random(clock->context) % (wait / 2 + 1);
    if (after >= 0)
        wait = MAX(wait, (uint64_t)after);
    else if (status == 429)
        wait = MAX(wait, rules->rate_limit_wait_ms);
    return wait < retry_left_ms(rules) ? (int64_t)wait : -ETIMEDOUT;
}
