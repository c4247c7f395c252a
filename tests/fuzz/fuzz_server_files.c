/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the control plane and its client read besides requests, by the first byte: 'c' the configuration, 'b' a backup, 'v' an answer of a key-value store that secrets are
 * imported from, 'j' a key set, a newline, a token, 'p' a server's problem and list as the command shows them.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/table.h"
#include "client/request.h"
#include "server/auth/jwks.h"
#include "server/config.h"
#include "server/secret/import.h"
#include "server/store/dump.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"

static void read_config(const uint8_t *data, size_t size)
{
    static int fd = -1;
    struct server_config *config = NULL;
    struct err err = { "" };
    char path[32];

    if (fd < 0)
        fd = memfd_create("config", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (config_read(path, &config, &err) < 0) {
        assert(err.text[0] && !config);
        return;
    }
    assert(config->store_url && config->name_count <= CONFIG_NAMES_MAX &&
           config->url_count <= CONFIG_NAMES_MAX);
    config_free(config);
}

static struct store *g_store;
static char g_path[96];

static void store_remove(void)
{
    char path[112];

    store_close(g_store);
    for (unsigned i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s%s", g_path,
                 (const char *const[]){ "", "-wal", "-shm", "-lock" }[i]);
        unlink(path);
    }
}

static void read_backup(const uint8_t *data, size_t size)
{
    const char *tmp = getenv("TMPDIR");
    struct err err = { "" };
    uint8_t sha256[32];
    int64_t rows = 0;
    long end = 0;
    FILE *file = fmemopen((void *)data, size, "r");
    char url[112];

    if (!g_store) {
        snprintf(g_path, sizeof g_path, "%.40s/cloche-fuzz-%d.db", tmp ? tmp : "/tmp",
                 (int)getpid());
        snprintf(url, sizeof url, "sqlite:%s", g_path);
        if (store_open(url, &g_store, &err) < 0 || atexit(store_remove) != 0)
            abort();
    }
    if (!file)
        return; /* no bytes */
    int rc = store_load(g_store, file, &rows, sha256, &end, &err);

    fclose(file);
    if (rc == 0) {
        assert(rows >= 0 && end > 0 && (size_t)end <= size);
        if (store_clear(g_store, &err) < 0)
            abort();
    } else {
        assert(err.text[0] && rc != -EEXIST); /* nothing stays of what was refused */
    }
}

static void read_vault(const uint8_t *data, size_t size)
{
    static const char *const fields[] = { "", "password" };

    for (unsigned i = 0; i < 2; i++) {
        struct err err = { "" };
        uint8_t *value = NULL;
        size_t value_size = 0;

        if (import_vault_pick((const char *)data, size, fields[i], &value, &value_size, &err) == 0)
            assert(value[value_size] == 0 && strlen((char *)value) == value_size);
        else
            assert(err.text[0] && !value);
        free(value);
    }
}

static void read_keys(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, '\n', size);
    json_t *keys = end ? json_loadb((const char *)data, (size_t)(end - data), 0, NULL) : NULL;
    json_t *header = NULL, *payload = NULL;
    char *token = end ? strndup((const char *)end + 1, size - (size_t)(end + 1 - data)) : NULL;
    struct err err = { "" };

    if (keys && token && jwt_parse(token, &header, &payload, &err) == 0) {
        int rc = jwt_verify(token, header, keys, &err);

        assert(rc == 0 || rc == -EACCES || rc == -ENOENT);
        json_decref(header);
        json_decref(payload);
    }
    free(token);
    json_decref(keys);
}

/* What a terminal would obey. */
static void check_shown(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];

        assert(c == '\n' || (c >= 0x20 && c != 0x7f));
        assert(c != 0xc2 || i + 1 == size || (unsigned char)text[i + 1] < 0x80 ||
               (unsigned char)text[i + 1] >= 0xa0);
    }
}

static void show_answer(const uint8_t *data, size_t size)
{
    static const struct table_column columns[] = { { "NAME", "name", TABLE_TEXT },
                                                   { "STATE", "state", TABLE_SHORT },
                                                   { "SEEN", "seen", TABLE_AGE },
                                                   { "LIST", "list", TABLE_COUNT } };
    struct client client = { .curl = NULL };
    struct reply reply = { .status = 409,
                           .body = strndup((const char *)data, size),
                           .size = strnlen((const char *)data, size) };
    struct err err = { "" };
    char *shown = NULL;
    size_t shown_size = 0;
    FILE *out = open_memstream(&shown, &shown_size);
    json_t *json = json_loadb((const char *)data, size, 0, NULL);

    if (!out || !reply.body)
        abort();
    assert(client_problem_take(&client, &reply, &err) < 0 && err.text[0]);
    check_shown(err.text, strlen(err.text));
    table_print(json_object_get(json, "items"), columns, ARRAY_COUNT(columns), "objects", out);
    if (json_is_object(json))
        table_object_print(json, out);
    fclose(out);
    check_shown(shown, shown_size);
    free(shown);
    json_decref(json);
    json_decref(client.problem);
    free(reply.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    switch (data[0]) {
    case 'c':
        read_config(data + 1, size - 1);
        break;
    case 'b':
        read_backup(data + 1, size - 1);
        break;
    case 'v':
        read_vault(data + 1, size - 1);
        break;
    case 'j':
        read_keys(data + 1, size - 1);
        break;
    case 'p':
        show_answer(data + 1, size - 1);
        break;
    default:
        break;
    }
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    if (seed % 4 == 0 || size < 2)
        return LLVMFuzzerMutate(data, size, max_size);
    return 1 + mutate_json(data + 1, size - 1, max_size - 1, seed / 4);
}
