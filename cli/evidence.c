/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what evidence is judged by. Relying party side. */
#include "cli/evidence.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "verifier/json_read.h"

#define ITEM(name, member)                                                                         \
    {                                                                                              \
        name, offsetof(struct verifier_collateral_items, member)                                   \
    }
static const struct {
    const char *name;
    size_t off; /* of its struct verifier_bytes */
} g_items[] = {
    ITEM("tcb_info.json", tcb_info),
    ITEM("tcb_info_issuer_chain.pem", tcb_info_chain),
    ITEM("qe_identity.json", qe_identity),
    ITEM("qe_identity_issuer_chain.pem", qe_identity_chain),
    ITEM("pck_crl.der", pck_crl),
    ITEM("pck_crl_issuer_chain.pem", pck_crl_chain),
    ITEM("root_ca_crl.der", root_crl),
    ITEM("pck_chain.pem", pck_chain),
    ITEM("vek.der", vek),
    ITEM("vek_chain.pem", vek_chain),
    ITEM("vek_crl.der", vek_crl),
    ITEM("id_block.bin", id_block),
    ITEM("id_auth.bin", id_auth),
};

bool collateral_folder_has_name(const char *name)
{
    for (unsigned i = 0; i < ARRAY_COUNT(g_items); i++)
        if (strcmp(g_items[i].name, name) == 0)
            return true;
    return false;
}

_Static_assert(ARRAY_COUNT(g_items) == COLLATERAL_FILE_COUNT, "files of a collateral folder");

int collateral_files_read(const char *folder, struct collateral_files *files, struct err *err)
{
    char path[4096];
    int count = 0;

    for (unsigned i = 0; i < ARRAY_COUNT(g_items); i++) {
        struct verifier_bytes *bytes =
            (struct verifier_bytes *)((char *)&files->items + g_items[i].off);
        int rc;

        if (snprintf(path, sizeof path, "%s/%s", folder, g_items[i].name) >= (int)sizeof path)
            return err_set(err, -ENAMETOOLONG, "%s: the name is too long", folder);
        rc = file_bytes_read(path, VERIFIER_COLLATERAL_ITEM_SIZE_MAX, &files->files[i], err);
        if (rc == -ENOENT)
            continue;
        if (rc < 0)
            return rc;
        *bytes = (struct verifier_bytes){ files->files[i].data, files->files[i].size };
        count++;
    }
    return count > 0
               ? 0
               : err_set(err, -ENOENT,
                         "%s holds none of the files that `cloche verify --help` lists", folder);
}

void collateral_files_done(struct collateral_files *files)
{
    for (unsigned i = 0; i < ARRAY_COUNT(files->files); i++)
        file_bytes_done(&files->files[i]);
    files->items = (struct verifier_collateral_items){ 0 };
}

int collateral_folder_read(const char *folder, struct verifier_collateral **ret, struct err *err)
{
    struct collateral_files files = { 0 };
    int rc = collateral_files_read(folder, &files, err);

    if (rc == 0)
        rc = verifier_collateral_new(&files.items, ret, err);
    collateral_files_done(&files);
    return rc;
}

int policy_file_read(const char *path, struct verifier_policy **ret, struct err *err)
{
    struct file_bytes text = { 0 };
    int rc = file_bytes_read(path, VERIFIER_POLICY_SIZE_MAX, &text, err);

    if (rc == 0)
        rc = verifier_policy_new((const char *)text.data, text.size, ret, err);
    file_bytes_done(&text);
    return rc < 0 ? err_wrap(err, rc, "policy %s", path) : 0;
}

int time_option_read(const char *at, int64_t *ret_s, struct err *err)
{
    if (!at)
        *ret_s = time(NULL);
    else if (strcmp(at, "none") == 0)
        *ret_s = 0;
    else if (time_parse(at, strlen(at), ret_s) < 0)
        return err_set(err, -EINVAL, "--at: write the time as 2025-06-19T10:56:11Z, or none");
    return 0;
}
