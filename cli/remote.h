/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the subcommands that speak with the control plane share: the connection of the call's context, requests whose answers are printed, bodies from options,
 * questions at the terminal. Relying party side.
 */
#pragma once

#include <jansson.h>

#include "cli/command.h"
#include "cli/table.h"
#include "client/client.h"

#define REMOTE_PATH_SIZE 2048u

struct remote {
    struct cli_call *call;
    struct client *client;
    struct err err;
};
/* returns: 0; as client_open. */
MUST_CHECK int remote_open(struct remote *r, struct cli_call *call);
void remote_done(struct remote *r);
/* Prints why; with --json the problem document. returns: the exit status: CLI_EXIT_REFUSED for 403 and what does not verify. */
int remote_fail(struct remote *r, int rc);
/* template: "/v1/apps/{}/builds": each {} is the next text, escaped. returns: ret. */
const char *remote_path(char ret[REMOTE_PATH_SIZE], const char *template, ...);
/* Adds "&name=value" (or "?") to a path; value NULL: nothing. */
void remote_query_add(char path[REMOTE_PATH_SIZE], const char *name, const char *value);
/* One request; takes body (NULL: none); *ret_body for json_decref, ret_body NULL: not wanted. errors as client_call, -EBADMSG no body although one is wanted. */
MUST_CHECK int remote_call(struct remote *r, const char *method, const char *path, json_t *body,
                           json_t **ret_body);

/* ---- whole verbs; they return the exit status ---- */

/* One request whose answer is printed. Takes body. say: a line for people instead of the object, NULL: the object. */
int remote_show(struct cli_call *call, const char *method, const char *path, json_t *body,
                const char *say);
struct remote_table {
    const struct table_column *columns;
    unsigned count;
    const char *what; /* "apps" */
};
#define REMOTE_TABLE(columns, what)                                                                \
    ((struct remote_table){ (columns), ARRAY_COUNT(columns), (what) })
int remote_list(struct cli_call *call, const char *path, struct remote_table table);

/* ---- bodies ---- */

/* Each puts the option's value under `member` when it was given. returns: 0; -EINVAL and err. */
MUST_CHECK int body_text(json_t *body, const struct cli_call *call, const char *option,
                         const char *member);
MUST_CHECK int body_number(json_t *body, const struct cli_call *call, const char *option,
                           const char *member, int64_t min, int64_t max, struct err *err);
MUST_CHECK int body_seconds(json_t *body, const struct cli_call *call, const char *option,
                            const char *member, int64_t min, int64_t max, struct err *err);
MUST_CHECK int body_time(json_t *body, const struct cli_call *call, const char *option,
                         const char *member, struct err *err);
/* "yes" or "no". */
MUST_CHECK int body_bool(json_t *body, const struct cli_call *call, const char *option,
                         const char *member, struct err *err);
/* All values of an option that may be given many times; one that is "" alone gives an empty array. */
MUST_CHECK int body_texts(json_t *body, const struct cli_call *call, const char *option,
                          const char *member);

/* ---- people ---- */

/* Asks at the terminal. returns: whether the answer was yes; false when there is no terminal. */
bool ask_yes(const char *question);
/* A line of secret text: from a file ("-": standard input), or asked for at the terminal without echo. *ret for ask_free. returns: 0; -ENOTTY neither; -E2BIG; errno. */
MUST_CHECK int ask_secret(const char *file, const char *question, char **ret, struct err *err);
void ask_free(char *text);
