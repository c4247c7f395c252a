/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/mounts and mountinfo. Trusted. */
#include "tee/libos/fs/proc/proc_internal.h"

#include <linux/mount.h>

struct show_arg {
    struct text *text;
    unsigned id;
};

/* Blanks and backslashes as octal, as getmntent(3) expects. */
static void add_escaped(struct text *t, const char *s)
{
    for (; *s; s++)
        if (*s == ' ' || *s == '\t' || *s == '\n' || *s == '\\')
            text_print(t, "\\%c%c%c", '0' + (*s >> 6 & 3), '0' + (*s >> 3 & 7), '0' + (*s & 7));
        else
            text_add(t, s, 1);
}

static void add_options(struct text *t, const struct super *s)
{
    text_print(t, "%s%s%s%s", (s->flags & MS_RDONLY) != 0 ? "ro" : "rw",
               (s->flags & MS_NOSUID) != 0 ? ",nosuid" : "",
               (s->flags & MS_NODEV) != 0 ? ",nodev" : "",
               (s->flags & MS_NOEXEC) != 0 ? ",noexec" : "");
}

static int mounts_one(const struct super *s, const char *source, const char *path, void *arg)
{
    struct show_arg *a = arg;

    add_escaped(a->text, source);
    text_add(a->text, " ", 1);
    add_escaped(a->text, path);
    text_print(a->text, " %s ", s->type);
    add_options(a->text, s);
    text_print(a->text, ",relatime 0 0\n");
    return 0;
}

int proc_mounts_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    struct show_arg a = { .text = t };

    return mounts_each(mounts_one, &a);
}

static int mountinfo_one(const struct super *s, const char *source, const char *path, void *arg)
{
    struct show_arg *a = arg;

    text_print(a->text, "%u %u 0:%u / ", a->id + 1, a->id == 0 ? 0 : 1, (unsigned)s->dev);
    add_escaped(a->text, path);
    text_add(a->text, " ", 1);
    add_options(a->text, s);
    text_print(a->text, ",relatime - %s ", s->type);
    add_escaped(a->text, source);
    text_add(a->text, " ", 1);
    text_print(a->text, "%s\n", (s->flags & MS_RDONLY) != 0 ? "ro" : "rw");
    a->id++;
    return 0;
}

int proc_mountinfo_show(struct text *t, const struct pseudo_key *k UNUSED)
{
    struct show_arg a = { .text = t };

    return mounts_each(mountinfo_one, &a);
}
