/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cloche audit verify`: computes the log's Merkle tree from its entries, compares the root with the checkpoint that the server has signed, and both with the
 * checkpoint that was seen last time: nothing was changed, and nothing that was there is missing. Relying party side.
 */
#include "cli/audit_verify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "cli/file.h"
#include "cli/merkle.h"
#include "cli/remote.h"
#include "client/contexts.h"

#define EXPORT_LINES 5000u
#define EXPORT_FILE_MAX (1u << 30)

const struct cli_option audit_verify_options[] = {
    { "export", "FILE", "instead of asking the server: what `cloche audit export` wrote", false },
    { "checkpoint", "FILE", "with --export: what `cloche audit checkpoint --json` wrote", false },
    { "public-key", "BASE64", "of the server's audit key; else that of last time", false },
};
const unsigned audit_verify_option_count = ARRAY_COUNT(audit_verify_options);

struct checkpoint {
    uint64_t size;
    int64_t time_ms;
    uint8_t root[32], signature[64], public_key[32];
    const char *root_text, *key_text; /* of the JSON */
};

struct verify {
    struct remote remote;
    json_t *checkpoint_json, *seen_json; /* seen: of last time, or NULL */
    struct checkpoint checkpoint, seen;
    struct merkle tree;
    uint64_t own_count;
    bool is_seen_checked;
};

/* ---- checkpoints ---- */

/* Standard base64 of exactly so many bytes. */
static bool decode(const char *text, uint8_t *ret, size_t size)
{
    uint8_t bytes[96];
    size_t len = text ? strlen(text) : 0;
    int got;

    if (len != (size + 2) / 3 * 4 || len / 4 * 3 > sizeof bytes)
        return false;
    got = EVP_DecodeBlock(bytes, (const uint8_t *)text, (int)len);
    if (got < (int)size)
        return false;
    memcpy(ret, bytes, size);
    return true;
}

static int checkpoint_parse(const json_t *json, struct checkpoint *ret, struct err *err)
{
    struct checkpoint c = { 0 };
    json_int_t size = json_integer_value(json_object_get(json, "size"));

    c.root_text = json_string_value(json_object_get(json, "root"));
    c.key_text = json_string_value(json_object_get(json, "public_key"));
    c.time_ms = json_integer_value(json_object_get(json, "time_ms"));
    if (size < 0 || !json_is_integer(json_object_get(json, "size")) ||
        !decode(c.root_text, c.root, sizeof c.root) ||
        !decode(json_string_value(json_object_get(json, "signature")), c.signature,
                sizeof c.signature) ||
        !decode(c.key_text, c.public_key, sizeof c.public_key))
        return err_set(err, -EBADMSG, "the checkpoint is malformed");
    c.size = (uint64_t)size;
    *ret = c;
    return 0;
}

/* Ed25519 over "cloche-checkpoint-1\n" size "\n" base64(root) "\n" time "\n". */
static int signature_check(const struct checkpoint *c, struct err *err)
{
    char text[160];
    int len = snprintf(text, sizeof text, "cloche-checkpoint-1\n%llu\n%.64s\n%lld\n",
                       (unsigned long long)c->size, c->root_text, (long long)c->time_ms);
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, c->public_key, 32);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good = key && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
                   EVP_DigestVerify(context, c->signature, sizeof c->signature,
                                    (const uint8_t *)text, (size_t)len) == 1;

    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return is_good ? 0 : err_set(err, -EBADMSG, "the checkpoint's signature is not the server's");
}

/* ~/.config/cloche/audit-NAME.json: the checkpoint of last time. */
static int seen_path(const struct verify *v, char ret[4096], struct err *err)
{
    const char *name = v->remote.call->context;
    char folder[3800], escaped[200];
    json_t *all = NULL;
    int rc = contexts_folder(folder, sizeof folder, err);

    if (rc == 0 && !name)
        rc = contexts_read(&all, err);
    if (rc == 0 && !name)
        name = json_string_value(json_object_get(all, "current"));
    if (rc == 0)
        snprintf(ret, 4096, "%s/audit-%s.json", folder,
                 client_escape(name ? name : "none", escaped, sizeof escaped));
    json_decref(all);
    return rc;
}

static int seen_read(struct verify *v)
{
    char path[4096];
    struct file_bytes file;
    int rc = seen_path(v, path, &v->remote.err);

    if (rc < 0)
        return rc;
    rc = file_bytes_read(path, 65536, &file, &v->remote.err);
    if (rc == -ENOENT)
        return 0;
    if (rc < 0)
        return rc;
    v->seen_json = json_loadb((char *)file.data, file.size, JSON_REJECT_DUPLICATES, NULL);
    file_bytes_done(&file);
    rc = checkpoint_parse(v->seen_json, &v->seen, &v->remote.err);
    return rc < 0 ? err_wrap(&v->remote.err, rc, "%s", path) : 0;
}

static int seen_write(struct verify *v)
{
    char path[4096];
    char *text = json_dumps(v->checkpoint_json, JSON_INDENT(2));
    int rc = text ? seen_path(v, path, &v->remote.err) : -ENOMEM;

    if (rc == 0)
        rc = contexts_file_write(path, text, strlen(text), &v->remote.err);
    free(text);
    return rc;
}

/* The key that signs is the one that is expected. */
static int key_check(struct verify *v)
{
    const char *named = command_option(v->remote.call, "public-key");
    uint8_t key[32];

    if (named && !decode(named, key, sizeof key))
        return err_set(&v->remote.err, -EINVAL, "--public-key: base64 of 32 bytes is expected");
    if (!named && !v->seen_json)
        return 0;
    if (memcmp(named ? key : v->seen.public_key, v->checkpoint.public_key, 32) != 0)
        return err_set(&v->remote.err, -EBADMSG, "the log is signed by another key, %s, than %s",
                       v->checkpoint.key_text, named ? "was named" : "last time");
    return 0;
}

/* ---- entries ---- */

/* The tree has as many leaves as last time: it must be the same tree. */
static int seen_check(struct verify *v)
{
    uint8_t root[32];
    int rc;

    if (!v->seen_json || v->is_seen_checked || v->tree.count != v->seen.size)
        return 0;
    rc = merkle_root(&v->tree, root);
    if (rc == 0 && memcmp(root, v->seen.root, 32) != 0)
        rc = err_set(&v->remote.err, -EBADMSG,
                     "the first %llu entries are not those of the checkpoint that was seen before: "
                     "the log was rewritten",
                     (unsigned long long)v->seen.size);
    v->is_seen_checked = true;
    return rc;
}

static int line_take(struct verify *v, const char *line, size_t size)
{
    json_t *json = json_loadb(line, size, JSON_REJECT_DUPLICATES, NULL), *record;
    const char *entry = json_string_value(json_object_get(json, "entry"));
    json_int_t number = json_integer_value(json_object_get(json, "number"));
    uint8_t leaf[32];
    int rc = 0;

    if (!json_is_integer(json_object_get(json, "number")) || (uint64_t)number != v->tree.count)
        rc = err_set(&v->remote.err, -EBADMSG, "entry %llu is missing or malformed",
                     (unsigned long long)v->tree.count);
    else if (entry)
        rc = merkle_leaf(entry, strlen(entry), leaf);
    else if (!decode(json_string_value(json_object_get(json, "leaf_hash")), leaf, sizeof leaf))
        rc = err_set(&v->remote.err, -EBADMSG, "entry %lld has neither text nor hash",
                     (long long)number);
    if (rc == 0 && entry) {
        record = json_loads(entry, JSON_REJECT_DUPLICATES, NULL);
        if (json_integer_value(json_object_get(record, "number")) != number)
            rc = err_set(&v->remote.err, -EBADMSG, "entry %lld stands in another's place",
                         (long long)number);
        json_decref(record);
        v->own_count++;
    }
    json_decref(json);
    if (rc == 0)
        rc = merkle_add(&v->tree, leaf);
    return rc < 0 ? rc : seen_check(v);
}

/* Lines up to the checkpoint's size; what was appended since is of the next checkpoint. */
static int lines_take(struct verify *v, const char *text, size_t size)
{
    int rc = 0;

    while (rc == 0 && size > 0 && v->tree.count < v->checkpoint.size) {
        const char *end = memchr(text, '\n', size);
        size_t len = end ? (size_t)(end - text) : size;

        rc = line_take(v, text, len);
        text += len + (end != NULL);
        size -= len + (end != NULL);
    }
    return rc;
}

static int entries_ask(struct verify *v)
{
    int rc = 0;

    while (rc == 0 && v->tree.count < v->checkpoint.size) {
        uint64_t before = v->tree.count;
        char path[128];
        char *text;
        size_t size;

        snprintf(path, sizeof path, "/v1/audit/export?from=%llu&lines=%u",
                 (unsigned long long)before, EXPORT_LINES);
        rc = client_text(v->remote.client, path, &text, &size, &v->remote.err);
        if (rc < 0)
            return rc;
        rc = lines_take(v, text, size);
        free(text);
        if (rc == 0 && v->tree.count == before)
            rc = err_set(&v->remote.err, -EBADMSG,
                         "the log ends at entry %llu, the checkpoint says %llu",
                         (unsigned long long)before, (unsigned long long)v->checkpoint.size);
    }
    return rc;
}

static int entries_read(struct verify *v, const char *path)
{
    struct file_bytes file;
    int rc = file_bytes_read(path, EXPORT_FILE_MAX, &file, &v->remote.err);

    if (rc < 0)
        return rc;
    rc = lines_take(v, (char *)file.data, file.size);
    file_bytes_done(&file);
    if (rc == 0 && v->tree.count < v->checkpoint.size)
        rc = err_set(&v->remote.err, -EBADMSG, "%s ends at entry %llu, the checkpoint says %llu",
                     path, (unsigned long long)v->tree.count,
                     (unsigned long long)v->checkpoint.size);
    return rc;
}

/* ---- the whole ---- */

static int checkpoint_get(struct verify *v)
{
    const char *path = command_option(v->remote.call, "checkpoint");
    struct file_bytes file;
    int rc;

    if (!path)
        return remote_call(&v->remote, "GET", "/v1/audit/checkpoint", NULL, &v->checkpoint_json);
    rc = file_bytes_read(path, 65536, &file, &v->remote.err);
    if (rc < 0)
        return rc;
    v->checkpoint_json = json_loadb((char *)file.data, file.size, JSON_REJECT_DUPLICATES, NULL);
    file_bytes_done(&file);
    return 0;
}

static int verify(struct verify *v)
{
    const char *path = command_option(v->remote.call, "export");
    uint8_t root[32];
    int rc = checkpoint_get(v);

    if (rc == 0)
        rc = checkpoint_parse(v->checkpoint_json, &v->checkpoint, &v->remote.err);
    if (rc == 0)
        rc = signature_check(&v->checkpoint, &v->remote.err);
    if (rc == 0)
        rc = seen_read(v);
    if (rc == 0)
        rc = key_check(v);
    if (rc == 0 && v->seen_json && v->checkpoint.size < v->seen.size)
        rc = err_set(&v->remote.err, -EBADMSG,
                     "the log has %llu entries and had %llu before: entries are gone",
                     (unsigned long long)v->checkpoint.size, (unsigned long long)v->seen.size);
    if (rc == 0)
        rc = seen_check(v); /* of an empty one */
    if (rc == 0)
        rc = path ? entries_read(v, path) : entries_ask(v);
    if (rc == 0)
        rc = merkle_root(&v->tree, root);
    if (rc == 0 && memcmp(root, v->checkpoint.root, 32) != 0)
        rc = err_set(&v->remote.err, -EBADMSG,
                     "the entries do not give the checkpoint's root: one was changed");
    return rc == 0 ? seen_write(v) : rc;
}

static const char *time_text(int64_t time_ms, char ret[32])
{
    time_t at = (time_t)(time_ms / 1000);
    struct tm tm;

    gmtime_r(&at, &tm);
    strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return ret;
}

static void print(const struct verify *v)
{
    char text[32];

    if (v->remote.call->is_json) {
        json_t *j = json_pack("{s:b,s:I,s:I,s:s,s:s,s:o}", "verified", 1, "entries",
                              (json_int_t)v->checkpoint.size, "own_entries",
                              (json_int_t)v->own_count, "root", v->checkpoint.root_text,
                              "public_key", v->checkpoint.key_text, "consistent_with",
                              v->seen_json ? json_integer((json_int_t)v->seen.size) : json_null());

        table_json_print(j, stdout);
        json_decref(j);
        return;
    }
    printf("verified  %llu entries, %llu of them your organisation's; root %s, signed %s\n",
           (unsigned long long)v->checkpoint.size, (unsigned long long)v->own_count,
           v->checkpoint.root_text, time_text(v->checkpoint.time_ms, text));
    if (v->seen_json)
        printf("          and it goes on from the %llu entries that were signed %s\n",
               (unsigned long long)v->seen.size, time_text(v->seen.time_ms, text));
    else
        printf("          the first time here: the server's audit key %s is remembered\n",
               v->checkpoint.key_text);
}

int audit_verify_run(struct cli_call *call)
{
    struct verify v = { .remote = { .call = call } };
    bool is_offline = command_option(call, "export") != NULL;
    int rc = 0, status = CLI_EXIT_OK;

    if (is_offline != (command_option(call, "checkpoint") != NULL))
        return command_usage(call, "--export and --checkpoint belong together");
    if (!is_offline)
        rc = remote_open(&v.remote, call);
    if (rc == 0)
        rc = verify(&v);
    if (rc < 0)
        status = remote_fail(&v.remote, rc);
    else
        print(&v);
    json_decref(v.checkpoint_json);
    json_decref(v.seen_json);
    remote_done(&v.remote);
    return status;
}
