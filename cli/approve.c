/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cloche approve`: shows what is approved, checks that the statement of the server says exactly that, and signs it with a key of this machine. Relying party side: the
 * server may be anybody's, so nothing is signed that was not shown.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "cli/builds.h"
#include "cli/commands.h"
#include "cli/image_check.h"
#include "cli/keyring.h"
#include "cli/push.h"

const struct cli_option approve_options[] = {
    { "key", "NAME", "which key signs; else the only one of this machine that is enrolled", false },
    { "image", "IMAGE", "check that the build is this sealed image, byte for byte", false },
    { "passphrase-file", "FILE", "of the key; else it is asked for", false },
    { "yes", NULL, "do not ask", false },
};
const unsigned approve_option_count = ARRAY_COUNT(approve_options);

/* What a build must be, from the answers that were shown. */
struct subject {
    const char *id;
    json_t *me, *build, *app,
        *roster; /* of a change of the roster: me and build (the change) alone */
    json_t *statement;
    const char *statement_text;
    bool is_build;
};

static void subject_done(struct subject *s)
{
    json_decref(s->me);
    json_decref(s->build);
    json_decref(s->app);
    json_decref(s->roster);
    json_decref(s->statement);
}

/* ---- does the statement say what was shown ---- */

/* Of a statement's member, the value that it must have; NULL: no such member may be in it. */
static json_t *expected_member(const struct subject *s, const char *name)
{
    json_t *app_id = json_object_get(s->app, "id"), *found;

    if (strcmp(name, "type") == 0)
        return json_string(s->is_build ? "cloche-approval-1" : "cloche-roster-1");
    if (strcmp(name, "action") == 0)
        return s->is_build ? json_string("allow")
                           : json_incref(json_object_get(s->build, "action"));
    if (strcmp(name, "org") == 0)
        return json_incref((json_t *)table_member(s->me, "org/id"));
    if (strcmp(name, "org_name") == 0)
        return json_incref((json_t *)table_member(s->me, "org/name"));
    if (s->is_build && strcmp(name, "app") == 0)
        return json_incref(app_id);
    if (s->is_build && strcmp(name, "app_name") == 0)
        return json_incref(json_object_get(s->app, "name"));
    if (strcmp(name, s->is_build ? "build" : "change") == 0)
        return json_incref(json_object_get(s->build, "id"));
    found = json_object_get(s->build, name);
    return json_incref(found);
}

/* All that was shown of what is measured is in the statement, else the signature would cover less. */
static int check_complete(struct remote *r, const struct subject *s)
{
    static const char *const members[] = { "app_digest",  "mrenclave", "mrsigner",
                                           "isv_prod_id", "isv_svn",   "snp_measurement",
                                           "tdx_mrtd",    "debug" };

    for (unsigned i = 0; i < ARRAY_COUNT(members); i++) {
        const json_t *shown = json_object_get(s->build, members[i]);

        if (shown && !json_is_null(shown) && !json_object_get(s->statement, members[i]))
            return err_set(&r->err, -EBADMSG,
                           "the statement does not name the build's %s; nothing was signed",
                           members[i]);
    }
    return 0;
}

static int check_statement(struct remote *r, struct subject *s)
{
    const char *name;
    json_t *value;

    s->statement = json_loads(s->statement_text, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(s->statement))
        return err_set(&r->err, -EBADMSG, "what the server wants signed is no statement");
    json_object_foreach(s->statement, name, value)
    {
        json_t *expected = expected_member(s, name);
        bool is_equal = expected && json_equal(expected, value);
        char text[128], clean[64];

        json_decref(expected);
        snprintf(clean, sizeof clean, "%.60s", name);
        client_text_clean(clean);
        if (!is_equal)
            return err_set(&r->err, -EBADMSG,
                           "the statement that the server wants signed is not what it shows: %s is "
                           "%s in it; nothing was signed",
                           clean, table_text(value, text, sizeof text));
    }
    return s->is_build ? check_complete(r, s) : 0;
}

/* The digest is that of the descriptor that was shown. */
static int check_descriptor(struct remote *r, const struct subject *s)
{
    const char *text = json_string_value(json_object_get(s->build, "descriptor"));
    const char *digest = json_string_value(json_object_get(s->build, "app_digest"));
    uint8_t hash[48];
    char hex[97];

    if (!text || !digest || EVP_Digest(text, strlen(text), hash, NULL, EVP_sha384(), NULL) != 1)
        return err_set(&r->err, -EBADMSG, "the server shows no descriptor of the build");
    if (strcmp(push_hex(hash, 48, hex), digest) != 0)
        return err_set(&r->err, -EBADMSG,
                       "the descriptor that the server shows is not that of app digest %.96s",
                       digest);
    return 0;
}

static int check_member(struct remote *r, const struct subject *s, const char *member,
                        const char *expected)
{
    const char *actual = json_string_value(json_object_get(s->build, member));

    if (actual && strcmp(actual, expected) == 0)
        return 0;
    return err_set(&r->err, -EBADMSG,
                   "the build is not that image: its %s is %.100s, the image's %s", member,
                   actual ? actual : "missing", expected);
}

static int check_image(struct remote *r, const struct subject *s, const char *image)
{
    struct image_check c;
    char hex[97];
    int rc = image_check(image, &c, &r->err);

    if (rc < 0)
        return rc;
    rc = check_member(r, s, "app_digest", push_hex(c.app_digest, 48, hex));
    if (rc == 0)
        rc = check_member(r, s, "mrenclave", push_hex(c.mrenclave, 32, hex));
    if (rc == 0)
        rc = check_member(r, s, "mrsigner", push_hex(c.mrsigner, 32, hex));
    image_check_done(&c);
    return rc;
}

/* ---- showing it ---- */

static void print_member(const json_t *object, const char *title, const char *member)
{
    char text[512];

    if (json_object_get(object, member) && !json_is_null(json_object_get(object, member)))
        fprintf(stderr, "  %-12s %s\n", title,
                table_text(json_object_get(object, member), text, sizeof text));
}

/* A value whole, as JSON in ASCII: nothing of what is approved is cut, joined, or turned around by what a terminal makes of it. */
static void print_value(const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);

    if (!text)
        abort();
    client_text_clean(text);
    fputs(text, stderr);
    free(text);
}

/* "    ~ NAME: was -> is"; NULL: there is none. */
static void print_change(const char *name, const json_t *was, const json_t *is)
{
    json_t *quoted = json_string(name);

    fprintf(stderr, "    %c ", !was ? '+' : !is ? '-' : '~');
    print_value(quoted);
    fputs(": ", stderr);
    if (was)
        print_value(was);
    if (was && is)
        fputs(" -> ", stderr);
    if (is)
        print_value(is);
    fputc('\n', stderr);
    json_decref(quoted);
}

/* Members of two descriptors that differ: "+" comes, "-" goes, "~" changes. */
static void print_difference(const json_t *was, const json_t *is)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)is, name,
                        value) if (!json_equal(json_object_get(was, name), value))
        print_change(name, json_object_get(was, name), value);
    json_object_foreach((json_t *)was, name, value) if (!json_object_get(is, name))
        print_change(name, value, NULL);
}

/* The build that the app runs now: the newest that is allowed. *ret for json_decref; NULL: none. */
static int find_present(struct remote *r, const struct subject *s, json_t **ret)
{
    const char *app = json_string_value(json_object_get(s->app, "id"));
    const char *state, *id, *newest = NULL;
    char path[REMOTE_PATH_SIZE];
    json_t *items, *item;
    size_t i;
    int rc = client_list(r->client, remote_path(path, "/v1/apps/{}/builds", app), &items, &r->err);

    *ret = NULL;
    if (rc < 0)
        return rc;
    json_array_foreach(items, i, item)
    {
        state = json_string_value(json_object_get(item, "state"));
        id = json_string_value(json_object_get(item, "id"));
        if (state && id && strcmp(state, "allowed") == 0 && strcmp(id, s->id) != 0 &&
            (!newest || strcmp(id, newest) > 0))
            newest = id;
    }
    if (newest)
        rc = remote_call(r, "GET", remote_path(path, "/v1/builds/{}", newest), NULL, ret);
    json_decref(items);
    return rc;
}

static int show_build(struct remote *r, const struct subject *s)
{
    json_t *present, *was, *is;
    char text[128];
    int rc = find_present(r, s, &present);

    if (rc < 0)
        return rc;
    fprintf(stderr, "build %s of the app %s\n",
            table_text(json_object_get(s->build, "version"), text, 64),
            table_text(json_object_get(s->app, "name"), text + 64, 64));
    print_member(s->build, "app digest", "app_digest");
    print_member(s->build, "mrenclave", "mrenclave");
    print_member(s->build, "mrsigner", "mrsigner");
    print_member(s->build, "isv svn", "isv_svn");
    print_member(s->build, "snp", "snp_measurement");
    print_member(s->build, "tdx mrtd", "tdx_mrtd");
    print_member(s->build, "proposed by", "proposed_by");
    if (json_is_true(json_object_get(s->build, "debug")))
        fprintf(stderr,
                "  DEBUG        the host can read this enclave's memory: never for production\n");
    if (!present) {
        fprintf(stderr, "  it is the app's first build\n");
        return 0;
    }
    fprintf(stderr, "  against the present build %s:\n",
            table_text(json_object_get(present, "version"), text, sizeof text));
    was = json_loads(json_string_value(json_object_get(present, "descriptor")) ?: "", 0, NULL);
    is = json_loads(json_string_value(json_object_get(s->build, "descriptor")) ?: "", 0, NULL);
    print_difference(was, is);
    json_decref(was);
    json_decref(is);
    json_decref(present);
    return 0;
}

static void show_change(const struct subject *s)
{
    fprintf(stderr, "a change of the roster\n");
    print_member(s->build, "action", "action");
    print_member(s->build, "key", "key");
    print_member(s->build, "needed", "approvals_needed");
    print_member(s->build, "by", "created_by");
    print_member(s->build, "statement", "statement");
}

/* ---- signing ---- */

struct key_choice {
    const json_t *roster;
    char name[KEYRING_NAME_MAX + 1], id[64];
    unsigned count;
};

/* A key of this machine that the roster has. */
static int consider_key(void *arg, const char *name)
{
    struct key_choice *c = arg;
    struct err err = { 0 };
    char text[44];
    json_t *key;
    size_t i;

    if (keyring_public(name, text, &err) < 0)
        return 0;
    json_array_foreach((json_t *)c->roster, i, key)
    {
        const char *has = json_string_value(json_object_get(key, "public_key"));
        const char *id = json_string_value(json_object_get(key, "id"));
        const char *state = json_string_value(json_object_get(key, "state"));

        if (!has || !id || strcmp(has, text) != 0 || (state && strcmp(state, "active") != 0))
            continue;
        c->count++;
        snprintf(c->name, sizeof c->name, "%s", name);
        snprintf(c->id, sizeof c->id, "%.63s", id);
    }
    return 0;
}

static int choose_key(struct remote *r, struct key_choice *ret)
{
    const char *named = command_option(r->call, "key");
    json_t *roster;
    int rc = client_list(r->client, "/v1/keys", &roster, &r->err);

    if (rc < 0)
        return rc;
    *ret = (struct key_choice){ .roster = roster };
    rc = named ? consider_key(ret, named) : keyring_each(consider_key, ret, &r->err);
    json_decref(roster);
    ret->roster = NULL;
    if (rc < 0)
        return rc;
    if (ret->count == 0)
        return err_set(&r->err, -ENOENT,
                       "no key of this machine is in the roster: `cloche key create NAME`, `cloche "
                       "key enrol NAME`");
    if (ret->count > 1)
        return err_set(&r->err, -EEXIST, "several keys could sign: --key NAME");
    return 0;
}

static int sign(struct remote *r, const struct subject *s, json_t **ret)
{
    char path[REMOTE_PATH_SIZE];
    struct key_choice choice;
    struct keyring_key key;
    char *signature = NULL;
    int rc = choose_key(r, &choice);

    if (rc == 0)
        rc = keyring_open(choice.name, command_option(r->call, "passphrase-file"), &key, &r->err);
    if (rc < 0)
        return rc;
    rc = keyring_sign(&key, s->statement_text, strlen(s->statement_text), &signature, &r->err);
    keyring_done(&key);
    if (rc == 0)
        rc = remote_call(
            r, "POST",
            remote_path(path,
                        s->is_build ? "/v1/builds/{}/approvals" : "/v1/roster/changes/{}/approvals",
                        s->id),
            json_pack("{s:s,s:s}", "key", choice.id, "signature", signature), ret);
    free(signature);
    return rc;
}

/* ---- the whole ---- */

static int read_build(struct remote *r, struct subject *s, json_t **ret_approvals)
{
    char path[REMOTE_PATH_SIZE];
    const char *app;
    int rc = remote_call(r, "GET", remote_path(path, "/v1/builds/{}", s->id), NULL, &s->build);

    if (rc < 0)
        return rc;
    app = json_string_value(json_object_get(s->build, "app"));
    rc = remote_call(r, "GET", remote_path(path, "/v1/apps/{}", app ? app : "-"), NULL, &s->app);
    if (rc == 0)
        rc = remote_call(r, "GET", remote_path(path, "/v1/builds/{}/approvals", s->id), NULL,
                         ret_approvals);
    if (rc == 0)
        rc = check_descriptor(r, s);
    if (rc == 0 && command_option(r->call, "image"))
        rc = check_image(r, s, command_option(r->call, "image"));
    return rc;
}

static int approve(struct remote *r, struct subject *s, json_t **ret)
{
    char path[REMOTE_PATH_SIZE];
    json_t *approvals = NULL;
    int rc = remote_call(r, "GET", "/v1/me", NULL, &s->me);

    if (rc == 0 && s->is_build)
        rc = read_build(r, s, &approvals);
    else if (rc == 0)
        rc = remote_call(r, "GET", remote_path(path, "/v1/roster/changes/{}", s->id), NULL,
                         &s->build);
    if (rc == 0) {
        s->statement_text =
            json_string_value(json_object_get(s->is_build ? approvals : s->build, "statement"));
        rc = s->statement_text ? check_statement(r, s)
                               : err_set(&r->err, -EBADMSG, "there is nothing to sign");
    }
    if (rc == 0 && s->is_build)
        rc = show_build(r, s);
    else if (rc == 0)
        show_change(s);
    if (rc == 0 && !command_option(r->call, "yes") && !ask_yes("approve it?"))
        rc = err_set(&r->err, -ECANCELED, "not approved (--yes answers when there is no terminal)");
    if (rc == 0)
        rc = sign(r, s, ret);
    json_decref(approvals);
    return rc;
}

int approve_run(struct cli_call *call)
{
    struct subject s = { 0 };
    struct remote r;
    json_t *answer = NULL;
    char id[64], text[3][32];
    int rc = remote_open(&r, call), status = CLI_EXIT_OK;

    if (rc == 0)
        rc = builds_find(&r, call->arguments[0], id);
    if (rc == 0) {
        s.id = id;
        s.is_build = strncmp(id, "bld_", 4) == 0;
        rc = approve(&r, &s, &answer);
    }
    if (rc < 0)
        status = remote_fail(&r, rc);
    else if (call->is_json)
        table_json_print(answer, stdout);
    else
        printf("approved: %s of %s, now %s\n",
               table_text(json_object_get(answer, "given"), text[0], 32),
               table_text(json_object_get(answer, "needed"), text[1], 32),
               table_text(json_object_get(answer, "state"), text[2], 32));
    json_decref(answer);
    subject_done(&s);
    remote_done(&r);
    return status;
}

static const struct cli_verb g_verbs[] = {
    { "", "BUILD|CHANGE", "", approve_run, 1, 1, approve_options, ARRAY_COUNT(approve_options) },
};

const struct cli_command approve_command = {
    "approve", "approve a build, or a change of those who approve",
    "Shows the build: app, digest, measurements, what differs from the build that runs now; checks "
    "that the\n"
    "statement which the server wants signed says exactly this, and signs it with your key. BUILD "
    "is an id\n"
    "or APP/VERSION; CHANGE the id of a change of the roster (`cloche key changes`).",
    CLI_VERBS(g_verbs)
};
