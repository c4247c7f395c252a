/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche collateral fetch` and `refresh`. Relying party side. */
#include "cli/collateral_fetch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "verifier/json_read.h"

/* ---- output ---- */

static json_t *json_time(int64_t time_s)
{
    char text[TIME_TEXT_SIZE];

    time_print(time_s, text);
    return json_string(text);
}

json_t *collateral_entry_json(const struct collateral_entry *e)
{
    char name[COLLATERAL_NAME_SIZE];
    json_t *o = json_object();

    json_object_set_new(o, "name", json_string(collateral_item_name(&e->id, name)));
    json_object_set_new(o, "what", json_string(collateral_item_what(&e->id)));
    if (!e->body)
        return o;
    json_object_set_new(o, "source", json_string(e->source));
    json_object_set_new(o, "issued", json_time(e->issued_s));
    json_object_set_new(o, "expires", json_time(e->expires_s));
    json_object_set_new(o, "confirmed", json_time(e->fetched_s));
    json_object_set_new(o, "due", json_time(e->due_s));
    json_object_set_new(o, "etag", json_string(e->etag));
    json_object_set_new(o, "last_modified", json_string(e->last_modified));
    json_object_set_new(o, "size", json_integer((json_int_t)e->body_size));
    if (e->evaluation_number)
        json_object_set_new(o, "evaluation_number", json_integer(e->evaluation_number));
    return o;
}

void collateral_json_print(const json_t *json)
{
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
}

char *collateral_name_shorten(const char *name, char dst[64])
{
    size_t len = strlen(name);

    if (len > 44) /* amd-milan-vcek-0123456789ab...-03000108 */
        snprintf(dst, 64, "%.27s...%s", name, strrchr(name, '-'));
    else
        snprintf(dst, 64, "%s", name);
    return dst;
}

/* What came of the items. */
struct report {
    struct collateral_job *job;
    json_t *rows; /* NULL: for people */
    int rc;       /* of the first failure */
    bool kept_is_failure;
};

static void tell(struct report *r, const struct collateral_item_id *id,
                 const struct collateral_got *got, int rc, const struct err *err)
{
    char name[COLLATERAL_NAME_SIZE], short_name[64], expires[TIME_TEXT_SIZE];
    bool is_kept = got && got->outcome == COLLATERAL_KEPT;
    const char *problem = rc < 0 ? err->text : is_kept ? got->why.text : NULL;
    json_t *row = NULL;

    collateral_progress_clear(&r->job->flags);
    if (is_kept && r->kept_is_failure)
        rc = got->why_rc;
    if (rc < 0 && r->rc == 0)
        r->rc = rc;
    if (r->rows) {
        row = rc < 0 && !got ? json_object() : collateral_entry_json(&got->entry);
        json_object_set_new(row, "name", json_string(collateral_item_name(id, name)));
        json_object_set_new(row, "outcome",
                            json_string(got ? collateral_outcome_name(got->outcome) : "failed"));
        if (problem)
            json_object_set_new(row, "problem", json_string(problem));
        json_array_append_new(r->rows, row);
        return;
    }
    if (got) {
        time_print(got->entry.expires_s, expires);
        printf("%-10s %-44s expires %s\n", collateral_outcome_name(got->outcome),
               collateral_name_shorten(collateral_item_name(id, name), short_name), expires);
        fflush(stdout);
    }
    if (problem)
        fprintf(stderr, "cloche: %s%s%s\n", rc == -EBADMSG ? "refused: " : "", problem,
                is_kept ? " (what is held is still valid, and stays)" : "");
}

/* ---- items ---- */

static int read_evidence(const char *path, struct file_bytes *ret, struct err *err)
{
    int rc = file_bytes_read(path, VERIFIER_EVIDENCE_SIZE_MAX, ret, err);

    if (rc == 0 && ret->size == 0)
        rc = err_set(err, -EINVAL, "%s is empty", path);
    return rc;
}

int collateral_job_items_find(struct collateral_job *job, struct err *err)
{
    struct file_bytes file = { 0 };
    int rc;

    if (!job->evidence)
        return 0;
    rc = read_evidence(job->evidence, &file, err);
    if (rc == 0) {
        job->wishes.has_vek = job->vek_path != NULL;
        rc = collateral_needs_find((struct verifier_bytes){ file.data, file.size }, &job->wishes,
                                   &job->needs, err);
        if (rc < 0)
            rc = err_wrap(err, rc, "%s", job->evidence);
    }
    file_bytes_done(&file);
    if (rc == 0)
        collateral_needs_settle(job->store, &job->needs,
                                job->offline ? COLLATERAL_OFFLINE : COLLATERAL_FETCH);
    if (rc == 0 && job->item_count + job->needs.count > ARRAY_COUNT(job->items))
        rc = err_set(err, -E2BIG, "at most %zu items at a time", ARRAY_COUNT(job->items));
    for (unsigned i = 0; rc == 0 && i < job->needs.count; i++)
        job->items[job->item_count++] = job->needs.items[i];
    return rc;
}

/* Gets items, all of them even when some fail, into the set when there is one. */
static void get_items(struct collateral_job *job, enum collateral_mode mode, struct report *report,
                      struct collateral_set *set)
{
    for (unsigned i = 0; i < job->item_count; i++) {
        struct collateral_got got = { 0 };
        struct err err = { 0 };
        int rc = collateral_get(job->store, &job->items[i], mode, &got, &err);

        tell(report, &job->items[i], rc < 0 ? NULL : &got, rc, &err);
        if (rc == 0 && set && collateral_set_add(set, &got.entry) < 0 && report->rc == 0)
            report->rc = -E2BIG;
        collateral_got_done(&got);
    }
}

static int finish(struct report *report, struct collateral_job *job)
{
    json_t *o;

    if (report->rows) {
        o = json_object();
        json_object_set(o, "items", report->rows);
        if (job->output && report->rc == 0)
            json_object_set_new(o, "folder", json_string(job->output));
        collateral_json_print(o);
        json_decref(o);
        json_decref(report->rows);
    }
    if (report->rc == 0)
        return 0;
    job->status = report->rc == -EBADMSG ? CLI_EXIT_REFUSED : CLI_EXIT_FAILED;
    return -EALREADY;
}

/* ---- fetch ---- */

/* The certificate that the evidence's host gave: the verifier checks it with the evidence. */
static int add_vek(struct collateral_job *job, struct collateral_set *set, struct err *err)
{
    struct collateral_entry entry = { .id = { .kind = COLLATERAL_VCEK } };
    struct file_bytes file = { 0 };
    int rc;

    if (!job->vek_path)
        return 0;
    rc = file_bytes_read(job->vek_path, VERIFIER_COLLATERAL_ITEM_SIZE_MAX, &file, err);
    if (rc < 0)
        return rc;
    entry.body = file.data;
    entry.body_size = file.size;
    rc = collateral_set_add(set, &entry);
    collateral_entry_done(&entry);
    return rc;
}

static int write_folder(struct collateral_job *job, struct collateral_set *set,
                        struct report *report, struct err *err)
{
    int rc = add_vek(job, set, err);

    if (rc == 0)
        rc = collateral_folder_write(job->output, set, err);
    if (rc < 0)
        return rc;
    if (job->needs.is_vlek && !job->vek_path)
        fprintf(stderr,
                "cloche: the report is signed by a VLEK, whose certificate no server gives out: "
                "take it from the evidence's host (--vek FILE)\n");
    if (!report->rows)
        printf("%s is ready for `cloche verify --collateral`\n", job->output);
    return 0;
}

int collateral_job_fetch(struct collateral_job *job, struct err *err)
{
    enum collateral_mode mode = job->offline ? COLLATERAL_OFFLINE : COLLATERAL_FETCH;
    struct report report = { .job = job, .rows = job->flags.json ? json_array() : NULL };
    struct collateral_set set = { 0 };
    int rc;

    rc = collateral_job_items_find(job, err);
    if (rc == 0 && job->item_count == 0)
        rc = err_set(err, -EINVAL, "nothing to fetch: --for EVIDENCE, or names");
    if (rc == 0 && job->output && job->item_count > COLLATERAL_NEED_COUNT_MAX)
        rc = err_set(err, -E2BIG, "a folder is for one piece of evidence: at most %u items",
                     COLLATERAL_NEED_COUNT_MAX);
    if (rc < 0) {
        json_decref(report.rows);
        return rc;
    }
    get_items(job, mode, &report, job->output ? &set : NULL);
    if (report.rc == 0 && job->output)
        rc = write_folder(job, &set, &report, err);
    collateral_set_done(&set);
    if (rc < 0) {
        json_decref(report.rows);
        return rc;
    }
    return finish(&report, job);
}

/* ---- refresh ---- */

struct held {
    unsigned count;
    struct collateral_item_id *ids; /* COLLATERAL_ENTRY_COUNT_MAX */
};

static int add_held(void *context, const struct collateral_entry *entry,
                    enum collateral_state state, const struct err *why)
{
    struct held *held = context;

    if (held->count < COLLATERAL_ENTRY_COUNT_MAX)
        held->ids[held->count++] = entry->id;
    return 0;
}

int collateral_job_refresh(struct collateral_job *job, struct err *err)
{
    struct report report = { .job = job,
                             .rows = job->flags.json ? json_array() : NULL,
                             .kept_is_failure = true };
    struct held held = { 0, calloc(COLLATERAL_ENTRY_COUNT_MAX, sizeof *held.ids) };
    int rc = held.ids ? collateral_job_items_find(job, err)
                      : err_set_errno(err, -ENOMEM, "cannot hold the list");

    if (rc == 0 && job->item_count == 0)
        rc = collateral_list(job->store, add_held, &held, err);
    if (rc < 0) {
        free(held.ids);
        json_decref(report.rows);
        return rc;
    }
    if (job->item_count)
        get_items(job, COLLATERAL_REFRESH, &report, NULL);
    for (unsigned i = 0; i < held.count; i++) {
        job->items[0] = held.ids[i];
        job->item_count = 1;
        get_items(job, COLLATERAL_REFRESH, &report, NULL);
    }
    if (!report.rows && job->item_count == 0)
        printf("The cache %s is empty.\n", job->flags.options.folder);
    free(held.ids);
    return finish(&report, job);
}
