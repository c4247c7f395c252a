/* SPDX-License-Identifier: Apache-2.0 */
/* Reads manifest.json of a set of vectors. Tests only. */
#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "verifier/json_read.h"

#define VECTOR_COUNT_MAX 1024u
#define FILE_SIZE_MAX (2u << 20)

static _Noreturn void stop(const char *what, const char *name)
{
    fprintf(stderr, "vectors: %s: %s\n", what, name);
    abort();
}

static struct verifier_bytes read_file(const char *folder, const char *name)
{
    uint8_t *data = malloc(FILE_SIZE_MAX), *fitting;
    char path[4096];
    FILE *f;
    size_t size;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    f = fopen(path, "rb");
    if (!f || !data)
        stop("cannot read", path);
    size = fread(data, 1, FILE_SIZE_MAX, f);
    fclose(f);
    fitting = realloc(data, size + 1);
    if (!fitting || size == 0)
        stop("empty", path);
    return (struct verifier_bytes){ fitting, size };
}

static struct verifier_bytes get(const char *folder, json_t *files, const char *role)
{
    const char *name = json_string_value(json_object_get(files, role));

    return name ? read_file(folder, name) : (struct verifier_bytes){ 0 };
}

static struct verifier_bytes join(struct verifier_bytes a, struct verifier_bytes b)
{
    uint8_t *data;

    if (a.size == 0 || b.size == 0)
        return a.size ? a : b;
    data = malloc(a.size + 1 + b.size);
    if (!data)
        stop("memory", "join");
    memcpy(data, a.data, a.size);
    data[a.size] = '\n';
    memcpy(data + a.size + 1, b.data, b.size);
    return (struct verifier_bytes){ data, a.size + 1 + b.size };
}

static void read_items(const char *folder, json_t *files, struct verifier_collateral_items *items)
{
    items->tcb_info = get(folder, files, "tcb_info");
    items->tcb_info_chain = get(folder, files, "tcb_info_issuer_chain");
    items->qe_identity = get(folder, files, "qe_identity");
    items->qe_identity_chain = get(folder, files, "qe_identity_issuer_chain");
    items->pck_crl = get(folder, files, "pck_crl");
    items->pck_crl_chain = get(folder, files, "pck_crl_issuer_chain");
    items->root_crl = get(folder, files, "root_ca_crl");
    items->pck_chain =
        join(get(folder, files, "pck_certificate"), get(folder, files, "pck_issuer_chain"));
    items->vek = get(folder, files, json_object_get(files, "vcek") ? "vcek" : "vlek");
    items->vek_chain = join(get(folder, files, "issuer"), get(folder, files, "root"));
}

static bool read_entry(const char *folder, json_t *entry, struct vector *ret)
{
    json_t *files = json_object_get(entry, "files");
    const char *at = json_string_value(json_object_get(entry, "verify_at"));

    memset(ret, 0, sizeof *ret);
    ret->evidence = get(folder, files, json_object_get(files, "quote") ? "quote" : "report");
    if (ret->evidence.size == 0)
        return false;
    ret->id = json_string_value(json_object_get(entry, "id"));
    ret->kind = json_string_value(json_object_get(entry, "kind"));
    if (at && time_parse(at, strlen(at), &ret->at_s) < 0)
        stop("not a time", at);
    read_items(folder, files, &ret->items);
    return true;
}

unsigned vectors_load(const char *folder, const struct vector **ret)
{
    static struct vector list[VECTOR_COUNT_MAX];
    static unsigned count;
    char path[4096];
    json_t *manifest, *entry;
    size_t i;

    *ret = list;
    if (count > 0)
        return count;
    snprintf(path, sizeof path, "%s/manifest.json", folder);
    manifest = json_load_file(path, 0, NULL);
    if (!manifest)
        stop("cannot read", path);
    json_array_foreach(json_object_get(manifest, "vectors"), i,
                       entry) if (count < VECTOR_COUNT_MAX &&
                                  read_entry(folder, entry, &list[count])) count++;
    if (count == 0)
        stop("no evidence", path);
    return count;
}

const struct vector *vectors_find(const char *folder, const char *id)
{
    const struct vector *list;
    unsigned count = vectors_load(folder, &list);

    for (unsigned i = 0; i < count; i++)
        if (strcmp(list[i].id, id) == 0)
            return &list[i];
    stop("no such entry", id);
}
