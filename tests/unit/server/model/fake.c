/* SPDX-License-Identifier: Apache-2.0 */
/* What the model's unit tests have instead of a running server: time that the test sets, a log that is counted. The rest is the real thing. */
#include "tests/unit/server/model/fake.h"

#include <stdarg.h>
#include <string.h>

int64_t g_fake_now_ms = 1800000000000;
unsigned g_fake_log_count;
char g_fake_log_last[256];
events_listener_fn *g_fake_listener;
void *g_fake_listener_arg;

int64_t server_now_ms(const struct server *server)
{
    return g_fake_now_ms;
}

int64_t server_now_s(const struct server *server)
{
    return g_fake_now_ms / 1000;
}

void server_log(const struct server *server, const char *level, const char *what, ...)
{
    g_fake_log_count++;
    snprintf(g_fake_log_last, sizeof g_fake_log_last, "%s", what);
}

__attribute__((weak)) void api_wake(struct server *server, const char *key)
{
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
__attribute__((weak)) json_t *api_time(int64_t time_ms)
{
    return json_integer(time_ms);
}
__attribute__((weak)) int event_append(struct store_tx *tx, const char *org_id, const char *kind,
                                       const char *object, json_t *data, struct err *err)
{
    return 0;
}
__attribute__((weak)) int events_listener_add(struct events *events, events_listener_fn *fn,
                                              void *arg)
{
    g_fake_listener = fn;
    g_fake_listener_arg = arg;
    return 0;
}
