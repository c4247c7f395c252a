/* SPDX-License-Identifier: Apache-2.0 */
/* What the host may say at start, and the lines that tell about the rest. Trusted. See the header. */
#include "tee/libos/task/start_policy.h"

#include <asm/errno.h>

#include "abi/start.h"
#include "tee/enclave/log.h"
#include "tee/enclave/string.h"

#define REFUSAL_LINES_MAX 32u
#define NAME_SHOWN 64u
#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

int start_args(const struct start_info *start, struct exec_strings *ret)
{
    const struct descriptor *d = start->descriptor;
    struct string_list list = { 0 };
    bool from_host = start->host_argument_count > 0;
    uint32_t own = from_host ? MIN(d->args_fixed, d->args_count) : d->args_count;
    int rc = 0;

    if (from_host && !d->args_from_host) {
        log_line("refused: the host gave arguments, and this image does not let it; allow them in "
                 "cloche.yaml or start without");
        return -EPERM;
    }
    for (uint32_t i = 0; i < own && rc == 0; i++)
        rc = string_list_add(&list, "", d->args[i]);
    for (uint32_t i = 0; from_host && i < start->host_argument_count && rc == 0; i++)
        rc = string_list_add(&list, "", start->host_arguments[i]);
    if (rc == 0 && (list.strings.count == 0 || !list.strings.bytes[0])) {
        log_line("the image names no program to run, and none was given");
        rc = -EINVAL;
    }
    if (rc < 0)
        strings_done(&list.strings);
    else
        *ret = list.strings;
    return rc;
}

/* ---- environment ---- */

/* The rule for the name that `text` ("NAME=value") begins with; NULL: the descriptor does not know it. */
static const struct descriptor_env *find_rule(const struct descriptor *d, const char *text,
                                              size_t name_len)
{
    for (uint32_t i = 0; i < d->env_count; i++)
        if (strlen(d->env[i].name) == name_len && memcmp(d->env[i].name, text, name_len) == 0)
            return &d->env[i];
    return NULL;
}

static bool is_printable(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (s[i] <= ' ' || s[i] > '~')
            return false;
    return true;
}

static void tell_refused(const char *text, size_t name_len, unsigned number)
{
    if (number > REFUSAL_LINES_MAX)
        return;
    if (number == REFUSAL_LINES_MAX)
        log_line("more environment variables of the host are refused");
    else if (is_printable(text, name_len))
        log_line("refused: environment variable %.*s of the host; cloche.yaml does not allow it",
                 (int)MIN(name_len, (size_t)NAME_SHOWN), text);
    else
        log_line("refused: an environment variable of the host with an unprintable name");
}

/* Takes what the host may set; tells about the rest. */
static int add_host_env(const struct start_info *start, struct string_list *list)
{
    unsigned refused = 0;

    for (uint32_t i = 0; i < start->host_environment_count; i++) {
        const char *text = start->host_environment[i], *equals = strchr(text, '=');
        size_t name_len = equals ? (size_t)(equals - text) : strlen(text);
        const struct descriptor_env *rule = find_rule(start->descriptor, text, name_len);
        int rc;

        if (equals && rule && !rule->value) {
            rc = strings_find_env(&list->strings, rule->name) ? 0 : string_list_add(list, "", text);
            if (rc < 0)
                return rc;
        } else if (!equals || !rule || strcmp(rule->value, equals + 1) != 0) {
            tell_refused(text, name_len, refused++);
        }
    }
    return 0;
}

static int add_default(struct string_list *list, const char *name, const char *assignment)
{
    return strings_find_env(&list->strings, name) ? 0 : string_list_add(list, "", assignment);
}

static int add_pair(struct string_list *list, const char *name, const char *value)
{
    int rc = string_list_reserve(list, strlen(name) + strlen(value) + 2);

    if (rc == 0)
        rc = string_list_add(list, name, "=");
    if (rc < 0)
        return rc;
    /* Joins the value to the string that was just ended. */
    list->strings.size--;
    list->strings.count--;
    return string_list_add(list, "", value);
}

int start_env(const struct start_info *start, struct exec_strings *ret)
{
    const struct descriptor *d = start->descriptor;
    struct string_list list = { 0 };
    int rc = 0;

    for (uint32_t i = 0; i < d->env_count && rc == 0; i++)
        if (d->env[i].value)
            rc = add_pair(&list, d->env[i].name, d->env[i].value);
    if (rc == 0)
        rc = add_host_env(start, &list);
    if (rc == 0)
        rc = add_default(&list, "PATH", "PATH=" PATH_DEFAULT);
    if (rc == 0)
        rc = add_default(&list, "HOME", d->uid == 0 ? "HOME=/root" : "HOME=/");
    if (rc == 0 && (start->flags & START_TTY) != 0)
        rc = add_default(&list, "TERM", "TERM=xterm"); /* as container engines do */
    if (rc < 0)
        strings_done(&list.strings);
    else
        *ret = list.strings;
    return rc;
}
