/* SPDX-License-Identifier: Apache-2.0 */
/* What the secrets' parts call of others and these tests do not: weak, so that the real ones win where they are linked. */
#include <errno.h>

#include "server/api/api.h"
#include "server/api/events.h"
#include "tests/unit/server/secret/fake.h"

__attribute__((weak)) int event_append(struct store_tx *tx, const char *org_id, const char *kind,
                                       const char *object, json_t *data, struct err *err)
{
    return 0;
}

__attribute__((weak)) int api_problem(struct api_request *rq, int status, const char *code,
                                      const char *format, ...)
{
    return -EPROTO;
}

__attribute__((weak)) void api_problem_set(struct api_request *rq, const char *member,
                                           json_t *value)
{
    json_decref(value);
}

__attribute__((weak)) int api_problem_errno(struct api_request *rq, int rc, const char *what,
                                            const struct err *err)
{
    return -EPROTO;
}

__attribute__((weak)) void server_log(const struct server *server, const char *level,
                                      const char *what, ...)
{
}
