/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of entries for one verification, and as files for `cloche verify --collateral`. Relying party. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "collateral/cache.h"

/* Where an item goes: its members in struct verifier_collateral_items, and the files. */
struct place {
    size_t body_offset, chain_offset; /* SIZE_MAX: none */
    const char *body_file, *chain_file;
};

#define ITEM(member) offsetof(struct verifier_collateral_items, member)

static const struct place g_tcb = { ITEM(tcb_info), ITEM(tcb_info_chain), "tcb_info.json",
                                    "tcb_info_issuer_chain.pem" };
static const struct place g_identity = { ITEM(qe_identity), ITEM(qe_identity_chain),
                                         "qe_identity.json", "qe_identity_issuer_chain.pem" };
static const struct place g_places[COLLATERAL_KIND_COUNT - COLLATERAL_PCK_CRL] = {
    { ITEM(pck_crl), ITEM(pck_crl_chain), "pck_crl.der", "pck_crl_issuer_chain.pem" },
    { ITEM(root_crl), SIZE_MAX, "root_ca_crl.der", NULL },
    { ITEM(vek_chain), SIZE_MAX, "vek_chain.pem", NULL },
    { ITEM(vek_crl), SIZE_MAX, "vek_crl.der", NULL },
    { ITEM(vek), SIZE_MAX, "vek.der", NULL },
};
/* All that this file writes. */
static const char *const g_files[] = {
    "tcb_info.json",    "tcb_info_issuer_chain.pem",
    "qe_identity.json", "qe_identity_issuer_chain.pem",
    "pck_crl.der",      "pck_crl_issuer_chain.pem",
    "root_ca_crl.der",  "vek_chain.pem",
    "vek_crl.der",      "vek.der",
};

/* NULL: there is none for it. */
static const struct place *find_place(uint8_t kind)
{
    if (kind == COLLATERAL_SGX_TCB || kind == COLLATERAL_TDX_TCB)
        return &g_tcb;
    if (kind == COLLATERAL_SGX_QE_IDENTITY || kind == COLLATERAL_TDX_QE_IDENTITY)
        return &g_identity;
    if (kind < COLLATERAL_PCK_CRL)
        return NULL; /* no evidence needs it */
    return &g_places[kind - COLLATERAL_PCK_CRL];
}

void collateral_set_done(struct collateral_set *set)
{
    for (unsigned i = 0; i < set->count; i++)
        collateral_entry_done(&set->entries[i]);
    *set = (struct collateral_set){ 0 };
}

int collateral_set_add(struct collateral_set *set, struct collateral_entry *entry)
{
    const struct place *place = find_place(entry->id.kind);
    uint8_t *items = (uint8_t *)&set->items;

    if (set->count == COLLATERAL_NEED_COUNT_MAX || !place)
        return -E2BIG;
    *(struct verifier_bytes *)(items + place->body_offset) =
        (struct verifier_bytes){ entry->body, entry->body_size };
    if (place->chain_offset != SIZE_MAX)
        *(struct verifier_bytes *)(items + place->chain_offset) =
            (struct verifier_bytes){ entry->chain, entry->chain_size };
    set->entries[set->count++] = *entry;
    *entry = (struct collateral_entry){ 0 };
    return 0;
}

bool collateral_set_has(const struct collateral_set *set, const struct collateral_item_id *id)
{
    const uint8_t *items = (const uint8_t *)&set->items;
    const struct place *place = find_place(id->kind);

    return place && ((const struct verifier_bytes *)(items + place->body_offset))->size > 0;
}

/* The bytes of the set that belong into this file; size 0: none. */
static struct verifier_bytes find_bytes(const struct collateral_set *set, const char *file)
{
    for (unsigned i = 0; i < set->count; i++) {
        const struct collateral_entry *e = &set->entries[i];
        const struct place *place = find_place(e->id.kind);

        if (strcmp(place->body_file, file) == 0)
            return (struct verifier_bytes){ e->body, e->body_size };
        if (place->chain_file && strcmp(place->chain_file, file) == 0)
            return (struct verifier_bytes){ e->chain, e->chain_size };
    }
    return (struct verifier_bytes){ 0 };
}

int collateral_folder_write(const char *folder, const struct collateral_set *set, struct err *err)
{
    int fd, rc = folder_open(folder, &fd, err);

    if (rc < 0)
        return rc;
    if (flock(fd, LOCK_EX) < 0)
        rc = err_set_errno(err, -errno, "cannot lock %s", folder);
    for (unsigned i = 0; rc == 0 && i < ARRAY_COUNT(g_files); i++) {
        struct verifier_bytes bytes = find_bytes(set, g_files[i]);

        if (bytes.size)
            rc = folder_file_replace(fd, g_files[i], bytes.data, bytes.size);
        else if (unlinkat(fd, g_files[i], 0) < 0 && errno != ENOENT)
            rc = -errno;
        if (rc < 0)
            rc = err_set_errno(err, rc, "cannot write %s/%s", folder, g_files[i]);
    }
    close(fd);
    return rc;
}
