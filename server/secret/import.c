/* SPDX-License-Identifier: Apache-2.0 */
/* Import of values: the file of sources; a folder, a token. Relying party. */
#include "server/secret/import.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/hosted/whole_file.h"
#include "server/config.h"
#include "server/crypto/keys.h"
#include "server/crypto/token.h"
#include "server/secret/row.h"

#define SOURCES_SIZE_MAX (64u << 10)
#define PATH_LEN_MAX 255u

static void json_freep(json_t **json)
{
    json_decref(*json);
}

/* Words with one slash between them: nothing that a path or a URL could give another meaning to. */
static bool path_is_good(const char *path)
{
    size_t len = strlen(path);

    if (len == 0 || len > PATH_LEN_MAX || path[0] == '/' || path[len - 1] == '/' ||
        strstr(path, "//") || strstr(path, ".."))
        return false;
    return strspn(path, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./") ==
           len;
}

static bool word_is_good(const char *word)
{
    return strlen(word) <= 64 &&
           strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") ==
               strlen(word);
}

/* Read at each import: the administrator changes it without a restart. */
static int read_sources(const char *path, json_t **ret, struct err *err)
{
    char *text = malloc(SOURCES_SIZE_MAX + 1);
    FILE *file = path ? fopen(path, "re") : NULL;
    json_error_t error;
    size_t size = 0;

    if (text && file)
        size = fread(text, 1, SOURCES_SIZE_MAX + 1, file);
    if (file)
        fclose(file);
    if (!text || !file || size > SOURCES_SIZE_MAX) {
        free(text);
        return err_set(err, path && file ? -EIO : -ENOENT,
                       "this server has no sources to import from, or cannot read their file");
    }
    *ret = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    free(text);
    if (!*ret)
        return err_set(err, -EIO, "the file of sources, line %d: %s", error.line, error.text);
    return 0;
}

/* Whether the organisation may import from the source: "orgs" lists those who may; without it all. */
static bool is_allowed(const json_t *source, const char *org_id)
{
    const json_t *orgs = json_object_get(source, "orgs"), *item;
    size_t index;

    json_array_foreach(orgs, index, item)
    {
        if (json_is_string(item) && strcmp(json_string_value(item), org_id) == 0)
            return true;
    }
    return !orgs;
}

static import_fn *find_kind(const json_t *source)
{
    static const struct {
        const char *name;
        import_fn *import;
    } kinds[] = { { "file", import_file }, { "pkcs11", import_pkcs11 }, { "vault", import_vault } };
    const char *name = json_string_value(json_object_get(source, "kind"));

    for (unsigned i = 0; name && i < ARRAY_COUNT(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return kinds[i].import;
    return NULL;
}

int secret_import(struct server *server, const char *org_id, const json_t *import, uint8_t **ret,
                  size_t *ret_size, char *ret_origin, size_t origin_size, struct err *err)
{
    CLEANUP(json_freep)
    json_t *sources = NULL;
    const json_t *field_json = json_object_get(import, "field"), *source;
    const char *name = json_string_value(json_object_get(import, "source"));
    const char *path = json_string_value(json_object_get(import, "path"));
    const char *field = field_json ? json_string_value(field_json) : "";
    import_fn *kind;
    int rc;

    if (!name || !path || !field || json_object_size(import) != (field_json ? 3u : 2u) ||
        !word_is_good(name) || !word_is_good(field) || !path_is_good(path))
        return err_set(err, -EINVAL,
                       "import is {\"source\", \"path\", \"field\"}: letters, digits, - _ . and, "
                       "in the path, /");
    rc = read_sources(server->config->secret_sources_file, &sources, err);
    if (rc < 0)
        return rc;
    source = json_object_get(sources, name);
    if (!source)
        return err_set(err, -ENOENT, "there is no source %s", name);
    if (!is_allowed(source, org_id))
        return err_set(err, -EACCES, "source %s is not for this organisation", name);
    kind = find_kind(source);
    if (!kind)
        return err_set(err, -EIO, "source %s is of no known kind", name);
    rc = kind(source, path, field, ret, ret_size, err);
    if (rc < 0)
        return err_wrap(err, rc, "source %s", name);
    if (*ret_size > SECRET_VALUE_SIZE_MAX) {
        secret_free(*ret, *ret_size);
        return err_set(err, -E2BIG, "source %s: more than %u bytes", name, SECRET_VALUE_SIZE_MAX);
    }
    snprintf(ret_origin, origin_size, "%s:%s%s%s", name, path, field[0] ? "#" : "", field);
    return 0;
}

/* ---- {"kind": "file", "folder": path} ---- */

static int read_file(int fd, uint8_t **ret, size_t *ret_size, struct err *err)
{
    uint8_t *data = malloc(SECRET_VALUE_SIZE_MAX + 1);
    size_t size = 0;
    int rc = data ? whole_file_fd_read(fd, data, SECRET_VALUE_SIZE_MAX + 1, &size) : -ENOMEM;

    if (rc == 0 && size > SECRET_VALUE_SIZE_MAX)
        rc = -E2BIG;
    if (rc < 0) {
        secret_free(data, data ? SECRET_VALUE_SIZE_MAX : 0);
        return err_set_errno(err, rc == -E2BIG || rc == -ENOMEM ? rc : -EIO, "the file");
    }
    data[size] = 0;
    *ret = data;
    *ret_size = size;
    return 0;
}

int import_file(const json_t *source, const char *path, const char *field, uint8_t **ret,
                size_t *ret_size, struct err *err)
{
    const char *folder = json_string_value(json_object_get(source, "folder"));
    struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
    int dir = folder ? open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1, fd, rc;

    if (field[0])
        return err_set(err, -EINVAL, "a file has no fields");
    if (dir < 0)
        return err_set(err, -EIO, "its folder is not there");
    fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
    rc = fd < 0 ? -errno : 0;
    close(dir);
    if (rc < 0)
        return err_set_errno(err, rc == -ENOENT ? -ENOENT : -EACCES, "%s", path);
    rc = read_file(fd, ret, ret_size, err);
    close(fd);
    return rc;
}

/* ---- {"kind": "pkcs11", "uri": ...}: path is the label of a data object ---- */

int import_pkcs11(const json_t *source, const char *path, const char *field, uint8_t **ret,
                  size_t *ret_size, struct err *err)
{
    struct token *token;
    int rc;

    if (field[0])
        return err_set(err, -EINVAL, "a data object has no fields");
    rc = token_open(json_string_value(json_object_get(source, "uri")), &token, err);
    if (rc < 0)
        return rc == -EINVAL ? -EIO : rc;
    rc = token_data_read(token, path, ret, ret_size, err);
    token_close(token);
    return rc;
}
