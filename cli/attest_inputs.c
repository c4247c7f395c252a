/* SPDX-License-Identifier: Apache-2.0 */
/* Policy and collateral of `cloche attest`. Relying party side. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attest/collateral.h"
#include "cli/attest.h"

static const char g_default_policy[] = "{\"version\":1}";

static int read_collateral(const char *folder, struct attest_inputs *in, struct err *err)
{
    struct verifier_collateral_items items = { 0 };
    char path[4096];

    for (unsigned i = 0; i < COLLATERAL_KIND_COUNT; i++) {
        struct file_bytes *file = &in->files[in->file_count];
        int rc;

        if (snprintf(path, sizeof path, "%s/%s", folder, g_collateral_kinds[i].file) >=
            (int)sizeof path)
            return err_set(err, -ENAMETOOLONG, "%s: the name is too long", folder);
        rc = file_bytes_read(path, VERIFIER_COLLATERAL_ITEM_SIZE_MAX, file, err);
        if (rc == -ENOENT)
            continue;
        if (rc < 0)
            return rc;
        in->file_count++;
        *collateral_place(&items, &g_collateral_kinds[i]) =
            (struct verifier_bytes){ file->data, file->size };
    }
    if (in->file_count == 0)
        return err_set(err, -ENOENT, "%s holds none of the files that `cloche verify --help` lists",
                       folder);
    return verifier_collateral_new(&items, &in->collateral, err);
}

static int read_policy(const char *path, struct attest_inputs *in, struct err *err)
{
    int rc = file_bytes_read(path, VERIFIER_POLICY_SIZE_MAX, &in->policy_text, err);

    if (rc == 0)
        rc = verifier_policy_new((const char *)in->policy_text.data, in->policy_text.size,
                                 &in->policy, err);
    return rc < 0 ? err_wrap(err, rc, "policy %s", path) : 0;
}

int attest_inputs_read(const struct attest_arguments *args, struct attest_inputs *in,
                       struct err *err)
{
    struct attest_options options = { .lifetime_s = args->lifetime_s };
    int rc = 0;

    if (args->policy)
        rc = read_policy(args->policy, in, err);
    else if (args->has_default_policy)
        rc = verifier_policy_new(g_default_policy, sizeof g_default_policy - 1, &in->policy, err);
    if (rc == 0 && args->collateral)
        rc = read_collateral(args->collateral, in, err);
    if (rc < 0)
        return rc;
    if (args->tsm)
        options.source = attest_source_tsm(args->tsm);
    options.policy = in->policy;
    options.collateral = in->collateral;
    return attest_context_new(&options, &in->context, err);
}

void attest_inputs_done(struct attest_inputs *in)
{
    attest_context_free(in->context);
    verifier_collateral_free(in->collateral);
    verifier_policy_free(in->policy);
    file_bytes_done(&in->policy_text);
    for (unsigned i = 0; i < in->file_count; i++)
        file_bytes_done(&in->files[i]);
}
