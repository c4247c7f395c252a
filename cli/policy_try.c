/* SPDX-License-Identifier: Apache-2.0 */
/* Tries a policy on files and folders of evidence. Relying party side; the evidence may be hostile. */
#include "cli/policy_try.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "cli/evidence.h"
#include "cli/file.h"
#include "verifier/result.h"

#define PATH_SIZE 4096u
#define DEPTH_MAX 8u
#define FOLDER_ENTRY_COUNT_MAX 100000u
#define COLLATERAL_FOLDER "collateral"

/* One run: the results of one verification stay here, so that the stack stays small. */
struct run {
    struct policy_try *t;
    struct verifier_collateral *given; /* of --collateral */
    int64_t now_s;
    struct verifier_result result, old_result;
    json_t *list; /* NULL: lines are printed */
};

static bool is_accepted(const struct verifier_result *r)
{
    return r->verdict == VERIFIER_AFFIRMING || r->verdict == VERIFIER_WARNING;
}

/* ---- a line for each ---- */

/* "POLICY_TCB_STATUS: TCB status, expected ..., actual ..." */
static void print_reason(FILE *f, const struct verifier_result *r)
{
    const struct verifier_check *check;
    char value[160];

    if (r->primary == VERIFIER_CHECK_COUNT)
        return;
    check = &r->checks[r->primary];
    fprintf(f, "%s", verifier_check_name(r->primary));
    if (check->item)
        fprintf(f, ": %s", check->item);
    if (check->expected.kind != VERIFIER_VALUE_NONE)
        fprintf(f, ", expected %s", verifier_value_print(&check->expected, value, sizeof value));
    if (check->actual.kind != VERIFIER_VALUE_NONE)
        fprintf(f, ", actual %s", verifier_value_print(&check->actual, value, sizeof value));
}

static const char *change_name(const struct run *run)
{
    bool is = is_accepted(&run->result), was = is_accepted(&run->old_result);

    return is == was ? "as before" : is ? "now accepted" : "now refused";
}

static void print_line(const struct run *run, const char *path)
{
    const struct verifier_result *r = &run->result;

    if (run->t->old_policy)
        printf("%-13s ", change_name(run));
    printf("%-8s  %-15s  %-7s  %s", is_accepted(r) ? "accepted" : "REFUSED",
           verifier_verdict_name(r->verdict), verifier_tee_name(r->tee), path);
    if (r->tee != VERIFIER_TEE_SNP && r->intel.tcb_status != VERIFIER_TCB_NONE)
        printf("  %s", verifier_tcb_status_name(r->intel.tcb_status));
    putchar('\n');
    if (r->primary < VERIFIER_CHECK_COUNT) {
        printf("          ");
        print_reason(stdout, r);
        putchar('\n');
    }
}

static void add_line(const struct run *run, const char *path)
{
    const struct verifier_result *r = &run->result;
    json_t *o =
        json_pack("{s:s, s:b, s:s, s:s}", "evidence", path, "accepted", is_accepted(r), "status",
                  verifier_verdict_name(r->verdict), "tee", verifier_tee_name(r->tee));
    char *reason = NULL;
    size_t size;
    FILE *f = open_memstream(&reason, &size);

    if (r->tee != VERIFIER_TEE_SNP && r->intel.tcb_status != VERIFIER_TCB_NONE)
        json_object_set_new(o, "tcb_status",
                            json_string(verifier_tcb_status_name(r->intel.tcb_status)));
    if (r->primary < VERIFIER_CHECK_COUNT)
        json_object_set_new(o, "check", json_string(verifier_check_name(r->primary)));
    if (f) {
        print_reason(f, r);
        fclose(f);
        if (r->primary < VERIFIER_CHECK_COUNT)
            json_object_set_new(o, "reason", json_string(reason));
        free(reason);
    }
    if (run->t->old_policy) {
        json_object_set_new(o, "accepted_before", json_boolean(is_accepted(&run->old_result)));
        json_object_set_new(o, "change", json_string(change_name(run)));
    }
    json_array_append_new(run->list, o);
}

/* What stands in the way of judging this one; the others go on. */
static void note_failure(struct run *run, const char *path, const struct err *err)
{
    run->t->failed_count++;
    if (run->list)
        json_array_append_new(run->list, json_pack("{s:s, s:b, s:s}", "evidence", path, "accepted",
                                                   0, "error", err->text));
    else
        printf("FAILED    %s\n          %s\n", path, err->text);
}

static void count_change(struct run *run)
{
    bool is = is_accepted(&run->result), was = is_accepted(&run->old_result);

    run->t->now_accepted_count += is && !was;
    run->t->now_refused_count += was && !is;
}

/* ---- one piece of evidence ---- */

/* Its own folder's, that of the folder beside it, or what was given. returns: 0, also when there is none; negative errno. */
static int find_collateral(const char *folder, struct verifier_collateral **ret, struct err *err)
{
    char path[PATH_SIZE];
    int rc;

    *ret = NULL;
    rc = collateral_folder_read(folder, ret, err);
    if (rc != -ENOENT)
        return rc;
    if (snprintf(path, sizeof path, "%s/" COLLATERAL_FOLDER, folder) >= (int)sizeof path)
        return err_set(err, -ENAMETOOLONG, "%s: the name is too long", folder);
    rc = collateral_folder_read(path, ret, err);
    return rc == -ENOENT ? 0 : rc;
}

static int judge(struct run *run, struct verifier_bytes evidence,
                 const struct verifier_collateral *collateral)
{
    struct verifier_request request = { .evidence = evidence,
                                        .collateral = collateral,
                                        .policy = run->t->policy,
                                        .now_s = run->now_s };
    int rc = verifier_verify(&request, &run->result);

    request.policy = run->t->old_policy;
    if (rc == 0 && run->t->old_policy)
        rc = verifier_verify(&request, &run->old_result);
    return rc;
}

static void try_file(struct run *run, const char *path,
                     const struct verifier_collateral *collateral)
{
    struct file_bytes file = { 0 };
    struct err err = { 0 };
    int rc = file_bytes_read(path, VERIFIER_EVIDENCE_SIZE_MAX, &file, &err);

    run->t->count++;
    if (rc == 0 && file.size == 0)
        rc = err_set(&err, -EINVAL, "%s is empty", path);
    if (rc == 0) {
        rc = judge(run, (struct verifier_bytes){ file.data, file.size },
                   collateral ? collateral : run->given);
        if (rc < 0)
            err_set_errno(&err, rc, "cannot judge it");
    }
    file_bytes_done(&file);
    if (rc < 0) {
        note_failure(run, path, &err);
        return;
    }
    run->t->refused_count += !is_accepted(&run->result);
    if (run->t->old_policy)
        count_change(run);
    if (run->list)
        add_line(run, path);
    else
        print_line(run, path);
}

/* A file that was named itself: its folder's collateral. */
static int try_named(struct run *run, const char *path, struct err *err)
{
    struct verifier_collateral *collateral = NULL;
    char folder[PATH_SIZE];
    char *slash;
    int rc;

    if (snprintf(folder, sizeof folder, "%s", path) >= (int)sizeof folder)
        return err_set(err, -ENAMETOOLONG, "%s: the name is too long", path);
    slash = strrchr(folder, '/');
    if (slash)
        *slash = 0;
    rc = find_collateral(slash ? folder : ".", &collateral, err);
    if (rc == 0)
        try_file(run, path, collateral);
    verifier_collateral_free(collateral);
    return rc;
}

/* ---- folders ---- */

static bool is_evidence_name(const char *name)
{
    static const char *const ends[] = { ".bin", ".quote", ".report", ".dat" };
    const char *dot = strrchr(name, '.');

    for (unsigned i = 0; dot && i < ARRAY_COUNT(ends); i++)
        if (strcmp(dot, ends[i]) == 0)
            return !collateral_folder_has_name(name);
    return false;
}

static int choose(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && strcmp(entry->d_name, COLLATERAL_FOLDER) != 0;
}

static int try_folder(struct run *run, const char *folder, unsigned depth, struct err *err);

static int try_entry(struct run *run, const char *folder, const char *name,
                     const struct verifier_collateral *collateral, unsigned depth, struct err *err)
{
    char path[PATH_SIZE];
    struct stat st;

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return err_set(err, -ENAMETOOLONG, "%s/%s: the name is too long", folder, name);
    if (stat(path, &st) < 0)
        return err_set_errno(err, -errno, "cannot look at %s", path);
    if (S_ISDIR(st.st_mode))
        return try_folder(run, path, depth + 1, err);
    if (S_ISREG(st.st_mode) && is_evidence_name(name))
        try_file(run, path, collateral);
    return 0;
}

static int try_folder(struct run *run, const char *folder, unsigned depth, struct err *err)
{
    struct verifier_collateral *collateral = NULL;
    struct dirent **names;
    int count, rc;

    if (depth == DEPTH_MAX)
        return err_set(err, -ELOOP, "%s: folders more than %u deep", folder, DEPTH_MAX);
    rc = find_collateral(folder, &collateral, err);
    if (rc < 0)
        return rc;
    count = scandir(folder, &names, choose, alphasort);
    if (count < 0)
        rc = err_set_errno(err, -errno, "cannot read %s", folder);
    for (int i = 0; i < count; i++) {
        if (rc == 0 && (unsigned)i < FOLDER_ENTRY_COUNT_MAX)
            rc = try_entry(run, folder, names[i]->d_name, collateral, depth, err);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
    if (rc == 0 && count > (int)FOLDER_ENTRY_COUNT_MAX)
        rc = err_set(err, -E2BIG, "%s: more than %u entries", folder, FOLDER_ENTRY_COUNT_MAX);
    verifier_collateral_free(collateral);
    return rc;
}

/* ---- the whole ---- */

static int try_path(struct run *run, const char *path, struct err *err)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return err_set_errno(err, -errno, "cannot look at %s", path);
    return S_ISDIR(st.st_mode) ? try_folder(run, path, 0, err) : try_named(run, path, err);
}

static void print_totals(const struct policy_try *t)
{
    printf("%u piece%s of evidence: %u accepted, %u refused", t->count, t->count == 1 ? "" : "s",
           t->count - t->refused_count - t->failed_count, t->refused_count);
    if (t->failed_count)
        printf(", %u could not be judged", t->failed_count);
    if (t->old_policy)
        printf("; the change accepts %u more and refuses %u more", t->now_accepted_count,
               t->now_refused_count);
    putchar('\n');
}

static int run_all(struct run *run, char **paths, unsigned path_count, struct err *err)
{
    struct policy_try *t = run->t;
    int rc = time_option_read(t->at, &run->now_s, err);

    if (rc == 0 && t->collateral)
        rc = collateral_folder_read(t->collateral, &run->given, err);
    for (unsigned i = 0; i < path_count && rc == 0; i++)
        rc = try_path(run, paths[i], err);
    if (rc == 0 && t->count == 0)
        rc = err_set(err, -ENOENT,
                     "no evidence there: files that end in .bin, .quote, .report or .dat");
    return rc;
}

int policy_try_run(struct policy_try *t, char **paths, unsigned path_count, struct err *err)
{
    struct run *run = calloc(1, sizeof *run);
    int rc;

    if (!run)
        return err_set_errno(err, -ENOMEM, "cannot hold the results");
    run->t = t;
    run->list = t->json ? json_array() : NULL;
    rc = run_all(run, paths, path_count, err);
    if (rc == 0 && run->list) {
        json_dumpf(run->list, stdout, JSON_INDENT(2));
        putchar('\n');
    } else if (rc == 0) {
        print_totals(t);
    }
    json_decref(run->list);
    verifier_collateral_free(run->given);
    free(run);
    return rc;
}
