/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the agent's arguments. Trusted; hosted. Anything that is not exact is refused. */
#include "tee/agent/handover.h"

#include <errno.h>

#include "abi/agent.h"

/* A decimal number that ends with `end`; *at is moved behind it. */
static int parse_id(const char **at, char end, uint32_t *ret)
{
    const char *s = *at;
    uint64_t value = 0;

    if (*s < '0' || *s > '9')
        return -EINVAL;
    for (; *s >= '0' && *s <= '9'; s++) {
        value = value * 10 + (uint64_t)(*s - '0');
        if (value >= UINT32_MAX) /* all ones means "keep" in the calls that take it */
            return -EINVAL;
    }
    if (*s != end && *s != 0)
        return -EINVAL;
    *at = *s ? s + 1 : s;
    *ret = (uint32_t)value;
    return 0;
}

static int parse_groups(const char *text, struct handover *h)
{
    while (*text) {
        int rc = h->group_count < HANDOVER_GROUPS_MAX
                     ? parse_id(&text, ',', &h->groups[h->group_count])
                     : -EINVAL;

        if (rc < 0)
            return rc;
        h->group_count++;
    }
    return 0;
}

int handover_parse(int argc, char *const argv[], struct handover *ret)
{
    struct handover h = { 0 };
    const char *uid, *gid;

    if (argc <= AGENT_ARG_PROGRAM)
        return -EINVAL;
    uid = argv[AGENT_ARG_UID];
    gid = argv[AGENT_ARG_GID];
    if (parse_id(&uid, 0, &h.uid) < 0 || parse_id(&gid, 0, &h.gid) < 0 ||
        parse_groups(argv[AGENT_ARG_GROUPS], &h) < 0)
        return -EINVAL;
    h.workdir = argv[AGENT_ARG_WORKDIR];
    h.server = argv[AGENT_ARG_SERVER];
    h.args = argv + AGENT_ARG_PROGRAM;
    *ret = h;
    return 0;
}
