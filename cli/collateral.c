/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche collateral`: fetches, keeps and carries what the makers of TEEs publish. Relying party side. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/hosted/whole_file.h"
#include "cli/cli.h"
#include "cli/collateral_fetch.h"
#include "verifier/json_read.h"

const char cmd_collateral_usage[] =
    "usage: cloche collateral fetch [--for EVIDENCE] [NAME...] [-o DIR]\n"
    "       cloche collateral refresh [NAME...]\n"
    "       cloche collateral list | show NAME | prune [--all]\n"
    "       cloche collateral export -o BUNDLE [--for EVIDENCE] [NAME...]\n"
    "       cloche collateral import BUNDLE\n"
    "\n"
    "What the makers of TEEs publish about their platforms, checked and kept in a cache.\n"
    "\n"
    "  fetch        gets what verifying EVIDENCE (a quote or report) needs, or the items named; -o "
    "writes\n"
    "               it as a folder for `cloche verify --collateral DIR`\n"
    "  refresh      asks again for everything that is held, or for the items named\n"
    "  list, show   what is held, and until when it is valid; show --body prints the item itself\n"
    "  prune        removes what has expired or does not verify; --all: everything\n"
    "  export       writes a bundle for a machine without network; import takes one, after "
    "checking "
    "it\n"
    "\n"
    "  --update early|standard  TCB info and identities, before the standard date or not "
    "(standard)\n"
    "  --product NAME       milan, genoa or turin, for SEV-SNP reports that do not name it\n"
    "  --vek FILE           the VCEK or VLEK certificate, when the evidence's host gave it to you\n"
    "  --offline            only what is held\n";

static const char g_exit_help[] =
    "\nNAME is as `list` prints it: sgx-tcb-FMSPC, tdx-tcb-FMSPC, sgx-qe-identity, "
    "tdx-qe-identity,\n"
    "pck-crl-platform, pck-crl-processor, intel-root-crl, amd-milan-vcek-chain, "
    "amd-milan-vcek-crl, ...\n"
    "Exit status: 0 done, 1 it failed, 2 usage, 3 refused: what was served does not verify.\n";

/* ---- list and show ---- */

static const char *days_left(int64_t expires_s, int64_t now_s, char dst[32])
{
    int64_t left_s = expires_s - now_s;

    if (left_s < 0)
        snprintf(dst, 32, "%" PRId64 " d ago", -left_s / 86400);
    else if (left_s < 2 * 86400)
        snprintf(dst, 32, "in %" PRId64 " h", left_s / 3600);
    else
        snprintf(dst, 32, "in %" PRId64 " d", left_s / 86400);
    return dst;
}

struct listing {
    struct collateral_flags *flags;
    struct collateral *store;
    json_t *rows; /* NULL: print for people */
    unsigned count, name_len;
};

static void print_row(struct listing *l, const struct collateral_entry *e,
                      enum collateral_state state, const struct err *why)
{
    char name[COLLATERAL_NAME_SIZE], short_name[64], expires[TIME_TEXT_SIZE],
        fetched[TIME_TEXT_SIZE], left[32];

    if (l->count == 0)
        printf("%-44s %-8s %-20s %-10s %-20s %8s\n", "NAME", "STATE", "EXPIRES", "", "CONFIRMED",
               "BYTES");
    collateral_item_name(&e->id, name);
    collateral_name_shorten(name, short_name);
    if (state == COLLATERAL_DAMAGED) {
        printf("%-44s %-8s %s\n", short_name, collateral_state_name(state), why->text);
        return;
    }
    time_print(e->expires_s, expires);
    time_print(e->fetched_s, fetched);
    printf("%-44s %-8s %-20s %-10s %-20s %8zu\n", short_name, collateral_state_name(state), expires,
           days_left(e->expires_s, collateral_flags_now(l->flags), left), fetched, e->body_size);
}

static int list_row(void *context, const struct collateral_entry *e, enum collateral_state state,
                    const struct err *why)
{
    struct listing *l = context;

    if (l->rows) {
        json_t *row = collateral_entry_json(e);

        json_object_set_new(row, "state", json_string(collateral_state_name(state)));
        if (state == COLLATERAL_DAMAGED)
            json_object_set_new(row, "problem", json_string(why->text));
        if (json_array_append_new(l->rows, row) < 0)
            return -ENOMEM;
    } else {
        print_row(l, e, state, why);
    }
    l->count++;
    return 0;
}

static int run_list(struct collateral_job *job, struct err *err)
{
    struct listing l = { .flags = &job->flags, .rows = job->flags.json ? json_array() : NULL };
    int rc = collateral_list(job->store, list_row, &l, err);

    if (rc == 0 && l.rows)
        collateral_json_print(l.rows);
    else if (rc == 0 && l.count == 0)
        printf("The cache %s is empty; `cloche collateral fetch --for EVIDENCE` fills it.\n",
               job->flags.options.folder);
    json_decref(l.rows);
    return rc;
}

static void print_entry(const struct collateral_job *job, const struct collateral_entry *e)
{
    char name[COLLATERAL_NAME_SIZE], time[TIME_TEXT_SIZE], left[32];
    int64_t now_s = collateral_flags_now(&job->flags);

    printf("%s\n  %s\n", collateral_item_name(&e->id, name), collateral_item_what(&e->id));
    printf("  state      %s\n", collateral_state_name(collateral_entry_state(e, now_s)));
    printf("  source     %s\n", e->source);
    time_print(e->issued_s, time);
    printf("  issued     %s\n", time);
    time_print(e->expires_s, time);
    printf("  expires    %s (%s)\n", time, days_left(e->expires_s, now_s, left));
    time_print(e->fetched_s, time);
    printf("  confirmed  %s\n", time);
    time_print(e->due_s, time);
    printf("  due        %s\n", time);
    if (e->etag[0])
        printf("  etag       %s\n", e->etag);
    if (e->last_modified[0])
        printf("  modified   %s\n", e->last_modified);
    if (e->evaluation_number)
        printf("  evaluation %u\n", e->evaluation_number);
    printf("  bytes      %zu, issuer chain %zu\n", e->body_size, e->chain_size);
}

/* Also what has expired: it is there to be looked at. */
static int show_row(void *context, const struct collateral_entry *e, enum collateral_state state,
                    const struct err *why)
{
    struct collateral_job *job = context;

    if (memcmp(&e->id, &job->items[0], sizeof e->id) != 0)
        return 0;
    job->found = true;
    if (state == COLLATERAL_DAMAGED) {
        job->error = *why;
        return -EBADMSG;
    }
    if (job->body) {
        fwrite(e->body, 1, e->body_size, stdout);
    } else if (job->flags.json) {
        json_t *row = collateral_entry_json(e);

        json_object_set_new(row, "state", json_string(collateral_state_name(state)));
        collateral_json_print(row);
        json_decref(row);
    } else {
        print_entry(job, e);
    }
    return 0;
}

static int run_show(struct collateral_job *job, struct err *err)
{
    char name[COLLATERAL_NAME_SIZE];
    int rc;

    if (job->item_count != 1)
        return err_set(err, -EINVAL, "show wants one name");
    rc = collateral_list(job->store, show_row, job, err);
    if (rc == -EBADMSG && !err->text[0])
        *err = job->error;
    if (rc == 0 && !job->found)
        return err_set(err, -ENOENT, "%s is not in the cache %s",
                       collateral_item_name(&job->items[0], name), job->flags.options.folder);
    return rc;
}

/* ---- prune ---- */

static int prune_row(void *context, const struct collateral_entry *e, enum collateral_state state,
                     const struct err *why)
{
    struct listing *l = context;
    char name[COLLATERAL_NAME_SIZE];
    int rc;

    if (state != COLLATERAL_EXPIRED && state != COLLATERAL_DAMAGED && l->name_len == 0)
        return 0;
    rc = collateral_remove(l->store, &e->id, NULL);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    collateral_item_name(&e->id, name);
    if (l->rows && json_array_append_new(l->rows, json_string(name)) < 0)
        return -ENOMEM;
    if (!l->rows)
        printf("removed %s (%s)\n", name, collateral_state_name(state));
    l->count++;
    return 0;
}

static int run_prune(struct collateral_job *job, struct err *err)
{
    struct listing l = { .flags = &job->flags,
                         .store = job->store,
                         .rows = job->flags.json ? json_array() : NULL,
                         .name_len = job->all };
    int rc = collateral_list(job->store, prune_row, &l, err);

    if (rc < 0 && !err->text[0])
        err_set_errno(err, rc, "cannot remove from the cache %s", job->flags.options.folder);
    if (rc == 0 && l.rows)
        collateral_json_print(l.rows);
    else if (rc == 0 && l.count == 0)
        printf("nothing to remove\n");
    json_decref(l.rows);
    return rc;
}

/* ---- bundles ---- */

static int run_export(struct collateral_job *job, struct err *err)
{
    char *text;
    size_t size;
    unsigned count;
    int rc;

    if (!job->output)
        return err_set(err, -EINVAL, "export wants -o BUNDLE");
    rc = collateral_job_items_find(job, err);
    if (rc == 0)
        rc = collateral_export(job->store, job->items, job->item_count, &text, &size, &count, err);
    if (rc < 0)
        return rc;
    rc = whole_file_replace(job->output, text, size, 0644, err);
    free(text);
    if (rc == 0 && job->flags.json)
        printf("{\"bundle\": \"exported\", \"entries\": %u, \"bytes\": %zu}\n", count, size);
    else if (rc == 0)
        printf("%s: %u items, %zu bytes\n", job->output, count, size);
    return rc;
}

static int run_import(struct collateral_job *job, struct err *err)
{
    struct collateral_imported imported;
    struct file_bytes bundle = { 0 };
    int rc;

    if (!job->bundle)
        return err_set(err, -EINVAL, "import wants one BUNDLE");
    rc = file_bytes_read(job->bundle, COLLATERAL_BUNDLE_SIZE_MAX, &bundle, err);
    if (rc < 0)
        return rc;
    rc = collateral_import(job->store, (const char *)bundle.data, bundle.size, &imported, err);
    file_bytes_done(&bundle);
    if (rc < 0)
        return err_wrap(err, rc, "%s: nothing was imported", job->bundle);
    if (job->flags.json)
        printf("{\"new\": %u, \"held\": %u, \"expired\": %u}\n", imported.new_count,
               imported.held_count, imported.expired_count);
    else
        printf("%u imported, %u held already, %u expired\n", imported.new_count,
               imported.held_count, imported.expired_count);
    return 0;
}

/* ---- the command ---- */

static const struct {
    const char *name;
    int (*run)(struct collateral_job *job, struct err *err);
} g_verbs[] = {
    { "fetch", collateral_job_fetch },
    { "refresh", collateral_job_refresh },
    { "list", run_list },
    { "show", run_show },
    { "prune", run_prune },
    { "export", run_export },
    { "import", run_import },
};

/* returns: 0; -EINVAL usage, said in err. */
static int take_word(struct collateral_job *job, const char *verb, const char *word,
                     struct err *err)
{
    if (strcmp(verb, "import") == 0 && !job->bundle) {
        job->bundle = word;
        return 0;
    }
    if (strcmp(verb, "list") == 0 || strcmp(verb, "prune") == 0 || strcmp(verb, "import") == 0)
        return err_set(err, -EINVAL, "%s: one word too many", word);
    if (job->item_count == ARRAY_COUNT(job->items))
        return err_set(err, -E2BIG, "at most %zu names", ARRAY_COUNT(job->items));
    if (collateral_item_parse(word, &job->items[job->item_count]) < 0)
        return err_set(err, -EINVAL, "%s is no name of an item", word);
    job->item_count++;
    return 0;
}

static int take_update(struct collateral_job *job, const char *value, struct err *err)
{
    job->wishes.is_early = strcmp(value, "early") == 0;
    return job->wishes.is_early || strcmp(value, "standard") == 0
               ? 0
               : err_set(err, -EINVAL, "--update: early or standard");
}

static int take_product(struct collateral_job *job, const char *value, struct err *err)
{
    char name[COLLATERAL_NAME_SIZE];
    struct collateral_item_id id;

    snprintf(name, sizeof name, "amd-%.32s-vcek-chain", value);
    if (collateral_item_parse(name, &id) < 0)
        return err_set(err, -EINVAL, "--product: milan, genoa or turin");
    job->wishes.product = id.product;
    return 0;
}

/* Options of this command alone. returns: 1 taken; 0 another one; -EINVAL. */
static int take_own(struct collateral_job *job, int argc, char **argv, int *i, struct err *err)
{
    const char *name = argv[*i], *value = *i + 1 < argc ? argv[*i + 1] : NULL;
    int rc = 0;

    if (strcmp(name, "--offline") == 0)
        return job->offline = true;
    if (strcmp(name, "--all") == 0)
        return job->all = true;
    if (strcmp(name, "--body") == 0)
        return job->body = true;
    if (strcmp(name, "--for") && strcmp(name, "-o") && strcmp(name, "--vek") &&
        strcmp(name, "--update") && strcmp(name, "--product"))
        return 0;
    if (!value)
        return err_set(err, -EINVAL, "%s needs a value", name);
    if (strcmp(name, "--for") == 0 && job->evidence)
        rc = err_set(err, -EINVAL, "one piece of evidence at a time");
    else if (strcmp(name, "--for") == 0)
        job->evidence = value;
    else if (strcmp(name, "-o") == 0)
        job->output = value;
    else if (strcmp(name, "--vek") == 0)
        job->vek_path = value;
    else
        rc = strcmp(name, "--update") == 0 ? take_update(job, value, err)
                                           : take_product(job, value, err);
    (*i)++;
    return rc < 0 ? rc : 1;
}

static int parse_words(struct collateral_job *job, int argc, char **argv, struct err *err)
{
    for (int i = 2; i < argc; i++) {
        int rc = collateral_flag_take(&job->flags, argc, argv, &i, err);

        if (rc == 0)
            rc = take_own(job, argc, argv, &i, err);
        if (rc == 0 && argv[i][0] == '-')
            rc = err_set(err, -EINVAL, "unknown option %s", argv[i]);
        if (rc == 0)
            rc = take_word(job, argv[1], argv[i], err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int run(struct collateral_job *job, int (*verb)(struct collateral_job *, struct err *),
               struct err *err)
{
    int rc = collateral_flags_open(&job->flags, &job->store, err);

    if (rc == 0)
        rc = verb(job, err);
    collateral_progress_clear(&job->flags);
    collateral_close(job->store);
    collateral_flags_done(&job->flags);
    return rc;
}

int cmd_collateral(int argc, char **argv)
{
    struct collateral_job *job;
    struct err err = { 0 };
    int rc = -EINVAL;

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        printf("%s%s%s", cmd_collateral_usage, g_collateral_flags_help, g_exit_help);
        return CLI_EXIT_OK;
    }
    job = calloc(1, sizeof *job);
    if (!job)
        return CLI_EXIT_FAILED;
    for (unsigned i = 0; argc >= 2 && i < ARRAY_COUNT(g_verbs); i++) {
        if (strcmp(argv[1], g_verbs[i].name) != 0)
            continue;
        if (parse_words(job, argc, argv, &err) < 0)
            rc = cli_usage("collateral", "%s", err.text);
        else
            rc = run(job, g_verbs[i].run, &err);
        if (rc < 0)
            rc = rc == -EALREADY ? job->status : cli_fail(&err, rc);
        free(job);
        return rc;
    }
    free(job);
    return cli_usage("collateral",
                     "fetch, refresh, list, show, prune, export or import is expected");
}
