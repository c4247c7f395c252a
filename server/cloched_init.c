/* SPDX-License-Identifier: Apache-2.0 */
/* `cloched init`: an organisation and its owner, in a new store or one more in an old one. Relying party. The password comes from a file or stdin; nothing secret is printed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ct.h"
#include "server/api/api.h"
#include "server/api/events.h"
#include "server/audit/audit.h"
#include "server/auth/password.h"
#include "server/auth/user.h"
#include "server/cloched.h"
#include "server/model/org.h"
#include "server/model/row.h"
#include "server/server_open.h"

struct init {
    struct server server;
    const char *org, *user, *email, *password_file;
    char password[PASSWORD_LEN_MAX + 2];
    char org_id[ID_SIZE];
    struct user_row owner;
};

static int words_read(struct init *in, int argc, char **argv)
{
    const struct {
        const char *name;
        const char **ret;
    } options[] = { { "--org", &in->org },
                    { "--user", &in->user },
                    { "--email", &in->email },
                    { "--password-file", &in->password_file } };

    for (int i = 1; i < argc; i += 2) {
        unsigned k = 0;

        while (k < ARRAY_COUNT(options) && strcmp(options[k].name, argv[i]) != 0)
            k++;
        if (k == ARRAY_COUNT(options) || i + 1 == argc)
            return -EINVAL;
        *options[k].ret = argv[i + 1];
    }
    return in->org && in->user && in->password_file ? 0 : -EINVAL;
}

/* The first line. */
static int password_read(struct init *in, struct err *err)
{
    bool is_stdin = strcmp(in->password_file, "-") == 0;
    FILE *f = is_stdin ? stdin : fopen(in->password_file, "re");

    if (!f)
        return err_set_errno(err, -errno, "cannot open %s", in->password_file);
    setvbuf(f, NULL, _IONBF, 0);
    if (!fgets(in->password, sizeof in->password, f))
        in->password[0] = 0;
    if (!is_stdin)
        fclose(f);
    in->password[strcspn(in->password, "\r\n")] = 0;
    if (strlen(in->password) < PASSWORD_LEN_MIN || strlen(in->password) > PASSWORD_LEN_MAX)
        return err_set(err, -EINVAL, "the password in %s is not of %u to %u bytes",
                       in->password_file, PASSWORD_LEN_MIN, PASSWORD_LEN_MAX);
    return 0;
}

static int init_write(struct store_tx *tx, void *arg, struct err *err)
{
    struct init *in = arg;
    struct audit_entry entry = { .org_id = in->org_id,
                                 .actor = "server",
                                 .action = "org.create",
                                 .object = in->org_id,
                                 .decision = "done" };
    int rc;

    id_make("org", in->org_id);
    rc = org_add(&in->server, tx, in->org_id, in->org, server_now_ms(&in->server), err);
    if (rc < 0)
        return rc == -EEXIST ? err_set(err, rc, "there is an organisation %s already", in->org)
                             : rc;
    row_copy(in->owner.org_id, sizeof in->owner.org_id, in->org_id);
    rc = user_add(&in->server, tx, &in->owner, err);
    if (rc == 0)
        rc = event_append(tx, in->org_id, "org.created", in->org_id, NULL, err);
    entry.detail = json_pack("{s:s, s:s}", "name", in->org, "owner", in->owner.id);
    if (rc == 0)
        rc = audit_append(tx, &entry, err);
    json_decref(entry.detail);
    return rc;
}

static int init_perform(struct init *in, const struct server_config *config, struct err *err)
{
    int rc = password_read(in, err);

    if (rc == 0 && !row_name_is_valid(in->user))
        rc = err_set(err, -EINVAL,
                     "\"%s\" is no name of a user: lower-case letters, digits and hyphens",
                     in->user);
    if (rc < 0)
        return rc;
    row_copy(in->owner.name, sizeof in->owner.name, in->user);
    row_copy(in->owner.email, sizeof in->owner.email, in->email);
    in->owner.roles = API_OWNER | API_APPROVER | API_OPERATOR;
    rc = password_hash(in->password, in->owner.password);
    if (rc < 0)
        return err_set_errno(err, rc, "cannot hash the password");
    rc = server_open_store(&in->server, config, err);
    if (rc == 0) {
        rc = store_write(in->server.store, init_write, in, err);
        server_close(&in->server, 0);
    }
    return rc;
}

int cloched_init(const struct server_config *config, int argc, char **argv)
{
    struct init in = { .org = NULL };
    struct err err = { "" };
    int rc;

    if (words_read(&in, argc, argv) < 0)
        return -1;
    rc = init_perform(&in, config, &err);
    ct_wipe(in.password, sizeof in.password);
    if (rc < 0)
        return cloched_fail("init", &err);
    printf("organisation %s (%s), owner %s (%s)\n", in.org, in.org_id, in.user, in.owner.id);
    return EXIT_SUCCESS;
}
