/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche up`, `down` and `status`: a control plane and a node on this machine. Relying party side. */
#include "cli/up.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/file.h"
#include "cli/node.h"
#include "cli/pin.h"
#include "cli/remote.h"
#include "client/contexts.h"

#define STOP_MS 30000u

static const char *const g_services[UP_SERVICES] = { "quoting", "cloched", "node" };

const char *up_path(const struct up *up, const char *name, char ret[UP_PATH_SIZE])
{
    snprintf(ret, UP_PATH_SIZE, "%s/%s", up->folder, name);
    return ret;
}

struct service up_service(const struct up *up, unsigned number)
{
    return (struct service){ up->folder, g_services[number] };
}

bool up_is_emulated(const struct up *up)
{
    return json_is_true(json_object_get(up->state, "emulated"));
}

json_t *up_context(const struct up *up)
{
    const char *listen = json_string_value(json_object_get(up->state, "listen"));
    char path[UP_PATH_SIZE];
    struct file_bytes file;
    json_t *context;

    if (!listen || file_bytes_read(up_path(up, "ca.pem", path), 1 << 20, &file, NULL) < 0)
        return NULL;
    context =
        json_pack("{s:s+,s:s%}", "url", "https://", listen, "ca", (char *)file.data, file.size);
    file_bytes_done(&file);
    return context;
}

static int read_state(struct up *up)
{
    char path[UP_PATH_SIZE];
    struct file_bytes file;
    int rc = file_bytes_read(up_path(up, "up.json", path), 1 << 16, &file, &up->err);

    if (rc == -ENOENT)
        return 0;
    if (rc < 0)
        return rc;
    up->state = json_loadb((char *)file.data, file.size, JSON_REJECT_DUPLICATES, NULL);
    file_bytes_done(&file);
    return json_is_object(up->state) ? 0 : err_set(&up->err, -EBADMSG, "%s is damaged", path);
}

int up_open(struct up *up, struct cli_call *call)
{
    const char *named = command_option(call, "folder");
    int rc = 0;

    *up = (struct up){ .call = call };
    if (named && named[0] != '/')
        return err_set(&up->err, -EINVAL, "--folder: an absolute path is expected");
    if (named && strlen(named) >= sizeof up->folder)
        return err_set_errno(&up->err, -ENAMETOOLONG, "--folder");
    if (named)
        memcpy(up->folder, named, strlen(named) + 1);
    else
        rc = node_data_folder(up->folder, sizeof up->folder, &up->err);
    return rc < 0 ? rc : read_state(up);
}

void up_done(struct up *up)
{
    json_decref(up->state);
    up->state = NULL;
}

static int finish(struct up *up, int rc)
{
    int status = CLI_EXIT_OK;

    if (rc == -EINVAL)
        status = command_usage(up->call, "%s", up->err.text);
    else if (rc < 0)
        status = cli_fail(&up->err, rc);
    up_done(up);
    return status;
}

/* ---- up ---- */

static const struct cli_option g_folder_option = {
    "folder", "FOLDER",
    "of all files; else CLOCHE_FOLDER, /var/lib/cloche of root, ~/.local/share/cloche", false
};
static const struct cli_option g_up_options[] = {
    { "folder", "FOLDER",
      "of all files; else CLOCHE_FOLDER, /var/lib/cloche of root, ~/.local/share/cloche", false },
    { "listen", "ADDRESS", "first run: of the server; 127.0.0.1:8443", false },
    { "organisation", "NAME", "first run: of the organisation; local", false },
    { "name", "NAME", "first run: of the context for `cloche --context`; local", false },
};

/* What to do next, with the words to type. */
static void print_next(const struct up *up)
{
    const char *listen = json_string_value(json_object_get(up->state, "listen"));
    char path[UP_PATH_SIZE], pin[65] = "";
    json_t *context = up_context(up);

    if (context)
        pin_of_pem(json_string_value(json_object_get(context, "ca")), pin);
    json_decref(context);
    printf("server   https://%s, its CA in %s\n", listen, up_path(up, "ca.pem", path));
    printf("         pin of the CA's key: %s\n", pin);
    printf("owner    %s, logged in here; the password is in %s\n", UP_OWNER,
           up_path(up, "owner-password", path));
    printf("node     this machine%s\n\n",
           up_is_emulated(up) ? ", EMULATED: there is no SGX here, it protects nothing" : "");
    printf("Next:\n"
           "  cloche key create me && cloche key enrol me      a key that approves builds\n"
           "  cloche app create hotel                          an app\n"
           "  cloche build SOURCE -o hotel.tar --push hotel    seal an image, propose it\n"
           "  cloche approve hotel/VERSION                     allow it\n"
           "  cloche instance start hotel && cloche top        run it, watch it\n");
    const char *folder = command_option(up->call, "folder");
    char option[UP_PATH_SIZE] = "";

    if (folder)
        snprintf(option, sizeof option, " --folder %s", folder);
    printf("`cloche status%s` says what runs, `cloche down%s` stops it.\n", option, option);
}

static int run_up(struct cli_call *call)
{
    struct up up;
    int rc = up_open(&up, call);

    if (rc == 0)
        rc = up_prepare(&up);
    if (rc == 0)
        rc = up_start(&up);
    if (rc == 0)
        rc = up_login(&up);
    if (rc == 0)
        rc = up_join(&up);
    if (rc == 0 && call->is_json)
        table_json_print(up.state, stdout);
    else if (rc == 0)
        print_next(&up);
    return finish(&up, rc);
}

static const struct cli_verb g_up_verbs[] = { { "", "", "", run_up, 0, 0,
                                                CLI_OPTIONS(g_up_options) } };
const struct cli_command up_command = { "up", "a control plane and a node on this machine",
                                        "The first run makes the server's keys and store, an "
                                        "organisation, its owner and a node; each run starts what\n"
                                        "does not run. Without SGX the node is emulated, which "
                                        "protects nothing and says so everywhere.",
                                        CLI_VERBS(g_up_verbs) };

/* ---- down ---- */

static int run_down(struct cli_call *call)
{
    struct up up;
    int rc = up_open(&up, call), worst = 0;

    for (unsigned i = UP_SERVICES; rc == 0 && i-- > 0;) {
        struct service service = up_service(&up, i);
        int one = service_stop(&service, STOP_MS, &up.err);

        if (one < 0)
            worst = one;
        if (!call->is_json)
            printf("%-8s %s\n", g_services[i],
                   one > 0    ? "stopped"
                   : one == 0 ? "did not run"
                              : up.err.text);
    }
    return finish(&up, rc < 0 ? rc : worst);
}

static const struct cli_verb g_down_verbs[] = { { "", "", "", run_down, 0, 0, &g_folder_option,
                                                  1 } };
const struct cli_command down_command = { "down", "stop what `cloche up` has started",
                                          "Nothing is lost: `cloche up` starts it again.",
                                          CLI_VERBS(g_down_verbs) };

/* ---- status ---- */

/* Counts of the server's objects, when it can be asked: into report. */
static void ask_server(const struct up *up, json_t *report)
{
    struct cli_call call = *up->call;
    struct remote r;
    json_t *list, *item;
    size_t i, running = 0;
    const char *evidence;
    bool is_accepted;

    if (!call.context)
        call.context = json_string_value(json_object_get(up->state, "context"));
    if (remote_open(&r, &call) < 0)
        return;
    if (client_list(r.client, "/v1/nodes", &list, &r.err) == 0) {
        json_object_set_new(report, "nodes", list);
        if (client_list(r.client, "/v1/instances", &list, &r.err) == 0) {
            json_array_foreach(list, i, item)
            {
                const char *state = json_string_value(json_object_get(item, "state"));

                running += state && strcmp(state, "running") == 0;
            }
            json_object_set_new(report, "instances_running", json_integer((json_int_t)running));
            json_decref(list);
        }
        if (client_list(r.client, "/v1/fleet/forecast?cause=tcb-recovery", &list, &r.err) == 0) {
            if (json_array_size(list) > 0)
                json_object_set_new(report, "patches",
                                    json_pack("{s:I,s:O}", "instances",
                                              (json_int_t)json_array_size(list), "until",
                                              json_object_get(json_array_get(list, 0), "until")));
            json_decref(list);
        }
        if (remote_call(&r, "GET", "/v1/fleet", NULL, &list) == 0) {
            json_object_set(report, "collateral", json_object_get(list, "collateral"));
            json_decref(list);
        }
    } else {
        json_object_set_new(report, "problem", json_string(r.err.text));
    }
    evidence = client_evidence(r.client, &is_accepted);
    if (evidence)
        json_object_set_new(report, "evidence",
                            json_pack("{s:b,s:s}", "accepted", is_accepted, "detail", evidence));
    remote_done(&r);
}

/* "12 items, all confirmed since 5 min ago, the first expires in 20 days" and what is wrong with them. */
static void print_collateral(const json_t *collateral)
{
    json_int_t count = json_integer_value(json_object_get(collateral, "items"));
    json_int_t unusable = json_integer_value(json_object_get(collateral, "unusable"));
    json_int_t failed = json_integer_value(json_object_get(collateral, "failed"));
    const char *confirmed = json_string_value(json_object_get(collateral, "confirmed"));
    const char *expires = json_string_value(json_object_get(collateral, "expires"));
    char text[3][256];

    if (count == 0 && failed == 0)
        return;
    printf("makers   %lld items of collateral", (long long)count);
    if (confirmed && expires)
        printf(", all confirmed since %s ago, the first expires %s",
               table_age(confirmed, text[0], 96), table_age(expires, text[1], 96));
    putchar('\n');
    if (unusable)
        printf("         %lld of them expired or damaged\n", (long long)unusable);
    if (failed)
        printf("         %lld could not be refreshed: %s\n", (long long)failed,
               table_text(json_object_get(collateral, "why"), text[2], sizeof text[2]));
}

static void print_status(const struct up *up, const json_t *report)
{
    const char *name;
    json_t *value;
    size_t i;
    char text[4][96];

    json_object_foreach(json_object_get(report, "programs"), name, value) printf(
        "%-8s %s\n", name, json_is_null(value) ? "does not run" : table_text(value, text[0], 96));
    if (json_object_get(report, "problem"))
        printf("server   %s\n", json_string_value(json_object_get(report, "problem")));
    value = json_object_get(json_object_get(report, "evidence"), "detail");
    if (value)
        printf("evidence %s\n", json_string_value(value));
    json_array_foreach(json_object_get(report, "nodes"), i, value) printf(
        "node     %s: %s, %s%s, seen %s ago\n",
        table_text(json_object_get(value, "name"), text[0], 96),
        table_text(json_object_get(value, "state"), text[1], 96),
        table_text(json_object_get(value, "tee"), text[2], 96),
        json_is_true(json_object_get(value, "emulated")) ? " EMULATED: it protects nothing" : "",
        table_age(json_string_value(json_object_get(value, "seen")) ?: "never", text[3], 96));
    value = json_object_get(report, "instances_running");
    if (value)
        printf("running  %s instances\n", table_text(value, text[0], 96));
    value = json_object_get(report, "patches");
    if (value)
        printf("patches  %s instances stop being accepted from %s on, `cloche instance forecast "
               "--patches`\n",
               table_text(json_object_get(value, "instances"), text[0], 96),
               table_text(json_object_get(value, "until"), text[1], 96));
    if (json_object_get(report, "collateral"))
        print_collateral(json_object_get(report, "collateral"));
    printf("folder   %s\n", up->folder);
}

static int run_status(struct cli_call *call)
{
    struct up up;
    json_t *report, *programs;
    int status = CLI_EXIT_OK, rc = up_open(&up, call);

    if (rc == 0 && !up.state)
        rc = err_set(&up.err, -ENOENT, "nothing was set up in %s: `cloche up`", up.folder);
    if (rc < 0)
        return finish(&up, rc);
    programs = json_object();
    report = json_pack("{s:O,s:O}", "setup", up.state, "programs", programs);
    for (unsigned i = up_is_emulated(&up) ? 0 : 1; i < UP_SERVICES; i++) {
        struct service service = up_service(&up, i);
        pid_t pid = service_pid(&service);

        json_object_set_new(programs, g_services[i],
                            pid ? json_sprintf("runs, process %ld", (long)pid) : json_null());
        if (!pid)
            status = CLI_EXIT_FAILED;
    }
    if (json_is_string(json_object_get(programs, "cloched")))
        ask_server(&up, report);
    if (call->is_json)
        table_json_print(report, stdout);
    else
        print_status(&up, report);
    json_decref(programs);
    json_decref(report);
    up_done(&up);
    return status;
}

static const struct cli_verb g_status_verbs[] = { { "", "", "", run_status, 0, 0, &g_folder_option,
                                                    1 } };
const struct cli_command status_command = {
    "status", "what of `cloche up` runs", "Exit status 1 when something that should run does not.",
    CLI_VERBS(g_status_verbs)
};
