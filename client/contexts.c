/* SPDX-License-Identifier: Apache-2.0 */
/* The file of contexts. Relying party. */
#include "client/contexts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/hosted/whole_file.h"

#define PATH_SIZE 4096u

/* Makes the folder and those above it. */
static int make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(path, 0700) < 0 && errno != EEXIST) {
            int rc = -errno;

            *slash = '/';
            return rc;
        }
        *slash = '/';
    }
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int contexts_folder(char *ret, size_t ret_size, struct err *err)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int len, rc;

    if (config && config[0] == '/')
        len = snprintf(ret, ret_size, "%s/cloche", config);
    else if (home && home[0] == '/')
        len = snprintf(ret, ret_size, "%s/.config/cloche", home);
    else
        return err_set(err, -ENOENT, "neither HOME nor XDG_CONFIG_HOME names a folder");
    if (len >= (int)ret_size)
        return err_set_errno(err, -ENAMETOOLONG, "the folder of the user's configuration");
    rc = make_folders(ret);
    return rc < 0 ? err_set_errno(err, rc, "cannot make %s", ret) : 0;
}

static int file_path(char ret[PATH_SIZE], struct err *err)
{
    const char *named = getenv("CLOCHE_CONFIG");
    int rc;

    if (named && *named)
        return snprintf(ret, PATH_SIZE, "%s", named) >= (int)PATH_SIZE
                   ? err_set_errno(err, -ENAMETOOLONG, "CLOCHE_CONFIG")
                   : 0;
    rc = contexts_folder(ret, PATH_SIZE - 20, err);
    if (rc == 0)
        memcpy(ret + strlen(ret), "/contexts.json", sizeof "/contexts.json");
    return rc;
}

static int check_file(int fd, const char *path, struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_set_errno(err, -errno, "%s", path);
    if (!S_ISREG(st.st_mode) || st.st_size > (off_t)CONTEXTS_FILE_SIZE_MAX)
        return err_set(err, -EBADMSG, "%s is no file of contexts", path);
    if (st.st_mode & 077)
        return err_set(err, -EACCES,
                       "%s holds tokens, and others may read it: chmod 600 it, and log in anew",
                       path);
    return 0;
}

static int parse(const char *path, const char *text, size_t size, json_t **ret, struct err *err)
{
    json_error_t where;
    json_t *all = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);

    if (!all || !json_is_object(all)) {
        json_decref(all);
        return err_set(err, -EBADMSG, "%s, line %d: %s", path, where.line,
                       all ? "an object is expected" : where.text);
    }
    *ret = all;
    return 0;
}

int contexts_read(json_t **ret, struct err *err)
{
    char path[PATH_SIZE];
    char *text;
    ssize_t size;
    int fd, rc = file_path(path, err);

    if (rc < 0)
        return rc;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        *ret = json_object();
        return *ret ? 0 : -ENOMEM;
    }
    if (fd < 0)
        return err_set_errno(err, -errno, "cannot open %s", path);
    rc = check_file(fd, path, err);
    text = rc == 0 ? malloc(CONTEXTS_FILE_SIZE_MAX) : NULL;
    size = text ? read(fd, text, CONTEXTS_FILE_SIZE_MAX) : -1;
    if (rc == 0 && size < 0)
        rc = err_set_errno(err, text ? -errno : -ENOMEM, "cannot read %s", path);
    close(fd);
    if (rc == 0)
        rc = parse(path, text, (size_t)size, ret, err);
    free(text);
    return rc;
}

int contexts_find(const char *name, json_t **ret, struct err *err)
{
    json_t *all, *found;
    int rc = contexts_read(&all, err);

    if (rc < 0)
        return rc;
    if (!name)
        name = json_string_value(json_object_get(all, "current"));
    found = name ? json_object_get(json_object_get(all, "contexts"), name) : NULL;
    if (!json_is_object(found))
        rc = name ? err_set(err, -ENOENT, "there is no context \"%s\": cloche login makes it", name)
                  : err_set(err, -ENOENT,
                            "not logged in: `cloche login URL`, or `cloche up` for a "
                            "server on this machine");
    else
        *ret = json_incref(found);
    json_decref(all);
    return rc;
}

int contexts_file_write(const char *path, const void *data, size_t size, struct err *err)
{
    return whole_file_replace(path, data, size, 0600, err);
}

/* Another context becomes the current one when the current one goes. */
static void choose_current(json_t *all, json_t *contexts, const char *name, bool is_removed)
{
    const char *current = json_string_value(json_object_get(all, "current"));

    if (!is_removed) {
        json_object_set_new(all, "current", json_string(name));
        return;
    }
    if (current && strcmp(current, name) != 0)
        return;
    json_object_del(all, "current");
    current = json_object_iter_key(json_object_iter(contexts));
    if (current)
        json_object_set_new(all, "current", json_string(current));
}

int contexts_set(const char *name, json_t *context, struct err *err)
{
    char path[PATH_SIZE];
    json_t *all = NULL, *contexts;
    char *text = NULL;
    int rc = file_path(path, err);

    if (rc == 0)
        rc = contexts_read(&all, err);
    if (rc < 0) {
        json_decref(context);
        return rc;
    }
    contexts = json_object_get(all, "contexts");
    if (!json_is_object(contexts)) {
        contexts = json_object();
        json_object_set_new(all, "contexts", contexts);
    }
    if (context)
        json_object_set(contexts, name, context);
    else
        json_object_del(contexts, name);
    choose_current(all, contexts, name, !context);
    json_decref(context);
    text = json_dumps(all, JSON_INDENT(2) | JSON_SORT_KEYS);
    rc = text ? contexts_file_write(path, text, strlen(text), err) : -ENOMEM;
    if (text) {
        explicit_bzero(text, strlen(text));
        free(text);
    }
    json_decref(all);
    return rc;
}
