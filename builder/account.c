/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups of an image: passwd(5), group(5). Relying party. */
#include "builder/account.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/descriptor.h"
#include "lib/json_pull.h"

#define FIELDS_MAX 8u

/* Content of a file of the image, NUL-ended in the arena; "" when there is none. */
static int file_text(struct source *s, const char *path, char **ret, struct err *err)
{
    const struct tree_inode *inode = tree_find(&s->tree, path);
    uint64_t size = inode && S_ISREG(inode->mode) ? inode->size : 0;

    if (size > ACCOUNT_FILE_SIZE_MAX)
        return err_set(err, -EFBIG, "%s of the image is too large", path);
    char *text = arena_alloc(&s->tree.arena, size + 1);

    if (!text)
        return -ENOMEM;
    int rc = size ? spool_read(&s->spool, inode->spool_off, text, size, err) : 0;

    if (rc == 0)
        *ret = text;
    return rc;
}

/* Cuts the next line at its colons. returns: count of fields; 0 at the end. */
static size_t line_next(char **at, char *fields[FIELDS_MAX])
{
    while (**at) {
        char *line = *at, *end = line + strcspn(line, "\n");
        size_t count = 0;

        *at = *end ? end + 1 : end;
        *end = '\0';
        if (!line[0] || line[0] == '#')
            continue;
        while (count < FIELDS_MAX) {
            fields[count++] = line;
            line += strcspn(line, ":");
            if (!*line)
                break;
            *line++ = '\0';
        }
        return count;
    }
    return 0;
}

static bool number_parse(const char *text, uint32_t *ret)
{
    uint64_t value = 0;

    if (!text[0])
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > UINT32_MAX)
            return false;
    }
    *ret = (uint32_t)value;
    return true;
}

static bool list_has(const char *list, const char *name)
{
    size_t len = strlen(name);

    while (*list) {
        size_t item = strcspn(list, ",");

        if (item == len && memcmp(list, name, len) == 0)
            return true;
        list += item + (list[item] == ',');
    }
    return false;
}

/* Fills in what passwd says about the user; *ret_name is the login name, or NULL. */
static int user_find(struct source *s, const char *user, struct account *a, const char **ret_name,
                     struct err *err)
{
    char *text, *fields[FIELDS_MAX];
    size_t count;
    uint32_t wanted = 0, uid, gid;
    bool numeric = number_parse(user, &wanted);
    int rc = file_text(s, "/etc/passwd", &text, err);

    *ret_name = NULL;
    if (rc < 0)
        return rc;
    while ((count = line_next(&text, fields)) > 0) {
        if (count < 4 || !number_parse(fields[2], &uid) || !number_parse(fields[3], &gid))
            continue;
        if (strcmp(fields[0], user) != 0 && !(numeric && uid == wanted))
            continue;
        a->uid = uid;
        a->gid = gid;
        if (count > 5 && fields[5][0] == '/' && json_pull_is_utf8(fields[5]))
            a->home = fields[5];
        *ret_name = fields[0];
        return 0;
    }
    if (!numeric)
        return err_set(err, -ENOENT, "the image has no user \"%s\"", user);
    a->uid = wanted;
    a->gid = 0;
    return 0;
}

/* The primary group by name, or the groups that list the user. */
static int groups_find(struct source *s, const char *group, const char *user_name,
                       struct account *a, struct err *err)
{
    char *text, *fields[FIELDS_MAX];
    uint32_t *groups = arena_alloc(&s->tree.arena, DESCRIPTOR_GROUPS_MAX * sizeof *groups), gid;
    size_t count;

    if (group[0] && number_parse(group, &a->gid))
        return 0;
    int rc = groups ? file_text(s, "/etc/group", &text, err) : -ENOMEM;

    if (rc < 0)
        return rc;
    while ((count = line_next(&text, fields)) > 0) {
        if (count < 3 || !number_parse(fields[2], &gid))
            continue;
        if (group[0] && strcmp(fields[0], group) == 0) {
            a->gid = gid;
            return 0;
        }
        if (group[0] || !user_name || count < 4 || !list_has(fields[3], user_name))
            continue;
        if (a->groups_count == DESCRIPTOR_GROUPS_MAX)
            return err_set(err, -E2BIG, "user \"%s\" is in too many groups", user_name);
        groups[a->groups_count++] = gid;
    }
    a->groups = groups;
    return group[0] ? err_set(err, -ENOENT, "the image has no group \"%s\"", group) : 0;
}

int account_resolve(struct source *s, const char *user, struct account *ret, struct err *err)
{
    struct account a = { .home = "/" };
    size_t len = strcspn(user, ":");
    const char *name, *group = user[len] ? user + len + 1 : "";
    char *user_part = arena_copy(&s->tree.arena, user, len);

    if (!user_part)
        return -ENOMEM;
    int rc = user_find(s, user_part[0] ? user_part : "0", &a, &name, err);

    if (rc == 0)
        rc = groups_find(s, group, name, &a, err);
    if (rc == 0)
        *ret = a;
    return rc;
}
